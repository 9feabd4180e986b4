from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from .._numerics import eps, exact_einsum, pad_last, safe_divide, varying_as
from .._problem import Problem
from .._problems.permutahedron import Blocks, Groups, PermutahedronProjection, Rule
from .._regularizer import Regularizer
from .._solver import Solution, Solver

_CHUNK = 16


class Merging(Solver):
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
        >>> solver = sj.solvers.Merging()
        >>> print(sj.rank(x, method="fast_soft_sort", softness=2.0, solver=solver))
        [2.569 1.769 2.069]
    """

    max_steps: int = 100

    def accepts(self, problem: Problem, regularizer: Regularizer) -> bool:
        return isinstance(problem, PermutahedronProjection)

    def solve(self, problem: Problem, regularizer: Regularizer) -> Solution:
        assert isinstance(problem, PermutahedronProjection)
        shape = problem.z.shape
        n = shape[-1]
        rule = problem.rule(regularizer)
        padded = 1 << max(n - 1, 0).bit_length()
        chunk = min(_CHUNK, padded)

        def fold(x: Array, fill: float) -> Array:
            """Lanes of consecutive entries, as columns: lanes lie side by side."""
            return pad_last(x, 0, padded - n, fill).reshape(-1, chunk).T

        def unfold(x: Array) -> Array:
            return x.T.reshape(-1, padded)[:, :n].reshape(shape)

        # Padding is below everything, and therefore never pooled.
        offset = jnp.where(problem.mask, -rule.alone(problem.w), -jnp.inf)
        softness = jnp.broadcast_to(problem.softness, (*shape[:-1], 1))
        level = _Level(
            rule,
            fold(problem.z, 0),
            jnp.repeat(softness.reshape(-1), padded // chunk),
            fold(problem.w, 0),
            self.max_steps,
        )
        offset = varying_as(fold(offset, -jnp.inf), level.z)
        steps = jnp.zeros_like(offset, int, shape=())
        blocks = jax.lax.fori_loop(
            0,
            padded.bit_length() - 1,
            level.merge,
            (*varying_as((level.position, level.z), offset), offset, steps),
        )
        reference, _, offset, steps = blocks
        offset = jnp.where(problem.mask, unfold(offset), 0)
        dual = Blocks(offset, unfold(reference & (padded - 1)))
        residual = problem.residual(dual, regularizer)
        converged = residual <= 1000 * eps(residual)
        return Solution(problem, regularizer, dual, steps, residual, converged)


class _Rows(Groups):
    """Groups of 2^step rows of each lane, which are reduced row by row."""

    step: Int[Array, ""]

    def total(self, x: Array) -> Array:
        group = jnp.arange(x.shape[0]) >> self.step
        members = (group[:, None] == group).astype(x.dtype)
        return exact_einsum("pr,rl->pl", members, x)

    def largest(self, x: Array) -> Array:
        group = jnp.arange(x.shape[0]) >> self.step
        return _spread(jax.ops.segment_max, x, group)

    def each(self, x: Array) -> Array:
        """What is the same in all of a group, in the shape of what is reduced."""
        return x


class _Lanes(Groups):
    """Groups of 2^step complete lanes, which are reduced lane by lane."""

    step: Int[Array, ""]

    def total(self, x: Array) -> Array:
        group = jnp.arange(x.shape[1]) >> self.step
        return _spread(jax.ops.segment_sum, jnp.sum(x, axis=0), group)

    def largest(self, x: Array) -> Array:
        group = jnp.arange(x.shape[1]) >> self.step
        return _spread(jax.ops.segment_max, jnp.max(x, axis=0), group)

    def each(self, x: Array) -> Array:
        return x[0]


def _spread(reduce: Callable, x: Array, group: Int[Array, " n"]) -> Array:
    """Reduce groups along the first axis, and return it for each of their members."""
    return reduce(x, group, num_segments=len(group), indices_are_sorted=True)[group]


class _Search(NamedTuple):
    point: Float[Array, "..."]
    lower: Float[Array, "..."]
    upper: Float[Array, "..."]
    steps: Int[Array, ""]


class _Level(NamedTuple):
    """What stays the same from one level to the next."""

    rule: Rule
    z: Float[Array, "chunk lanes"]
    softness: Float[Array, " lanes"]
    w: Float[Array, "chunk lanes"]
    max_steps: int

    @property
    def position(self) -> Int[Array, "chunk lanes"]:
        """Where an entry is among all, lane after lane."""
        rows, lanes = self.z.shape
        return jnp.arange(rows)[:, None] + rows * jnp.arange(lanes)

    def merge(
        self, step: Int[Array, ""], blocks: tuple[Array, Array, Array, Array]
    ) -> tuple[Array, Array, Array, Array]:
        """Merge pairs of solved halves of 2^step entries.

        `blocks` are an entry of one's block, its z, what is added to its score to give
        the value of the block, and the number of passes so far.
        """
        reference, center, offset, steps = blocks
        rows, lanes = self.z.shape
        bits = rows.bit_length() - 1
        # In memory, a step down a lane is one over all lanes.
        wide = jnp.maximum(step - bits, 0)
        row = (jnp.arange(rows) >> step | 1) << step & (rows - 1)
        lane = jnp.arange(lanes)
        lane = jnp.where(step < bits, lane, (lane >> wide | 1) << wide)
        place = row[:, None] * lanes + lane
        back = jnp.where(step < bits, lanes, 1 - (rows - 1) * lanes)

        def read(x: Array, place: Int[Array, "chunk lanes"]) -> Array:
            return x.reshape(-1).at[place].get(mode="promise_in_bounds")

        # All is measured from the score in the middle, so that nothing cancels.
        around = read(self.z, place)
        scores = (self.z - around) / self.softness
        value = (center - around) / self.softness + offset
        lower, upper = read(value, place - back), read(value, place)
        active = lower < upper
        lower, upper = jnp.where(active, lower, 0), jnp.where(active, upper, 0)
        # Numbers, with which XLA computes faster than with truth values.
        right = self.position >> step & 1
        side = jnp.where(active, 2 * right - 1, 0).astype(value.dtype)

        def search(
            groups: _Rows | _Lanes, lower: Array, upper: Array
        ) -> tuple[Array, Array]:
            def advance(state: _Search) -> _Search:
                point = state.point
                excess, slope, size = self.rule.balance(
                    scores - point, self.w, side * (value - point) > 0, groups
                )
                lower = jnp.where(excess > 0, point, state.lower)
                upper = jnp.where(excess < 0, point, state.upper)
                proposal = point + safe_divide(excess, slope)
                # A bisection now and then bounds the number of passes.
                trusted = (proposal >= lower) & (proposal <= upper)
                trusted &= (slope > 0) & (state.steps % 5 != 4)
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

            def go_on(state: _Search) -> Bool[Array, ""]:
                going = jnp.any(state.lower < state.upper)
                return going & (state.steps < self.max_steps)

            lower, upper = groups.each(lower), groups.each(upper)
            start = lower + (upper - lower) / 2
            state = _Search(start, lower, upper, jnp.zeros_like(steps))
            state = jax.lax.while_loop(go_on, advance, state)
            return jnp.broadcast_to(state.point, scores.shape), state.steps

        point, passes = jax.lax.cond(
            step < bits,
            lambda *bracket: search(_Rows(step + 1), *bracket),
            lambda *bracket: search(_Lanes(step + 1 - bits), *bracket),
            lower,
            upper,
        )
        # A block whose value the new one has rounded to has been pooled with it.
        inside = (side != 0) & (side * (value - point) >= 0)
        return (
            jnp.where(inside, row[:, None] + rows * lane, reference),
            jnp.where(inside, around, center),
            jnp.where(inside, point, offset),
            steps + passes,
        )
