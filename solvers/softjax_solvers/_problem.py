"""The interface of a regularized linear program."""

from __future__ import annotations

import abc

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, PyTree

from ._numerics import derivative, safe_divide
from ._regularizer import Regularizer


class Problem(eqx.Module):
    """A regularized linear program `max_{y in P} <z, y> - softness R(y)`.

    A problem holds arrays, batch dimensions leading. A solver finds its *dual*; the
    problem says when a dual is optimal, how the optimum moves with the problem, and
    turns the dual into what the caller wants.
    """

    @abc.abstractmethod
    def optimality(self, dual: PyTree[Array], regularizer: Regularizer) -> PyTree:
        """The residual of the optimality conditions, zero at the optimal dual.

        It has the structure of the dual.
        """

    @abc.abstractmethod
    def primal(self, dual: PyTree[Array], regularizer: Regularizer) -> Array:
        """The dense solution y that belongs to a dual."""

    @abc.abstractmethod
    def expectation(
        self,
        dual: PyTree[Array],
        regularizer: Regularizer,
        values: Float[Array, "*batch n"],
    ) -> Array:
        """`y @ values`, without forming y where the structure allows it."""

    @abc.abstractmethod
    def residual(
        self, dual: PyTree[Array], regularizer: Regularizer
    ) -> Float[Array, "..."]:
        """How far `dual` is from feasible: a nonnegative number for each solution."""

    def dual_tangent(
        self, dual: PyTree[Array], regularizer: Regularizer, shift: PyTree[Array]
    ) -> PyTree[Array]:
        """How the optimal dual moves when its optimality residual shifts by `shift`.

        The implicit function theorem: minus the inverse Jacobian of `optimality` in
        the dual, applied to `shift`; of minimum norm where the Jacobian is singular.
        Default: a dense solve through Lineax. A problem with structure overrides it.
        """
        import lineax as lx

        operator = lx.JacobianLinearOperator(
            lambda d, _: self.optimality(d, regularizer), dual
        )
        negative = jax.tree.map(jnp.negative, shift)
        # Never throw: this runs inside compiled gradients.
        solver = lx.AutoLinearSolver(well_posed=None)
        return lx.linear_solve(operator, negative, solver, throw=False).value


class ScalarDualProblem(Problem):
    """A problem with one scalar unknown a solution, which a batched root find serves.

    `optimality` is then nonincreasing in the dual, each entry in its own alone.
    """

    @abc.abstractmethod
    def bracket(
        self, regularizer: Regularizer
    ) -> tuple[Float[Array, "*rows"], Float[Array, "*rows"]]:
        """Lower and upper bounds on the dual; Newton starts from the lower one."""

    @abc.abstractmethod
    def flat(self) -> "ScalarDualProblem":
        """The same rows with a single, leading batch axis, to `vmap` over."""

    def residual(self, dual: Array, regularizer: Regularizer) -> Float[Array, "*rows"]:
        return jnp.abs(self.optimality(dual, regularizer))

    def dual_tangent(self, dual: Array, regularizer: Regularizer, shift: Array):
        # A diagonal Jacobian. Lineax's pseudo-inverse of one judges each entry
        # against the largest of all, which would couple the rows of a batch.
        _, slope = derivative(lambda d: self.optimality(d, regularizer), dual)
        return -safe_divide(shift, slope)


def masked_softness(softness: Array, ndim: int) -> Array:
    """Softness as an array that broadcasts over `*batch n` (size 1 along the axis)."""
    softness = jnp.asarray(softness)
    return softness.reshape((1,) * (ndim - softness.ndim) + softness.shape)


def as_mask(where: Bool[Array, "..."] | None, like: Array) -> Bool[Array, "..."]:
    return jnp.ones(like.shape, bool) if where is None else where
