"""The sample that a method is given: finite, and perhaps standardized."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from ..methods import Sample
from ._infinite import Outer, find_infinite, stand_in


def prepare(
    x: Float[Array, "*batch n"], softness: Array, *, absent: bool, standardize: bool
) -> tuple[Sample, Bool[Array, "*batch"], Outer]:
    """The sample; which rows have no answer; which elements are infinite.

    `absent` says whether elements of -inf are left out.
    """
    outer, nan, reach = find_infinite(x)
    bad = nan | ~(softness > 0)
    x = jnp.where(outer.up | outer.down | bad, 0, x)
    # Rows without an answer are whole, and finite.
    outer = Outer(*(jnp.where(bad, jnp.zeros((), a.dtype), a) for a in outer))
    where, total = None, None
    if absent:
        # Where all are absent, all are equally so.
        all_take_part = outer.below == x.shape[-1]
        where = ~outer.down | all_take_part
        total = x.shape[-1] - jnp.where(all_take_part, 0, outer.below)
    sample = Sample(x, None, where, total=total)
    if standardize:
        sample, reach = _standardize(sample, outer), jnp.ones_like(reach)
    low = not absent
    keys, infinite = stand_in(sample.keys, outer, reach, softness, low=low)
    sample = dataclasses.replace(sample, keys=keys, infinite=infinite)
    return sample, bad[..., 0], outer


def _standardize(sample: Sample, outer: Outer) -> Sample:
    """Keys that are z-scores squashed into (0, 1), free of the input's scale."""
    x = sample.values
    finite = ~(outer.up | outer.down)
    count = jnp.maximum(x.shape[-1] - outer.above - outer.below, 1)

    def mean(x: Array) -> Array:
        return jnp.sum(jnp.where(finite, x, 0), axis=-1, keepdims=True) / count

    center = mean(x)
    variance = mean((x - center) ** 2)
    positive = variance > 0
    scale = jnp.where(positive, jnp.sqrt(jnp.where(positive, variance, 1)), 1)
    keys = jax.nn.sigmoid((x - center) / scale)
    return dataclasses.replace(
        sample, keys=keys, averaged=x, center=center, scale=scale
    )


def without_gradient(sample: Sample) -> Sample:
    """A sample whose values are averaged as they are, by keys that do not move."""
    keys = jax.lax.stop_gradient(sample.keys)
    return dataclasses.replace(sample, keys=keys, averaged=sample.values)
