from __future__ import annotations

from collections.abc import Callable
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


class SearchState(NamedTuple):
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
            state = _search_row(row, grid, self.max_steps)
            f, plan = row.rows(grid, row.scores(grid, grid.a), state.g)
            error = row.unresolved(grid, f, plan)
            # That of a column is not one of the results, which are means.
            exact = state.error <= 100 * tolerance
            return state.g, state.steps, state.error, exact & (error <= tolerance)

        g, steps, error, converged = problem.each(solve_row, regularizer)
        return Solution(problem, regularizer, g, steps, error, converged)


def _search_row(row: CompressedRow, grid: Grid, max_steps: int) -> SearchState:
    scores = row.scores(grid, grid.a)

    def lack(g):
        _, plan = row.rows(grid, scores, g)
        return row.gap(grid, plan)

    def newton(g, gap, ground):
        _, plan = row.rows(grid, scores, g)
        return direct_solve(row.graph(grid, plan), ground, gap, refinements=0)

    return search(lack, newton, row.start_of(grid), grid.v, max_steps)


def search(
    lack: Callable[[Float[Array, " m"]], Float[Array, " m"]],
    newton: Callable[..., Float[Array, " m"]],
    start: Float[Array, " m"],
    v: Float[Array, " m"],
    max_steps: int,
) -> SearchState:
    """The g by which columns have the masses v.

    **Arguments:**

    - `lack`: what they lack of them, of g.
    - `newton`: of g, that and a ground, the step by which a linear model has none.
    """
    unit = eps(start)
    aim, near = 16 * unit, 4000 * unit
    smallest = jnp.min(jnp.where(v > 0, v, 1))
    whole = jnp.where(v > 0, v, 1)

    def advance(state: SearchState) -> SearchState:
        g = state.g + state.step
        gap = lack(g)
        error = jnp.max(jnp.where(v > 0, jnp.abs(gap) / whole, 0))
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
            # A sum over signed weights may be anything where nothing is resolved.
            return -jnp.log(jnp.maximum(1 - gap / whole, 1e-6))

        def move():
            ground = jnp.broadcast_to(smallest * error / radius, gap.shape)
            return newton(g, gap, ground + unit * v)

        step = jax.lax.cond(state.steps < _ALTERNATIONS, alternate, move)
        return SearchState(g, gap, error, step, radius, state.steps + 1, stalls)

    zero = jnp.zeros_like(start)
    error = jnp.full((), jnp.inf, start.dtype)
    radius = jnp.full((), 20, start.dtype)
    none = jnp.zeros((), jnp.int32)
    state = SearchState(start, zero, error, zero, radius, none, none)
    return iterate(advance, state, max_steps, start)
