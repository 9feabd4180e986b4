from __future__ import annotations

from .._core.problem import Problem, ScalarDualProblem
from .._core.regularizer import Regularizer
from .._core.solution import Solution
from .._core.solver import Solver
from .._kernels.arrays import eps
from .._kernels.iteration import choose_tolerance
from .._kernels.roots import bracketed_newton


class Newton(Solver[ScalarDualProblem]):
    """Newton's method on a scalar dual, safeguarded by bisection.

    The residual of a convex link falls monotonically to zero, after one step at the
    latest, and typically in 2 to 10 steps. No sort is needed. A link that is not convex
    is caught by the bracket.

    **Arguments:**

    - `tolerance`: the |residual| to stop at; None for four units of rounding.
    - `max_steps`: the number of steps after which the best iterate is returned.

    **Example:**

        >>> x = jnp.array([0.2, 1.0, 0.7])
        >>> print(sj.argmax(x, mode="c2", solver=sj.solvers.Newton(max_steps=20)))
        [0. 1. 0.]
    """

    tolerance: float | None = None
    max_steps: int = 64

    def accepts(self, problem: Problem, regularizer: Regularizer) -> bool:
        return isinstance(problem, ScalarDualProblem)

    def solve(self, problem: ScalarDualProblem, regularizer: Regularizer) -> Solution:
        lower, upper = problem.bracket(regularizer)
        root = bracketed_newton(
            lambda dual: problem.residual_and_slope(dual, regularizer),
            lower,
            upper,
            problem.initial_dual(regularizer),
            tolerance=choose_tolerance(
                self.tolerance, problem.rounding(regularizer), lower
            ),
            max_steps=self.max_steps,
        )
        residual = problem.residual(root.point, regularizer)
        # Rounding in the sum may stop the iteration before the target is met.
        tolerance = max(self.tolerance or 0.0, 1000 * eps(residual))
        return Solution(
            problem,
            regularizer,
            root.point,
            root.steps,
            residual,
            residual <= tolerance,
        )
