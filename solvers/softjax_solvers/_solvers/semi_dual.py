from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from .._laplacian import direct_solve
from .._numerics import choose_tolerance, iterate, safe_divide
from .._problem import Problem
from .._problems import Potentials, TransportProjection
from .._regularizer import Regularizer
from .._solver import Solution, Solver


class _Point(NamedTuple):
    dual: Potentials
    gap: Float[Array, "*batch m"]  # what columns lack, of the plan of unit mass
    error: Float[Array, "*batch"]


_STALLS = 3
"""After how many steps in a row that gain nothing it stops."""


class _State(NamedTuple):
    point: _Point
    step: Float[Array, "*batch m"]  # to take next
    radius: Float[Array, "*batch"]
    steps: Int[Array, "*batch"]
    stalls: Int[Array, "*batch"]  # in a row
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

    **Example:**

        >>> x = jnp.array([0.2, 1.0, 0.7])
        >>> print(sj.sort(x, method="ot", solver=sj.solvers.SemiDual(tolerance=1e-3)))
        [0.235 0.718 0.947]
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
        tolerance = choose_tolerance(self.tolerance, 32, problem.cost)
        *batch, n, m = problem.cost.shape

        def evaluate(g, start):
            dual = Potentials(problem.fit_rows(g, regularizer, start), g)
            gap = problem.gap(dual, regularizer)
            return _Point(dual, gap / problem.mass, problem.error(gap))

        def newton(point: _Point, radius):
            size = jnp.max(jnp.abs(point.gap), axis=-1)
            ground = safe_divide(size, radius)[..., None]
            ground = jnp.broadcast_to(ground, point.gap.shape)
            edges = problem.edges(point.dual, regularizer)
            # A step need not be accurate.
            step = direct_solve(edges, ground, point.gap, refinements=0)
            return step - step[..., :1]

        # The first round looks at the start, which counts as a good step of length 0:
        # so the plan stands in the program once.
        def advance(state: _State) -> _State:
            old = state.point
            new = evaluate(old.dual.g + state.step, old.dual.f)
            before = jnp.sum(old.gap * state.step, axis=-1)
            after = jnp.sum(new.gap * state.step, axis=-1)
            good = (after >= -before / 2) & (new.error <= old.error)
            take = good & ~state.done

            def choose(new, old):
                shape = (*batch, *(1,) * (new.ndim - len(batch)))
                return jnp.where(take.reshape(shape), new, old)

            point = jax.tree.map(choose, new, old)
            radius = jnp.where(good, 4 * state.radius, state.radius / 4)
            # Rounding is reached where the error is small and no longer falls, which a
            # single step that goes too far does not show.
            stalled = (2 * new.error > old.error) & (old.error <= 30 * tolerance)
            stalls = jnp.where(stalled, state.stalls + 1, 0)
            done = state.done | ~(point.error > tolerance) | (stalls == _STALLS)
            step = jax.lax.cond(
                jnp.all(done),
                lambda: jnp.zeros_like(point.gap),
                lambda: newton(point, radius),
            )
            step = jnp.where(done[..., None], 0, step)
            steps = state.steps + ~state.done
            return _State(point, step, radius, steps, stalls, done)

        nothing = jnp.zeros((*batch, m), dtype)
        dual = Potentials(jnp.zeros((*batch, n), dtype), nothing)
        unknown = jnp.full(batch, jnp.inf, dtype)
        done = jnp.zeros(batch, bool)
        if self.start is not None:
            found = self.start.solve(problem, regularizer)
            dual, done = found.dual, found.residual <= tolerance
            unknown = jnp.where(done, found.residual, unknown)
        radius = problem.dual_scale(regularizer)
        state = _State(
            _Point(dual, nothing, unknown),
            nothing,
            jnp.broadcast_to(radius / 4, batch),
            jnp.where(done, 0, -1),
            jnp.zeros(batch, jnp.int32),
            done,
        )
        state = iterate(advance, state, self.max_steps, problem.cost)
        dual, _, error = state.point
        return problem.solution(dual, state.steps, error, regularizer, tolerance)
