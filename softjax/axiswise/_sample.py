"""The sample that a method is given: finite, and perhaps standardized."""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Shaped

from softjax_solvers.internal import largest_and_sums

from ..methods import Sample
from ._infinite import Outer, Top, clip_infinite, find_infinite, stand_in
from ._operation import INDEX, Operation

_FAR = 1e15
"""Distance from the largest, in units of softness, of keys that take no part."""


class Measure(NamedTuple):
    """The elements that there are, and how much there is of each.

    **Attributes:**

    - `given`: a mask of what there is, `*batch n`.
    - `where`: as a sample has it: rows without mass are whole, to be overwritten.
    - `mass`: None for 1, or that of elements, 0 behind the mask; 1 in rows without any.
    - `total`: the mass of a row, `*batch 1`.
    """

    given: Bool[Array, "*batch n"]
    where: Bool[Array, "*batch n"]
    mass: Float[Array, "*batch n"] | None
    total: Shaped[Array, "*batch 1"]

    @classmethod
    def of(
        cls,
        where: Bool[Array, "*batch n"] | None,
        weights: Float[Array, "*batch n"] | None,
    ) -> "Measure | None":
        """None for all elements, once each."""
        if weights is None:
            if where is None:
                return None
            total = jnp.sum(where, axis=-1, keepdims=True)
            return cls(where, where | (total == 0), None, total)
        given = jnp.ones_like(weights, bool) if where is None else where
        mass = weights if where is None else jnp.where(where, weights, 0)
        total = jnp.sum(mass, axis=-1, keepdims=True)
        nothing = total == 0
        return cls(given, given | nothing, jnp.where(nothing, 1, mass), total)

    @property
    def bad(self) -> Bool[Array, "*batch 1"]:
        """Rows with a weight that is none: traced ones can't be refused."""
        if self.mass is None:
            return jnp.zeros_like(self.total, bool)
        return ~(jnp.isfinite(self.total) & jnp.all(self.mass >= 0, -1, keepdims=True))


def prepare(
    x: Float[Array, "*batch n"],
    softness: Array,
    measure: Measure | None,
    operation: Operation,
    *,
    standardize: bool,
    shares_equally: bool = False,
) -> tuple[Sample, Bool[Array, "*batch"], Outer | Top]:
    """The sample; which rows have no answer; which elements are infinite.

    Masked elements of x are 0. `shares_equally` is that of the method.
    """
    weighted = measure is not None and measure.mass is not None
    if operation.first_only and not (weighted or standardize):
        where = None if measure is None else measure.where
        by_mask = shares_equally and operation.outputs == (INDEX,)
        return _prepare_first(x, softness, where, by_mask=by_mask)
    absent = operation.absent
    where, mass, total = None, None, np.full(1, x.shape[-1])
    bad = ~(softness > 0)
    if measure is not None:
        where, mass = measure.where, measure.mass
        bad = bad if mass is None else bad | measure.bad
        total = jnp.where(measure.total == 0, total, measure.total)
    outer, nan, reach = find_infinite(x, mass, total)
    bad = bad | nan
    known = jnp.where(bad, 0, x)
    x = jnp.where(outer.up | outer.down | bad, 0, x)
    if mass is not None:
        mass, total = jnp.where(bad, 1, mass), jnp.where(bad, x.shape[-1], total)
        # What is infinite and has no weight leaves the sample; its place is known.
        empty = (outer.up | outer.down) & (mass == 0)
        where = ~empty if where is None else where & ~empty
    # Rows without an answer are finite.
    flags = (jnp.where(bad, jnp.zeros((), a.dtype), a) for a in outer[:4])
    # Without weights an infinite element has the first unit anyway.
    by_ratios = operation.first_only and shares_equally and mass is not None
    outer = Outer(*flags, mass, total, by_ratios)  # pyright: ignore
    rest = None
    if absent:
        # Where all are absent, all are equally so.
        all_take_part = outer.below == total
        if mass is not None:  # sums of which may be rounded
            finite = jnp.where(outer.down, 0, mass)
            all_take_part = ~jnp.any(finite > 0, axis=-1, keepdims=True)
        here = ~outer.down | all_take_part
        rest = ~here if where is None else ~here & where
        where = here if where is None else here & where
        total = total - jnp.where(all_take_part, 0, outer.below)
        if mass is not None:
            rest = jnp.where(rest, mass, 0)
            total = jnp.sum(jnp.where(here, mass, 0), axis=-1, keepdims=True)
    sample = Sample(x, None, where, mass=mass, total=total, absent=rest)
    if standardize:
        sample, reach = _standardize(sample, outer, measure), jnp.ones_like(reach)
    if absent or standardize or mass is not None:
        low = not absent
        keys, infinite = stand_in(sample.keys, outer, reach, softness, low=low)
    else:
        keys, infinite = clip_infinite(known, outer, reach, softness)
    sample = dataclasses.replace(sample, keys=keys, infinite=infinite)
    return sample, bad[..., 0], outer


