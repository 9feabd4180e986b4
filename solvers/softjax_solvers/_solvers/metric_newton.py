from __future__ import annotations

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from .._core.problem import Problem
from .._core.regularizer import Regularizer
from .._core.solution import Solution
from .._core.solver import Solver
from .._kernels.arrays import eps
from .._kernels.derivatives import stop_gradient
from .._kernels.iteration import choose_tolerance, iterate
from .._kernels.line_search import stationary_share
from .._problems import MetricSimplexProjection, Pulled, project


class _State(NamedTuple):
    y: Float[Array, "*batch n"]
    done: Bool[Array, "*batch"]
    steps: Int[Array, "*batch"]


class MetricNewton(Solver[MetricSimplexProjection]):
    """Newton's method for a y that is the projection of scores less M y.

    Steps are those that minimize `max_p (<z - softness M y, p> - softness R(p)) +
    softness <y, M y> / 2` over y, a convex function, with a search along each.

    **Arguments:**

    - `tolerance`: the error of M y to stop at, relative to it where it is above 1; None
        for 4 units of rounding.
    - `max_steps`: the number of steps after which the best iterate is returned.

    **Example:**

        >>> z = jnp.array([1.0, 0.9, 0.7])
        >>> problem = sj.solvers.MetricSimplexProjection(z, 0.5, jnp.ones((3, 3)))
        >>> found = sj.solvers.solve(problem, "c0", sj.solvers.MetricNewton())
        >>> print(found.value, bool(found.converged))
        [0.6 0.4 0. ] True

    ??? cite

        Qi and Sun, "A nonsmooth version of Newton's method", Mathematical Programming
        58 (1993).
    """

    tolerance: float | None = None
    max_steps: int = 50

    def accepts(self, problem: Problem, regularizer: Regularizer) -> bool:
        return isinstance(problem, MetricSimplexProjection)

    def solve(
        self, problem: MetricSimplexProjection, regularizer: Regularizer
    ) -> Solution:
        problem, regularizer = stop_gradient((problem, regularizer))
        tolerance = choose_tolerance(self.tolerance, 4, problem.z)

        def look(y: Array) -> tuple[Pulled, Array, Array]:
            dual, best = project(problem, problem.apply(y), regularizer)
            return dual, best - y, problem.apply(best - y)

        def advance(state: _State) -> _State:
            dual, apart, pull = look(state.y)
            size = jnp.max(jnp.abs(dual.pull), axis=-1)
            error = jnp.max(jnp.abs(pull), axis=-1) / jnp.maximum(size, 1)
            move, _ = problem.response(problem.slopes(dual, regularizer), apart)

            def slope(share: Array) -> tuple[Array, Array]:
                _, _, pull = look(state.y + share[..., None] * move)
                rounding = 4 * eps(pull) * jnp.sum(jnp.abs(move * pull), axis=-1)
                return -jnp.sum(move * pull, axis=-1), rounding

            share = stationary_share(slope, -jnp.sum(move * pull, axis=-1))
            over = state.done | ~(error > tolerance) | ~(share > 0)
            moved = state.y + share[..., None] * move
            y = jnp.where(over[..., None], state.y, moved)
            return _State(y, over, state.steps + ~over)

        _, y = project(problem, jnp.zeros_like(problem.z), regularizer)
        batch = y.shape[:-1]
        start = _State(y, jnp.zeros(batch, bool), jnp.zeros(batch, jnp.int32))
        found = iterate(advance, start, self.max_steps, y)
        dual, _, _ = look(found.y)
        residual = problem.residual(dual, regularizer)
        allowed = max(self.tolerance or 0.0, 1000 * eps(residual))
        return Solution(
            problem, regularizer, dual, found.steps, residual, residual <= allowed
        )
