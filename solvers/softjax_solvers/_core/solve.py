"""The entrance: solve any problem with any regularizer by any solver."""

from __future__ import annotations

import dataclasses
from typing import Any

from .._kernels.derivatives import stop_gradient
from .._platform.varying import all_varying
from .modes import get_regularizer
from .precision import computed_with, narrow_type, narrowed, widened
from .problem import Problem
from .readout import Dual, Readout
from .registry import prepare
from .regularizer import Regularizer
from .solution import Search, Solution, solution_of, solve_and_read


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
        differentiated, `Problem.jacobian`; None for the best known for its structure.

    **Returns:** a [`softjax.solvers.Solution`][]. Its dual, and with it its value, is
    differentiable in all arrays of the problem and the regularizer, to any order and in
    both modes, by the implicit function theorem: no solver is ever unrolled.

    **Raises:** `TypeError` if the solver does not take this problem or regularizer, or
    the linear solver is none; `ValueError` if the problem has no solution with this
    regularizer. It never raises because of values: see `Solution.converged`.

    Problems in float16 or bfloat16 are solved in float32, and all that is read off the
    solution is of their type; its dual is in float32.

    **Example:**

        >>> problem = sj.solvers.SimplexProjection(jnp.array([0.2, 1.0, 0.7]), 0.5)
        >>> found = sj.solvers.solve(problem, "c2", solver="newton")
        >>> print(found.value, bool(found.converged))
        [0.    0.945 0.055] True
    """
    regularizer = computed_with(get_regularizer(regularizer), problem)
    if (dtype := narrow_type(problem)) is not None:
        problem = widened(problem)
    problem, solver = prepare(problem, regularizer, solver, linear_solver)
    problem, regularizer = all_varying((problem, regularizer))
    found = solve_and_read(
        problem, regularizer, Dual(), find=Search(solver), linear_solver=linear_solver
    )
    solution = solution_of(problem, regularizer, *found)
    return dataclasses.replace(solution, dtype=dtype)


def evaluate(
    problem: Problem,
    regularizer: Regularizer | str,
    readout: Readout,
    solver: Any = None,
    linear_solver: Any = None,
) -> Any:
    """`solve(...).read(readout)` in one step.

    The same numbers, in less time: some readouts need no dual, and of some the
    derivative is known together with that of the dual.

    **Arguments:**

    - `readout`: a [`softjax.solvers.Readout`][], such as `Primal()` or `Means(values)`.
    - The others, and what is raised, are those of [`softjax.solvers.solve`][].

    **Example:**

        >>> problem = sj.solvers.SimplexProjection(jnp.array([0.2, 1.0, 0.7]), 0.5)
        >>> means = sj.solvers.Means(jnp.array([0.0, 1.0, 2.0]))
        >>> print(sj.solvers.evaluate(problem, "c0", means))
        1.2
    """
    regularizer, given = computed_with(get_regularizer(regularizer), problem), readout
    if (dtype := narrow_type(problem)) is not None:
        problem, readout = widened((problem, readout))
    problem, solver = prepare(problem, regularizer, solver, linear_solver)
    problem, regularizer, readout = all_varying((problem, regularizer, readout))
    out = problem.evaluated_by(solver, regularizer, readout, linear_solver)
    return narrowed(out, dtype, given)


def evaluate_all(
    problem: Problem, regularizer: Regularizer, solver: Any, *readouts: Readout
) -> tuple[Any, ...]:
    """Several readouts of one solution, each with its derivative."""
    problem, solver = prepare(problem, regularizer, solver, None)
    # Readouts have the derivative of the optimal dual of their own; that of this one
    # would only be traced.
    found = solve_and_read(
        *stop_gradient((problem, regularizer)), Dual(), find=Search(solver)
    )
    solution = solution_of(problem, regularizer, *found)
    return tuple(solution.read(readout) for readout in readouts)


def evaluate_and_judge(
    problem: Problem, regularizer: Regularizer, readout: Readout
) -> tuple[Any, Any]:
    """`evaluate` by the default solver, and which solutions have converged."""
    problem, solver = prepare(problem, regularizer, None, None)
    out, _, _, converged, _ = solve_and_read(
        problem, regularizer, readout, find=Search(solver), linear_solver=None
    )
    return out, converged
