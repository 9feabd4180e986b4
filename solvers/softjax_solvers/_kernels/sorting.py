"""Sorting with the permutation, faster than `jnp.sort` alone."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from .._platform.packed_sort import sort_pairs
from .._platform.serial import row_by_row
from .numerics import replace_value

_INTEGERS = {2: jnp.int16, 4: jnp.int32, 8: jnp.int64}


def _flip(bits: Int[Array, "..."]) -> Int[Array, "..."]:
    info = jnp.iinfo(bits.dtype)
    return bits ^ ((bits >> (info.bits - 1)) & info.max)


def _ordered_bits(x: Float[Array, "..."]) -> Int[Array, "..."]:
    """Integers in the order of `x`: equal for the two zeros, largest for NaN.

    The bits of an IEEE float, with those of negative numbers flipped, order as it does.
    """
    x = jax.lax.stop_gradient(x)
    x = jnp.where(x == 0, 0, jnp.where(jnp.isnan(x), jnp.nan, x))
    return _flip(jax.lax.bitcast_convert_type(x, _INTEGERS[x.dtype.itemsize]))


def _from_bits(bits: Int[Array, "..."], dtype) -> Float[Array, "..."]:
    return jax.lax.bitcast_convert_type(_flip(bits), dtype)


def sort_with_permutation(
    x: Float[Array, "*batch n"],
) -> tuple[Float[Array, "*batch n"], Int[Array, "*batch n"]]:
    """`x` in ascending order along its last axis, stably, and the permutation.

    NaN comes last. XLA sorts integers several times faster than floats, whose
    comparator has to order NaN and the two zeros. The derivative reuses the
    permutation.
    """
    bits = _ordered_bits(x)
    index = jax.lax.broadcasted_iota(jnp.int32, x.shape, x.ndim - 1)
    bits, permutation = sort_pairs(bits, index)
    ordered = _from_bits(bits, x.dtype)
    return replace_value(permute(x, permutation), ordered), permutation


def largest(
    x: Float[Array, "*batch n"], k: int
) -> tuple[Float[Array, "*batch k"], Int[Array, "*batch k"]]:
    """The k largest entries along the last axis, in order, and where they are.

    `jax.lax.top_k`, which takes much less than sorting all of a row, but for rows that
    are distributed over devices, and with a derivative that does not sort again.
    """
    known = jax.lax.stop_gradient(x)
    found, places = row_by_row(lambda x: tuple(jax.lax.top_k(x, k)), known, outputs=2)
    return replace_value(permute(x, places), found), places


def kth_largest(
    x: Float[Array, "*batch n"],
    k: Int[Array | np.ndarray, "*#batch 1"],
) -> Float[Array, "*batch 1"]:
    """The k-th largest entry along the last axis, without its derivative.

    For k from 1 to n, possibly traced. Takes O(n) time: one bit after the other, from
    the highest, is set if at least k entries are as large as that.
    """
    bits = _ordered_bits(x)
    info = jnp.iinfo(bits.dtype)
    one = jnp.ones((), bits.dtype)

    def refine(i, found):
        # The sign bit comes first: it is set in the smallest of all, and is cleared.
        trial = found ^ (one << (info.bits - 1 - i).astype(bits.dtype))
        count = jnp.sum(bits >= trial, axis=-1, keepdims=True)
        return jnp.where(count >= k, trial, found)

    start = jnp.full_like(bits, info.min, shape=(*x.shape[:-1], 1))
    return _from_bits(jax.lax.fori_loop(0, info.bits, refine, start), x.dtype)


def permute(
    x: Float[Array, "*batch n"], permutation: Int[Array, "*batch n"]
) -> Float[Array, "*batch n"]:
    """`x[permutation]` along the last axis."""
    return jnp.take_along_axis(x, permutation, axis=-1, mode="promise_in_bounds")


def invert(permutation: Int[Array, "*batch n"]) -> Int[Array, "*batch n"]:
    """The inverse permutation."""
    index = jnp.arange(permutation.shape[-1], dtype=permutation.dtype)

    # Row by row, which keeps the rows of a batch apart on whatever devices they are.
    def one(row):
        return jnp.zeros_like(row).at[row].set(index)

    return jnp.vectorize(one, signature="(n)->(n)")(permutation)
