"""Anchors at equal distances, which value methods project or project onto."""

from __future__ import annotations

import jax.numpy as jnp
from jaxtyping import Array, Float

from ._method import Sample


def intervals(sample: Sample) -> Float[Array, "*#batch 1"]:
    """From the first to the last of those that take part, or 1."""
    return jnp.maximum(sample.present - 1, 1).astype(sample.keys.dtype)


def anchors(sample: Sample) -> Float[Array, "*#batch n"]:
    """As many as take part, descending from 1 to 0; the others are at 0."""
    left = jnp.maximum(sample.present - 1 - jnp.arange(sample.size), 0)
    return left.astype(sample.keys.dtype) / intervals(sample)
