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
from .._kernels.iteration import iterate
from .._kernels.laplacian import direct_solve
from .._problems.transport.compressed import CompressedTransport
from .._problems.transport.compressed_row import CompressedRow, Grid

_ALTERNATIONS = 2
"""Number of first steps that make the columns' sums exact, one after the other."""

_STALLS = 2
"""Number of stalled steps in a row after which a row is done."""


class _State(NamedTuple):
    g: Float[Array, " m"]
    gap: Float[Array, " m"]
    error: Float[Array, ""]
    step: Float[Array, " m"]  # to take next
    radius: Float[Array, ""]
    steps: Int[Array, ""]
    stalls: Int[Array, ""]  # in a row

    @property
    def done(self) -> Bool[Array, ""]:
        return self.stalls >= _STALLS


class CompressedNewton(Solver[CompressedTransport]):
    """Newton's method on the semi-dual of a `CompressedTransport`.

    As [`softjax.solvers.SemiDual`][] does, after steps that make the sums of columns
    exact, which leave little to do. A solution has converged if its sums are exact to
    `feasibility`, and nodes resolve it to the tolerance.

    **Arguments:**

    - `tolerance`: the largest error of results that is accepted, as a part of the
        range; None for 3e-6 in 32 bits, and 1e-9 in 64.
    - `max_steps`: the number of steps after which the best iterate is returned.
    """

    tolerance: float | None = None
    max_steps: int = 40

    def accepts(self, problem: Problem, regularizer: Regularizer) -> bool:
        return isinstance(problem, CompressedTransport)

    def solve(self, problem: CompressedTransport, regularizer: Regularizer) -> Solution:
        unit = eps(problem.points)
        tolerance = max(25 * unit, 1e-9) if self.tolerance is None else self.tolerance

        def solve_row(row, grid):
            state = _search(row, grid, self.max_steps)
            f, plan = row.rows(grid, row.scores(grid, grid.a), state.g)
            error = row.unresolved(grid, f, plan)
            # That of a column is not one of the results, which are means.
            exact = state.error <= 100 * tolerance
            return state.g, state.steps, state.error, exact & (error <= tolerance)

        g, steps, error, converged = problem.each(solve_row, regularizer)
        return Solution(problem, regularizer, g, steps, error, converged)


def _search(row: CompressedRow, grid: Grid, max_steps: int) -> _State:
    scores = row.scores(grid, grid.a)
    unit = eps(scores)
    aim, near = 16 * unit, 4000 * unit
    smallest = jnp.min(jnp.where(grid.v > 0, grid.v, 1))
    start = row.start_of(grid)

    def advance(state: _State) -> _State:
        g = state.g + state.step
        _, plan = row.rows(grid, scores, g)
        gap = row.gap(grid, plan)
        error = row.error(grid, gap)
        free = state.steps <= _ALTERNATIONS
        progress = exact_einsum("q,q->", state.gap / 2 + gap, state.step)
        good = (progress >= 0) & (error <= state.error)
        take = jnp.where(free, jnp.isfinite(error), good)
        factor = jnp.where(free, 1, jnp.where(good, 4, 1 / 4)).astype(gap.dtype)
        radius = factor * state.radius
        stalled = (2 * error > state.error) & (state.error <= near) & ~free
        stalls = jnp.where(stalled, state.stalls + 1, 0)
        g = jnp.where(take, g, state.g)
        gap = jnp.where(take, gap, state.gap)
        error = jnp.where(take, error, state.error)
        stalls = jnp.where(error <= aim, _STALLS, stalls)

        def alternate():
            share = gap / jnp.where(grid.v > 0, grid.v, 1)
            # A sum over signed weights may be anything where nothing is resolved.
            return -jnp.log(jnp.maximum(1 - share, 1e-6))

        def newton():
            _, plan = row.rows(grid, scores, g)
            edges = row.graph(grid, plan)
            ground = smallest * error / radius
            ground = jnp.broadcast_to(ground, gap.shape) + unit * grid.v
            return direct_solve(edges, ground, gap, refinements=0)

        step = jax.lax.cond(state.steps < _ALTERNATIONS, alternate, newton)
        return _State(g, gap, error, step, radius, state.steps + 1, stalls)

    zero = jnp.zeros_like(start)
    error = jnp.full((), jnp.inf, start.dtype)
    radius = jnp.full((), 20, start.dtype)
    none = jnp.zeros((), jnp.int32)
    state = _State(start, zero, error, zero, radius, none, none)
    return iterate(advance, state, max_steps, row.points)
