from __future__ import annotations

import jax.numpy as jnp

from .._core.problem import Problem
from .._core.regularizer import Regularizer
from .._core.solver import Solution, Solver
from .._problems import SortedRows


class Rowwise(Solver):
    """Solve rows over sorted elements as dense simplex projections.

    Takes O(m n) time, in chunks of rows that keep the memory linear. Any solver of a
    simplex projection becomes one of [`softjax.solvers.SortedRows`][] this way.

    **Arguments:**

    - `solver`: what solves the rows.

    **Example:**

        >>> x = jnp.array([0.2, 1.0, 0.7])
        >>> solver = sj.solvers.Rowwise(sj.solvers.Newton())
        >>> print(sj.sort(x, mode="c1", solver=solver))
        [0.2 0.7 1. ]
    """

    solver: Solver

    def accepts(self, problem: Problem, regularizer: Regularizer) -> bool:
        if not isinstance(problem, SortedRows):
            return False
        return self.solver.accepts(problem.rows(problem.points[..., :1]), regularizer)

    def solve(self, problem: Problem, regularizer: Regularizer) -> Solution:
        assert isinstance(problem, SortedRows)

        def solve_rows(rows):
            found = self.solver.solve(rows, regularizer)
            out = (found.dual, found.steps, found.residual, found.converged)
            return [jnp.broadcast_to(x, rows.z.shape[:-1]) for x in out]

        dual, steps, residual, converged = problem.map_rows(solve_rows)
        return Solution(problem, regularizer, dual, steps, residual, converged)
