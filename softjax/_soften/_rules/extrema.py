"""Extrema along axes, in windows and so far, and where they are."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax.extend.core import JaxprEqn
from jaxtyping import Array

from ... import axiswise, comparison
from .. import _jaxprs
from .._context import Context, Unsupported
from .._settings import ELEMENTWISE
from .._values import (
    Chance,
    Count,
    Dist,
    Known,
    Real,
    Value,
    is_bool,
    is_integral,
    new_key,
    of_mean,
)
from .arithmetic import real
from .logic import all_of, any_of

_SOFT: dict[str, Callable[..., Any]] = {
    "reduce_max": axiswise.max,
    "reduce_min": axiswise.min,
    "cummax": axiswise.cummax,
    "cummin": axiswise.cummin,
    "reduce_window_max": axiswise.max,
    "reduce_window_min": axiswise.min,
    "argmax": axiswise.argmax,
    "argmin": axiswise.argmin,
}

_WHERE = {"reduce_max": axiswise.argmax, "reduce_min": axiswise.argmin}

_OF_BOOLEANS = {"reduce_max": any_of, "reduce_min": all_of}


def _numbers(value: Value) -> Array:
    """Floats, or the means of integers."""
    if isinstance(value, Real | Count | Dist):
        return value.mean()
    raise Unsupported("of Booleans")


def first_of_equals(value: Value, axis: int, sign: int) -> Array:
    """Numbers in which the first of equal integers is ahead of the others.

    Integers are often equal, and lie 1 apart if not: a ramp of height 1/2 decides.
    """
    numbers = _numbers(value)
    if not is_integral(value):
        return numbers
    n = numbers.shape[axis]
    ramp = jnp.arange(n, dtype=numbers.dtype) / (2 * n)
    shape = [1] * numbers.ndim
    shape[axis] = n
    return numbers + sign * ramp.reshape(shape)


def _as(eqn: JaxprEqn, values: Array, x: Value) -> Value:
    return of_mean(values, _jaxprs.aval(eqn).dtype, is_integral(x))


def _reduce(context: Context, eqn: JaxprEqn, operands: Sequence[Value]) -> Value:
    (x,) = operands
    axes, name = tuple(eqn.params["axes"]), eqn.primitive.name
    if not axes:
        return x
    if is_bool(x.dtype):
        return Chance(_OF_BOOLEANS[name](x.mean(), axes), new_key())
    numbers = _numbers(x)
    context.softened(eqn, "max", name.replace("reduce_", "soft "))
    return _as(eqn, _SOFT[name](numbers, axis=axes, **context.keywords("max")), x)


def _so_far(context: Context, eqn: JaxprEqn, operands: Sequence[Value]) -> Value:
    """Extrema of the first 1, 2, ..., n elements."""
    (x,) = operands
    numbers, name = _numbers(x), eqn.primitive.name
    context.softened(eqn, "max", f"soft {name.removeprefix('cum')} so far")
    params = {key: eqn.params[key] for key in ("axis", "reverse")}
    return _as(eqn, _SOFT[name](numbers, **params, **context.keywords("max")), x)


def _windows(context: Context, eqn: JaxprEqn, operands: Sequence[Value]) -> Value:
    """Extrema in windows, each of which is a row."""
    (x,) = operands
    params = eqn.params
    if any(size != 1 for size in params["base_dilation"]):
        raise Unsupported("of a dilated base")
    name = eqn.primitive.name
    context.softened(eqn, "max", f"soft {name.removeprefix('reduce_window_')}")
    absent = -jnp.inf if name == "reduce_window_max" else jnp.inf
    padded = jnp.pad(_numbers(x), params["padding"], constant_values=absent)
    sizes, strides = params["window_dimensions"], params["window_strides"]
    dilation = params["window_dilation"]
    shape = _jaxprs.aval(eqn).shape
    parts = []
    for offsets in itertools.product(*map(range, sizes)):
        starts = [o * d for o, d in zip(offsets, dilation, strict=True)]
        limits = [
            start + (n - 1) * step + 1
            for start, n, step in zip(starts, shape, strides, strict=True)
        ]
        parts.append(jax.lax.slice(padded, starts, limits, strides))
    rows = jnp.stack(parts, axis=-1)
    return _as(eqn, _SOFT[name](rows, axis=-1, **context.keywords("max")), x)


def _where(context: Context, eqn: JaxprEqn, operands: Sequence[Value]) -> Value:
    (x,) = operands
    (axis,), dtype = eqn.params["axes"], eqn.params["index_dtype"]
    name, n = eqn.primitive.name, x.shape[axis]
    points = tuple(range(n))
    if is_bool(x.dtype):
        probs = _first(jnp.moveaxis(x.mean(), axis, -1), name == "argmax")
    else:
        context.softened(eqn, "argmax", f"soft {name}")
        keywords = context.keywords("argmax")
        numbers = first_of_equals(x, axis, -1 if name == "argmax" else 1)
        probs = _SOFT[name](numbers, axis=axis, **keywords)
    return Dist(probs, None, points, jnp.dtype(dtype), new_key())


def _first(p: Array, true: bool) -> Array:
    """The place of the first true one of independent events, or the first false one.

    The first place of all has what is left: `argmax` of equal ones.
    """
    p = p if true else 1 - p
    none_before = jnp.cumprod(1 - p, axis=-1)
    left = none_before[..., -1]
    none_before = jnp.roll(none_before, 1, axis=-1).at[..., 0].set(1)
    return (p * none_before).at[..., 0].add(left)


def peak(context: Context, eqn: JaxprEqn, x: Array) -> Array | None:
    """The probability of being the extremum that an equation computes, or None."""
    name = eqn.primitive.name
    if name in _WHERE:
        axes = tuple(eqn.params["axes"])
        moved = jnp.moveaxis(x, axes, range(-len(axes), 0))
        rows = moved.reshape(*moved.shape[: x.ndim - len(axes)], -1)
        p = _WHERE[name](rows, axis=-1, **context.keywords("argmax"))
        return jnp.moveaxis(p.reshape(moved.shape), range(-len(axes), 0), axes)
    if name in ("reduce_window_max", "reduce_window_min"):
        (extremum,) = _jaxprs.bind(eqn, x)
        if extremum.shape == x.shape:
            keywords = context.keywords("argmax", *ELEMENTWISE)
            return comparison.equal(x, extremum, **keywords)
    return None


def _chosen_in_windows(
    context: Context, eqn: JaxprEqn, operands: Sequence[Value]
) -> Any:
    """Parts of the derivative of an extremum in windows, whose place is known."""
    if not isinstance(operands[1], Known):
        raise Unsupported("which element of a window is the extremum")
    return real(eqn, operands)


EXTREMA = {
    **dict.fromkeys(
        ("select_and_gather_add", "select_and_scatter_add"), _chosen_in_windows
    ),
    **dict.fromkeys(("reduce_max", "reduce_min"), _reduce),
    **dict.fromkeys(("cummax", "cummin"), _so_far),
    **dict.fromkeys(("reduce_window_max", "reduce_window_min"), _windows),
    **dict.fromkeys(("argmax", "argmin"), _where),
}
