"""Activations of `jax.nn` that are made of the relu.

They share the keywords of elementwise operators, `softness` and `mode`, and `gated`;
see [`softjax.relu`][].
"""

from __future__ import annotations

from typing import Any, Unpack

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ._defaults import reads_defaults
from ._transition import GATED, GatedKeywords, apply_gated
from .elementwise import at_finite, soft_clip


def _relu6(transition, x):
    return soft_clip(transition, x, 0, 6)


@reads_defaults("elementwise", keywords=GATED)
def relu6(x: Any, **keywords: Unpack[GatedKeywords]) -> Float[Array, "..."]:
    """Soft `jax.nn.relu6`: `relu(x) - relu(x - 6)`.

    **Example:**

        >>> print(sj.relu6(jnp.array([-1.0, 0.0, 3.0, 6.0])))
        [0.    0.069 3.    5.931]
    """
    return apply_gated("relu6", _relu6, jax.nn.relu6, {"x": x}, keywords)


def _hard_tanh(transition, x):
    return soft_clip(transition, x, -1, 1)


@reads_defaults("elementwise", keywords=GATED)
def hard_tanh(x: Any, **keywords: Unpack[GatedKeywords]) -> Float[Array, "..."]:
    """Soft `jax.nn.hard_tanh`: `relu(x + 1) - relu(x - 1) - 1`.

    **Example:**

        >>> print(sj.hard_tanh(jnp.array([-2.0, -1.0, 0.5, 1.0])))
        [-1.    -0.931  0.499  0.931]
    """
    rules = _hard_tanh, jax.nn.hard_tanh
    return apply_gated("hard_tanh", *rules, {"x": x}, keywords)


def _hard_sigmoid(transition, x):
    # Rather than a clip to [-3, 3], a sixth of whose end is not -1/2 in floats.
    return soft_clip(transition, x + 3, 0, 6) / 6


@reads_defaults("elementwise", keywords=GATED)
def hard_sigmoid(x: Any, **keywords: Unpack[GatedKeywords]) -> Float[Array, "..."]:
    """Soft `jax.nn.hard_sigmoid`: `(relu(x + 3) - relu(x - 3)) / 6`.

    In [0, 1], but for `"gated_"` modes.

    **Example:**

        >>> print(sj.hard_sigmoid(jnp.array([-4.0, -3.0, 0.0, 3.0])))
        [0.    0.012 0.5   0.988]
    """
    rules = _hard_sigmoid, jax.nn.hard_sigmoid
    return apply_gated("hard_sigmoid", *rules, {"x": x}, keywords)


def _hard_silu(transition, x):
    beyond = jnp.where(x < 0, 0, x)
    return at_finite(lambda x: x * _hard_sigmoid(transition, x), x, beyond)


@reads_defaults("elementwise", keywords=GATED)
def hard_silu(x: Any, **keywords: Unpack[GatedKeywords]) -> Float[Array, "..."]:
    """Soft `jax.nn.hard_silu`: `x hard_sigmoid(x)`, with [`softjax.hard_sigmoid`][].

    **Example:**

        >>> print(sj.hard_silu(jnp.array([-4.0, -3.0, 0.0, 3.0])))
        [-0.    -0.035  0.     2.965]
    """
    rules = _hard_silu, jax.nn.hard_silu
    return apply_gated("hard_silu", *rules, {"x": x}, keywords)


@reads_defaults("elementwise", keywords=GATED)
def hard_swish(x: Any, **keywords: Unpack[GatedKeywords]) -> Float[Array, "..."]:
    """Soft `jax.nn.hard_swish`, another name of [`softjax.hard_silu`][].

    **Example:**

        >>> print(sj.hard_swish(jnp.array([-4.0, -3.0, 0.0, 3.0])))
        [-0.    -0.035  0.     2.965]
    """
    rules = _hard_silu, jax.nn.hard_silu
    return apply_gated("hard_swish", *rules, {"x": x}, keywords)


def _leaky_relu(transition, x, negative_slope):
    slope = negative_slope.astype(x.dtype)
    negative = x <= 0
    line = jnp.where(negative, slope, 1) * x
    return line + (1 - slope) * transition.tail(jnp.where(negative, x, -x))


@reads_defaults("elementwise", keywords=GATED)
def leaky_relu(
    x: Any, negative_slope: Any = 0.01, **keywords: Unpack[GatedKeywords]
) -> Float[Array, "..."]:
    """Soft `jax.nn.leaky_relu`: `a x + (1 - a) relu(x)`, with `a = negative_slope`.

    **Arguments:**

    - `negative_slope`: a number, or an array that broadcasts to the shape of x. It can
        be differentiated.

    **Example:**

        >>> x = jnp.array([-1.0, 0.0, 1.0])
        >>> print(sj.leaky_relu(x, 0.1))
        [-0.1    0.062  1.   ]
    """
    slope, rules = dict(negative_slope=negative_slope), (_leaky_relu, jax.nn.leaky_relu)
    return apply_gated("leaky_relu", *rules, {"x": x}, keywords, slope)
