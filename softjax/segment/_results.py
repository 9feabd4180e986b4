"""Results of formulations as those of operators: fills, infinite elements, places."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Float

from softjax_solvers.internal import Segments, safe_divide, segment_ends

from ..axiswise import _sample as of_rows
from ..axiswise._infinite import SHARES, Outer, put_positions
from ..axiswise._logarithms import floored
from ..axiswise._operation import LOGS, MASK, POSITION, VALUE, Operation, all_places
from ..axiswise._run import filled
from ..methods import Shares
from ._ids import in_order, out_of_order
from ._sample import Measure, Sample


@dataclasses.dataclass(frozen=True, eq=False)
class Column:
    """One column of numbers on its way through an operator.

    **Attributes:**

    - `operation`, `options`: the operator, and what it is given besides a sample.
    - `segments`: those of the user, m of them.
    - `measure`: what there is, with two segments more, as `sample` has them.
    - `sample`: what the formulation is given.
    - `outer`: its infinite elements, None if it has them as they are.
    - `floor`: under logarithms of a soft index.
    """

    operation: Operation
    options: tuple[Any, ...]
    segments: Segments
    measure: Measure
    sample: Sample
    outer: Outer | None
    floor: Any

    def finish(self, out: Array, kind: str) -> Array:
        """Results of segments, or of elements, from those of a formulation."""
        operation, outer, bad = self.operation, self.outer, self.measure.bad
        sample: Any = self.sample  # which has what places of rows are made of
        parts = operation, sample, self.options
        if kind == VALUE and operation.places is all_places:
            return _sorted(out, self)
        if kind == VALUE:  # a segment is a row
            if outer is not None:
                out = outer.each(_as_column).put(out, kind, *parts)
            return filled(out, kind, *parts, self._measure(_as_column), bad)[1:-1]
        measure, nothing = self._measure(self.of_elements), 0.0
        if kind == POSITION and outer is not None:
            outer = outer.each(self.measure.groups.spread)
            out = put_positions(out, outer, operation.first)
        if kind == MASK:
            out = _mask(out, self, *self.options)
        if kind in SHARES:
            out, nothing, measure = _index(out, self, kind), SHARES[kind].nothing, None
        out = filled(out, kind, *parts, measure, self.of_elements(bad))
        return jnp.where(self.segments.inside, out, nothing)

    def _measure(self, each: Callable[[Array], Array]) -> of_rows.Measure:
        """As of rows, with totals in a shape that broadcasts with results."""
        total = each(self.measure.total)
        return of_rows.Measure(self.given, self.given, None, total)

    def of_elements(self, x: Array) -> Array:
        """Entries of x for the segment of each element, those of none that of any."""
        return self.segments.spread(x[1:-1])

    @property
    def seen(self) -> Array:
        """Elements that the formulation has seen."""
        return _inner(self.sample.groups)

    @property
    def given(self) -> Array:
        """Elements that there are."""
        return _inner(self.measure.groups)


def is_of_elements(operation: Operation) -> bool:
    """Whether there is a result for each row of x, not each segment."""
    return operation.outputs[0] != VALUE or operation.places is all_places


def _as_column(x: Array) -> Array:
    return x[:, None]


def _inner(groups: Segments) -> Array:
    return (groups.ids > 0) & (groups.ids < groups.count - 1)


def _index(out: Float[Array, " n"], column: Column, kind: str) -> Array:
    """Shares of elements, where infinite ones have what there is."""
    shares, measure = SHARES[kind], column.measure
    if column.outer is not None:
        out = jnp.where(column.seen, out, shares.nothing)
        out = _put_shares(out, column.outer, measure.groups, shares)
    if kind == LOGS:
        out = _floored(out, column)
    here = column.given & (measure.groups.spread(measure.total) > 0)
    return jnp.where(here, out, shares.nothing)


def _floored(logs: Float[Array, " n"], column: Column) -> Float[Array, " n"]:
    sample, groups = column.sample, column.sample.groups
    mass = jnp.ones_like(logs) if sample.mass is None else sample.mass
    mass = jnp.where(column.seen, mass, 0)
    # Elements of -inf that hard operators see are absent, unless all are.
    present = jnp.where(sample.keys == -jnp.inf, 0, mass)
    some = groups.spread(groups.max(present) > 0)
    mass = jnp.where(some, present, mass)
    return floored(logs, column.floor, mass, groups.spread(groups.sum(mass)))


def _put_shares(
    out: Float[Array, " n"], outer: Outer, groups: Segments, shares: Shares
) -> Float[Array, " n"]:
    up, down, above, below, mass, total, by_ratios = outer
    one = jnp.ones_like(out) if mass is None else mass
    # What the first unit of mass has of either.
    length = jnp.clip(jnp.asarray(total), 0, 1)
    high = safe_divide(jnp.minimum(above, length), length)
    low = safe_divide(length - jnp.minimum(total - below, length), length)
    low = jnp.where(below > 0, jnp.minimum(low, 1 - high), 0)
    each_high, each_low = safe_divide(high, above), safe_divide(low, below)
    parts = jnp.where(up, one * groups.spread(each_high), 0)
    parts = parts + jnp.where(down, one * groups.spread(each_low), 0)
    taken = groups.spread(high + low)
    rest = jnp.where(up | down, shares.nothing, out)
    beside = shares.beside(parts, 1 - taken, shares.over_sum_of(groups, rest))
    # Where the others have none, all is shared by the infinite ones.
    some = groups.spread(groups.sum(rest != shares.nothing)) > 0
    beside = jnp.where(some, beside, shares.of(safe_divide(parts, taken)))
    out = jnp.where(taken > 0, beside, out)
    if not by_ratios:
        return out
    first = jnp.where(up, one * groups.spread(safe_divide(1.0, above)), 0)
    return jnp.where(groups.spread(above > 0), shares.of(first), out)


def _mask(out: Float[Array, " n"], column: Column, k: Array, *_: Any) -> Array:
    """Masks of elements, where absent ones have what is left of k."""
    absent, measure = column.sample.absent, column.measure
    if column.outer is not None:
        out = jnp.where(column.seen, out, 0)
    if absent is None:
        return out
    # What is left when all that are present are in full is shared by the absent.
    groups, mass = measure.groups, measure.mass
    mass = jnp.ones_like(measure.x) if mass is None else mass
    present = groups.sum(jnp.where(absent > 0, 0, mass))
    share = safe_divide(k - present, groups.sum(absent))
    share = groups.spread(jnp.clip(share, 0, 1))
    return jnp.where(absent > 0, share, out)


def _sorted(out: Float[Array, " n"], column: Column) -> Array:
    """Values in order at the places that their segments have."""
    measure, segments, outer = column.measure, column.segments, column.outer
    ordered = column.sample.ordered()
    spread, n = ordered.groups.spread, ordered.size
    if outer is not None:
        place = ordered.places
        out = jnp.where(place < spread(outer.above), jnp.inf, out)
        lowest = spread(jnp.asarray(outer.total) - outer.below)
        out = jnp.where((place >= lowest) & (spread(outer.below) > 0), -jnp.inf, out)
    sign = -1 if column.operation.ascending else 1
    out = sign * jnp.where(spread(measure.bad), jnp.nan, out)
    ids, places = in_order(segments.ids + 1, segments.are_sorted)
    # Where some take no part, the first places of a segment have those that do.
    first, _ = segment_ends(ids, segments.count + 2)
    place = jnp.arange(n) - first[ids]
    count = ordered.stop - ordered.first
    value = out[jnp.minimum(ordered.first[ids] + place, n - 1)]
    behind = jnp.where(measure.bad[ids], jnp.nan, -sign * jnp.inf)
    value = jnp.where(place < count[ids], value, behind)
    inside = (ids > 0) & (ids <= segments.count)
    value = jnp.where(inside, value, 0)
    return out_of_order(value, places)
