"""Comparisons: soft steps of a difference, as probabilities in [0, 1].

They take the common keywords `softness` and `mode`; see [`softjax.heaviside`][], which
is H below. `mode="hard"` gives 0 or 1 as jax.numpy does, also at equality.
"""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp

from softjax_solvers import Regularizer

from ._defaults import reads_defaults
from ._keywords import parse_flag
from ._transition import apply
from ._types import SoftBool
from .elementwise import difference, soft_abs


def _greater(transition, x, y):
    return transition.heaviside(difference(x, y))


def _less(transition, x, y):
    return transition.heaviside(difference(y, x))


@reads_defaults("comparison")
def greater(
    x: Any, y: Any, *, softness: Any = 0.1, mode: str | Regularizer = "smooth"
) -> SoftBool:
    """Soft `jax.numpy.greater`: `H(x - y)`, the probability that x > y.

    **Example:**

        >>> x = jnp.array([0.3, 0.5, 0.6])
        >>> print(sj.greater(x, 0.5))
        [0.119 0.5   0.731]
        >>> print(sj.greater(x, 0.5, mode="hard"))
        [0. 0. 1.]
    """
    return apply(_greater, jnp.greater, {"x": x, "y": y}, softness, mode)


@reads_defaults("comparison")
def greater_equal(
    x: Any, y: Any, *, softness: Any = 0.1, mode: str | Regularizer = "smooth"
) -> SoftBool:
    """Soft `jax.numpy.greater_equal`: `H(x - y)`, like [`softjax.greater`][].

    **Example:**

        >>> x = jnp.array([0.3, 0.5, 0.6])
        >>> print(sj.greater_equal(x, 0.5))
        [0.119 0.5   0.731]
        >>> print(sj.greater_equal(x, 0.5, mode="hard"))
        [0. 1. 1.]
    """
    return apply(_greater, jnp.greater_equal, {"x": x, "y": y}, softness, mode)


@reads_defaults("comparison")
def less(
    x: Any, y: Any, *, softness: Any = 0.1, mode: str | Regularizer = "smooth"
) -> SoftBool:
    """Soft `jax.numpy.less`: `H(y - x)`, the probability that x < y.

    **Example:**

        >>> print(sj.less(jnp.array([0.3, 0.5, 0.6]), 0.5))
        [0.881 0.5   0.269]
    """
    return apply(_less, jnp.less, {"x": x, "y": y}, softness, mode)


@reads_defaults("comparison")
def less_equal(
    x: Any, y: Any, *, softness: Any = 0.1, mode: str | Regularizer = "smooth"
) -> SoftBool:
    """Soft `jax.numpy.less_equal`: `H(y - x)`, like [`softjax.less`][].

    **Example:**

        >>> x = jnp.array([0.3, 0.5, 0.6])
        >>> print(sj.less_equal(x, 0.5))
        [0.881 0.5   0.269]
        >>> print(sj.less_equal(x, 0.5, mode="hard"))
        [1. 1. 0.]
    """
    return apply(_less, jnp.less_equal, {"x": x, "y": y}, softness, mode)


def _isclose(transition, x, y, rtol=0, atol=0, equal_nan=False):
    special = ~(jnp.isfinite(x) & jnp.isfinite(y))
    both_nan = jnp.isnan(x) & jnp.isnan(y)
    # Two infinities are close if they are equal. NaN is kept.
    known = jnp.where(jnp.isnan(x) | jnp.isnan(y), jnp.nan, (x == y).astype(x.dtype))
    known = jnp.where(both_nan & equal_nan, 1, known)
    x, y = jnp.where(special, 0, x), jnp.where(special, 0, y)
    tolerance = atol + rtol * jnp.abs(y)
    distance = soft_abs(transition, x - y)
    close = transition.heaviside(tolerance - distance) / transition.heaviside(tolerance)
    close = jnp.where(close > 1, 1, close)  # by a unit of rounding
    return jnp.where(special, known, close)


def _hard_isclose(x, y, rtol, atol, equal_nan):
    # jax.numpy broadcasts tolerances only if they are numbers.
    x, y, rtol, atol = jnp.broadcast_arrays(x, y, rtol, atol)
    return jnp.isclose(x, y, rtol, atol, equal_nan)


def _not_equal(transition, x, y):
    return 1 - _isclose(transition, x, y)


@reads_defaults("comparison")
def equal(
    x: Any, y: Any, *, softness: Any = 0.1, mode: str | Regularizer = "smooth"
) -> SoftBool:
    """Soft `jax.numpy.equal`: `2 H(-d)` with the soft distance `d = abs(x - y)`.

    It is [`softjax.isclose`][] without tolerance: 1 where x = y, with slope 0 there.

    **Example:**

        >>> print(sj.equal(jnp.array([0.3, 0.5, 0.6]), 0.5))
        [0.358 1.    0.773]
    """
    return apply(_isclose, jnp.equal, {"x": x, "y": y}, softness, mode)


@reads_defaults("comparison")
def not_equal(
    x: Any, y: Any, *, softness: Any = 0.1, mode: str | Regularizer = "smooth"
) -> SoftBool:
    """Soft `jax.numpy.not_equal`: `1 - equal(x, y)`.

    **Example:**

        >>> print(sj.not_equal(jnp.array([0.3, 0.5, 0.6]), 0.5))
        [0.642 0.    0.227]
    """
    return apply(_not_equal, jnp.not_equal, {"x": x, "y": y}, softness, mode)


@reads_defaults("comparison")
def isclose(
    x: Any,
    y: Any,
    rtol: Any = 1e-05,
    atol: Any = 1e-08,
    equal_nan: bool = False,
    *,
    softness: Any = 0.1,
    mode: str | Regularizer = "smooth",
) -> SoftBool:
    """Soft `jax.numpy.isclose`: `H(tol - d) / H(tol)`, `tol = atol + rtol |y|`.

    `d` is the soft distance [`softjax.abs`][] of x - y. It is 1 where x = y.

    **Arguments:**

    - `rtol`, `atol`: the tolerances, nonnegative.
    - `equal_nan`: whether two NaN are close. If not, NaN is returned for NaN.

    **Example:**

        >>> x = jnp.array([0.0, 0.2, 0.4, 1.0])
        >>> print(sj.isclose(x, 0.0, atol=0.3))
        [1.    0.855 0.313 0.001]
        >>> print(sj.isclose(x, 0.0, atol=0.3, mode="hard"))
        [1. 1. 0. 0.]
    """
    return apply(
        _isclose,
        _hard_isclose,
        {"x": x, "y": y},
        softness,
        mode,
        parameters={"rtol": rtol, "atol": atol},
        equal_nan=parse_flag(equal_nan, "isclose: equal_nan"),
    )
