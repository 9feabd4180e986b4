"""Links and their derivatives where those may be infinite, at entries of 0 and 1."""

from __future__ import annotations

import jax.numpy as jnp
from jaxtyping import Array, Float

from .._core.regularizer import Regularizer
from .._kernels.arrays import eps
from .._kernels.derivatives import derivative

_LEAST = 1e-20
"""Least argument of r', so that it is finite."""

_MOST = 1e30
"""Largest value of r'', which multiplies 0 where it is infinite."""


def gradient(regularizer: Regularizer, y: Float[Array, " d"]) -> Float[Array, " d"]:
    """`r'(y)`, finite also where y is 0 or, up to rounding, 1."""
    t = regularizer.gradient(jnp.maximum(y, _LEAST))
    top = regularizer.gradient(jnp.asarray(1 - eps(y), y.dtype))
    return jnp.where((y > 1 / 2) & ~jnp.isfinite(t), top, t)


def curvature(regularizer: Regularizer, y: Float[Array, "..."]) -> Float[Array, "..."]:
    """`r''(y)`, finite also where y is 0."""
    _, bend = derivative(regularizer.gradient, jnp.maximum(y, _LEAST))
    return jnp.where(jnp.isfinite(bend), jnp.minimum(bend, _MOST), _MOST)


def free_to_move(
    y: Float[Array, " d"], moves: Float[Array, "*m d"]
) -> Float[Array, " d"]:
    """y, and 1/2 where nothing moves it: r'' may be infinite there."""
    moving = jnp.any(moves != 0, axis=tuple(range(moves.ndim - 1)))
    return jnp.where(moving, y, 1 / 2)
