"""Solutions, and the one rule by which whatever is read off them is differentiated."""

from __future__ import annotations

import dataclasses
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.ad_checkpoint import checkpoint_name
from jaxtyping import Array, Bool, Float, Int, PyTree

from .._kernels.arrays import eps
from .._kernels.derivatives import stop_gradient, tangent_of
from .precision import narrowed, widened
from .problem import Problem
from .readout import Dual, Means, Moves, Primal, Readout
from .regularizer import Regularizer
from .solver import Solver

KEPT = "softjax_dual"
"""Name of duals for the policies of `jax.checkpoint`, by which they can be kept."""


class Solution(eqx.Module):
    """A dual that a solver found, with the report of the search.

    **Attributes:**

    - `problem`, `regularizer`: what was solved.
    - `dual`: the dual variables, a pytree of arrays; see the problem.
    - `steps`: number of iterations, a scalar or one for each solution of the batch.
    - `residual`: how far the dual is from optimal, of the batch's shape.
    - `converged`: whether the residual is within the solver's tolerance, of the
        batch's shape. A solver that fails says so here and never raises.
    - `dtype`: the type of what is read off, if that is of 16 bits; None for that of the
        problem, which is in float32 then.

    **Example:**

        >>> problem = sj.solvers.SimplexProjection(jnp.array([0.2, 1.0, 0.7]), 0.5)
        >>> found = sj.solvers.solve(problem, "c0")
        >>> print(found.value, found.expectation(jnp.array([0.0, 1.0, 2.0])))
        [0.  0.8 0.2] 1.2
    """

    problem: Problem
    regularizer: Regularizer
    dual: PyTree[Array]
    steps: Int[Array, "..."]
    residual: Float[Array, "..."]
    converged: Bool[Array, "..."]
    dtype: Any = eqx.field(default=None, static=True)

    @property
    def value(self) -> Array:
        """The solution y itself, formed on demand."""
        return self.read(Primal())

    def expectation(self, values: Float[Array, "*batch n"]) -> Array:
        """`y @ values`, without forming y where the problem's structure allows it."""
        return self.read(Means(values))

    def read(self, readout: Readout) -> Any:
        """A readout of this solution, with the derivative of the optimal one."""
        known, given = Known(stop_gradient(self.dual)), readout
        if self.dtype is not None:
            readout = widened(readout)
        out = evaluate_by(known, self.problem, self.regularizer, readout)
        return narrowed(out, self.dtype, given)

    def at(
        self, problem: Problem, regularizer: Regularizer, dual: PyTree[Array]
    ) -> Solution:
        """This solution, of another problem and with another dual."""
        return dataclasses.replace(
            self, problem=problem, regularizer=regularizer, dual=dual
        )

    def dual_tangent(self, moves: Moves, linear_solver: Any = None) -> PyTree[Array]:
        """The move of the optimal dual with the problem and the regularizer.

        The implicit function theorem: minus the inverse Jacobian of the optimality
        conditions, applied to how they change at a fixed dual; of minimum norm where it
        is singular. Or what the problem has in its table `fused`.
        """
        from .._operators.solve import linear_solve

        known = self.problem.fused.get(Dual)
        if known is not None:
            return known(self.problem, self, Dual(), moves, linear_solver)[1]
        shift = tangent_of(
            lambda problem, regularizer: problem.optimality(self.dual, regularizer),
            (self.problem, self.regularizer),
            (moves.problem, moves.regularizer),
        )
        shift = jax.tree.map(jnp.negative, shift)
        jacobian = self.problem.jacobian(self.dual, self.regularizer)
        return linear_solve(jacobian, shift, linear_solver)


def judge(
    problem: Problem, regularizer: Regularizer, dual: PyTree[Array], steps: Array
) -> Solution:
    """A solution that has converged if its residual is a matter of rounding."""
    residual = problem.residual(dual, regularizer)
    # The sum of n terms, each with a few units of rounding.
    converged = residual <= 1000 * eps(residual)
    return Solution(problem, regularizer, dual, steps, residual, converged)


def solution_of(
    problem: Problem, regularizer: Regularizer, dual: PyTree[Array], *about: Any
) -> Solution:
    """The solution that `solve_and_read` has found, by its dual and the rest of it."""
    *report, arrays = about
    return Solution(problem.anchored(arrays), regularizer, dual, *report)


class Search(eqx.Module):
    """A solution by a solver."""

    solver: Solver

    def __call__(self, problem: Problem, regularizer: Regularizer) -> Solution:
        return problem.solved_by(self.solver, regularizer)


class Known(eqx.Module):
    """A solution by a dual that has been found before."""

    dual: PyTree[Array]

    def __call__(self, problem: Problem, regularizer: Regularizer) -> Solution:
        unknown: Any = None  # by nobody who asks for a readout
        return Solution(problem, regularizer, self.dual, *[unknown] * 3)


def evaluate_by(
    find: Search | Known,
    problem: Problem,
    regularizer: Regularizer,
    readout: Readout,
    linear_solver: Any = None,
) -> Any:
    """A readout of the optimal solution of a specialized problem."""
    kind = type(readout)
    if kind in problem.cancels:
        find = Known(None)
        if kind not in problem.fused:
            return readout.read(find(problem, regularizer))
    out, *_ = solve_and_read(
        problem, regularizer, readout, find=find, linear_solver=linear_solver
    )
    return out


# The solver runs inside the function that has the rule: JAX 0.10 drops rules in second
# derivatives of a `scan`, and is then left with the derivative of the solver.
@eqx.filter_custom_jvp
def solve_and_read(
    problem: Problem,
    regularizer: Regularizer,
    readout: Readout,
    *,
    find: Search | Known,
    linear_solver: Any = None,
) -> tuple[Any, Any, Any, Any, Any]:
    """A readout; and what has no derivative: steps, residual, convergence, anchoring.

    The readout has that of the optimal solution in all arrays of `problem`,
    `regularizer` and `readout`. The rule is a JVP that calls itself, so it transposes,
    and derivatives of any order follow.
    """
    found = find(problem, regularizer)
    about = found.steps, found.residual, found.converged, found.problem.anchoring()
    return readout.read(found), *about


@solve_and_read.def_jvp
def _solve_and_read_jvp(primals, tangents, *, find, linear_solver):
    problem, regularizer, readout = primals
    dual, *about = solve_and_read(
        problem, regularizer, Dual(), find=find, linear_solver=linear_solver
    )
    dual = jax.tree.map(lambda x: checkpoint_name(x, KEPT), dual)
    still = jax.tree.map(
        lambda x: jnp.zeros_like(x) if eqx.is_inexact_array(x) else None, about
    )
    solution = solution_of(problem, regularizer, dual, *about)
    moves = Moves(*tangents)
    fused = problem.fused.get(type(readout))
    if fused is None:
        out, move = readout.value_and_tangent(solution, moves, linear_solver)
    else:
        out, move = fused(problem, solution, readout, moves, linear_solver)
    return (out, *about), (move, *still)
