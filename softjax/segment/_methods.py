"""Formulations of operators over segments: rows of a problem of all of them."""

from __future__ import annotations

import abc
import contextlib
from collections.abc import Callable
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from softjax_solvers import (
    SegmentedSimplexProjection,
    SegmentedSoftSortRows,
)
from softjax_solvers.internal import deviation_scores, distance, replace_value

from ..methods import Intervals, Method, NeuralSort, Relaxation, SoftSort, get_method
from ..methods._intervals import median_cells
from ..methods.hard import Hard
from ._sample import Ordered, Sample


class Formulation(eqx.Module):
    """A method over segments. Positions count from the largest key of a segment.

    **Attributes:**

    - `operators`: names of those that there are.
    - `takes_weights`: names of those that take a sample with mass.
    """

    operators: ClassVar[frozenset[str]]
    takes_weights: ClassVar[frozenset[str]]

    @abc.abstractmethod
    def argmax(self, sample: Sample, relaxation: Relaxation) -> Float[Array, " n"]:
        """Shares of elements in the soft index of their segment."""

    @abc.abstractmethod
    def max(self, sample: Sample, relaxation: Relaxation) -> Float[Array, " m"]:
        """A value of each segment."""

    @abc.abstractmethod
    def values(
        self, sample: Sample, relaxation: Relaxation, intervals: Intervals
    ) -> Float[Array, "m cells"]:
        """Values of intervals of mass of each segment."""

    def quantile(
        self, sample: Sample, relaxation: Relaxation, intervals: Intervals
    ) -> Float[Array, "m levels"]:
        """Mixtures of values of intervals."""
        return intervals.mix(self.values(sample, relaxation, intervals))

    @abc.abstractmethod
    def median(self, sample: Sample, relaxation: Relaxation) -> Float[Array, " m"]:
        """A value of each segment."""


class SortingFormulation(Formulation):
    """A method over segments with values and ranks of all elements."""

    @abc.abstractmethod
    def sort(self, ordered: Ordered, relaxation: Relaxation) -> Float[Array, " n"]:
        """Values of the places in order."""

    @abc.abstractmethod
    def rank(self, ordered: Ordered, relaxation: Relaxation) -> Float[Array, " n"]:
        """Positions from 1 of the elements in order."""


_ALL = frozenset({"argmax", "max", "top_k", "quantile", "median", "sort", "rank"})


class _SoftSort(SortingFormulation):
    operators: ClassVar = _ALL
    takes_weights: ClassVar = frozenset({"argmax", "max", "median", "rank"})

    def argmax(self, sample, relaxation):
        index = relaxation.primal(_project(sample.keys, sample, relaxation))
        if sample.mass is None:
            return index
        return relaxation.shares.times(index, sample.mass)

    def max(self, sample, relaxation):
        problem = _project(sample.keys, sample, relaxation)
        return relaxation.expectation(problem, sample.values)

    def values(self, sample, relaxation, intervals):
        ordered = sample.ordered()
        queries = ordered.take(ordered.support, intervals)
        return self._at(queries, ordered, relaxation)

    def median(self, sample, relaxation):
        ordered = sample.ordered()
        queries = ordered.means(ordered.support, sample.middle)
        return self._at(queries, ordered, relaxation)[..., 0]

    def sort(self, ordered, relaxation):
        return relaxation.expectation(_rows(ordered, relaxation), ordered.values)

    def rank(self, ordered, relaxation):
        return relaxation.expectation(_rows(ordered, relaxation), ordered.positions())

    def _at(self, queries, ordered, relaxation):
        z = -distance(ordered.groups.spread(queries.T), ordered.support)
        problem = _project(z, ordered, relaxation)
        return relaxation.expectation(problem, ordered.values).T


class _NeuralSort(Formulation):
    operators: ClassVar = _ALL - {"sort", "rank"}
    takes_weights: ClassVar = operators

    def argmax(self, sample, relaxation):
        ordered = sample.ordered()
        problem = self._at(sample.cells(1), ordered, relaxation)
        index = relaxation.primal(problem)[0]
        if ordered.mass is not None:
            index = relaxation.shares.times(index, ordered.mass)
        return ordered.unsort(index)

    def max(self, sample, relaxation):
        return self.values(sample, relaxation, sample.cells(1))[..., 0]

    def values(self, sample, relaxation, intervals):
        ordered = sample.ordered()
        problem = self._at(intervals, ordered, relaxation)
        return relaxation.expectation(problem, ordered.values).T

    def median(self, sample, relaxation):
        return self.values(sample, relaxation, sample.middle)[..., 0]

    def _at(self, intervals, ordered, relaxation):
        centres = jnp.asarray(intervals.start, ordered.support.dtype)
        if ordered.mass is None:
            centres = centres + 1 / 2
        else:
            centres = (centres + intervals.stop) / 2
        centres = jnp.broadcast_to(centres, (ordered.groups.count, centres.shape[-1]))
        parts = centres.T, ordered.groups.ids, ordered.mass
        z = deviation_scores(ordered.support, *parts)
        return _project(z, ordered, relaxation)


