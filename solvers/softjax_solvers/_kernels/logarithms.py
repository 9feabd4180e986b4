"""Logarithms of numbers that may be 0, and of sums of what is given by logarithms."""

from __future__ import annotations

import functools
import math
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float


@jax.custom_jvp
def safe_log(x: Float[Array, "..."]) -> Float[Array, "..."]:
    """The logarithm, and -inf with derivative 0 where x is not positive."""
    zero = x <= 0
    return jnp.where(zero, -jnp.inf, jnp.log(jnp.where(zero, 1, x)))


@safe_log.defjvp
def _safe_log_jvp(primals: Any, tangents: Any):
    (x,), (x_dot,) = primals, tangents
    return safe_log(x), relative(x_dot, x)


@jax.custom_jvp
def relative(move: Float[Array, "..."], x: Float[Array, "..."]) -> Array:
    """How x moves over x: the move of its logarithm; 0 where x is not normal."""
    # Not by `x > tiny`, which would turn NaN into 0.
    zero = x < jnp.finfo(x.dtype).tiny
    return jnp.where(zero, 0, move / jnp.where(zero, 1, x))


@relative.defjvp
def _relative_jvp(primals: Any, tangents: Any):
    (move, x), (move_dot, x_dot) = primals, tangents
    ratio = relative(move, x)
    # The rule of the quotient divides by the square of x, which underflows.
    return ratio, relative(move_dot, x) - ratio * relative(x_dot, x)


def log_sum(
    logs: Float[Array, "..."],
    axis: int = -1,
    weights: Float[Array, "..."] | None = None,
) -> Float[Array, "..."]:
    """`log(sum_j w_j exp(logs_j))` along an axis; -inf where nothing is added.

    Terms of -inf have no derivative, and those of weight 0 that in their weight.

    **Arguments:**

    - `axis`: counted from the end.
    - `weights`: nonnegative, and broadcast against the logarithms; None for 1.
    """
    ones = jnp.ones((1,) * logs.ndim, logs.dtype)
    return _log_sum(logs, ones if weights is None else weights, axis)


@functools.partial(jax.custom_jvp, nondiff_argnums=(2,))
def _log_sum(logs: Array, weights: Array, axis: int) -> Array:
    counted = jnp.where(weights > 0, logs, -jnp.inf)
    top = jnp.max(counted, axis=axis, keepdims=True)
    top = jnp.where(jnp.isfinite(top), top, 0)
    total = jnp.sum(weights * jnp.exp(counted - top), axis=axis)
    return safe_log(total) + jnp.squeeze(top, axis)


@_log_sum.defjvp
def _log_sum_jvp(axis: int, primals: Any, tangents: Any):
    (logs, weights), (logs_dot, weights_dot) = primals, tangents
    out = _log_sum(logs, weights, axis)
    ratio = _ratio(logs, jnp.expand_dims(out, axis))
    move = ratio * (weights * logs_dot + weights_dot)
    return out, jnp.sum(move, axis=axis)


def _ratio(logs: Array, total: Array) -> Array:
    """`exp(logs - total)`, 0 where either is -inf."""
    nothing = (logs == -jnp.inf) | (total == -jnp.inf)
    apart = jnp.where(nothing, 0, logs - total)
    # What has no weight may be larger than all that is added.
    apart = jnp.minimum(apart, math.log(jnp.finfo(logs.dtype).max) / 2)
    return jnp.where(nothing, 0, jnp.exp(apart))


def log_over_sum(
    logs: Float[Array, "..."],
    axis: int = -1,
    weights: Float[Array, "..."] | None = None,
) -> Float[Array, "..."]:
    """Logarithms of numbers over their weighted sum; -inf where all are 0."""
    total = jnp.expand_dims(log_sum(logs, axis, weights), axis)
    return logs - jnp.where(total == -jnp.inf, 0, total)
