"""Sorts of pairs of 32-bit integers as single 64-bit ones."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array, Int

from .choice import on_cpu


def sort_pairs(
    bits: Int[Array, "*batch n"], index: Int[Array, "*batch n"]
) -> tuple[Int[Array, "*batch n"], Int[Array, "*batch n"]]:
    """Stable ascending sort of pairs by `bits`, where `index` is `0, 1, ..., n - 1`."""
    if bits.dtype.itemsize > index.dtype.itemsize:
        return _sort_pairs(bits, index)
    return on_cpu(_sort_packed, _sort_pairs, bits, index)


def _sort_pairs(bits: Array, index: Array) -> tuple[Array, Array]:
    """Sort of two operands by the first, for types that can't be packed."""
    bits, index = jax.lax.sort((bits, index), num_keys=1, is_stable=True)
    return bits, index


def _sort_packed(bits: Array, index: Array) -> tuple[Array, Array]:
    """Sort of single 64-bit integers whose upper halves are `bits`.

    On a CPU, XLA compiles comparisons of single integers into the sort, and makes a
    function call for each comparison of pairs (JAX 0.10; not in all versions). Nothing
    but this needs 64 bits, which JAX turns into 32 without its flag; so there are no
    constants of that size.
    """

    def convert(x: Array, dtype) -> Array:
        return jax.lax.convert_element_type(x, dtype)

    with jax.enable_x64(True):
        half = convert(jnp.full_like(index, 32), jnp.int64)
        upper = jax.lax.shift_left(convert(bits, jnp.int64), half)
        pairs = jax.lax.sort(upper | convert(index, jnp.int64), is_stable=False)
        upper = jax.lax.shift_right_arithmetic(pairs, half)
        return convert(upper, bits.dtype), convert(pairs, index.dtype)