def _prepare_first(
    x: Float[Array, "*batch n"],
    softness: Array,
    where: Bool[Array, "*batch n"] | None,
    *,
    by_mask: bool,
) -> tuple[Sample, Bool[Array, "*batch"], Top]:
    """`prepare` for the largest alone.

    If that is inf, or there is nothing but -inf, the answer is known, and all that a
    method is given is 0: of elements that are inf alone if they are told `by_mask`.
    """
    known, info = jax.lax.stop_gradient(x), jnp.finfo(x.dtype)
    inside = known if where is None else jnp.where(where, known, -jnp.inf)
    # Not by the maximum, in which XLA drops NaN in many shapes on a CPU (JAX 0.10), and
    # not by a sum of infinities of both signs.
    largest, size = largest_and_sums(inside, jnp.abs(known))
    nan = jnp.isnan(size)
    bad = nan | ~(softness > 0)
    top = Top(known, largest, by_mask)
    # Few operations on each element: XLA leaves small programs to the thread that calls
    # them, which saves more time than they take (on a CPU, below 1000 operations).
    # Elements that are NaN, of which the maximum knows, or not, take no part.
    settled = ~(jnp.abs(largest) < jnp.inf)
    seen, level = jnp.where(settled, 0, known), -jnp.inf
    if by_mask:
        infinite = largest == jnp.inf
        seen = jnp.where(settled & ~infinite, 0, known)
        level = jnp.where(infinite, info.max, level)
    here = seen > level
    x = jnp.where(settled, 0, x)
    here = here if where is None else here & where
    largest = jnp.where(settled, 0, largest)
    # Beyond rounding too, where the largest is huge or the softness tiny.
    gap = _FAR * jax.lax.stop_gradient(softness)
    gap = jnp.maximum(gap, 16 * info.eps * jnp.abs(largest))
    x = jnp.where(here, x, jnp.maximum(largest - gap, info.min))
    return Sample(x, None, here, largest=largest), bad[..., 0], top


def _standardize(sample: Sample, outer: Outer, measure: Measure | None) -> Sample:
    """Keys that are z-scores squashed into (0, 1), free of the input's scale."""
    x = sample.values
    finite = ~(outer.up | outer.down)
    mass = sample.mass
    if measure is not None:
        finite &= measure.where
    if mass is None:
        count = jnp.maximum(outer.total - outer.above - outer.below, 1)
    else:
        count = jnp.sum(jnp.where(finite, mass, 0), axis=-1, keepdims=True)
        count = jnp.where(count > 0, count, 1)

    def mean(x: Array) -> Array:
        x = x if mass is None else mass * x
        return jnp.sum(jnp.where(finite, x, 0), axis=-1, keepdims=True) / count

    # The rounded mean of equal numbers is another one, but that of no distances is 0.
    near = jax.lax.stop_gradient(mean(x))
    center = near + mean(x - near)
    variance = mean((x - center) ** 2)
    positive = variance > 0
    scale = jnp.where(positive, jnp.sqrt(jnp.where(positive, variance, 1)), 1)
    keys = jax.nn.sigmoid((x - center) / scale)
    return dataclasses.replace(
        sample, keys=keys, averaged=x, center=center, scale=scale
    )


def without_gradient(sample: Sample) -> Sample:
    """A sample whose values are averaged as they are, by keys that do not move."""
    values = sample.values
    sample = jax.lax.stop_gradient(sample)
    return dataclasses.replace(sample, averaged=values)
