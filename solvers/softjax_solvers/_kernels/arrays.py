"""Types, shapes and arithmetic of arrays."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Float, PyTree

# Some devices multiply matrices with less precision by default.
exact_einsum = functools.partial(jnp.einsum, precision=jax.lax.Precision.HIGHEST)


def inexact(x: Array | float) -> Array:
    """`x` as a floating-point array; integers take the default float type."""
    x = jnp.asarray(x)
    if jnp.issubdtype(x.dtype, jnp.inexact):
        return x
    return x.astype(jnp.result_type(float))


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


def safe_divide(numerator: Array | float, denominator: Array | np.ndarray) -> Array:
    """Quotient, and 0 (with zero derivatives) where the denominator is 0."""
    zero = denominator == 0
    return jnp.where(zero, 0, numerator / jnp.where(zero, 1, denominator))


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


def is_traced(tree: PyTree) -> bool:
    """Whether any array of `tree` has no value yet, as within `jax.jit`."""
    return any(isinstance(leaf, Tracer) for leaf in jax.tree.leaves(tree))
