"""Quadrature of elementwise functions over intervals that may be half infinite."""

from __future__ import annotations

from collections.abc import Callable

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

_ORDER = 48


def _gauss_legendre() -> tuple[np.ndarray, np.ndarray]:
    nodes, weights = np.polynomial.legendre.leggauss(_ORDER)
    return (nodes + 1) / 2, weights / 2


def _double_exponential() -> tuple[np.ndarray, np.ndarray]:
    # On [0, inf): both exponential and algebraic tails fall off faster than any
    # exponential in s (Takahasi and Mori, 1974).
    s = np.linspace(-3.4, 2.9, _ORDER)
    step = s[1] - s[0]
    nodes = np.exp(np.pi / 2 * np.sinh(s))
    return nodes, step * np.pi / 2 * np.cosh(s) * nodes


def integrate(
    fn: Callable[[Float[Array, "*batch order"]], Float[Array, "*batch order"]],
    start: Float[Array, "*batch"],
    length: Float[Array, "*batch"],
    sign: int,
) -> Float[Array, "*batch"]:
    """Integral of `fn(start + sign * u)` over u in [0, length], `length` possibly inf.

    Gauss-Legendre on a finite interval, the double exponential rule on an infinite
    one. `fn` is called once, on an array with the nodes along a new last axis.
    """
    finite = jnp.isfinite(length)[..., None]
    span = jnp.where(finite, length[..., None], 1)
    (u, a), (v, b) = _gauss_legendre(), _double_exponential()
    dtype = start.dtype
    nodes = jnp.where(finite, span * jnp.asarray(u, dtype), jnp.asarray(v, dtype))
    weights = jnp.where(finite, span * jnp.asarray(a, dtype), jnp.asarray(b, dtype))
    values = fn(start[..., None] + sign * nodes)
    # A node so far out that the integrand underflows must not give inf * 0.
    return jnp.sum(jnp.where(values == 0, 0, weights * values), axis=-1)
