"""The linear system of the dual of a majorization problem."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import lineax as lx
from jaxtyping import Array, Bool, Float

from .._kernels.arrays import eps
from .._kernels.conjugate_gradients import conjugate_gradients
from .._kernels.fourth_differences import eliminate, nearly_solve, second_differences
from .._platform.choice import on_cpu
from .structured import StructuredOperator


class FourthDifferences(StructuredOperator):
    """`L diag(inner) L + diag(outer)`, where L takes second differences.

    The weights are positive. Outside of `inside`, a prefix of each row, it is the
    identity.
    """

    inner: Float[Array, "*batch m"]
    outer: Float[Array, "*batch m"]
    inside: Bool[Array, "*batch m"]

    def mv(self, vector):
        inner = self.inner * second_differences(vector, self.inside)
        inward = second_differences(inner, self.inside)
        return inward + jnp.where(self.inside, self.outer, 1) * vector

    def in_structure(self):
        return jax.ShapeDtypeStruct(self.inner.shape, self.inner.dtype)

    def inverse(self, linear_solver):
        """By elimination on a CPU, and by conjugate gradients on other devices."""
        weights = self.inner, self.outer

        def solve(rhs):
            rows = *weights, rhs, self.inside
            if linear_solver is None:
                x = on_cpu(eliminate, _solve_iteratively, *rows)
            else:
                x = _solve_rows(*rows, linear_solver)
            return jnp.where(jnp.isfinite(x), x, 0)

        return solve


@jax.jit
def _solve_iteratively(
    inner: Float[Array, "*batch m"],
    outer: Float[Array, "*batch m"],
    rhs: Float[Array, "*batch m"],
    inside: Bool[Array, "*batch m"],
) -> Float[Array, "*batch m"]:
    apply = FourthDifferences(inner, outer, inside).mv
    x, _ = conjugate_gradients(
        lambda x: (inner, outer, rhs - apply(x)),
        jnp.zeros_like(rhs),
        inside,
        tolerance=8 * eps(rhs),
        max_steps=64,
        exponential=False,
    )
    return x


def _solve_rows(
    inner: Float[Array, "*batch m"],
    outer: Float[Array, "*batch m"],
    rhs: Float[Array, "*batch m"],
    inside: Bool[Array, "*batch m"],
    linear_solver: lx.AbstractLinearSolver,
) -> Float[Array, "*batch m"]:
    def solve(inner, outer, rhs, inside):
        operator = FourthDifferences(inner, outer, inside)
        preconditioner = lx.FunctionLinearOperator(
            lambda x: nearly_solve(inner, outer, x, inside),
            operator.in_structure(),
            lx.positive_semidefinite_tag,
        )
        return lx.linear_solve(
            operator,
            rhs,
            linear_solver,
            options=dict(preconditioner=preconditioner),
            throw=False,
        ).value

    return jnp.vectorize(solve, signature="(m),(m),(m),(m)->(m)")(
        inner, outer, rhs, inside
    )
