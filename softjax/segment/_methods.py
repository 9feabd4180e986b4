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

from softjax_solvers import SegmentedSimplexProjection, SegmentedSoftSortRows
from softjax_solvers.internal import deviation_scores, distance, replace_value

from ..axiswise._operation import Operation
from ..methods import Intervals, Method, NeuralSort, Relaxation, SoftSort, get_method
from ..methods._method import named
from ..methods.hard import Hard
from ._sample import Ordered, Sample


class Formulation(eqx.Module):
    """A method over segments: what operators along an axis ask a method for.

    Positions count from the largest key of a segment, and there are no soft indices of
    more than one place.

    **Attributes:**

    - `operators`: names of those that there are.
    - `takes_weights`: names of those that take a sample with mass.
    - `in_logs`, `reads_points`, `shares_equally`: as of `softjax.methods.Method`.
    """

    operators: ClassVar[frozenset[str]]
    takes_weights: ClassVar[frozenset[str]]
    in_logs: ClassVar[bool] = True
    reads_points: ClassVar[bool] = True
    shares_equally: ClassVar[bool] = False

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

    @abc.abstractmethod
    def median(self, sample: Sample, relaxation: Relaxation) -> Float[Array, " m"]:
        """A value of each segment."""

    def top_k(
        self, sample: Sample, relaxation: Relaxation, k: int
    ) -> tuple[Float[Array, "m k"], None]:
        """The first values of each segment."""
        return self.values(sample, relaxation, sample.cells(k)), None

    def quantile(
        self, sample: Sample, relaxation: Relaxation, intervals: Intervals
    ) -> Float[Array, "m levels"]:
        """Mixtures of values of intervals."""
        return intervals.mix(self.values(sample, relaxation, intervals))


_ALL = frozenset({"argmax", "max", "top_k", "quantile", "median", "sort", "rank"})


class _SoftSort(Formulation):
    operators: ClassVar = _ALL
    takes_weights: ClassVar = frozenset({"argmax", "max", "median", "rank"})
    shares_equally: ClassVar = True

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
        near = _near(ordered, relaxation.softness)
        queries = ordered.means(near, sample.middle)
        return self._at(queries, ordered, relaxation)[..., 0]

    # In the order of the sorted sample.
    def sort(self, sample, relaxation):
        ordered = sample.ordered()
        return relaxation.expectation(_rows(ordered, relaxation), ordered.values)

    def rank(self, sample, relaxation):
        ordered = sample.ordered()
        rows, positions = _rows(ordered, relaxation), ordered.positions()
        return ordered.unsort(relaxation.expectation(rows, positions))

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


class _Hard(Formulation):
    """The hard operators, of samples as they are. The relaxation is ignored."""

    operators: ClassVar = _ALL
    takes_weights: ClassVar = _ALL - {"sort"}
    in_logs: ClassVar = False

    def argmax(self, sample, relaxation):
        groups, keys = sample.groups, self._present(sample)
        place = jnp.arange(len(keys))
        largest = groups.spread(groups.max(keys)) == keys
        largest = largest if sample.mass is None else largest & (sample.mass > 0)
        first = jnp.where(largest, place, len(keys))
        return (groups.spread(groups.min(first)) == place).astype(keys.dtype)

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

    def top_k(self, sample, relaxation, k):
        cells = sample.cells(k)
        if sample.mass is not None:  # units without what is -inf
            present = jnp.where(sample.keys > -jnp.inf, sample.mass, 0)
            cells = cells.up_to(sample.groups.sum(present)[:, None])
        return self.values(sample, relaxation, cells), None

    def quantile(self, sample, relaxation, intervals):
        return intervals.mix_infinite(self.values(sample, relaxation, intervals))

    def median(self, sample, relaxation):
        return self.quantile(sample, relaxation, sample.median_cells())[..., 0]

    def sort(self, sample, relaxation):
        return sample.ordered().values

    def rank(self, sample, relaxation):
        ordered = sample.ordered()
        return ordered.unsort(ordered.positions())

    def _present(self, sample):
        if sample.mass is None:
            return sample.keys
        return jnp.where(sample.mass > 0, sample.keys, -jnp.inf)


def _near(ordered: Ordered, softness: Float[Array, "1"]) -> Float[Array, " n"]:
    """The support, where infinite elements are just beyond the finite ones.

    By a share of them that is rounding, a mean would be far away from all.
    """
    support, infinite, groups = ordered.support, ordered.infinite, ordered.groups
    if infinite is None:
        return support
    known = jax.lax.stop_gradient(support)
    low = groups.min(jnp.where(infinite, jnp.inf, known))
    high = -groups.min(jnp.where(infinite, jnp.inf, -known))
    low, high = (groups.spread(end) for end in (low - softness, high + softness))
    low, high = jax.lax.stop_gradient((low, high))
    return jnp.where(infinite, jnp.clip(support, low, high), support)


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
    method: Method, operation: Operation, weighted: bool
) -> Formulation:
    """The formulation of a method.

    **Raises:** `ValueError`, pointing to `pad`, if there is none for an operator, or
    none that takes weights.
    """
    found, asked = FORMULATIONS.get(type(method)), named(operation.name)
    if found is None or asked not in found.operators:
        raise ValueError(
            f"segment.{operation.name}: method={type(method).__name__}() is not there "
            "over segments. Use method='softsort', or softjax.segment.pad and the "
            "operator along an axis with where=."
        )
    if weighted and asked not in found.takes_weights:
        raise ValueError(
            f"segment.{operation.name}: weights are not there with method="
            f"{type(method).__name__}() over segments. Use softjax.segment.pad and the "
            "operator along an axis with weights= and where=."
        )
    return found


def has(operation: Operation) -> Callable[[Any], bool]:
    """Whether there is a formulation of an operator for a method, or its name."""

    def fits(method: Any) -> bool:
        with contextlib.suppress(TypeError, ValueError):
            get_formulation(get_method(method), operation, False)
            return True
        return False

    return fits
