"""Folds over the entries of a square matrix near its diagonal, in linear memory.

Entries are functions of `t_ij = f_i + g_j + B_ij`, with the costs B of transport on a
line relative to its hard plan, which are made from the distances of sorted points.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from .._platform.varying import varying_as
from .arrays import pad_last, slice_last

LOW = -1e30
"""The potential of what takes no part."""

_UNROLL = 2
"""Diagonals on either side that one pass of a loop folds, a block of them."""


class Entry(NamedTuple):
    """All entries at one distance from the diagonal, those behind it turned around.

    **Attributes:**

    - `t`: `2 *batch n`.
    - `beside`: how much further on the other axis they are, `2 *ones`.
    - `size`: of the terms that t is the sum of.
    - `own`, `other`: what was given for the two axes, where they are.
    - `level`: the difference of the levels of their row and their column, if any.
    """

    t: Float[Array, "2 *batch n"]
    beside: Float[Array, "2 *ones"]
    size: Float[Array, "2 *batch n"]
    own: tuple[Array, ...]
    other: tuple[Array, ...]
    level: Any = 0

    @property
    def score(self) -> Float[Array, "2 *batch n"]:
        """t, and 0 where nothing takes part, for products with what is 0 there."""
        return jnp.where(self.t > LOW / 2, self.t, 0)


def two_sides(x: Float[Array, "*batch n"]) -> Float[Array, "2 *batch n"]:
    """An array, and the same turned around."""
    return jnp.stack([x, jnp.flip(x, axis=-1)])


def join(x: Float[Array, "2 *batch n"]) -> Float[Array, "*batch n"]:
    """The sum of both sides."""
    return x[0] + jnp.flip(x[1], axis=-1)


def fold(
    fn: Callable[[Any, Entry], Any],
    state: Any,
    own: tuple[Float[Array, "*batch n"], ...],
    other: tuple[Float[Array, "*batch n"], ...],
    spacing: Float[Array, "*batch n-1"],
    by_rows: bool,
    proceed: Callable[[Any, Int[Array, ""]], Array],
) -> Any:
    """`state = fn(state, entry)` from the diagonal outward, for all rows, or columns.

    `B_ij = -sum_r (|j - i| - r - 1/2) d_(i+r)` with the distances d between i and j,
    counted from i.

    **Arguments:**

    - `own`, `other`: of rows and columns, or the other way; first the potentials.
    - `spacing`: those distances, nonnegative.
    - `proceed`: of the state and the number of blocks that were folded, whether to go
        on.
    """
    n = own[0].shape[-1]
    ones = (1,) * own[0].ndim
    sign = jnp.asarray(np.reshape([1, -1], (2, *ones)), own[0].dtype)
    own = tuple(two_sides(x) for x in own)
    other = tuple(two_sides(x) for x in other)
    beyond = n + _UNROLL
    padded = tuple(pad_last(x, 0, beyond, 0 if i else LOW) for i, x in enumerate(other))
    gaps = pad_last(two_sides(spacing), 1, beyond)

    def advance(carry):
        block, drop, slope, state = carry
        start = block * _UNROLL
        near = tuple(slice_last(x, start, n + _UNROLL - 1) for x in padded)
        steps = slice_last(gaps, start, n + _UNROLL - 1)
        for u in range(_UNROLL):
            count = (start + u).astype(spacing.dtype)
            step = steps[..., u : u + n]
            if u == 0:
                # Nothing is passed on the way to the diagonal itself.
                step = jnp.where(start > 0, step, 0)
            there = tuple(x[..., u : u + n] for x in near)
            # Sums of terms of one sign, which nothing cancels in.
            if by_rows:
                drop, slope = drop + (slope + step / 2), slope + step
            else:
                drop = drop + (count - 1 / 2) * step
            size = jnp.abs(own[0]) + jnp.abs(there[0]) + drop
            now = own[0] + there[0] - drop
            if u == 0:
                # The diagonal is on one side only.
                now = jnp.where((start > 0) | (sign > 0), now, LOW)
            state = fn(state, Entry(now, count * sign, size, own, there))
        return block + 1, drop, slope, state

    zero = jnp.zeros_like(own[0])
    carry = jnp.zeros((), jnp.int32), zero, zero, state
    last = -(-n // _UNROLL)
    return jax.lax.while_loop(
        lambda carry: (carry[0] < last) & proceed(carry[3], carry[0]),
        advance,
        varying_as(carry, zero),
    )[3]


def fold_sums(
    terms: Callable[[Entry], tuple[Array, ...]],
    own: tuple[Float[Array, "*batch n"], ...],
    other: tuple[Float[Array, "*batch n"], ...],
    spacing: Float[Array, "*batch n-1"],
    by_rows: bool,
    blocks: Int[Array, ""],
    count: int = 1,
) -> tuple[Float[Array, "*batch n"], ...]:
    """Sums of so many `terms` over the entries of rows, or of columns."""

    def add(sums, entry):
        return tuple(x + y for x, y in zip(sums, terms(entry), strict=True))

    zero = jnp.zeros((2, *own[0].shape), own[0].dtype)
    sums = fold(
        add,
        (zero,) * count,
        own,
        other,
        spacing,
        by_rows,
        lambda _, block: block < blocks,
    )
    return tuple(map(join, sums))


class Diagonals(eqx.Module):
    """Entries of the rows of a square matrix, up to some blocks of diagonals."""

    spacing: Float[Array, "*batch n-1"]
    blocks: Int[Array, ""]

    def fold_sums(
        self,
        terms: Callable[[Entry], tuple[Array, ...]],
        own: tuple[Float[Array, "*batch n"], ...],
        other: tuple[Float[Array, "*batch n"], ...],
        by_rows: bool,
        count: int = 1,
    ) -> tuple[Float[Array, "*batch n"], ...]:
        """As of the function of that name."""
        return fold_sums(terms, own, other, self.spacing, by_rows, self.blocks, count)


def reach(
    g: Float[Array, "*batch n"],
    inside: Array,
    spacing: Float[Array, "*batch n-1"],
    span: Float[Array, "*#batch 1"],
) -> tuple[Float[Array, "*batch n"], Int[Array, ""]]:
    """The largest `g_j + B_ij` of rows, and up to which block others are so large.

    Others count within the `span` of it. Beyond twice that far, nobody looks.
    """
    none = jnp.where(inside, 0, LOW).astype(g.dtype)
    start = two_sides(none + g)

    def compare(state, entry):
        top, far = state
        near = entry.t > top - span
        far = jnp.where(near, jnp.maximum(far, jnp.abs(entry.beside)), far)
        return jnp.maximum(top, entry.t), far

    def proceed(state, block):
        return 2 * jnp.max(state[1]) + 3 > _UNROLL * block.astype(g.dtype)

    state = start, jnp.zeros_like(start)
    top, far = fold(compare, state, (none,), (g,), spacing, True, proceed)
    top = jnp.maximum(top[0], jnp.flip(top[1], axis=-1))
    blocks = jnp.floor(jnp.max(far) / _UNROLL).astype(jnp.int32) + 1
    return jnp.where(inside, top, 0), blocks
