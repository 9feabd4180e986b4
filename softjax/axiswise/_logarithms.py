"""Logarithms of soft indices: their keywords, and a floor under them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from softjax_solvers.internal import is_traced, log_sum

from .._keywords import check_nonnegative
from ..methods import Sample


def check_logs(keywords: Mapping[str, Any], name: str) -> None:
    """Check what depends on values, as far as they are known.

    **Raises:** `TypeError` for a flag that is none, or an `eps` that is no number;
    `ValueError` for one that is negative, infinite, an array, or without use.
    """
    flag, eps = (
        keywords.get("return_log_probs", False),
        keywords.get("log_prob_eps", 0.0),
    )
    if not isinstance(flag, bool | np.bool_):
        raise TypeError(f"{name}: return_log_probs must be True or False, got {flag}.")
    if isinstance(eps, float) and eps == 0:
        return
    check_nonnegative(eps, f"{name}: log_prob_eps")
    if np.ndim(eps) != 0:
        raise ValueError(
            f"{name}: log_prob_eps must be a scalar, got shape {np.shape(eps)}."
        )
    if not flag and (is_traced(eps) or eps != 0):
        raise ValueError(
            f"{name}: log_prob_eps={eps} is a floor under logarithms, which only "
            "return_log_probs=True returns."
        )


def floored_rows(
    logs: Float[Array, "..."], eps: Any, sample: Sample, absent: bool
) -> Float[Array, "..."]:
    """`floored`, of shape `*batch n` or `*batch m n`.

    `absent` says whether elements of -inf have no part in it, unless all are.
    """
    keys = sample.keys
    mass = jnp.ones_like(keys) if sample.mass is None else sample.mass
    mass = mass if sample.where is None else jnp.where(sample.where, mass, 0)
    if absent:
        present = jnp.where(keys == -jnp.inf, 0, mass)
        some = jnp.any(present > 0, axis=-1, keepdims=True)
        mass = jnp.where(some, present, mass)
    mass = jnp.expand_dims(mass, tuple(range(mass.ndim - 1, logs.ndim - 1)))
    return floored(logs, eps, mass, jnp.sum(mass, axis=-1, keepdims=True))


def floored(
    logs: Float[Array, "..."],
    eps: Any,
    mass: Float[Array, "..."],
    total: Float[Array, "..."],
) -> Float[Array, "..."]:
    """Logarithms of `(p + eps mass) / (1 + eps total)`."""
    if isinstance(eps, int | float) and eps == 0:
        return logs
    eps = jnp.asarray(eps, logs.dtype)
    terms = jnp.stack([logs, jnp.zeros_like(logs)], -1)
    shares = [jnp.ones_like(logs), jnp.broadcast_to(eps * mass, logs.shape)]
    sums = log_sum(terms, -1, jnp.stack(shares, -1))
    # What is -inf does not move with the weights of others.
    return jnp.where(sums == -jnp.inf, sums, sums - jnp.log1p(eps * total))
