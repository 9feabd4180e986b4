"""Predicates over a whole batch, in forms that are cheap for XLA and `jax.vmap`."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array


def any_true(x: Array) -> Array:
    """`jnp.any`, as a maximum of integers.

    On a CPU, XLA compiles that five times faster than a reduction of truth values (JAX
    0.10 to 0.12).
    """
    return jnp.max(x.astype(jnp.int32), initial=0) > 0


def anywhere(x: Array) -> Array:
    """Whether any element is true: one answer for a whole batch, also one of `vmap`.

    `jax.lax.cond` of a batched predicate becomes a selection, which computes both
    branches; with this predicate, which is not batched, it computes one of them.
    """
    return _anywhere(x)


@jax.custom_batching.custom_vmap
def _anywhere(x: Array) -> Array:
    return any_true(x)


@_anywhere.def_vmap
def _anywhere_in_batch(axis_size, in_batched, x):
    return _anywhere(x), False
