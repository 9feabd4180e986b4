from __future__ import annotations

import jax.numpy as jnp

from .._core.problem import Problem
from .._core.regularizer import Regularizer
from .._core.solution import Solution, judge
from .._core.solver import Solver


class ClosedForm(Solver):
    """Closed forms of the dual.

    - Projections onto the simplex: log-sum-exp for the entropy; sorting and prefix sums
        for the p-norms with p = 2 and 3/2; whatever `Regularizer.simplex_dual` offers.
    - Rows over sorted elements, for the entropy: two linear recurrences for SoftSort's
        rows of distances, and sums over neighbours for NeuralSort's of deviations.

    **Example:**

        >>> x = jnp.array([0.2, 1.0, 0.7])
        >>> print(sj.argmax(x, mode="c0", softness=0.5, solver=sj.solvers.ClosedForm()))
        [0.  0.8 0.2]
    """

    def accepts(self, problem: Problem, regularizer: Regularizer) -> bool:
        return problem.closed_form(regularizer) is not None

    def solve(self, problem: Problem, regularizer: Regularizer) -> Solution:
        dual = problem.closed_form(regularizer)
        assert dual is not None
        return judge(problem, regularizer, dual(), jnp.zeros((), jnp.int32))
