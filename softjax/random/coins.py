"""Draws of one of two values."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from softjax_solvers import Regularizer
from softjax_solvers.internal import broadcasts

from .. import comparison
from .._defaults import reads_defaults
from .._dispatch import dispatch
from .._keywords import as_float, check_softness
from .._types import SoftBool
from ._keys import check_key, parse_key
from ._run import check_probabilities, parse_dtype, parse_shape


def logit(p: Float[Array, "..."]) -> Float[Array, "..."]:
    """`log p - log (1 - p)`; infinite from 0 and 1 on, without a derivative there."""
    outside = (p <= 0) | (p >= 1)
    inner = jnp.where(outside, 0.5, p)
    edge = jnp.where(p <= 0, -jnp.inf, jnp.inf)
    return jnp.where(outside, edge, jnp.log(inner) - jnp.log1p(-inner))


def toss(
    key: Key[Array, ""],
    logits: Float[Array, "..."],
    shape: tuple[int, ...],
    softness: Any,
    mode: str | Regularizer,
) -> SoftBool:
    """Whether logits are positive with logistic noise."""
    scores = logits + jax.random.logistic(key, shape, logits.dtype)
    return comparison.greater(scores, 0.0, softness=softness, mode=mode)


def check_softness_shape(name: str, softness: Any, shape: tuple[int, ...]) -> None:
    """**Raises:** `ValueError` if an array of softness does not broadcast to draws."""
    given = jnp.shape(softness)
    if not broadcasts(shape, given):
        raise ValueError(
            f"{name}: softness of shape {given} must broadcast to the draws, of shape "
            f"{shape}."
        )


def _bernoulli(key, p, softness, *, shape, mode):
    p, dtype = as_float(p, "bernoulli: p")
    shape = parse_shape("bernoulli", shape, p.shape)
    check_softness_shape("bernoulli", softness, shape)
    key = parse_key(key, "bernoulli")
    return toss(key, logit(p), shape, softness, mode).astype(dtype)


@reads_defaults("comparison")
def bernoulli(
    key: Any,
    p: Any = 0.5,
    shape: tuple[int, ...] | None = None,
    *,
    softness: Any = 0.1,
    mode: str | Regularizer = "smooth",
) -> SoftBool:
    """Soft `jax.random.bernoulli`: draws of what is true with probability p.

    `greater(logit(p) + L, 0)` by [`softjax.greater`][], with independent logistic noise
    L: with the entropy, the binary concrete distribution. The hard one is 0 or 1, with
    the distribution of that of `jax.random`.

    **Arguments:**

    - `key`: a key of `jax.random`, old or new style.
    - `p`: in [0, 1]; at either end, its derivative is 0.
    - `shape`: of the draws; None for that of p, which broadcasts to it.
    - `softness`, `mode`: as for [`softjax.heaviside`][]; softness is in the unit of
        logits, and broadcasts to the draws.

    **Returns:** values in [0, 1].

    **Example:**

        >>> key, p = jax.random.key(1), jnp.array([0.2, 0.5, 0.9])
        >>> print(sj.random.bernoulli(key, p, softness=0.5))
        [0.037 0.567 0.981]
        >>> print(sj.random.bernoulli(key, p, mode="hard"))
        [0. 1. 1.]

    ??? cite

        Maddison, Mnih and Teh, "The concrete distribution", ICLR 2017.
    """
    check_key(key, "bernoulli")
    check_softness(softness)
    check_probabilities("bernoulli", p)
    return dispatch(_bernoulli, key, p, softness, shape=shape, mode=mode)


def _rademacher(key, softness, *, shape, dtype, mode):
    shape = parse_shape("rademacher", shape, ())
    dtype = dtype or jax.dtypes.canonicalize_dtype(float)
    wide = jnp.promote_types(dtype, jnp.float32)
    check_softness_shape("rademacher", softness, shape)
    key = parse_key(key, "rademacher")
    heads = toss(key, jnp.zeros((), wide), shape, softness, mode)
    return (2 * heads - 1).astype(dtype)


@reads_defaults("comparison")
def rademacher(
    key: Any,
    shape: tuple[int, ...] = (),
    dtype: Any = None,
    *,
    softness: Any = 0.1,
    mode: str | Regularizer = "smooth",
) -> Float[Array, "..."]:
    """Soft `jax.random.rademacher`: draws of -1 or 1, equally likely.

    `2 bernoulli(1/2) - 1`, with [`softjax.random.bernoulli`][].

    **Arguments:**

    - `key`: a key of `jax.random`, old or new style.
    - `shape`: of the draws.
    - `dtype`: a float type; None for that of `jnp.zeros`.
    - `softness`, `mode`: as for [`softjax.random.bernoulli`][].

    **Returns:** values in [-1, 1].

    **Example:**

        >>> print(sj.random.rademacher(jax.random.key(1), (3,), softness=1.0))
        [-0.123  0.068 -0.108]
    """
    check_key(key, "rademacher")
    check_softness(softness)
    dtype = parse_dtype("rademacher", dtype)
    return dispatch(_rademacher, key, softness, shape=shape, dtype=dtype, mode=mode)
