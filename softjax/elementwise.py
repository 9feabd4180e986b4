"""Elementwise operators: all of them follow from one soft step.

They share two keywords. `softness` says how far from hard, in the unit of x: a positive
number or an array that broadcasts against x. `mode` is the regularizer, a name or an
instance (see `softjax.solvers.get_regularizer`), or `"hard"` for the hard operator.
"""

from __future__ import annotations

import operator
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from softjax_solvers import Regularizer

from ._defaults import reads_defaults
from ._transition import Transition, apply


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


def soft_abs(transition: Transition, x: Float[Array, "..."]) -> Float[Array, "..."]:
    return x * _sign(transition, x)


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


def _round(transition, x, neighbor_radius):
    x, _ = jnp.broadcast_arrays(x, transition.unit)
    finite = jnp.isfinite(x)
    floor = jnp.floor(jnp.where(finite, x, 0))
    middle = jnp.where(finite, x, 0) - floor - 0.5
    # H(t) = 1 - H(-t) makes the steps that lie below x small and negative, so that
    # nothing cancels. All steps stand along a new leading axis.
    offsets = range(1, neighbor_radius + 1)
    points = [middle, *(middle - k for k in offsets), *(-middle - k for k in offsets)]
    steps = transition.heaviside(jnp.stack(points))
    above, below = steps[: neighbor_radius + 1], steps[neighbor_radius + 1 :]
    rounded = floor + (jnp.sum(above, axis=0) - jnp.sum(below, axis=0))
    return jnp.where(finite, rounded, x)


def _hard_round(x, neighbor_radius):
    return jnp.round(x)


@reads_defaults("elementwise")
def round(
    x: Any,
    *,
    softness: Any = 0.1,
    mode: str | Regularizer = "smooth",
    neighbor_radius: int = 5,
) -> Float[Array, "..."]:
    """Soft `jax.numpy.round`: a sum of soft steps, one between any two integers.

    `floor(x) - m + sum_{k=-m}^{m} H(x - floor(x) - k - 1/2)`.

    **Arguments:**

    - `neighbor_radius`: m, how many steps on either side of the nearest one to take
        into account. Softness above `m / 5` or so needs more.

    **Example:**

        >>> x = jnp.array([0.4, 0.6, 2.0])
        >>> print(sj.round(x))
        [0.269 0.731 2.   ]
        >>> print(jax.grad(lambda x: sj.round(x).sum())(x))
        [1.968 1.968 0.133]
    """
    try:
        neighbor_radius = operator.index(neighbor_radius)
    except TypeError:
        raise TypeError(
            f"neighbor_radius must be an integer, got {neighbor_radius!r}."
        ) from None
    if neighbor_radius < 0:
        raise ValueError(f"neighbor_radius must be at least 0, got {neighbor_radius}.")
    return apply(
        _round,
        _hard_round,
        {"x": x},
        softness,
        mode,
        neighbor_radius=neighbor_radius,
    )


def _relu(transition, x):
    return transition.relu(x)


@reads_defaults("elementwise")
def relu(
    x: Any,
    *,
    softness: Any = 0.1,
    mode: str | Regularizer = "smooth",
    gated: bool = False,
) -> Float[Array, "..."]:
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
    return apply(_relu, jax.nn.relu, {"x": x}, softness, mode, gated=gated)


@reads_defaults("elementwise", hard=False)
def softrelu(
    x: Any,
    *,
    softness: Any = 0.1,
    mode: str | Regularizer = "smooth",
    gated: bool = False,
) -> Float[Array, "..."]:
    """The integral of [`softjax.sigmoidal`][]: the soft relu without a hard mode.

    **Arguments:**

    - `gated`: as for [`softjax.relu`][].

    **Raises:** `ValueError` for `mode="hard"`.

    **Example:**

        >>> print(sj.softrelu(jnp.array([-1.0, 0.0, 1.0]), softness=1.0))
        [0.313 0.693 1.313]
    """
    _refuse_hard(mode, "softrelu", "relu")
    return relu(x, softness=softness, mode=mode, gated=gated)


def _clip(transition, x, min=None, max=None):
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


@reads_defaults("elementwise")
def clip(
    x: Any,
    min: Any = None,
    max: Any = None,
    *,
    softness: Any = 0.1,
    mode: str | Regularizer = "smooth",
    gated: bool = False,
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
    return apply(_clip, hard, dict(x=x, **bounds), softness, mode, gated=gated)


def _refuse_hard(mode: str | Regularizer, name: str, hard: str) -> None:
    if isinstance(mode, str) and mode == "hard":
        raise ValueError(
            f"{name}: mode='hard' is not allowed, for it names the soft function. Use "
            f"softjax.{hard} for one that has a hard mode."
        )
