"""The entrance: solve any problem with any regularizer by any solver."""

from __future__ import annotations

from typing import Any

import equinox as eqx
from jaxtyping import Array, Float, PyTree

from .._problems import SortedDeviationProjection
from .implicit import solve_dual
from .modes import get_regularizer
from .problem import Problem
from .registry import choose_solver
from .regularizer import Regularizer
from .solver import Solution, Solver


def solve(
    problem: Problem,
    regularizer: Regularizer | str,
    solver: Any = None,
    linear_solver: Any = None,
) -> Solution:
    """Solve a regularized linear program.

    **Arguments:**

    - `problem`: a [`softjax.solvers.Problem`][].
    - `regularizer`: a [`softjax.solvers.Regularizer`][] or the name of a mode.
    - `solver`: a [`softjax.solvers.Solver`][], its name, a solver of Optimistix or
        JAXopt, or None for the default of this problem and regularizer.
    - `linear_solver`: a solver of Lineax for the linear system by which the dual is
        differentiated; None for the best known. A problem of scalar duals has no such
        system and takes None only.

    **Returns:** a [`softjax.solvers.Solution`][]. Its dual, and with it its value, is
    differentiable in all arrays of the problem and the regularizer, to any order and in
    both modes, by the implicit function theorem: no solver is ever unrolled.

    **Raises:** `TypeError` if the solver does not take this problem or regularizer, or
    the linear solver is none; `ValueError` if the problem has no solution with this
    regularizer. It never raises because of values: see
    `Solution.converged`.

    **Example:**

        >>> problem = sj.solvers.SimplexProjection(jnp.array([0.2, 1.0, 0.7]), 0.5)
        >>> found = sj.solvers.solve(problem, "c2", solver="newton")
        >>> print(found.value, bool(found.converged))
        [0.    0.945 0.055] True
    """
    regularizer, solver = _parse(problem, regularizer, solver, linear_solver)
    found = solve_dual(problem, regularizer, solver=solver, linear_solver=linear_solver)
    return Solution(problem, regularizer, *found)


def primal(
    problem: Problem,
    regularizer: Regularizer | str,
    solver: Any = None,
    linear_solver: Any = None,
) -> Array:
    """`solve(...).value` in one step.

    The same numbers, and derivatives that may take less time: see
    [`softjax.solvers.expectation`][].

    **Arguments, raises:** as of [`softjax.solvers.solve`][].

    **Example:**

        >>> problem = sj.solvers.SimplexProjection(jnp.array([0.2, 1.0, 0.7]), 0.5)
        >>> print(sj.solvers.primal(problem, "c0"))
        [0.  0.8 0.2]
    """
    regularizer, solver = _parse(problem, regularizer, solver, linear_solver)
    find_dual = _FindDual(solver, linear_solver)
    return problem.solved_primal(regularizer, find_dual, linear_solver)


def expectation(
    problem: Problem,
    regularizer: Regularizer | str,
    values: Float[Array, "*batch n"],
    solver: Any = None,
    linear_solver: Any = None,
) -> Array:
    """`solve(...).expectation(values)` in one step.

    The same numbers, and derivatives that may take less time: the problem decides which
    of the two steps it can do together, or without.

    **Arguments, raises:** as of [`softjax.solvers.solve`][] and
    [`softjax.solvers.Solution`][].

    **Example:**

        >>> problem = sj.solvers.SimplexProjection(jnp.array([0.2, 1.0, 0.7]), 0.5)
        >>> values = jnp.array([0.0, 1.0, 2.0])
        >>> print(sj.solvers.expectation(problem, "c0", values))
        1.2
    """
    regularizer, solver = _parse(problem, regularizer, solver, linear_solver)
    find_dual = _FindDual(solver, linear_solver)
    return problem.solved_expectation(regularizer, values, find_dual)


def column_means(
    problem: SortedDeviationProjection,
    regularizer: Regularizer | str,
    values: Float[Array, "*#batch n"],
    solver: Any = None,
) -> Float[Array, "*batch n"]:
    """The means of values, one for each row, under the columns of the solution y.

    Each is divided by its column's sum: `y^T values / y^T 1`, without forming y. It is
    0 where a column is 0.

    **Arguments, raises:** as of [`softjax.solvers.solve`][].

    **Example:**

        >>> support = jnp.array([0.2, 0.7, 1.0])
        >>> problem = sj.solvers.SortedDeviationProjection(None, support, 0.1)
        >>> print(sj.solvers.column_means(problem, "smooth", jnp.arange(3.0)))
        [0.006 1.041 1.953]
    """
    regularizer, solver = _parse(problem, regularizer, solver, None)
    find_dual = _FindDual(solver, None)
    return problem.solved_column_means(regularizer, values, find_dual)


class _FindDual(eqx.Module):
    solver: Solver
    linear_solver: Any

    def __call__(self, problem: Problem, regularizer: Regularizer) -> PyTree[Array]:
        dual, *_ = solve_dual(
            problem,
            regularizer,
            solver=self.solver,
            linear_solver=self.linear_solver,
        )
        return dual


def _parse(
    problem: Problem, regularizer: Any, solver: Any, linear_solver: Any
) -> tuple[Regularizer, Solver]:
    regularizer = get_regularizer(regularizer)
    solver = choose_solver(solver, problem, regularizer)
    problem.check_regularizer(regularizer)
    problem.check_linear_solver(linear_solver)
    return regularizer, solver
