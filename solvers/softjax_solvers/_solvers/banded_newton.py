from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from .._core.problem import Problem
from .._core.regularizer import Regularizer
from .._core.solution import Solution
from .._core.solver import Solver
from .._kernels.arrays import eps, exact_einsum
from .._kernels.iteration import choose_tolerance, iterate
from .._platform.batches import any_true
from .._problems.transport.band import Band, BandLaplacian, graph_and_gap
from .._problems.transport.banded import BandedTransport
from .._problems.transport.problem import Potentials

_STALLS = 3
"""Number of stalled steps in a row after which a row is done."""


class _Point(NamedTuple):
    dual: Potentials
    graph: tuple[Float[Array, "*batch n"], ...]  # rows, columns and tilt
    gap: Float[Array, "*batch n"]
    error: Float[Array, "*batch"]


class _State(NamedTuple):
    point: _Point
    blocks: Int[Array, ""]
    step: Float[Array, "*batch n"]  # to take next
    radius: Float[Array, "*batch"]
    steps: Int[Array, "*batch"]
    stalls: Int[Array, "*batch"]  # in a row

    @property
    def done(self) -> Bool[Array, "*batch"]:
        return self.stalls >= _STALLS


class BandedNewton(Solver[BandedTransport]):
    """Newton's method on the semi-dual of a `BandedTransport`.

    Globalized as [`softjax.solvers.SemiDual`][] is. Steps are found by conjugate
    gradients, whose preconditioner knows short wavelengths and long ones, so that a
    few of them do.

    **Arguments:**

    - `tolerance`: the largest error of a column's sum, relative to its marginal, to
        stop at; None for 32 units of rounding.
    - `max_steps`: the number of steps after which the best iterate is returned.
    - `forcing`: the error of a step at which conjugate gradients stop.
    """

    tolerance: float | None = None
    max_steps: int = 64
    forcing: float = 0.03

    def accepts(self, problem: Problem, regularizer: Regularizer) -> bool:
        return isinstance(problem, BandedTransport)

    def solve(self, problem: BandedTransport, regularizer: Regularizer) -> Solution:
        points, share = problem.points, problem.share
        batch, dtype = points.shape[:-1], points.dtype
        tolerance = choose_tolerance(self.tolerance, 32, points)

        def band_of(dual: Potentials, blocks: Array) -> Band:
            return problem.band(dual, regularizer, blocks)

        def evaluate(g, start):
            top, blocks = problem.reach(g, regularizer)
            f = problem.fit_rows(g, top, blocks, start, regularizer)
            dual = Potentials(f, g)
            graph, gap = graph_and_gap(band_of(dual, blocks), share)
            error = jnp.max(jnp.abs(gap) / share, axis=-1)
            known = graph.rows, graph.columns, graph.tilt
            return _Point(dual, known, gap, error), blocks

        def newton(point: _Point, blocks, radius):
            graph = BandLaplacian(band_of(point.dual, blocks), *point.graph)
            ground = (share[..., 0] * point.error / radius)[..., None]
            # Where nothing moves any more, something has to hold what is not connected.
            ground = ground + eps(ground) * (share + graph.columns)
            return graph.solve(point.gap, ground, self.forcing, max_steps=60)

        def advance(state: _State) -> _State:
            old, taken = state.point, ~state.done
            new, blocks = evaluate(old.dual.g + state.step, old.dual.f)
            progress = exact_einsum("...j,...j->...", old.gap / 2 + new.gap, state.step)
            free = state.steps < 0
            good = (progress >= 0) & (new.error <= old.error)
            good = jnp.where(free, jnp.isfinite(new.error), good)
            take = good & taken

            def choose(new, old):
                shape = (*batch, *(1,) * (new.ndim - len(batch)))
                return jnp.where(take.reshape(shape), new, old)

            point = jax.tree.map(choose, new, old)
            blocks = jnp.maximum(blocks, jnp.where(any_true(~take), state.blocks, 0))
            factor = jnp.where(free, 1, jnp.where(good, 4, 1 / 4))
            radius = factor.astype(dtype) * state.radius
            stalled = (2 * new.error > old.error) & (old.error <= 30 * tolerance)
            stalls = jnp.where(stalled & ~free, state.stalls + 1, 0)
            stalls = jnp.where(state.done | ~(point.error > tolerance), _STALLS, stalls)
            step = jax.lax.cond(
                any_true(stalls < _STALLS),
                newton,
                lambda *_: state.step,
                point,
                blocks,
                radius,
            )
            return _State(point, blocks, step, radius, state.steps + taken, stalls)

        zero = jnp.zeros_like(points)
        error = jnp.full(batch, jnp.inf, dtype)
        # What lies below the largest entry of a row by more than that hardly counts.
        scale = jnp.minimum(problem.span(regularizer), 20)[..., 0]
        start = _Point(Potentials(zero, zero), (zero,) * 3, zero, error)
        state = _State(
            start,
            jnp.zeros((), jnp.int32),
            zero,
            jnp.broadcast_to(scale, batch),
            jnp.full(batch, -1, jnp.int32),
            jnp.zeros(batch, jnp.int32),
        )
        state = iterate(advance, state, self.max_steps, points)
        dual, error = state.point.dual, state.point.error
        converged = error <= max(tolerance, 1e-5, 800 * eps(error))
        return Solution(problem, regularizer, dual, state.steps, error, converged)
