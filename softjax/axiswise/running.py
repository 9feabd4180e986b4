"""Running extrema: the largest and the smallest element of each prefix."""

from __future__ import annotations

import dataclasses
from typing import Any, Unpack

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from softjax_solvers.internal import (
    linear_recurrence,
    map_chunks,
    pad_last,
    prefix_maxima,
)

from .._keywords import as_float, parse_mode, with_defaults
from .._layout import layout_of
from ..methods import get_method
from ._keywords import ValueKeywords, along_axis
from ._operation import Operation
from ._rows import split_rows
from ._run import call, run
from .extrema import MAX, MIN

_CUMMAX = dataclasses.replace(MAX, name="cummax")
_CUMMIN = dataclasses.replace(MIN, name="cummin")


def _scan(
    x: Float[Array, "*batch n"],
    tau: Float[Array, "*#batch 1"],
    given: Bool[Array, "*batch n"],
) -> Float[Array, "*batch n"]:
    """Means of prefixes under weights `exp(x / tau)`, and -inf where there are none."""
    still = jax.lax.stop_gradient
    finite = jnp.isfinite(x) & given
    safe = jnp.where(finite, x, 0)
    top = prefix_maxima(jnp.where(finite, still(safe), -jnp.inf))

    def kept(apart):
        # What is further below counts nothing, and its distance may be infinite.
        return jnp.maximum(apart, -500 * still(tau))

    # Sums relative to the largest element so far, which is lost by it when it grows.
    former = pad_last(top, 1, -1, -jnp.inf)
    drop = kept(jnp.where(former > -jnp.inf, former - top, 0))
    factor = jnp.where(former > -jnp.inf, jnp.exp(drop / tau), 0)
    apart = kept(jnp.where(finite, safe - top, 0))
    own = jnp.where(finite, jnp.exp(apart / tau), 0)
    weight = linear_recurrence(factor, own)
    fall = factor * drop * pad_last(weight, 1, -1)
    moment = linear_recurrence(factor, own * apart + fall)
    some = top > -jnp.inf
    mean = jnp.where(some, top, 0) + moment / jnp.where(some, weight, 1)
    out = jnp.where(some, mean, -jnp.inf)
    place, n = jnp.arange(x.shape[-1]), x.shape[-1]

    def so_far(here):
        return place >= jnp.min(jnp.where(here & given, place, n), -1, keepdims=True)

    out = jnp.where(so_far(x == jnp.inf), jnp.inf, out)
    return jnp.where(so_far(jnp.isnan(x)), jnp.nan, out)


def _running(x, softness, *, operation, axis, keywords, reverse):
    given = with_defaults(keywords, operation.keywords(), operation.name)
    x, dtype = as_float(x)
    layout = layout_of(x.shape, axis, operation.name)
    rows, softness, *measure = split_rows(operation, x, softness, given, layout)
    if reverse:
        rows, *measure = (_backwards(a) for a in (rows, *measure))
    out = _prefixes(operation, rows, softness, given, *measure)
    out = _backwards(out) if reverse else out
    return (layout.place(out, -1) if x.ndim else out.reshape(())).astype(dtype)


def _backwards(x: Any) -> Any:
    return None if x is None else jnp.flip(x, -1)


def _prefixes(
    operation: Operation,
    rows: Float[Array, "*batch n"],
    softness: Float[Array, "*#batch 1"],
    given: dict[str, Any],
    where: Bool[Array, "*batch n"] | None,
    weights: Float[Array, "*batch n"] | None,
) -> Float[Array, "*batch n"]:
    """The operator on each prefix, by the fastest way that there is."""
    regularizer = parse_mode(given["mode"]).regularizer
    sign = -1 if operation.ascending else 1
    if rows.shape[-1] == 0:
        return rows
    if regularizer is None:
        hard = rows if where is None else jnp.where(where, rows, -sign * jnp.inf)
        if weights is not None:
            hard = jnp.where(weights > 0, hard, -sign * jnp.inf)
        return sign * jax.lax.cummax(sign * hard, rows.ndim - 1)
    rate = regularizer.structure().rate
    if rate is None or not _is_softmax(given):
        return _by_masks(operation, rows, softness, given, where, weights)
    mask = jnp.ones(rows.shape, bool) if where is None else where
    out = sign * _scan(sign * rows, softness / rate, mask)
    return jnp.where(softness > 0, out, jnp.nan)


def _is_softmax(given: dict[str, Any]) -> bool:
    """Whether no keyword but the mode and a mask says what weights are."""
    return (
        get_method(given["method"]) == get_method("softsort")
        and given["solver"] is None
        and given["weights"] is None
        and bool(given["gated_grad"])
        and not given["standardize"]
    )


def _by_masks(
    operation: Operation,
    rows: Float[Array, "*batch n"],
    softness: Float[Array, "*#batch 1"],
    given: dict[str, Any],
    where: Bool[Array, "*batch n"] | None,
    weights: Float[Array, "*batch n"] | None,
) -> Float[Array, "*batch n"]:
    """The operator on each prefix, by as many masks: O(n^2) time, O(n) memory."""
    places = jnp.arange(rows.shape[-1])

    def prefixes(last):
        last = last.reshape(-1, *(1,) * rows.ndim)
        mask = places <= last
        mask = mask if where is None else mask & where
        mask = jnp.broadcast_to(mask, (last.shape[0], *rows.shape))
        keywords = given | dict(where=mask)
        if weights is not None:
            keywords["weights"] = jnp.broadcast_to(weights, mask.shape)
        each = jnp.broadcast_to(rows, mask.shape)
        (out,), _ = run(operation, each, softness, -1, keywords)
        return out

    out = map_chunks(prefixes, places, row_size=rows.size)
    return jnp.moveaxis(out, 0, -1)


@along_axis("max", _CUMMAX)
def cummax(
    x: Any, axis: int = 0, reverse: bool = False, **keywords: Unpack[ValueKeywords]
) -> Float[Array, "..."]:
    """Soft `jax.lax.cummax`: entry i is [`softjax.max`][] of `x[:i + 1]`.

    A scan, in O(n) time, where shares are exponential, as in the mode `"smooth"` with
    the method `"softsort"`. In other modes, with other methods and with weights, a
    maximum under a mask for each entry, in O(n^2).

    **Arguments:**

    - `reverse`: whether prefixes are read from the end.

    **Example:**

        >>> print(sj.cummax(jnp.array([0.2, 1.0, 0.7, 1.2])))
        [0.2   1.    0.986 1.173]
        >>> print(sj.cummax(jnp.array([0.2, 1.0, 0.7, 1.2]), mode="hard"))
        [0.2 1.  1.  1.2]
    """
    return call(_running, _CUMMAX, x, axis, keywords, reverse=reverse)


@along_axis("max", _CUMMIN)
def cummin(
    x: Any, axis: int = 0, reverse: bool = False, **keywords: Unpack[ValueKeywords]
) -> Float[Array, "..."]:
    """Soft `jax.lax.cummin`: entry i is [`softjax.min`][] of `x[:i + 1]`.

    **Arguments:** as for [`softjax.cummax`][].

    **Example:**

        >>> print(sj.cummin(jnp.array([0.2, 1.0, 0.1, 0.7])))
        [0.2   0.2   0.127 0.128]
    """
    return call(_running, _CUMMIN, x, axis, keywords, reverse=reverse)
