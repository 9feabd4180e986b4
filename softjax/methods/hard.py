"""The operators themselves: what `mode="hard"` stands for."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from softjax_solvers.internal import invert, permute, safe_divide, sort_with_permutation

from ._intervals import ROUNDING, Intervals, times_infinite
from ._method import ALL_OPERATORS, IndexMethod, Relaxation
from ._sample import Sample, places_in_front


class Hard(IndexMethod):
    """The hard operators in the same form: one-hot indices, sorted values.

    Equals are taken in the order in which they stand; their rank is the average of
    theirs. With weights, an interval is read by the mass that it has of each element,
    and the maximum is the largest element of positive mass. Values beyond the elements
    that take part are -inf, and their indices 0. The relaxation is ignored.
    """

    takes_weights: ClassVar[frozenset[str]] = ALL_OPERATORS

    def argsort(self, sample: Sample, relaxation: Relaxation) -> Float[Array, "..."]:
        return _rows(sample, sample.cells(sample.size))

    def sort(self, sample: Sample, relaxation: Relaxation) -> Float[Array, "..."]:
        if sample.mass is not None:
            ordered = sample.ordered()
            values = ordered.cell_means(ordered.values)
            place = jnp.arange(sample.size)
            return jnp.where(place < sample.total, values, -jnp.inf)
        return _sorted(sample)

    def rank(self, sample: Sample, relaxation: Relaxation) -> Float[Array, "..."]:
        if sample.mass is not None:
            ordered = sample.ordered()
            return ordered.unsort(ordered.positions())
        minus = -sample.keys
        ordered = -self.sort(sample, relaxation)
        find = jnp.vectorize(
            lambda a, v, side: jnp.searchsorted(a, v, side=side),
            signature="(n),(n)->(n)",
            excluded={"side"},
        )
        first, last = (
            find(ordered, minus, side="left"),
            find(ordered, minus, side="right"),
        )
        if sample.where is not None:  # what is behind it is as small as -inf
            last = jnp.minimum(last, sample.total)
        return (first + last + 1).astype(minus.dtype) / 2

    def argmax(self, sample: Sample, relaxation: Relaxation) -> Float[Array, "..."]:
        sample = _as_mask(sample)
        if sample.where is None:
            return _one_hot(jnp.argmax(sample.keys, axis=-1), sample)
        return _one_hot(order(sample)[..., 0], sample)

    def max(self, sample: Sample, relaxation: Relaxation) -> Float[Array, "..."]:
        sample = _as_mask(sample)
        return jnp.max(_present(sample, sample.values), axis=-1)

    def top_k(
        self, sample: Sample, relaxation: Relaxation, k: int
    ) -> tuple[Float[Array, "..."], Float[Array, "..."]]:
        if sample.mass is None and sample.where is None:
            values, index = jax.lax.top_k(sample.values, k)
            return values, _one_hot(index, sample)
        cells = _of_present(sample, sample.cells(k))
        return _values(sample, cells), _rows(sample, cells)

    def argquantile(
        self, sample: Sample, relaxation: Relaxation, intervals: Intervals
    ) -> Float[Array, "..."]:
        return intervals.mix(_rows(sample, intervals), axis=-2)

    def quantile(
        self, sample: Sample, relaxation: Relaxation, intervals: Intervals
    ) -> Float[Array, "..."]:
        return intervals.mix_infinite(_values(sample, intervals))

    def argmedian(self, sample: Sample, relaxation: Relaxation) -> Float[Array, "..."]:
        return self.argquantile(sample, relaxation, sample.median_cells())[..., 0, :]

    def median(self, sample: Sample, relaxation: Relaxation) -> Float[Array, "..."]:
        return self.quantile(sample, relaxation, sample.median_cells())[..., 0]


def _as_mask(sample: Sample) -> Sample:
    """A sample with the elements of positive mass, each of them once."""
    if sample.mass is None:
        return sample
    return dataclasses.replace(sample, where=sample.mass > 0, mass=None, total=None)


def _present(sample: Sample, x: Float[Array, "*batch n"]) -> Float[Array, "*batch n"]:
    return x if sample.where is None else jnp.where(sample.where, x, -jnp.inf)


def _of_present(sample: Sample, cells: Intervals) -> Intervals:
    """Units of mass without what is -inf, unless they are nothing else."""
    if sample.mass is None:
        return cells
    mass = jnp.where(sample.keys > -jnp.inf, sample.mass, 0)
    return cells.up_to(jnp.sum(mass, axis=-1, keepdims=True))


def _sorted(sample: Sample) -> Float[Array, "*batch n"]:
    return -sort_with_permutation(-_present(sample, sample.values))[0]


def order(sample: Sample) -> Int[Array, "*batch n"]:
    """Elements from the largest key to the smallest, masked ones last."""
    order = sort_with_permutation(-sample.keys)[1]
    if sample.where is None:
        return order
    # Others than those that take part may not be smaller than they are, which is -inf.
    here = permute(sample.where, order)
    return permute(order, invert(places_in_front(here)))


def parts_of_k(k: Array, before: Array, mass: Array | None) -> Array:
    """The parts of elements among the first k, by the mass before each."""
    if mass is None:
        return jnp.clip(k - before, 0, 1)
    part = safe_divide(k - before, mass)
    return jnp.clip(jnp.where(mass > 0, part, before < k), 0, 1)


def _rows(sample: Sample, intervals: Intervals) -> Float[Array, "*batch m n"]:
    """Soft indices of intervals of mass."""
    if sample.mass is not None:
        ordered = sample.ordered()
        return ordered.unsort(ordered.shares(intervals))
    index = _one_hot(intervals.take(order(sample)), sample)
    if sample.where is None:
        return index
    return jnp.where((intervals.start < sample.total)[..., None], index, 0)


def _values(sample: Sample, intervals: Intervals) -> Float[Array, "*batch m"]:
    """Means of values over intervals of mass."""
    if sample.mass is None:
        return intervals.take(_sorted(sample))
    ordered = sample.ordered()
    share = ordered.shares(intervals)
    terms = times_infinite(share, ordered.values[..., None, :], ROUNDING)
    start = jnp.asarray(intervals.start)
    return jnp.where(start < sample.total, jnp.sum(terms, axis=-1), -jnp.inf)


def _one_hot(index: Array, sample: Sample) -> Float[Array, "... n"]:
    return jax.nn.one_hot(index, sample.size, dtype=sample.keys.dtype)
