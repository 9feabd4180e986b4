"""The interface of a regularized linear program."""

from __future__ import annotations

import abc
from collections.abc import Callable
from typing import Any, TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Bool, Float, PyTree

from .._kernels.numerics import derivative, inexact, safe_divide
from .._operators.pseudo_inverse import pseudo_solve
from .regularizer import Regularizer


class Problem(eqx.Module):
    """A regularized linear program `max_{y in P} <z, y> - softness R(y)`.

    A problem holds arrays, batch dimensions leading. A solver finds its *dual*; the
    problem says when a dual is optimal, how the optimum moves with the problem, and
    turns the dual into what the caller wants.

    **Example:**

        >>> problem = sj.solvers.SimplexProjection(jnp.array([0.2, 1.0, 0.7]), 0.1)
        >>> found = sj.solvers.solve(problem, "smooth")
        >>> print(problem.primal(found.dual, found.regularizer))
        [0.    0.952 0.047]
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

    def solved_primal(
        self,
        regularizer: Regularizer,
        find_dual: Callable[["Problem", Regularizer], PyTree[Array]],
        linear_solver: Any = None,
    ) -> Array:
        """`primal` at the optimal dual, which `find_dual` finds differentiably.

        Default: what it says. A problem overrides it that knows the derivative of both
        steps together, for which it takes the `linear_solver` of `dual_tangent`.
        """
        return self.primal(find_dual(self, regularizer), regularizer)

    def solved_expectation(
        self,
        regularizer: Regularizer,
        values: Float[Array, "*batch n"],
        find_dual: Callable[["Problem", Regularizer], PyTree[Array]],
    ) -> Array:
        """`expectation` at the optimal dual, which `find_dual` finds differentiably.

        Default: what it says. A problem overrides it that can do without the dual, or
        that knows the derivative of both steps together.
        """
        return self.expectation(find_dual(self, regularizer), regularizer, values)

    @abc.abstractmethod
    def residual(
        self, dual: PyTree[Array], regularizer: Regularizer
    ) -> Float[Array, "..."]:
        """How far `dual` is from feasible: a nonnegative number for each solution."""

    def check_regularizer(self, regularizer: Regularizer) -> None:
        """Raise `ValueError` if the problem has no solution with that regularizer.

        Default: any will do.
        """

    def check_linear_solver(self, linear_solver: Any) -> None:
        """Raise `TypeError` unless `dual_tangent` takes that linear solver."""
        import lineax as lx

        if not (
            linear_solver is None or isinstance(linear_solver, lx.AbstractLinearSolver)
        ):
            raise TypeError(
                "linear_solver must be None or an instance of a solver of Lineax, got "
                f"{linear_solver!r}."
            )

    def dual_tangent(
        self,
        dual: PyTree[Array],
        regularizer: Regularizer,
        shift: PyTree[Array],
        linear_solver: Any = None,
    ) -> PyTree[Array]:
        """How the optimal dual moves when its optimality residual shifts by `shift`.

        The implicit function theorem: minus the inverse Jacobian of `optimality` in
        the dual, applied to `shift`; of minimum norm where the Jacobian is singular.
        Default: the `linear_solver` of Lineax, or a dense pseudo-inverse, which takes
        the time of one matrix of all solutions of a batch; `jax.vmap` over problems
        has a small one for each. A problem with structure overrides it.
        """
        negative = jax.tree.map(jnp.negative, shift)
        if linear_solver is None:
            flat, unravel = ravel_pytree(dual)
            jacobian = jax.jacfwd(
                lambda d: ravel_pytree(self.optimality(unravel(d), regularizer))[0]
            )(flat)
            return unravel(pseudo_solve(jacobian, ravel_pytree(negative)[0]))
        import lineax as lx

        operator = lx.JacobianLinearOperator(
            lambda d, _: self.optimality(d, regularizer), dual
        )
        # Never throw: this runs inside compiled gradients.
        return lx.linear_solve(operator, negative, linear_solver, throw=False).value


class JointExpectation(Problem):
    """A problem that differentiates `y @ values` together with the dual."""

    @abc.abstractmethod
    def expectation_and_tangent(
        self,
        dual: PyTree[Array],
        regularizer: Regularizer,
        values: Array,
        problem_move: PyTree,
        regularizer_move: PyTree,
        values_move: Array | None,
    ) -> tuple[Array, Array]:
        """`expectation` at the optimal dual, and how it changes with all it depends on.

        Moves are None where there are none.
        """

    def joint_expectation(
        self,
        regularizer: Regularizer,
        values: Array,
        find_dual: Callable[[Problem, Regularizer], PyTree[Array]],
    ) -> Array:
        """What `solved_expectation` returns, differentiated so."""
        return jointly(
            self,
            regularizer,
            values,
            find_dual=find_dual,
            value=lambda problem, *rest: problem.expectation(*rest),
            tangent=lambda problem, *rest: problem.expectation_and_tangent(*rest),
        )


@eqx.filter_custom_jvp
def jointly(
    problem: Problem,
    regularizer: Regularizer,
    values: Array,
    *,
    find_dual: Callable[[Problem, Regularizer], PyTree[Array]],
    value: Callable[..., Array],
    tangent: Callable[..., tuple[Array, Array]],
):
    """`value(problem, dual, regularizer, values)` at the optimal dual.

    It is differentiated together with the dual: `tangent` takes three moves more, and
    returns the value and its own move.
    """
    return value(problem, find_dual(problem, regularizer), regularizer, values)


@jointly.def_jvp
def _jointly_jvp(primals, tangents, *, find_dual, value, tangent):
    problem, regularizer, values = primals
    dual = find_dual(problem, regularizer)
    return tangent(problem, dual, regularizer, values, *tangents)


class MaximizationProblem(Problem):
    """A problem whose solution y maximizes an objective that can be evaluated.

    **Example:**

        >>> problem = sj.solvers.SimplexProjection(jnp.array([0.2, 1.0, 0.7]), 0.1)
        >>> r = sj.solvers.get_regularizer("c0")
        >>> best = sj.solvers.solve(problem, r).value
        >>> other = jnp.array([0.0, 0.5, 0.5])
        >>> print(bool(problem.objective(best, r) > problem.objective(other, r)))
        True
    """

    @abc.abstractmethod
    def objective(self, y: Array, regularizer: Regularizer) -> Float[Array, "*batch"]:
        """`<z, y> - softness R(y)`, up to a term that all feasible y share."""


class ConcaveDualProblem(Problem):
    """A problem whose dual is the maximum of a concave function of its variables.

    **Example:**

        >>> ones = jnp.ones(3)
        >>> cost = jnp.array([[0.0, 1.0, 2.0], [1.0, 0.0, 1.0], [2.0, 1.0, 0.0]])
        >>> problem = sj.solvers.TransportProjection(cost, ones, ones, 1.0)
        >>> r = sj.solvers.Entropy()
        >>> best, start = sj.solvers.solve(problem, r).dual, problem.initial_dual(r)
        >>> print(bool(problem.dual_value(best, r) > problem.dual_value(start, r)))
        True
    """

    @abc.abstractmethod
    def dual_value(
        self, dual: PyTree[Array], regularizer: Regularizer
    ) -> Float[Array, "*batch"]:
        """The function that an optimal dual maximizes."""

    @abc.abstractmethod
    def initial_dual(self, regularizer: Regularizer) -> PyTree[Array]:
        """Where to start from."""

    @abc.abstractmethod
    def dual_scale(self, regularizer: Regularizer) -> Float[Array, ""]:
        """By how much dual variables typically differ."""

    @abc.abstractmethod
    def flat(self) -> "ConcaveDualProblem":
        """The same problems with a single, leading batch axis, to `vmap` over."""

    @abc.abstractmethod
    def restore(
        self,
        dual: PyTree[Array],
        steps: Array,
        regularizer: Regularizer,
        tolerance: float,
    ) -> Any:
        """The [`softjax.solvers.Solution`][] with a dual of `flat`, made feasible."""


class ScalarDualProblem(Problem):
    """A problem with one scalar unknown a solution, which a batched root find serves.

    `optimality` then depends entry by entry on the dual, and turns from positive to
    negative where it is optimal.

    **Example:**

        >>> problem = sj.solvers.SimplexProjection(jnp.array([0.2, 1.0, 0.7]), 1.0)
        >>> lower, upper = problem.bracket(sj.solvers.PNorm(2))
        >>> dual = sj.solvers.solve(problem, "c0").dual
        >>> print(bool((lower <= dual) & (dual <= upper)))
        True
    """

    @abc.abstractmethod
    def bracket(
        self, regularizer: Regularizer
    ) -> tuple[Float[Array, "*rows"], Float[Array, "*rows"]]:
        """Lower and upper bounds on the dual."""

    def guess(self, regularizer: Regularizer) -> Float[Array, "*rows"]:
        """Where Newton's method starts. Default: from the lower bound.

        There all the mass is on the largest score, and the residual of a convex link
        falls monotonically to zero.
        """
        return self.bracket(regularizer)[0]

    def equation(
        self, dual: Array, regularizer: Regularizer
    ) -> tuple[Float[Array, "*rows"], Float[Array, "*rows"]]:
        """What Newton's method makes zero, and its derivative in the dual.

        Something of the sign of `optimality`. Default: `optimality`.
        """
        return derivative(lambda dual: self.optimality(dual, regularizer), dual)

    def rounding(self, regularizer: Regularizer) -> float:
        """Units of rounding in `equation`."""
        return 4

    @abc.abstractmethod
    def flat(self) -> "ScalarDualProblem":
        """The same rows with a single, leading batch axis, to `vmap` over."""

    def residual(self, dual: Array, regularizer: Regularizer) -> Float[Array, "*rows"]:
        return jnp.abs(self.optimality(dual, regularizer))

    def check_linear_solver(self, linear_solver: Any) -> None:
        if linear_solver is not None:
            raise TypeError(
                f"linear_solver={linear_solver!r}: each dual of a "
                f"{type(self).__name__} is one number, whose derivative is a quotient. "
                "Pass None."
            )

    def dual_tangent(
        self,
        dual: Array,
        regularizer: Regularizer,
        shift: Array,
        linear_solver: Any = None,
    ) -> Array:
        # A diagonal Jacobian. Lineax's pseudo-inverse of one judges each entry
        # against the largest of all, which would couple the rows of a batch.
        _, slope = derivative(lambda d: self.optimality(d, regularizer), dual)
        return -safe_divide(shift, slope)


def per_row(value: Array | float, rows: Array, name: str) -> Float[Array, "*#batch 1"]:
    """A parameter of `rows`, `*batch n`, as an array that broadcasts over them.

    It is of their type: a Python number would be of 64 bits where there are some.

    **Raises:** `ValueError` if it does not have size 1 along their last axis.
    """
    value = inexact(value).astype(rows.dtype)
    padded = value.reshape((1,) * (rows.ndim - value.ndim) + value.shape)
    full = (*rows.shape[:-1], 1)
    if padded.ndim > rows.ndim or any(
        size not in (1, allowed)
        for size, allowed in zip(padded.shape, full, strict=True)
    ):
        raise ValueError(
            f"{name} of shape {value.shape} must broadcast against the rows, which are "
            f"of shape {full}."
        )
    return padded


def as_mask(where: Bool[Array, "..."] | None, like: Array) -> Bool[Array, "..."]:
    return jnp.ones(like.shape, bool) if where is None else where


def check_candidates(z: Array, name: str) -> None:
    if z.ndim == 0 or z.shape[-1] == 0:
        raise ValueError(
            f"{name}: z must have at least one entry along its last axis, got shape "
            f"{z.shape}."
        )


_Rows = TypeVar("_Rows", bound=PyTree)


def flatten_batch(rows: _Rows, batch: tuple[int, ...]) -> _Rows:
    """Arrays that broadcast over `*batch` and a last axis, with one batch axis."""

    def flatten(x):
        size = x.shape[-1]
        return jnp.broadcast_to(x, (*batch, size)).reshape(-1, size)

    return jax.tree.map(flatten, rows)
