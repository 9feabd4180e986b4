"""Elementwise operators: all of them follow from one soft step.

They share two keywords. `softness` says how far from hard, in the unit of x: a positive
number or an array that broadcasts against x. `mode` is the regularizer, a name or an
instance (see `softjax.solvers.get_regularizer`), or `"hard"` for the hard operator.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Unpack

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from softjax_solvers import Regularizer

from ._defaults import reads_defaults
from ._keywords import is_hard
from ._transition import GATED, GatedKeywords, Transition, apply, apply_gated


def _hard_heaviside(x):
    return jnp.heaviside(x, 0.5)


def _heaviside(transition, x):
    return transition.heaviside(x)


@reads_defaults("elementwise")
def heaviside(
    x: Any, *, softness: Any = 0.1, mode: str | Regularizer = "smooth"
) -> Float[Array, "..."]:
    """Soft `jax.numpy.heaviside`: `H(x) = argmax([x, 0])[0]`, in [0, 1], 1/2 at 0.

    `argmax` is the projection of `[x, 0]` onto the simplex, with softness multiplied by
    `5 / (r'(1) - r'(0))`, or 1 if that is less, so that a bounded transition takes
    place in `[-5 softness, 5 softness]`. With the entropy, the logistic function.

    **Example:**

        >>> x = jnp.array([-1.0, -0.1, 0.0, 0.1])
        >>> print(sj.heaviside(x))
        [0.    0.269 0.5   0.731]
        >>> print(sj.heaviside(x, mode="c0"))
        [0.  0.4 0.5 0.6]
    """
    return apply(_heaviside, _hard_heaviside, {"x": x}, softness, mode)


@reads_defaults("elementwise", hard=False)
def sigmoidal(
    x: Any, *, softness: Any = 0.1, mode: str | Regularizer = "smooth"
) -> Float[Array, "..."]:
    """The S-shaped function of a mode, [`softjax.heaviside`][] without a hard mode.

    **Raises:** `ValueError` for `mode="hard"`.

    **Example:**

        >>> print(sj.sigmoidal(jnp.array([-1.0, 0.0, 2.0]), softness=1.0))
        [0.269 0.5   0.881]
    """
    _refuse_hard(mode, "sigmoidal", "heaviside")
    return heaviside(x, softness=softness, mode=mode)


def _sign(transition, x):
    return 2 * transition.heaviside(x) - 1


@reads_defaults("elementwise")
def sign(
    x: Any, *, softness: Any = 0.1, mode: str | Regularizer = "smooth"
) -> Float[Array, "..."]:
    """Soft `jax.numpy.sign`: `2 H(x) - 1`, with H from [`softjax.heaviside`][].

    **Example:**

        >>> x = jnp.array([-1.0, 0.1, 0.3])
        >>> print(sj.sign(x))
        [-1.     0.462  0.905]
        >>> print(sj.sign(x, mode="hard"))
        [-1.  1.  1.]
    """
    return apply(_sign, jnp.sign, {"x": x}, softness, mode)


def at_finite(
    fn: Callable[[Float[Array, "..."]], Float[Array, "..."]],
    x: Float[Array, "..."],
    beyond: Float[Array, "..."],
) -> Float[Array, "..."]:
    """`fn(x)`, and `beyond` where x is infinite, or NaN.

    There the slope of a step, 0, times x would be NaN, in derivatives too.
    """
    finite = jnp.isfinite(x)
    return jnp.where(finite, fn(jnp.where(finite, x, 0)), beyond)


def soft_abs(transition: Transition, x: Float[Array, "..."]) -> Float[Array, "..."]:
    return at_finite(lambda x: x * _sign(transition, x), x, jnp.abs(x))


@reads_defaults("elementwise")
def abs(
    x: Any, *, softness: Any = 0.1, mode: str | Regularizer = "smooth"
) -> Float[Array, "..."]:
    """Soft `jax.numpy.abs`: `x sign(x)`, between 0 and |x|.

    **Example:**

        >>> x = jnp.array([-0.2, 0.0, 1.0])
        >>> print(sj.abs(x))
        [0.152 0.    1.   ]
        >>> print(sj.abs(x, softness=0.01))
        [0.2 0.  1. ]
    """
    return apply(soft_abs, jnp.abs, {"x": x}, softness, mode)


def _relu(transition, x):
    return transition.relu(x)


@reads_defaults("elementwise", keywords=GATED)
def relu(x: Any, **keywords: Unpack[GatedKeywords]) -> Float[Array, "..."]:
    """Soft `jax.nn.relu`: the integral of [`softjax.heaviside`][] from -inf to x.

    With the entropy, the softplus. By Danskin's theorem it is the regularized maximum
    of [x, 0].

    **Arguments:**

    - `gated`: take `x H(x)` in place of the integral (with the entropy, the SiLU). The
        prefix `"gated_"` of a mode's name, as in `"gated_c1"`, means the same.

    **Example:**

        >>> x = jnp.array([-1.0, -0.1, 0.0, 1.0])
        >>> print(sj.relu(x))
        [0.    0.031 0.069 1.   ]
        >>> print(sj.relu(x, gated=True))
        [-0.    -0.027  0.     1.   ]
    """
    return apply_gated("relu", _relu, jax.nn.relu, {"x": x}, keywords)


@reads_defaults("elementwise", hard=False, keywords=GATED)
def softrelu(x: Any, **keywords: Unpack[GatedKeywords]) -> Float[Array, "..."]:
    """The integral of [`softjax.sigmoidal`][]: the soft relu without a hard mode.

    **Arguments:**

    - `gated`: as for [`softjax.relu`][].

    **Raises:** `ValueError` for `mode="hard"`.

    **Example:**

        >>> print(sj.softrelu(jnp.array([-1.0, 0.0, 1.0]), softness=1.0))
        [0.313 0.693 1.313]
    """
    _refuse_hard(keywords.get("mode"), "softrelu", "relu")
    return apply_gated("softrelu", _relu, jax.nn.relu, {"x": x}, keywords)


def soft_clip(
    transition: Transition, x: Array, min: Any = None, max: Any = None
) -> Float[Array, "..."]:
    # min + relu(x - min) - relu(x - max), as the hard clip and what the two relus
    # exceed the hard ones by: far from 0 nothing cancels, and bounds may be infinite.
    hard, excess = x, 0
    if min is not None:
        if max is not None:
            min = jnp.where(min > max, max, min)  # max prevails, as in jax.numpy
        below = x <= min
        gap = difference(x, min)
        hard = jnp.where(below, min, hard)
        excess = transition.tail(jnp.where(below, gap, -gap))
    if max is not None:
        above = x >= max
        gap = difference(x, max)
        hard = jnp.where(above, max, hard)
        excess = excess - transition.tail(jnp.where(above, -gap, gap))
    return hard + excess


_HARD_CLIPS = {
    (): lambda x: x,
    ("min",): lambda x, min: jnp.clip(x, min),
    ("max",): lambda x, max: jnp.clip(x, max=max),
    ("min", "max"): jnp.clip,
}
"""The bounds that there are -> the hard operator, called with x and with these."""


def difference(x: Float[Array, "..."], y: Float[Array, "..."]) -> Float[Array, "..."]:
    """`x - y`, and 0 where both are the same infinity."""
    same = (x == y) & jnp.isinf(x)
    return jnp.where(same, 0, x) - jnp.where(same, 0, y)


@reads_defaults("elementwise", keywords=GATED)
def clip(
    x: Any, min: Any = None, max: Any = None, **keywords: Unpack[GatedKeywords]
) -> Float[Array, "..."]:
    """Soft `jax.numpy.clip`: `min + relu(x - min) - relu(x - max)`.

    **Arguments:**

    - `min`, `max`: bounds that broadcast against x; None for no bound.
    - `gated`: as for [`softjax.relu`][].

    **Example:**

        >>> x = jnp.array([-1.0, 0.05, 0.5, 2.0])
        >>> print(sj.clip(x, 0.0, 1.0))
        [0.    0.097 0.5   1.   ]
        >>> print(sj.clip(x, 0.0, 1.0, mode="hard"))
        [0.   0.05 0.5  1.  ]
    """
    bounds = {"min": min, "max": max}
    bounds = {name: bound for name, bound in bounds.items() if bound is not None}
    hard = _HARD_CLIPS[tuple(bounds)]
    return apply_gated("clip", soft_clip, hard, dict(x=x, **bounds), keywords)


def _maximum(transition, x, y):
    below = x <= y
    gap = difference(x, y)
    return jnp.where(below, y, x) + transition.tail(jnp.where(below, gap, -gap))


@reads_defaults("elementwise", keywords=GATED)
def maximum(x: Any, y: Any, **keywords: Unpack[GatedKeywords]) -> Float[Array, "..."]:
    """Soft `jax.numpy.maximum`: `y + relu(x - y)`, symmetric in x and y.

    With the entropy, `softness log(exp(x / softness) + exp(y / softness))`. NaN where
    one of them is.

    **Arguments:**

    - `gated`: as for [`softjax.relu`][]: `p x + (1 - p) y` with `p = H(x - y)`, the
        mean of both under the soft argmax, which is not above the hard maximum.

    **Example:**

        >>> x = jnp.array([-1.0, 0.4, 0.5])
        >>> print(sj.maximum(x, 0.5))
        [0.5   0.531 0.569]
        >>> print(sj.maximum(x, 0.5, gated=True))
        [0.5   0.473 0.5  ]
    """
    arrays = {"x": x, "y": y}
    return apply_gated("maximum", _maximum, jnp.maximum, arrays, keywords)


def _minimum(transition, x, y):
    return -_maximum(transition, -x, -y)


@reads_defaults("elementwise", keywords=GATED)
def minimum(x: Any, y: Any, **keywords: Unpack[GatedKeywords]) -> Float[Array, "..."]:
    """Soft `jax.numpy.minimum`: `y - relu(y - x)`, minus the maximum of -x and -y.

    **Arguments:**

    - `gated`: as for [`softjax.maximum`][].

    **Example:**

        >>> print(sj.minimum(jnp.array([-1.0, 0.4, 0.5]), 0.5))
        [-1.     0.369  0.431]
    """
    arrays = {"x": x, "y": y}
    return apply_gated("minimum", _minimum, jnp.minimum, arrays, keywords)


def _fmax(transition, x, y):
    only_x, only_y = jnp.isnan(y), jnp.isnan(x)
    neither = only_x | only_y
    both = _maximum(transition, *(jnp.where(neither, 0, a) for a in (x, y)))
    return jnp.where(only_x, x, jnp.where(only_y, y, both))


@reads_defaults("elementwise", keywords=GATED)
def fmax(x: Any, y: Any, **keywords: Unpack[GatedKeywords]) -> Float[Array, "..."]:
    """Soft `jax.numpy.fmax`: [`softjax.maximum`][], or the one that is not NaN.

    **Example:**

        >>> print(sj.fmax(jnp.array([jnp.nan, 0.4]), 0.5))
        [0.5   0.531]
    """
    arrays = {"x": x, "y": y}
    return apply_gated("fmax", _fmax, jnp.fmax, arrays, keywords)


def _fmin(transition, x, y):
    return -_fmax(transition, -x, -y)


@reads_defaults("elementwise", keywords=GATED)
def fmin(x: Any, y: Any, **keywords: Unpack[GatedKeywords]) -> Float[Array, "..."]:
    """Soft `jax.numpy.fmin`: [`softjax.minimum`][], or the one that is not NaN.

    **Example:**

        >>> print(sj.fmin(jnp.array([jnp.nan, 0.4]), 0.5))
        [0.5   0.369]
    """
    arrays = {"x": x, "y": y}
    return apply_gated("fmin", _fmin, jnp.fmin, arrays, keywords)


def _refuse_hard(mode: Any, name: str, hard: str) -> None:
    if is_hard(mode):
        raise ValueError(
            f"{name}: mode='hard' is not allowed, for it names the soft function. Use "
            f"softjax.{hard} for one that has a hard mode."
        )
