from __future__ import annotations

import abc
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
from .._sorting import permute

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
        blocks = (varying_as(level.z, offset), offset, steps)
        for halves, size in ((_Within, chunk), (_Across, padded // chunk)):
            if size > 1:
                blocks = jax.lax.fori_loop(
                    0,
                    size.bit_length() - 1,
                    lambda step, blocks, halves=halves: level.merge(
                        blocks, halves(step)
                    ),
                    blocks,
                )
        center, offset, steps = blocks
        dual = _label(problem, unfold(center), unfold(offset))
        residual = problem.residual(dual, regularizer)
        converged = residual <= 1000 * eps(residual)
        return Solution(problem, regularizer, dual, steps, residual, converged)


class _Halves(Groups):
    """Pairs of neighbouring halves of 2^step rows or lanes, which are to be merged.

    Their number is known when it runs only. Beyond the last pair there is nothing to
    merge, whatever is read there.
    """

    step: Int[Array, ""]

    def _pair(self, size: int) -> Int[Array, " size"]:
        """The pair of each row or lane."""
        return jnp.arange(size) >> (self.step + 1)

    def _is_right(self, size: int) -> Bool[Array, " size"]:
        return (jnp.arange(size) >> self.step) & 1 == 1

    def _middle(self, size: int) -> Int[Array, " pairs"]:
        """Where the right half of each pair starts."""
        return (2 * jnp.arange(size // 2) + 1) << self.step

    @abc.abstractmethod
    def right(self, like: Array) -> Bool[Array, "..."]:
        """Which entries lie in a right half; broadcasts against them."""

    @abc.abstractmethod
    def ends(self, x: Array) -> tuple[Array, Array]:
        """The last entry of each left half and the first of each right one."""


def _fold(x: Array, combine: Callable[[Array, Array], Array], axis: int) -> Array:
    """Reduce an axis whose size is a power of two by halves, as vectors."""
    while x.shape[axis] > 1:
        x = combine(*jnp.split(x, 2, axis=axis))
    return jnp.squeeze(x, axis)


class _Within(_Halves):
    """Halves of rows of each lane."""

    def total(self, x: Array) -> Array:
        rows = x.shape[0]
        members = jnp.arange(rows // 2)[:, None] == self._pair(rows)
        return exact_einsum("pr,rl->pl", members.astype(x.dtype), x)

    def largest(self, x: Array) -> Array:
        rows = x.shape[0]
        return jax.ops.segment_max(
            x, self._pair(rows), num_segments=rows // 2, indices_are_sorted=True
        )

    def spread(self, y: Array) -> Array:
        return y[self._pair(2 * y.shape[0])]

    def right(self, like: Array) -> Array:
        return self._is_right(like.shape[0])[:, None]

    def ends(self, x: Array) -> tuple[Array, Array]:
        middle = self._middle(x.shape[0])
        left = jnp.take(x, middle - 1, axis=0, mode="clip")
        return left, jnp.take(x, middle, axis=0, mode="clip")


class _Across(_Halves):
    """Halves of complete lanes."""

    def _reduce(self, x: Array, combine: Callable, scatter: Callable) -> Array:
        lanes = x.shape[-1]
        return scatter(
            _fold(x, combine, 0),
            self._pair(lanes),
            num_segments=lanes // 2,
            indices_are_sorted=True,
        )

    def total(self, x: Array) -> Array:
        return self._reduce(x, jnp.add, jax.ops.segment_sum)

    def largest(self, x: Array) -> Array:
        return self._reduce(x, jnp.maximum, jax.ops.segment_max)

    def spread(self, y: Array) -> Array:
        return y[self._pair(2 * y.shape[-1])]

    def right(self, like: Array) -> Array:
        return self._is_right(like.shape[-1])

    def ends(self, x: Array) -> tuple[Array, Array]:
        middle = self._middle(x.shape[-1])
        left = jnp.take(x[-1], middle - 1, mode="clip")
        return left, jnp.take(x[0], middle, mode="clip")


class _Search(NamedTuple):
    point: Float[Array, "..."]
    lower: Float[Array, "..."]
    upper: Float[Array, "..."]
    done: Bool[Array, "..."]
    steps: Int[Array, ""]


class _Level(NamedTuple):
    """What stays the same from one level to the next."""

    rule: Rule
    z: Float[Array, "chunk lanes"]
    softness: Float[Array, " lanes"]
    w: Float[Array, "chunk lanes"]
    max_steps: int

    def merge(
        self, blocks: tuple[Array, Array, Array], halves: _Halves
    ) -> tuple[Array, Array, Array]:
        """Merge pairs of solved halves.

        `blocks` are a z and what is added to its score to give the value of one's
        block, and the number of passes so far.
        """
        center, offset, steps = blocks
        # All is measured from the score in the middle, so that nothing cancels.
        _, middle = halves.ends(self.z)
        around = halves.spread(middle)
        scores = (self.z - around) / self.softness
        value = (center - around) / self.softness + offset
        lower, upper = halves.ends(value)
        active = lower < upper
        lower, upper = jnp.where(active, lower, 0), jnp.where(active, upper, 0)
        right, acts = halves.right(value), halves.spread(active)

        def advance(state: _Search) -> _Search:
            point = halves.spread(state.point)
            inside = acts & jnp.where(right, value > point, value < point)
            excess, slope, size = self.rule.balance(
                scores - point, self.w, inside, halves
            )
            lower = jnp.where(excess > 0, state.point, state.lower)
            upper = jnp.where(excess < 0, state.point, state.upper)
            proposal = state.point + safe_divide(excess, slope)
            # A bisection now and then bounds the number of passes.
            trusted = (proposal >= lower) & (proposal <= upper)
            trusted &= (slope > 0) & (state.steps % 5 != 4)
            proposal = jnp.where(trusted, proposal, lower + (upper - lower) / 2)
            moved = jnp.abs(proposal - state.point)
            done = state.done | (jnp.abs(excess) <= eps(size) / 2 * size)
            last = done | (moved <= 2 * eps(moved) * jnp.abs(state.point))
            return _Search(
                jnp.where(done, state.point, proposal),
                jnp.where(done, state.lower, lower),
                jnp.where(done, state.upper, upper),
                last,
                state.steps + 1,
            )

        state = jax.lax.while_loop(
            lambda state: jnp.any(~state.done) & (state.steps < self.max_steps),
            advance,
            _Search(
                lower + (upper - lower) / 2,
                lower,
                upper,
                ~active,
                jnp.zeros_like(steps),
            ),
        )
        # A block whose value the new one has rounded to has been pooled with it.
        point = halves.spread(state.point)
        inside = acts & jnp.where(right, value >= point, value <= point)
        return (
            jnp.where(inside, around, center),
            jnp.where(inside, point, offset),
            steps + state.steps,
        )


def _label(
    problem: PermutahedronProjection,
    center: Float[Array, "*batch n"],
    offset: Float[Array, "*batch n"],
) -> Blocks:
    """Where each entry's block starts; masked entries have one each."""
    position = jax.lax.broadcasted_iota(jnp.int32, center.shape, center.ndim - 1)
    same = (center[..., 1:] == center[..., :-1]) & (offset[..., 1:] == offset[..., :-1])
    same &= problem.mask[..., 1:]
    first = jnp.where(pad_last(same, 1, 0), 0, position)
    start = jax.lax.cummax(first, axis=center.ndim - 1)
    offset = (center - permute(problem.z, start)) / problem.softness + offset
    return Blocks(jnp.where(problem.mask, offset, 0), start)
