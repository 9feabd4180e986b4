"""Rounding: sums of soft steps, one at each number at which the hard function jumps.

They share the keywords of elementwise operators, `softness` and `mode`; H is
[`softjax.heaviside`][]. A step is half done where it stands, so that what is soft at an
integer is between both sides.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypedDict, Unpack

import jax.numpy as jnp
from jaxtyping import Array, Float

from softjax_solvers import Regularizer

from ._defaults import reads_defaults
from ._keywords import parse_index, with_defaults
from ._transition import Transition, apply
from .elementwise import at_finite

_MOST_DECIMALS = 300
"""Beyond, a power of ten is no float of any type."""


def _stairs(
    transition: Transition,
    below: Float[Array, "..."],
    distance: Float[Array, "..."],
    neighbor_radius: int,
) -> Float[Array, "..."]:
    """The level `below` the nearest step, and the steps around it."""
    # H(t) = 1 - H(-t) makes the steps that lie below x small and negative, so that
    # nothing cancels. All steps stand along a new leading axis.
    offsets = range(1, neighbor_radius + 1)
    ahead = [distance, *(distance - k for k in offsets)]
    unit = transition.unit[None] if transition.unit.ndim else transition.unit
    stacked = jnp.stack([*ahead, *(-distance - k for k in offsets)])
    steps = Transition(transition.regularizer, unit).heaviside(stacked)
    above, behind = steps[: len(ahead)], steps[len(ahead) :]
    return below + (jnp.sum(above, axis=0) - jnp.sum(behind, axis=0))


def _at_finite(
    transition: Transition,
    x: Float[Array, "..."],
    fn: Callable[[Float[Array, "..."]], Float[Array, "..."]],
) -> Float[Array, "..."]:
    """`fn(x)`, and x itself where it is not finite."""
    x, _ = jnp.broadcast_arrays(x, transition.unit)
    return at_finite(fn, x, x)


def _round(transition, x, neighbor_radius, decimals):
    factor = 10.0 ** abs(decimals)
    if factor > float(jnp.finfo(x.dtype).max):
        # No number has such decimals, or is half of such a unit.
        return x if decimals > 0 else jnp.where(jnp.isfinite(x), 0, x)
    scaled = x * factor if decimals >= 0 else x / factor

    def fn(x):
        floor = jnp.floor(x)
        return _stairs(transition, floor, x - floor - 0.5, neighbor_radius)

    rounded = _at_finite(transition, scaled, fn)
    rounded = rounded / factor if decimals >= 0 else rounded * factor
    return jnp.where(jnp.isfinite(scaled), rounded, x)


def _rint(transition, x, neighbor_radius):
    return _round(transition, x, neighbor_radius, 0)


def _floor(transition, x, neighbor_radius):
    def fn(x):
        nearest = jnp.round(x)
        return _stairs(transition, nearest - 1, x - nearest, neighbor_radius)

    return _at_finite(transition, x, fn)


def _ceil(transition, x, neighbor_radius):
    def fn(x):
        nearest = jnp.round(x)
        return _stairs(transition, nearest, x - nearest, neighbor_radius)

    return _at_finite(transition, x, fn)


def _trunc(transition, x, neighbor_radius):
    # The floor has a step at 0, and the truncation none.
    return _floor(transition, x, neighbor_radius) + transition.heaviside(-x)


def _hard(fn: Callable[..., Array]) -> Callable[..., Array]:
    """A function of jax.numpy, called with what only soft steps have a use for."""

    def hard(x, neighbor_radius, **options):
        return fn(x, **options)

    return hard


_HARD = {
    name: _hard(getattr(jnp, name))
    for name in ("round", "rint", "floor", "ceil", "trunc")
}


class RoundingKeywords(TypedDict, total=False):
    """The keywords that all of them share."""

    softness: Any
    mode: str | Regularizer
    neighbor_radius: int


_DEFAULTS: dict[str, Any] = dict(softness=0.1, mode="smooth", neighbor_radius=5)


def _rounded(
    name: str,
    soft: Callable[..., Array],
    x: Any,
    keywords: Mapping[str, Any],
    **options: Any,
) -> Array:
    given = with_defaults(keywords, _DEFAULTS, name)
    radius = parse_index(given["neighbor_radius"], "neighbor_radius")
    if radius < 0:
        raise ValueError(f"neighbor_radius must be at least 0, got {radius}.")
    given["neighbor_radius"] = radius
    return apply(soft, _HARD[name], {"x": x}, **given, **options)


@reads_defaults("elementwise", keywords=_DEFAULTS)
def round(
    x: Any, decimals: int = 0, **keywords: Unpack[RoundingKeywords]
) -> Float[Array, "..."]:
    """Soft `jax.numpy.round`: a sum of soft steps, one between any two integers.

    `floor(x) - m + sum_{k=-m}^{m} H(x - floor(x) - k - 1/2)`.

    **Arguments:**

    - `decimals`: d, how many decimal places to keep: `round(10^d x) / 10^d`, where
        softness is in units of the last one that is kept.
    - `neighbor_radius`: m, how many steps on either side of the nearest one to take
        into account. Softness above `m / 5` or so needs more.

    **Example:**

        >>> x = jnp.array([0.4, 0.6, 2.0])
        >>> print(sj.round(x))
        [0.269 0.731 2.   ]
        >>> print(sj.round(jnp.array([0.14, 0.16]), 1))
        [0.127 0.173]
        >>> print(jax.grad(lambda x: sj.round(x).sum())(x))
        [1.968 1.968 0.133]
    """
    decimals = parse_index(decimals, "decimals")
    if abs(decimals) > _MOST_DECIMALS:
        raise ValueError(
            f"round: decimals must be from -{_MOST_DECIMALS} to {_MOST_DECIMALS}, got "
            f"{decimals}."
        )
    return _rounded("round", _round, x, keywords, decimals=decimals)


@reads_defaults("elementwise", keywords=_DEFAULTS)
def rint(x: Any, **keywords: Unpack[RoundingKeywords]) -> Float[Array, "..."]:
    """Soft `jax.numpy.rint`: [`softjax.round`][] to integers, with its keywords.

    **Example:**

        >>> x = jnp.array([0.4, 0.5, 1.5])
        >>> print(sj.rint(x))
        [0.269 0.5   1.5  ]
        >>> print(sj.rint(x, mode="hard"))
        [0. 0. 2.]
    """
    return _rounded("rint", _rint, x, keywords)


@reads_defaults("elementwise", keywords=_DEFAULTS)
def floor(x: Any, **keywords: Unpack[RoundingKeywords]) -> Float[Array, "..."]:
    """Soft `jax.numpy.floor`: a sum of soft steps, one at each integer.

    `n - 1 - m + sum_{k=-m}^{m} H(x - n - k)`, where n is the integer nearest to x.

    **Arguments:**

    - `neighbor_radius`: as for [`softjax.round`][].

    **Example:**

        >>> x = jnp.array([0.5, 0.9, 1.1])
        >>> print(sj.floor(x))
        [0.    0.269 0.731]
        >>> print(sj.floor(x, mode="hard"))
        [0. 0. 1.]
    """
    return _rounded("floor", _floor, x, keywords)


@reads_defaults("elementwise", keywords=_DEFAULTS)
def ceil(x: Any, **keywords: Unpack[RoundingKeywords]) -> Float[Array, "..."]:
    """Soft `jax.numpy.ceil`: `floor(x) + 1`, with [`softjax.floor`][].

    **Arguments:**

    - `neighbor_radius`: as for [`softjax.round`][].

    **Example:**

        >>> x = jnp.array([0.5, 0.9, 1.1])
        >>> print(sj.ceil(x))
        [1.    1.269 1.731]
        >>> print(sj.ceil(x, mode="hard"))
        [1. 1. 2.]
    """
    return _rounded("ceil", _ceil, x, keywords)


@reads_defaults("elementwise", keywords=_DEFAULTS)
def trunc(x: Any, **keywords: Unpack[RoundingKeywords]) -> Float[Array, "..."]:
    """Soft `jax.numpy.trunc`: `floor(x) + H(-x)`, with [`softjax.floor`][].

    The sum of the steps at all integers but 0, and an odd function.

    **Arguments:**

    - `neighbor_radius`: as for [`softjax.round`][].

    **Example:**

        >>> x = jnp.array([-1.1, -0.5, 0.0, 0.9])
        >>> print(sj.trunc(x))
        [-0.731 -0.007  0.     0.269]
        >>> print(sj.trunc(x, mode="hard"))
        [-1. -0.  0.  0.]
    """
    return _rounded("trunc", _trunc, x, keywords)
