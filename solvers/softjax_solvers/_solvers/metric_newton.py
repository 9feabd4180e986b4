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
from .._problems import MetricSimplexProjection, project

_NEXT = 4.0
"""Quotient of the factors of R of two stages."""

_ENOUGH = 0.1
"""Error of scores that ends a stage, which is not the last one."""


class _State(NamedTuple):
    y: Float[Array, "*batch n"]
    factor: Float[Array, "*batch 1"]  # of R
    error: Float[Array, "*batch"]  # before the last step
    done: Bool[Array, "*batch"]
    steps: Int[Array, "*batch"]


class MetricNewton(Solver[MetricSimplexProjection]):
    """Newton's method for a y that is the projection of scores less M y.

    Steps are those that minimize `max_p (<z - softness M y, p> - softness R(p)) +
    softness <y, M y> / 2` over y, a convex function, with a search along each. Where M
    is large, it begins with as large a multiple of R, and goes down to R itself.

    **Arguments:**

    - `tolerance`: the error of M y to stop at, relative to |M| y where that is above 1;
        None for 32 units of rounding.
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
    max_steps: int = 200

    def accepts(self, problem: Problem, regularizer: Regularizer) -> bool:
        return isinstance(problem, MetricSimplexProjection)

    def solve(
        self, problem: MetricSimplexProjection, regularizer: Regularizer
    ) -> Solution:
        problem, regularizer = stop_gradient((problem, regularizer))
        tolerance = choose_tolerance(self.tolerance, 32, problem.z)

        enough = max(tolerance, 1000 * eps(problem.z))

        def look(y: Array, factor: Array) -> tuple[Array, Array, Array]:
            """The projection less y, M times that, and the slopes of y."""
            parts = problem.z, problem.softness * factor, problem.metric, problem.where
            stage = MetricSimplexProjection(*parts)
            dual, best = project(stage, problem.apply(y) / factor, regularizer)
            slopes = stage.slopes(dual, regularizer) / factor
            return best - y, problem.apply(best - y), slopes

        def advance(state: _State) -> _State:
            y, factor = state.y, state.factor
            apart, pull, slopes = look(y, factor)
            error = jnp.max(jnp.abs(pull), axis=-1)
            size = problem.size(y)
            move, _ = problem.response(slopes, apart)

            def slope(share: Array) -> tuple[Array, Array]:
                _, pull, _ = look(y + share[..., None] * move, factor)
                rounding = 4 * eps(pull) * jnp.sum(jnp.abs(move * pull), axis=-1)
                return -jnp.sum(move * pull, axis=-1), rounding

            share = stationary_share(slope, -jnp.sum(move * pull, axis=-1))
            stuck = ~(share > 0)
            last = factor[..., 0] <= 1
            relative = error / size
            # From there on, an error that does not shrink is rounding.
            settled = (relative <= enough) & ~(error < state.error)
            over = last & (~(relative > tolerance) | settled | stuck)
            ended = stuck | (error <= _ENOUGH * factor[..., 0])
            ended = (ended & ~last)[..., None]
            still = (state.done | over)[..., None] | ended
            return _State(
                jnp.where(still, y, y + share[..., None] * move),
                jnp.where(ended, jnp.maximum(factor / _NEXT, 1), factor),
                jnp.where(ended[..., 0], jnp.inf, error),
                state.done | over,
                state.steps + ~(state.done | over),
            )

        size = jnp.max(jnp.sum(jnp.abs(problem.metric), axis=-1), axis=-1)
        size = jnp.broadcast_to(size, problem.z.shape[:-1])[..., None]
        factor = jnp.where(size > 1, size, 1)
        start, _, _ = look(jnp.zeros_like(problem.z), factor)
        zero = jnp.zeros(start.shape[:-1], start.dtype)
        steps = zero.astype(jnp.int32)
        state = _State(start, factor, zero + jnp.inf, zero > 0, steps)
        found = iterate(advance, state, self.max_steps, start)
        dual, _ = project(problem, problem.apply(found.y), regularizer)
        residual = problem.residual(dual, regularizer)
        return Solution(
            problem, regularizer, dual, found.steps, residual, residual <= enough
        )
