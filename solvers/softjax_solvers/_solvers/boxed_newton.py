from __future__ import annotations

from .._core.problem import Problem
from .._core.regularizer import Regularizer
from .._core.solution import Solution
from .._core.solver import Solver
from .._kernels.arrays import eps
from .._problems.transport.box_sums import lack
from .._problems.transport.boxed import BoxedTransport
from .compressed_newton import search


class BoxedNewton(Solver[BoxedTransport]):
    """Newton's method on the semi-dual of a `BoxedTransport`.

    As `CompressedNewton`, with steps by conjugate gradients.

    **Arguments:**

    - `tolerance`: the largest error of a column's sum with which a solution has
        converged; None for 1e-3 in 32 bits, and 1e-7 in 64.
    - `max_steps`: the number of steps after which the best iterate is returned.
    - `forcing`: the error of a step at which conjugate gradients stop.
    """

    tolerance: float | None = None
    max_steps: int = 40
    forcing: float = 0.03

    def accepts(self, problem: Problem, regularizer: Regularizer) -> bool:
        return isinstance(problem, BoxedTransport)

    def solve(self, problem: BoxedTransport, regularizer: Regularizer) -> Solution:
        unit = eps(problem.nodes.points)
        tolerance = max(8000 * unit, 1e-7) if self.tolerance is None else self.tolerance

        def solve_row(row):
            sides = row.sides

            def newton(g, gap, ground):
                graph = row.graph(sides.band(sides.fit_once(g), g))
                return graph.solve(gap, ground, self.forcing, max_steps=60)

            start = row.row.start_of(row.grid)
            state = search(
                lambda g: lack(g, sides), newton, start, row.grid.v, self.max_steps
            )
            return state.g, state.steps, state.error

        g, steps, error = problem.each(solve_row, regularizer)
        return Solution(problem, regularizer, g, steps, error, error <= tolerance)
