from __future__ import annotations

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from .._banded import second_differences
from .._numerics import choose_tolerance, eps, iterate
from .._problem import Problem
from .._problems import MajorizationProjection
from .._regularizer import Regularizer
from .._solver import Solution, Solver


class _State(NamedTuple):
    dual: Float[Array, "*batch m"]
    size: Float[Array, "*batch"]  # of the last step, undamped
    steps: Int[Array, "*batch"]
    done: Bool[Array, "*batch"]


class DampedNewton(Solver):
    """Newton's method on the dual of a majorization problem.

    A step is solved for by cyclic reduction. The terms of the dual are exponentials, so
    that their third derivatives along a step are at most `size` times the second ones,
    where `size` is by how much any of their arguments changes; and the share
    `log(1 + size) / size` of the step always decreases it (Bach, 2010), without any
    search along a line.

    **Arguments:**

    - `tolerance`: the size of a step after which it stops, None for the square root of
        the rounding unit. The error is of the order of its square.
    - `max_steps`: the number of steps after which the iterate is returned.

    **Example:**

        >>> x = jnp.array([0.2, 1.0, 0.7])
        >>> solver = sj.solvers.DampedNewton(max_steps=50)
        >>> print(sj.sort(x, method="smooth_sort", solver=solver))
        [0.204 0.692 1.004]

    ??? cite

        Bach, "Self-concordant analysis for logistic regression", Electronic Journal of
        Statistics 4, 2010.
    """

    tolerance: float | None = None
    max_steps: int = 128

    def accepts(self, problem: Problem, regularizer: Regularizer) -> bool:
        return isinstance(problem, MajorizationProjection)

    def solve(self, problem: Problem, regularizer: Regularizer) -> Solution:
        assert isinstance(problem, MajorizationProjection)
        start = problem.initial_dual(regularizer)
        batch = start.shape[:-1]
        tolerance = choose_tolerance(self.tolerance, eps(start) ** -0.5, start)

        def largest(x: Array) -> Array:
            return jnp.max(jnp.abs(x), axis=-1, initial=0)

        def advance(state: _State) -> _State:
            step = problem.newton_step(state.dual, regularizer)
            bent = second_differences(step, problem.inside)
            size = jnp.maximum(largest(step), largest(bent))
            share = jnp.where(size > 0, jnp.log1p(size) / size, 1)
            move = ~state.done & jnp.isfinite(size)
            dual = jnp.where(
                move[..., None], state.dual + share[..., None] * step, state.dual
            )
            # Near the optimum sizes are squared by each step, up to rounding.
            near = (size < 0.25) & (2 * size > state.size)
            done = state.done | ~(size > tolerance) | near
            return _State(dual, size, state.steps + ~state.done, done)

        state = _State(
            start,
            jnp.full(batch, jnp.inf, start.dtype),
            jnp.zeros(batch, jnp.int32),
            jnp.zeros(batch, bool),
        )
        state = iterate(advance, state, self.max_steps, problem.drop + problem.bend)
        residual = problem.residual(state.dual, regularizer)
        converged = residual <= 1000 * eps(residual)
        return Solution(
            problem, regularizer, state.dual, state.steps, residual, converged
        )
