"""The sample that a method is given: finite, and perhaps standardized."""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from ..methods import Sample
from ._infinite import Outer, find_infinite, stand_in


class Mask(NamedTuple):
    """The elements that there are.

    **Attributes:**

    - `where`: `*batch n`; rows without any are whole, to be overwritten.
    - `given`: the mask itself.
    - `total`: how many elements there are, `*batch 1`.
    """

    where: Bool[Array, "*batch n"]
    given: Bool[Array, "*batch n"]
    total: Int[Array, "*batch 1"]

    @classmethod
    def of(cls, where: Bool[Array, "*batch n"]) -> "Mask":
        total = jnp.sum(where, axis=-1, keepdims=True)
        return cls(where | (total == 0), where, total)


def prepare(
    x: Float[Array, "*batch n"],
    softness: Array,
    mask: Mask | None,
    *,
    absent: bool,
    standardize: bool,
) -> tuple[Sample, Bool[Array, "*batch"], Outer]:
    """The sample; which rows have no answer; which elements are infinite.

    Masked elements of x are 0. `absent` says whether elements of -inf are left out.
    """
    where, total = None, np.full(1, x.shape[-1])
    if mask is not None:
        where, total = mask.where, jnp.where(mask.total == 0, total, mask.total)
    outer, nan, reach = find_infinite(x, total)
    bad = nan | ~(softness > 0)
    x = jnp.where(outer.up | outer.down | bad, 0, x)
    # Rows without an answer are finite.
    flags = (jnp.where(bad, jnp.zeros((), a.dtype), a) for a in outer[:-1])
    outer = Outer(*flags, total)  # pyright: ignore
    rest = None
    if absent:
        # Where all are absent, all are equally so.
        all_take_part = outer.below == total
        here = ~outer.down | all_take_part
        rest = ~here if where is None else ~here & where
        where = here if where is None else here & where
        total = total - jnp.where(all_take_part, 0, outer.below)
    sample = Sample(x, None, where, total=total, absent=rest)
    if standardize:
        sample, reach = _standardize(sample, outer, mask), jnp.ones_like(reach)
    low = not absent
    keys, infinite = stand_in(sample.keys, outer, reach, softness, low=low)
    sample = dataclasses.replace(sample, keys=keys, infinite=infinite)
    return sample, bad[..., 0], outer


def _standardize(sample: Sample, outer: Outer, mask: Mask | None) -> Sample:
    """Keys that are z-scores squashed into (0, 1), free of the input's scale."""
    x = sample.values
    finite = ~(outer.up | outer.down)
    if mask is not None:
        finite &= mask.where
    count = jnp.maximum(outer.total - outer.above - outer.below, 1)

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
