"""Types, shapes and arithmetic of arrays."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Float, PyTree, Shaped

# Some devices multiply matrices with less precision by default.
exact_einsum = functools.partial(jnp.einsum, precision=jax.lax.Precision.HIGHEST)


def inexact(x: Array | float) -> Array:
    """`x` as a floating-point array; integers take the default float type."""
    x = jnp.asarray(x)
    if jnp.issubdtype(x.dtype, jnp.inexact):
        return x
    return x.astype(jnp.result_type(float))


def working_type(dtype: Any) -> jnp.dtype:
    """The type that numbers of a type are computed in: float32 for those of 16 bits."""
    dtype = jnp.dtype(dtype)
    return dtype if dtype.itemsize >= 4 else jnp.dtype(jnp.float32)


def eps(x: Array) -> float:
    """Machine epsilon: the distance from 1 to the next number in the type of `x`."""
    return float(jnp.finfo(x.dtype).eps)


def pad_last(x: Array, before: int, after: int, fill: float = 0) -> Array:
    """`x`, padded with `fill` at the ends of its last axis; negative widths crop it."""
    # `jnp.pad` takes over twice as long to trace.
    widths = [(0, 0, 0)] * (x.ndim - 1) + [(before, after, 0)]
    return jax.lax.pad(x, jnp.asarray(fill, x.dtype), widths)


def slice_last(x: Array, start: Array, size: int) -> Array:
    """Slice of `size` entries of the last axis, from a traced `start` of at least 0."""
    return jax.lax.dynamic_slice_in_dim(
        x, start, size, axis=-1, allow_negative_indices=False
    )


def safe_multiply(x: Array, share: Array) -> Array:
    """`x * share`, 0 where the share is 0 and x is infinite."""
    return jnp.where((share == 0) & jnp.isinf(x), 0, x) * share


@jax.custom_jvp
def in_units(x: Array, unit: Array) -> Array:
    """`x / unit`; what is infinite does not depend on the unit."""
    return x / unit


def _in_units_jvp(primals, tangents):
    x_dot, unit_dot = tangents
    out, unit = in_units(*primals), primals[1]
    zero = jax.custom_derivatives.SymbolicZero
    x_dot = jnp.zeros_like(out) if isinstance(x_dot, zero) else x_dot
    if not isinstance(unit_dot, zero):
        x_dot = x_dot - jnp.where(jnp.isinf(out), 0, out) * unit_dot
    return out, x_dot / unit


in_units.defjvp(_in_units_jvp, symbolic_zeros=True)


def safe_divide(
    numerator: Array | float | np.ndarray, denominator: Array | float | np.ndarray
) -> Array:
    """Quotient, and 0 (with zero derivatives) where the denominator is 0.

    Its derivatives never square the denominator, which would underflow below 1e-19 in
    float32.
    """
    dtype = jnp.result_type(numerator, denominator)
    if not jnp.issubdtype(dtype, jnp.inexact):
        dtype = jnp.result_type(dtype, float)
    return _quotient(jnp.asarray(numerator, dtype), jnp.asarray(denominator, dtype))


@jax.custom_jvp
def _quotient(numerator: Array, denominator: Array) -> Array:
    zero = denominator == 0
    return jnp.where(zero, 0, numerator / jnp.where(zero, 1, denominator))


def _quotient_jvp(primals: tuple, tangents: tuple) -> tuple[Array, Array]:
    out = _quotient(*primals)
    (_, denominator), (move, apart) = primals, tangents
    zero = jax.custom_derivatives.SymbolicZero
    terms = [] if type(move) is zero else [move]
    terms += [] if type(apart) is zero else [-out * apart]
    # A product, as JAX keeps no rule of a quotient that is linear in a tangent.
    inverse = _quotient(jnp.ones_like(denominator), denominator)
    tangent = functools.reduce(jnp.add, terms) * inverse
    return out, jnp.broadcast_to(tangent, out.shape)


_quotient.defjvp(_quotient_jvp, symbolic_zeros=True)


def broadcasts(shape: tuple[int, ...], *full: tuple[int, ...]) -> bool:
    """Whether a shape is what it and all others broadcast to."""
    try:
        return jnp.broadcast_shapes(shape, *full) == shape
    except ValueError:
        return False


_ONE_LOOP = 2**12
"""Up to this size, one loop for several sums takes no more time than vector sums."""


def rough_sums(
    *terms: Float[Array, "*batch n"],
) -> tuple[Float[Array, "*batch 1"], ...]:
    """Sums of arrays of one shape and type along their last axis, which is kept.

    Small ones are added up one after the other, with more rounding than `jnp.sum` has:
    on a CPU, XLA compiles that to a single loop, and vector sums of three arrays to
    five.
    """
    if terms[0].size > _ONE_LOOP:
        return tuple(jnp.sum(jnp.stack(terms), axis=-1, keepdims=True))
    zeros, last = [jnp.zeros((), x.dtype) for x in terms], terms[0].ndim - 1
    out = jax.lax.reduce(list(terms), zeros, _add_each, [last])
    return tuple(jax.lax.expand_dims(x, [last]) for x in out)


def _add_each(left: list[Array], right: list[Array]) -> list[Array]:
    return [a + b for a, b in zip(left, right, strict=True)]


def largest_and_sums(
    x: Float[Array, "*batch n"], *terms: Shaped[Array, "*batch n"]
) -> tuple[Shaped[Array, "*batch 1"], ...]:
    """The maximum of one array, and the sums of others: see `rough_sums`."""
    if x.size > _ONE_LOOP:
        sums = (jnp.sum(y, axis=-1, keepdims=True, dtype=y.dtype) for y in terms)
        return jnp.max(x, axis=-1, keepdims=True), *sums
    start = jnp.asarray(-jnp.inf, x.dtype), *(jnp.zeros((), y.dtype) for y in terms)

    def combine(left: list[Array], right: list[Array]) -> list[Array]:
        return [jax.lax.max(left[0], right[0]), *_add_each(left[1:], right[1:])]

    last = x.ndim - 1
    out = jax.lax.reduce([x, *terms], list(start), combine, [last])
    return tuple(jax.lax.expand_dims(x, [last]) for x in out)


_FEW_ROWS = 16
_LONG_ROWS = 2**15
"""Up to how many rows, of at least how many numbers, are added one after the other."""


@jax.custom_jvp
def sum_of_rows(x: Float[Array, "*batch m n"]) -> Float[Array, "*batch n"]:
    """The sum of the rows of matrices.

    Of few long rows, XLA makes one loop if they are added one by one, and of a sum of
    all many tasks for several threads, which take longer to hand out (on a CPU).
    """
    return _fold_rows(jnp.add, jnp.sum, x)


@sum_of_rows.defjvp
def _sum_of_rows_jvp(primals: tuple, tangents: tuple) -> tuple[Array, Array]:
    return sum_of_rows(*primals), jnp.sum(tangents[0], axis=-2)


def max_of_rows(x: Float[Array, "*batch m n"]) -> Float[Array, "*batch n"]:
    """The largest entries of columns, without a derivative: see `sum_of_rows`."""
    return _fold_rows(jnp.maximum, jnp.max, jax.lax.stop_gradient(x))


def _fold_rows(fn: Callable, reduction: Callable, x: Array) -> Array:
    *_, m, n = x.shape
    if not (1 <= m <= _FEW_ROWS and n >= _LONG_ROWS):
        return reduction(x, axis=-2)
    return functools.reduce(fn, (x[..., row, :] for row in range(m)))


def is_traced(tree: PyTree) -> bool:
    """Whether any array of `tree` has no value yet, as within `jax.jit`."""
    return any(isinstance(leaf, Tracer) for leaf in jax.tree.leaves(tree))
