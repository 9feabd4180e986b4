"""Sorting and selection by integer keys, with the permutation."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Shaped

from .._platform.packed_sort import sort_pairs
from .._platform.serial import row_by_row
from .derivatives import replace_value

_INTEGERS = {2: jnp.int16, 4: jnp.int32, 8: jnp.int64}


def _flip(bits: Int[Array, "..."]) -> Int[Array, "..."]:
    """All bits of negative integers but the sign, inverted; its own inverse."""
    info = jnp.iinfo(bits.dtype)
    return bits ^ ((bits >> (info.bits - 1)) & info.max)


def ordered_bits(x: Float[Array, "..."]) -> Int[Array, "..."]:
    """Integer keys in the order of `x`: equal for the two zeros, largest for NaN.

    The bits of IEEE floats, flipped for negative numbers, are in the floats' order.
    """
    x = jax.lax.stop_gradient(x)
    x = jnp.where(x == 0, 0, jnp.where(jnp.isnan(x), jnp.nan, x))
    return _flip(jax.lax.bitcast_convert_type(x, _INTEGERS[x.dtype.itemsize]))


def from_bits(bits: Int[Array, "..."], dtype) -> Float[Array, "..."]:
    """Floats from their integer keys, the inverse of `ordered_bits`."""
    return jax.lax.bitcast_convert_type(_flip(bits), dtype)


def sort_with_permutation(
    x: Float[Array, "*batch n"],
) -> tuple[Float[Array, "*batch n"], Int[Array, "*batch n"]]:
    """Stable ascending sort along the last axis, and its permutation.

    NaN comes last. XLA sorts integers several times faster than floats, whose
    comparator has to order NaN and the two zeros. The derivative reuses the
    permutation.
    """
    bits = ordered_bits(x)
    index = jax.lax.broadcasted_iota(jnp.int32, x.shape, x.ndim - 1)
    bits, permutation = sort_pairs(bits, index)
    ordered = from_bits(bits, x.dtype)
    moved = reorder(x, permutation, invert(permutation))
    return replace_value(moved, ordered), permutation


def largest(
    x: Float[Array, "*batch n"], k: int
) -> tuple[Float[Array, "*batch k"], Int[Array, "*batch k"]]:
    """The k largest entries along the last axis, in descending order, with indices.

    By `jax.lax.top_k`, which takes much less time than a sort of whole rows. Rows stay
    on their devices, and the derivative reuses the indices.
    """
    known = jax.lax.stop_gradient(x)
    found, places = row_by_row(lambda x: tuple(jax.lax.top_k(x, k)), known, outputs=2)
    return replace_value(permute(x, places), found), places


def kth_largest_of_few(x: Float[Array, "*batch n"], k: int) -> Float[Array, "*batch 1"]:
    """The k-th largest entry along the last axis, by comparisons of all with all.

    For k from 1 to n, and without its derivative. For up to 32 entries: a sort takes
    several times longer, and XLA splits longer sums into parts.
    """
    x = jax.lax.stop_gradient(x)
    place, rest = np.arange(x.shape[-1]), x[..., None, :]
    equal = (rest == x[..., None]) & (place < place[:, None])
    before = jnp.sum((rest > x[..., None]) | equal, axis=-1)
    return jnp.sum(jnp.where(before == k - 1, x, 0), axis=-1, keepdims=True)


def kth_largest(
    x: Float[Array, "*batch n"],
    k: Int[Array | np.ndarray, "*#batch 1"],
) -> Float[Array, "*batch 1"]:
    """Radix selection of the k-th largest entry along the last axis, in O(n).

    For k from 1 to n, possibly traced, and without its derivative. One bit after the
    other, from the highest, is set if at least k entries are as large as the result.
    """
    bits = ordered_bits(x)
    info = jnp.iinfo(bits.dtype)
    one = jnp.ones((), bits.dtype)

    def refine(i, found):
        # The sign bit, the first one, is set in the smallest integer, and is cleared.
        trial = found ^ (one << (info.bits - 1 - i).astype(bits.dtype))
        count = jnp.sum(bits >= trial, axis=-1, keepdims=True)
        return jnp.where(count >= k, trial, found)

    start = jnp.full_like(bits, info.min, shape=(*x.shape[:-1], 1))
    return from_bits(jax.lax.fori_loop(0, info.bits, refine, start), x.dtype)


def weighted_kth_largest(
    x: Float[Array, "*batch n"],
    weights: Float[Array, "*batch n"],
    k: Float[Array, "*batch 1"],
) -> Float[Array, "*batch 1"]:
    """The largest entry that no less than k of the weights is up to, from the largest.

    For k above 0; of all of positive weight, the smallest if the sum is below k.
    """
    minus, permutation = sort_with_permutation(jnp.where(weights > 0, -x, jnp.inf))
    weights = permute(weights, permutation)
    short = (jnp.cumsum(weights, axis=-1) < k) & (weights > 0)
    count = jnp.sum(weights > 0, axis=-1, keepdims=True)
    place = jnp.minimum(jnp.sum(short, axis=-1, keepdims=True), count - 1)
    return -permute(minus, jnp.maximum(place, 0))


def permute(
    x: Float[Array, "*batch n"], permutation: Int[Array, "*batch n"]
) -> Float[Array, "*batch n"]:
    """`x[permutation]` along the last axis."""
    return jnp.take_along_axis(x, permutation, axis=-1, mode="promise_in_bounds")


def invert(permutation: Int[Array, "*batch n"]) -> Int[Array, "*batch n"]:
    """Inverse of a permutation along the last axis."""
    last = permutation.ndim - 1
    index = jax.lax.broadcasted_iota(permutation.dtype, permutation.shape, last)
    # What is written over may be anything.
    options = dict(unique_indices=True)
    return scatter_rows(jax.lax.scatter, index, permutation, index, **options)


def scatter_rows(
    scatter: Callable[..., Array],
    x: Shaped[Array, "*batch n"],
    places: Int[Array, "*batch m"],
    updates: Shaped[Array, "*batch m"],
    **options: Any,
) -> Shaped[Array, "*batch n"]:
    """A scatter of JAX to places along the last axis, which are in bounds.

    Each row by itself, so that the rows of a batch stay on their devices.
    """
    # Batches of one row would have indices, too, and a kernel that makes them.
    batch = [size for size in x.shape[:-1] if size != 1]
    to, places, updates = (
        array.reshape(*batch, array.shape[-1]) for array in (x, places, updates)
    )
    axes, last = tuple(range(len(batch))), (len(batch),)
    rows = jax.lax.ScatterDimensionNumbers((), last, last, axes, axes)
    places = jax.lax.expand_dims(places, [places.ndim])
    options |= dict(mode="promise_in_bounds")
    return scatter(to, places, updates, rows, **options).reshape(x.shape)


def reorder(
    x: Float[Array, "*batch n"],
    permutation: Int[Array, "*batch n"],
    inverse: Int[Array, "*batch n"],
    axis: int = -1,
) -> Float[Array, "*batch n"]:
    """`x[permutation]` along an axis, whose transpose is `x[inverse]`.

    That of a gather is a scatter, as long as JAX does not know that no two entries come
    from the same place. It takes longer to compile, and serial loops on a CPU.
    """

    def take(x: Array, index: Array) -> Array:
        return jnp.take_along_axis(x, index, axis, mode="promise_in_bounds")

    # A linear solve is the one linear function whose transpose can be given.
    return jax.lax.custom_linear_solve(
        lambda y: take(y, inverse),
        x,
        lambda _, x: take(x, permutation),
        lambda _, y: take(y, inverse),
    )
