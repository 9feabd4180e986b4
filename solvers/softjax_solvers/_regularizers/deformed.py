"""The deformed logarithm `(y^p - 1) / p` and its inverse, smooth in p through 0."""

from __future__ import annotations

import functools
import math

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

_TERMS = 20
"""Terms of a power series: at 1, the next one is below the rounding of 64 bits."""


@functools.partial(jax.custom_jvp, nondiff_argnums=(1,))
def exponential_moment(x: Float[Array, "..."], k: int) -> Float[Array, "..."]:
    """Exponential moment `integral_0^1 s^k exp(x s) ds`.

    For k = 0 it is `expm1(x) / x`, and 1 at x = 0. Its derivative is the moment of
    k + 1.
    """
    zero = x == 0
    safe = jnp.where(zero, 1, x)
    moment = jnp.expm1(safe) / safe
    if k == 0:
        return jnp.where(zero, 1, moment)
    # By parts, which cancels where x is small: the power series is for that.
    for i in range(1, k + 1):
        moment = (jnp.exp(safe) - i * moment) / safe
    small = jnp.abs(x) < 1
    near = jnp.where(small, x, 0)
    series = jnp.zeros_like(x)
    for j in reversed(range(_TERMS)):
        series = series * near + 1 / (math.factorial(j) * (j + k + 1))
    return jnp.where(small, series, moment)


@exponential_moment.defjvp
def _exponential_moment_jvp(k, primals, tangents):
    (x,), (x_dot,) = primals, tangents
    return exponential_moment(x, k), exponential_moment(x, k + 1) * x_dot


def _derivative_in_power(log_y: Array, p: Array) -> Array:
    """Derivative of `deformed_log` in p, `log(y)^2 integral_0^1 s y^(p s) ds`."""
    return log_y * log_y * exponential_moment(p * log_y, 1)


@jax.custom_jvp
def deformed_log(y: Float[Array, "..."], p: Float[Array, ""]) -> Float[Array, "..."]:
    """Deformed logarithm `(y^p - 1) / p` for y >= 0, which is `log y` for p = 0.

    At y = 0, the derivative is that in p, where it is finite, and 0 in y.
    """
    log_y = jnp.log(y)
    zero = _is_zero(p)
    safe = jnp.where(zero, 1, p)
    return jnp.where(zero, log_y, jnp.expm1(safe * log_y) / safe)


@deformed_log.defjvp
def _deformed_log_jvp(primals, tangents):
    (y, p), (y_dot, p_dot) = primals, tangents
    absent = y == 0
    safe = jnp.where(absent, 1, y)
    log_y = jnp.log(safe)
    slope = jnp.where(absent, 0, jnp.exp((p - 1) * log_y))
    # At y = 0, the value is -1 / p for p > 0, and -inf otherwise.
    square = jnp.where(p > 0, p * p, 1)
    at_zero = jnp.where(p > 0, 1 / square, 0)
    by_power = jnp.where(absent, at_zero, _derivative_in_power(log_y, p))
    return deformed_log(y, p), slope * y_dot + by_power * p_dot


@jax.custom_jvp
def _log_of_exp(u: Array, p: Array) -> Array:
    """Logarithm of `deformed_exp`, where that is neither 0 nor infinite."""
    zero = _is_zero(p)
    safe = jnp.where(zero, 1, p)
    return jnp.where(zero, u, jnp.log1p(safe * u) / safe)


@_log_of_exp.defjvp
def _log_of_exp_jvp(primals, tangents):
    (u, p), (u_dot, p_dot) = primals, tangents
    log_y = _log_of_exp(u, p)
    return log_y, jnp.exp(-p * log_y) * (u_dot - _derivative_in_power(log_y, p) * p_dot)


def _interior(u: Array, p: Array) -> tuple[Array, Array]:
    """Mask of a `deformed_exp` that is neither 0 nor infinite, and its logarithm."""
    # Not by `> 0`, which would turn NaN into 0.
    outside = 1 + p * u <= 0
    return ~outside, _log_of_exp(jnp.where(outside, 0, u), p)


@jax.custom_jvp
def deformed_exp(u: Float[Array, "..."], p: Float[Array, ""]) -> Float[Array, "..."]:
    """Deformed exponential `(1 + p u)^(1 / p)`, which is `exp u` for p = 0.

    Where `1 + p u` is not positive, it is 0 for positive p, and infinite for negative.
    Derivatives there are 0.
    """
    inside, log_y = _interior(u, p)
    return jnp.where(inside, jnp.exp(log_y), jnp.where(p < 0, jnp.inf, 0))


@deformed_exp.defjvp
def _deformed_exp_jvp(primals, tangents):
    (u, p), (u_dot, p_dot) = primals, tangents
    inside, log_y = _interior(u, p)
    # One exponential: a product of two might be 0 times infinity.
    slope = jnp.exp((1 - p) * log_y)
    move = jnp.where(
        inside, slope * (u_dot - _derivative_in_power(log_y, p) * p_dot), 0
    )
    return deformed_exp(u, p), move


def log_deformed_exp(u: Float[Array, "..."], p: Float[Array, ""]) -> Array:
    """Logarithm of `deformed_exp`, -inf or inf where that is 0 or infinite."""
    inside, log_y = _interior(u, p)
    return jnp.where(inside, log_y, jnp.where(p < 0, jnp.inf, -jnp.inf))


def deformed_slope(u: Float[Array, "..."], p: Float[Array, ""]) -> Float[Array, "..."]:
    """Derivative `y^(1 - p)` of `y = deformed_exp(u, p)` in u; 0 at y = 0 and inf."""
    inside, log_y = _interior(u, p)
    return jnp.where(inside, jnp.exp((1 - p) * log_y), 0)


def power_of_exp(
    u: Float[Array, "..."], p: Float[Array, ""], exponent: Float[Array, ""]
) -> Float[Array, "..."]:
    """Power `deformed_exp(u, p)^exponent`, for a positive exponent."""
    inside, log_y = _interior(u, p)
    power = jnp.where(inside, jnp.exp(exponent * log_y), 0)
    return jnp.where(inside | (p >= 0), power, jnp.inf)


def _is_zero(p: Array) -> Array:
    # Some devices take subnormal numbers for 0.
    return jnp.abs(p) < jnp.finfo(p.dtype).tiny
