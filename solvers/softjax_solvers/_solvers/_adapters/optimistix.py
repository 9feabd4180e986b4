from __future__ import annotations

import dataclasses
from typing import Any, ClassVar

import jax
import jax.numpy as jnp

from ..._core.problem import Problem, ScalarDualProblem
from ..._core.regularizer import Regularizer
from ..._core.solution import Solution
from ..._core.solver import Adapter
from ..._kernels.arrays import eps
from ..._kernels.derivatives import derivative
from ..._kernels.iteration import choose_tolerance


class OptimistixRootFinder(Adapter[ScalarDualProblem]):
    """Any Optimistix root finder, least-squares solver or minimiser, on a scalar dual.

    It runs on each row of the batch by `optimistix.root_find`, and the derivative is
    attached to what it finds, whatever it did.

    **Arguments:**

    - `solver`: such as `optimistix.Newton(rtol=1e-6, atol=1e-6)`, `Bisection`,
        `Dogleg` or `LevenbergMarquardt`.
    - `tolerance`: the residual up to which the result counts as converged; None for
        the square root of the rounding unit.
    - `max_steps`: passed on.

    **Example:**

        >>> import optimistix as optx
        >>> x = jnp.array([0.2, 1.0, 0.7])
        >>> finder = sj.solvers.OptimistixRootFinder(optx.Bisection(1e-6, 1e-6))
        >>> print(sj.argmax(x, mode="c2", softness=0.5, solver=finder))
        [0.    0.945 0.055]
    """

    problems: ClassVar[type[Problem]] = ScalarDualProblem
    example: ClassVar[str] = "optimistix.Bisection(rtol=1e-6, atol=1e-6)"

    solver: Any
    tolerance: float | None = None
    max_steps: int = 256

    def accepts(self, problem: Problem, regularizer: Regularizer) -> bool:
        # A problem with a structured form is taken in its general one.
        general = problem.general() is problem
        return isinstance(problem, ScalarDualProblem) and general

    def solve(self, problem: ScalarDualProblem, regularizer: Regularizer) -> Solution:
        import optimistix as optx

        solver = self.solver
        if isinstance(solver, optx.Bisection) and solver.flip == "detect":
            # The residual falls, so there is nothing to detect, and no check of the
            # bracket that could raise inside a compiled function.
            solver = dataclasses.replace(solver, flip=True)
        lower, upper = problem.bracket(regularizer)
        shape = lower.shape

        def find(row, lower, upper):
            def residual(dual, args):
                row, regularizer = args
                return row.optimality(dual, regularizer)

            # Where a bounded link saturates, Newton's method would have no slope.
            args = (row, regularizer)
            _, slope = derivative(lambda dual: residual(dual, args), lower)
            start = jnp.where(slope < 0, lower, lower + (upper - lower) / 2)
            solution = optx.root_find(
                residual,
                solver,
                start,
                args,
                options=dict(lower=lower, upper=upper),
                max_steps=self.max_steps,
                throw=False,
            )
            return solution.value, solution.stats["num_steps"]

        dual, steps = jax.vmap(find)(problem.flat(), lower.ravel(), upper.ravel())
        dual = dual.reshape(shape)
        residual = problem.residual(dual, regularizer)
        tolerance = choose_tolerance(self.tolerance, eps(residual) ** -0.5, residual)
        return Solution(
            problem,
            regularizer,
            dual,
            jnp.asarray(steps).reshape(shape),
            residual,
            residual <= tolerance,
        )
