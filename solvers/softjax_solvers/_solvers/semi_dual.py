from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from .._laplacian import shifted_solve
from .._numerics import eps, safe_divide
from .._problem import Problem
from .._problems import Potentials, TransportProjection
from .._regularizer import Regularizer
from .._solver import Solution, Solver


class _Point(NamedTuple):
    dual: Potentials
    gap: Float[Array, "*batch m"]  # what columns lack, of the plan of unit mass
    edges: Float[Array, "*batch m m"]
    error: Float[Array, "*batch"]


class _State(NamedTuple):
    point: _Point
    radius: Float[Array, "*batch"]
    steps: Int[Array, "*batch"]
    done: Bool[Array, "*batch"]


class SemiDual(Solver):
    """Newton's method on the semi-dual of a transport problem, made for few columns.

    Each row's potential is eliminated, in closed form or by a scalar root find. What
    remains is concave in the m potentials of the columns, and its Hessian is the
    Laplacian of a graph on them. A step solves `(Laplacian + s I) d = gap` with
    `s = |gap| / radius`; the radius grows fourfold after a good step and shrinks so
    after a bad one, which is undone.

    **Arguments:**

    - `tolerance`: the largest error of a column's sum, relative to its marginal, to
        stop at; None for 32 units of rounding.
    - `max_steps`: the number of steps after which the best iterate is returned.
    - `start`: what finds the potentials to start from; None for those of no cost.
    """

    tolerance: float | None = None
    max_steps: int = 64
    start: Solver | None = None

    def accepts(self, problem: Problem, regularizer: Regularizer) -> bool:
        start = self.start is None or self.start.accepts(problem, regularizer)
        return start and isinstance(problem, TransportProjection)

    def solve(self, problem: Problem, regularizer: Regularizer) -> Solution:
        assert isinstance(problem, TransportProjection)
        dtype = problem.cost.dtype
        tolerance = 32 * eps(problem.cost) if self.tolerance is None else self.tolerance
        *batch, n, m = problem.cost.shape

        def evaluate(g, start):
            f = problem.fit_rows(g, regularizer, start)
            dual = Potentials(f, g)
            gap = problem.gap(dual, regularizer)
            error = jnp.max(safe_divide(jnp.abs(gap), problem.nu), axis=-1)
            edges = problem.edges(dual, regularizer)
            return _Point(dual, gap / problem.mass, edges, error)

        # The first round looks at the start, which counts as a good step of length 0.
        def advance(state: _State) -> _State:
            old = state.point
            size = jnp.max(jnp.abs(old.gap), axis=-1)
            ground = safe_divide(size, state.radius)[..., None]
            step = shifted_solve(
                old.edges, jnp.broadcast_to(ground, old.gap.shape), old.gap
            )
            step = step - step[..., :1]
            step = jnp.where(state.done[..., None], 0, step)
            new = evaluate(old.dual.g + step, old.dual.f)
            before = jnp.sum(old.gap * step, axis=-1)
            after = jnp.sum(new.gap * step, axis=-1)
            good = (after >= -before / 2) & (new.error <= old.error)
            take = good & ~state.done

            def choose(new, old):
                shape = (*batch, *(1,) * (new.ndim - len(batch)))
                return jnp.where(take.reshape(shape), new, old)

            point = jax.tree.map(choose, new, old)
            # Rounding is reached where the error is small and no longer falls.
            stalled = (2 * new.error > old.error) & (old.error <= 30 * tolerance)
            return _State(
                point,
                jnp.where(good, 4 * state.radius, state.radius / 4),
                state.steps + ~state.done,
                state.done | ~(point.error > tolerance) | stalled,
            )

        radius = problem.dual_scale(regularizer)
        dual = Potentials(jnp.zeros((*batch, n), dtype), jnp.zeros((*batch, m), dtype))
        if self.start is not None:
            dual = self.start.solve(problem, regularizer).dual
        point = _Point(
            dual,
            jnp.zeros((*batch, m), dtype),
            jnp.zeros((*batch, m, m), dtype),
            jnp.full(batch, jnp.inf, dtype),
        )
        state = _State(
            point,
            jnp.broadcast_to(radius / 4, batch),
            jnp.full(batch, -1, jnp.int32),
            jnp.zeros(batch, bool),
        )
        state = jax.lax.while_loop(
            lambda s: jnp.any(~s.done & (s.steps < self.max_steps)), advance, state
        )
        point = state.point
        return Solution(
            problem,
            regularizer,
            point.dual,
            state.steps,
            point.error,
            point.error <= max(100 * tolerance, 1e-5),
        )
