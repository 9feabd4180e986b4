"""Anchors at equal distances, which value methods project or project onto."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Float

from ._sample import Sample


def gaps(sample: Sample) -> Float[Array, "*#batch 1"]:
    """The number of gaps between the finite elements that take part, or 1."""
    return jnp.maximum(sample.finite - 1, 1).astype(sample.keys.dtype)


def anchors(sample: Sample, before: Any) -> Float[Array, "*#batch n"]:
    """Anchors that descend from 1 to 0, one for each finite element that takes part.

    So many `before` them are at 1, and all behind them at 0.
    """
    last = sample.finite - 1
    left = jnp.clip(last + before - jnp.arange(sample.size), 0, last)
    return left.astype(sample.keys.dtype) / gaps(sample)
