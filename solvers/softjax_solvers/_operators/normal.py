"""The linear system of the multipliers of a linear program."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp
import lineax as lx
from jaxtyping import Array, Bool, Float

from .._kernels.arrays import eps
from .._kernels.normal_equations import (
    by_diagonal,
    refined_solver,
    singular_solver,
    solve_iteratively,
)
from .structured import StructuredOperator

if TYPE_CHECKING:
    from .._problems.linear_program.matrix import Matrix


class NormalOperator(StructuredOperator):
    """`K diag(weight) K^T` in the rows and columns that are active, else the identity.

    The weights are nonnegative.
    """

    matrix: Matrix
    weight: Float[Array, "*batch n"]
    active: Bool[Array, "*batch m"]

    def mv(self, vector):
        inner = self.weight * self.matrix.apply_transpose(self._inside(vector))
        return jnp.where(self.active, self.matrix.apply(inner), vector)

    def _inside(self, x: Float[Array, "*batch m"]) -> Float[Array, "*batch m"]:
        return jnp.where(self.active, x, 0)

    def in_structure(self):
        return jax.ShapeDtypeStruct(self.active.shape, self.weight.dtype)

    def inverse(self, linear_solver):
        """By eigenvectors, or by conjugate gradients if they are too many."""
        if linear_solver is not None:
            gram = self.matrix.gram(self.weight)
            solve = refined_solver(gram, self.active, _by_lineax(linear_solver))
        elif self.matrix.factorizes:
            solve = singular_solver(self.matrix.gram(self.weight), self.active)
        else:
            solve = self._solve_iteratively
        return lambda rhs: jnp.where(self.active, solve(rhs), rhs)

    def _solve_iteratively(self, rhs: Array) -> Array:
        return solve_iteratively(
            lambda x: self._inside(self.mv(x)),
            by_diagonal(self._inside(self.matrix.diagonal(self.weight))),
            self._inside(rhs),
            tolerance=4 * eps(rhs),
            max_steps=4 * rhs.shape[-1],
        )


def _by_lineax(linear_solver: lx.AbstractLinearSolver) -> Callable:
    def solve(matrix, rhs):
        operator = lx.MatrixLinearOperator(matrix, lx.positive_semidefinite_tag)
        x = lx.linear_solve(operator, rhs, linear_solver, throw=False).value
        return jnp.where(jnp.isfinite(x), x, 0)

    return jnp.vectorize(solve, signature="(m,m),(m)->(m)")