class _Hard(SortingFormulation):
    """The hard operators, of samples as they are. The relaxation is ignored."""

    operators: ClassVar = _ALL
    takes_weights: ClassVar = _ALL - {"sort"}

    def argmax(self, sample, relaxation):
        groups, keys = sample.groups, self._present(sample)
        place = jnp.arange(len(keys))
        largest = groups.spread(groups.max(keys)) == keys
        largest = largest if sample.mass is None else largest & (sample.mass > 0)
        first = jnp.where(largest, place, len(keys))
        one_hot = (groups.spread(groups.min(first)) == place).astype(keys.dtype)
        return relaxation.shares.of(one_hot)

    def max(self, sample, relaxation):
        keys, groups = self._present(sample), sample.groups
        largest = groups.max(jax.lax.stop_gradient(keys))
        # Equals share the derivative. That of JAX's own reduction counts its initial
        # value of -inf as one of them.
        equal = keys == groups.spread(largest)
        count = jnp.maximum(groups.sum(equal), 1)
        return replace_value(groups.sum(jnp.where(equal, keys, 0)) / count, largest)

    def values(self, sample, relaxation, intervals):
        ordered = sample.ordered()
        return ordered.means(ordered.values, intervals)

    def quantile(self, sample, relaxation, intervals):
        return intervals.mix_infinite(self.values(sample, relaxation, intervals))

    def median(self, sample, relaxation):
        cells = median_cells(sample.total[:, None])
        return self.quantile(sample, relaxation, cells)[..., 0]

    def sort(self, ordered, relaxation):
        return ordered.values

    def rank(self, ordered, relaxation):
        return ordered.positions()

    def _present(self, sample):
        if sample.mass is None:
            return sample.keys
        return jnp.where(sample.mass > 0, sample.keys, -jnp.inf)


def _rows(ordered: Ordered, relaxation: Relaxation) -> SegmentedSoftSortRows:
    parts = relaxation.softness, ordered.groups.ids, ordered.mass
    return SegmentedSoftSortRows(ordered.support, *parts)


def _project(
    z: Float[Array, "*rows n"],
    elements: Sample | Ordered,
    relaxation: Relaxation,
) -> SegmentedSimplexProjection:
    """Rows of scores of elements, or of a sample in order."""
    groups = elements.groups
    return SegmentedSimplexProjection(
        z,
        relaxation.softness,
        groups.ids,
        groups.count,
        weights=elements.mass,
        indices_are_sorted=groups.are_sorted,
    )


FORMULATIONS: dict[type[Method], Formulation] = {
    SoftSort: _SoftSort(),
    NeuralSort: _NeuralSort(),
    Hard: _Hard(),
}
"""Methods that there are over segments."""


def get_formulation(
    method: Method, name: str, asked: str, weighted: bool
) -> Formulation:
    """The formulation of a method.

    **Raises:** `ValueError`, pointing to `pad`, if there is none for an operator, or
    none that takes weights.
    """
    found = FORMULATIONS.get(type(method))
    if found is None or asked not in found.operators:
        raise ValueError(
            f"segment.{name}: method={type(method).__name__}() is not there over "
            "segments. Use method='softsort', or softjax.segment.pad and the operator "
            "along an axis with where=."
        )
    if weighted and asked not in found.takes_weights:
        raise ValueError(
            f"segment.{name}: weights are not there with method="
            f"{type(method).__name__}() over segments. Use softjax.segment.pad and the "
            "operator along an axis with weights= and where=."
        )
    return found


def has(asked: str) -> Callable[[Any], bool]:
    """Whether there is a formulation of an operator for a method, or its name."""

    def fits(method: Any) -> bool:
        with contextlib.suppress(TypeError, ValueError):
            found = FORMULATIONS.get(type(get_method(method)))
            return found is not None and asked in found.operators
        return False

    return fits
