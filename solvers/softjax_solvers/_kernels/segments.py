"""Segments of rows: reductions over them, their order, and sums in that."""

from __future__ import annotations

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, Shaped

from .._platform.choice import on_cpu
from .._platform.packed_sort import sort_pairs
from .arrays import pad_last
from .derivatives import replace_value
from .scans import linear_recurrence, tie_groups
from .sorting import from_bits, ordered_bits, permute


def _reduction(reduce: Callable[..., Array]) -> Callable[..., Array]:
    """A reduction along the leading axis, as one along the last axis."""

    def along_last(
        x: Shaped[Array, "*batch n"],
        ids: Int[Array, " n"],
        count: int,
        are_sorted: bool = False,
    ) -> Shaped[Array, "*batch m"]:
        x = jnp.moveaxis(x, -1, 0)
        out = reduce(x, ids, count, indices_are_sorted=are_sorted)
        return jnp.moveaxis(out, 0, -1)

    return along_last


segment_sum = _reduction(jax.ops.segment_sum)
segment_max = _reduction(jax.ops.segment_max)
segment_min = _reduction(jax.ops.segment_min)


def sort_segments(
    x: Float[Array, "*batch n"], ids: Int[Array, "*#batch n"]
) -> tuple[Float[Array, "*batch n"], Int[Array, "*batch n"], Int[Array, "*batch n"]]:
    """A row in the order of its segments, ascending in each: x, ids, permutation.

    Stable, with NaN last in its segment, by one sort of integers with two keys. The
    derivative reuses the permutation.
    """
    ids, bits = jnp.broadcast_to(ids, x.shape), ordered_bits(x)
    index = jax.lax.broadcasted_iota(jnp.int32, x.shape, x.ndim - 1)
    ids, bits, permutation = on_cpu(_sort_twice, _sort_once, ids, bits, index)
    out = replace_value(permute(x, permutation), from_bits(bits, x.dtype))
    return out, ids, permutation


def _sort_once(ids: Array, bits: Array, index: Array) -> tuple[Array, Array, Array]:
    ids, bits, index = jax.lax.sort((ids, bits, index), num_keys=2)
    return ids, bits, index


def _sort_twice(ids: Array, bits: Array, index: Array) -> tuple[Array, Array, Array]:
    """By the lesser key first: see `sort_pairs` for what pairs cost on a CPU."""
    bits, by_value = sort_pairs(bits, index)
    ids, by_segment = sort_pairs(permute(ids, by_value), index)
    return ids, permute(bits, by_segment), permute(by_value, by_segment)


def segment_starts(ids: Int[Array, "*batch n"]) -> Bool[Array, "*batch n"]:
    """A mask of the first elements of segments, of ids that ascend."""
    return pad_last(ids[..., 1:] != ids[..., :-1], 1, 0, True)


def segment_cumsum(
    x: Float[Array, "*batch n"], ids: Int[Array, "*#batch n"], *, reverse: bool = False
) -> Float[Array, "*batch n"]:
    """Sums from the first element of a segment on, or to the last one if in `reverse`.

    Each starts anew, so that a segment has no rounding of those before it.
    """
    follows = ~segment_starts(ids)
    if reverse:
        follows = pad_last(follows[..., 1:], 0, 1, False)
    return linear_recurrence(follows.astype(x.dtype), x, reverse=reverse)


def ties_of_segments(
    s: Float[Array, "*batch n"], ids: Int[Array, "*#batch n"]
) -> tuple[Int[Array, "*batch n"], Int[Array, "*batch n"]]:
    """`tie_groups` of elements that ascend in each segment."""
    differs = pad_last(s[..., 1:] != s[..., :-1], 1, 0, True)
    group = jnp.cumsum((differs | segment_starts(ids)).astype(jnp.int32), axis=-1)
    return tie_groups(group)


def segment_ends(
    ids: Int[Array, " n"], count: int
) -> tuple[Int[Array, " m"], Int[Array, " m"]]:
    """The first element of each segment and the one after its last, of sorted ids."""
    ends = jnp.searchsorted(ids, jnp.arange(count + 1), side="left").astype(jnp.int32)
    return ends[:-1], ends[1:]


@functools.partial(jnp.vectorize, signature="(n),(n),(m),(n)->(m)", excluded={4})
def kth_largest_of_segments(
    x: Float[Array, " n"],
    weights: Float[Array, " n"],
    k: Float[Array, " m"],
    ids: Int[Array, " n"],
    count: int,
) -> Float[Array, " m"]:
    """`weighted_kth_largest` of each segment, in O(n log n)."""
    minus, ids, permutation = sort_segments(jnp.where(weights > 0, -x, jnp.inf), ids)
    weights = weights[permutation]
    here = weights > 0
    own = k[jnp.clip(ids, 0, count - 1)]
    short = here & (segment_cumsum(weights, ids) < own)
    place, total = (
        jax.ops.segment_sum(f.astype(jnp.int32), ids, count, indices_are_sorted=True)
        for f in (short, here)
    )
    first, _ = segment_ends(ids, count)
    place = first + jnp.maximum(jnp.minimum(place, total - 1), 0)
    return -minus[jnp.minimum(place, len(ids) - 1)]
