from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from .._core.problem import Problem
from .._core.regularizer import Regularizer
from .._core.solution import Solution, judge
from .._core.solver import Solver
from .._kernels.arrays import eps, exact_einsum, pad_last, safe_divide
from .._platform.batches import any_true
from .._platform.varying import varying_as
from .._problems.permutahedron import Blocks, Groups, IsotonicRegression, Rule

_CHUNK = 16
"""Largest number of consecutive entries in a lane."""


class DivideAndConquerIsotonic(Solver[IsotonicRegression]):
    """Isotonic regression by divide and conquer, of logarithmic depth.

    Two solved halves violate the order at most where they meet: what lies left of the
    middle and below, or right of it and above, the value g of a new block is pooled
    with it. The sum of the pool's excesses is continuous and decreasing in g and has
    its root between the values on both sides of the middle, where a bracketed Newton
    method finds it: for all pairs of halves of a level, and all rows, at once.

    **Arguments:**

    - `max_steps`: the number of passes over a level after which it is left as it is.

    **Example:**

        >>> x = jnp.array([0.2, 1.0, 0.7])
        >>> solver = sj.solvers.DivideAndConquerIsotonic()
        >>> print(sj.rank(x, method="fast_soft_sort", softness=2.0, solver=solver))
        [2.569 1.769 2.069]
    """

    max_steps: int = 100

    def accepts(self, problem: Problem, regularizer: Regularizer) -> bool:
        return isinstance(problem, IsotonicRegression)

    def solve(self, problem: IsotonicRegression, regularizer: Regularizer) -> Solution:
        rule = problem.rule
        blocks, steps = self.blocks(problem, rule)
        blocks = problem.resolved(blocks) if rule.resolves() else blocks
        return judge(problem, regularizer, blocks, steps)

    def blocks(
        self, problem: IsotonicRegression, rule: Rule
    ) -> tuple[Blocks, Int[Array, ""]]:
        """Blocks of the solution, and the number of passes over all levels."""
        shape = problem.z.shape
        n = shape[-1]
        padded = 1 << max((n - 1).bit_length(), 1)  # at least a pair
        chunk = min(_CHUNK, padded)

        def fold(x: Array, fill: float) -> Array:
            """Lanes of pairs of entries, which lie side by side in memory."""
            x = pad_last(x, 0, padded - n, fill)
            return jnp.moveaxis(x.reshape(-1, chunk // 2, 2), 0, -1)

        def unfold(x: Array) -> Array:
            return jnp.moveaxis(x, -1, 0).reshape(-1, padded)[:, :n].reshape(shape)

        # Padding is below everything, and therefore never pooled.
        offset = jnp.where(problem.mask, -rule.alone(problem.w), -jnp.inf)
        softness = jnp.broadcast_to(problem.softness, (*shape[:-1], 1))
        counts = problem.counts
        level = _Level(
            rule,
            fold(problem.z, 0),
            jnp.repeat(softness.reshape(-1), padded // chunk),
            fold(problem.w, 0),
            None if counts is None else fold(counts, 1),
            self.max_steps,
        )
        offset = varying_as(fold(offset, -jnp.inf), level.z)
        position = _positions(chunk // 2, level.z.shape[-1])
        steps = jnp.zeros_like(offset, int, shape=())
        blocks = jax.lax.fori_loop(
            0,
            padded.bit_length() - 1,
            level.merge,
            (varying_as(position, offset), offset, steps),
        )
        reference, offset, steps = blocks
        offset = jnp.where(problem.mask, unfold(offset), 0)
        return Blocks(offset, unfold(reference & (padded - 1))), steps


def _positions(rows: int, lanes: int) -> Int[Array, "rows 2 lanes"]:
    """Positions of the entries among all of them, lane after lane."""
    row = jnp.arange(2 * rows).reshape(rows, 2, 1)
    return row + 2 * rows * jnp.arange(lanes)


class _Pairs(Groups):
    """Groups of 2^step consecutive pairs of entries."""

    step: Int[Array, ""]
    rows: int = eqx.field(static=True)
    lanes: int = eqx.field(static=True)

    def read(self, x: Array, position: Int[Array, "..."]) -> Array:
        """Entries of `x`, an array of all entries, at positions."""
        row, lane = position & (2 * self.rows - 1), position >> self.rows.bit_length()
        place = row * self.lanes + lane
        return x.reshape(-1).at[place].get(mode="promise_in_bounds")

    def totals(self, *arrays: Array) -> list[Array]:
        # One reduction for all arrays, as no lane has entries of two of them.
        x = jnp.concatenate([jnp.sum(x, axis=1) for x in arrays], axis=-1)
        members = self._row[:, None] == self._row
        within = exact_einsum("pr,rl->pl", members.astype(x.dtype), x)
        total = self._across(jax.ops.segment_sum, within)
        return jnp.split(total, len(arrays), axis=-1)

    def first(self, inside: Array, *arrays: Array) -> tuple[Array, ...]:
        position = _positions(self.rows, self.lanes)
        position = jnp.min(jnp.where(inside, position, position.size - 1), axis=1)
        within = _reduce(jax.ops.segment_min, position, self._row)
        position = self._across(jax.ops.segment_min, within)
        return tuple(self.read(x, position) for x in arrays)

    @property
    def _row(self) -> Int[Array, " rows"]:
        """Groups of the rows in a lane."""
        return jnp.arange(self.rows) >> self.step

    def _across(
        self, reduce: Callable, x: Float[Array, "rows lanes"]
    ) -> Float[Array, "rows 1 lanes"]:
        """Reduction over lanes as well, where groups consist of whole lanes."""
        wide = jnp.maximum(self.step - (self.rows.bit_length() - 1), 0)
        across = _reduce(reduce, x[0], jnp.arange(x.shape[-1]) >> wide)
        return jnp.where(wide > 0, across, x)[:, None]


def _reduce(reduce: Callable, x: Array, group: Int[Array, " n"]) -> Array:
    """Reduction of groups along the first axis, returned for each of their members."""
    return reduce(x, group, num_segments=len(group), indices_are_sorted=True)[group]


class _Search(NamedTuple):
    point: Float[Array, "..."]
    lower: Float[Array, "..."]
    upper: Float[Array, "..."]
    steps: Int[Array, ""]


class _Level(NamedTuple):
    """Data that the merges of all levels share."""

    rule: Rule
    z: Float[Array, "rows 2 lanes"]
    softness: Float[Array, " lanes"]
    w: Float[Array, "rows 2 lanes"]
    weights: Float[Array, "rows 2 lanes"] | None
    max_steps: int

    def merge(
        self, step: Int[Array, ""], blocks: tuple[Array, Array, Array]
    ) -> tuple[Array, Array, Array]:
        """Merge pairs of solved halves of 2^step entries.

        `blocks` are the references of the entries' blocks, the offsets of the values of
        the blocks from the scores of these, and the number of passes so far.
        """
        reference, offset, steps = blocks
        rows, _, lanes = self.z.shape
        pairs = _Pairs(step, rows, lanes)
        position, read = _positions(rows, lanes), pairs.read
        middle = (position >> step | 1) << step
        # Relative to the score in the middle, so that nothing cancels.
        around = read(self.z, middle)
        scores = (self.z - around) / self.softness
        value = (read(self.z, reference) - around) / self.softness + offset
        lower, upper = read(value, middle - 1), read(value, middle)
        active = lower < upper
        lower, upper = jnp.where(active, lower, 0), jnp.where(active, upper, 0)
        # Numbers, with which XLA computes faster than with truth values.
        right = position >> step & 1
        side = jnp.where(active, 2 * right - 1, 0).astype(value.dtype)

        def advance(state: _Search) -> _Search:
            point = state.point
            # A block whose value is the point but for rounding is left out: its sum of
            # exponentials alone could hide on which side of the value the root is.
            rounding = 4 * eps(point) * jnp.abs(point)
            excess, slope, size = self.rule.balance(
                scores - point,
                self.w,
                side * (value - point) > rounding,
                pairs,
                self.weights,
            )
            lower = jnp.where(excess > 0, point, state.lower)
            upper = jnp.where(excess < 0, point, state.upper)
            proposal = point + safe_divide(excess, slope)
            # A bisection every eighth pass bounds their number.
            trusted = (proposal >= lower) & (proposal <= upper)
            trusted &= (slope > 0) & (state.steps & 7 != 7)
            proposal = jnp.where(trusted, proposal, lower + (upper - lower) / 2)
            exact = jnp.abs(excess) <= eps(size) / 2 * size
            proposal = jnp.where(exact, point, proposal)
            moved = jnp.abs(proposal - point)
            done = moved <= 2 * eps(moved) * jnp.abs(point)
            # An empty bracket stays as it is.
            return _Search(
                proposal,
                jnp.where(done, proposal, lower),
                jnp.where(done, proposal, upper),
                state.steps + 1,
            )

        def unfinished(state: _Search) -> Bool[Array, ""]:
            going = any_true(state.lower < state.upper)
            return going & (state.steps < self.max_steps)

        lower, upper = lower[:, :1], upper[:, :1]
        start = lower + (upper - lower) / 2
        state = _Search(start, lower, upper, jnp.zeros_like(steps))
        point, *_, passes = jax.lax.while_loop(unfinished, advance, state)
        # A block whose value is that of the new one, but for rounding, is pooled too.
        inside = (side != 0) & (side * (value - point) >= 0)
        return (
            jnp.where(inside, middle, reference),
            jnp.where(inside, point, offset),
            steps + passes,
        )
