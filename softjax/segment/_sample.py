"""The numbers of segments that a method is given: finite, and what is infinite."""

from __future__ import annotations

import functools

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, Shaped

from softjax_solvers.internal import (
    Segments,
    permute,
    segment_cumsum,
    segment_ends,
    sort_segments,
    ties_of_segments,
)

from ..axiswise._infinite import Outer, stand_in
from ..methods import Intervals
from ..methods._intervals import (
    ROUNDING,
    first_cells,
    mean_of_infinite,
    median_cells,
    middle_cell,
    quantile_cells,
    times_infinite,
)


class Ordered(eqx.Module):
    """Elements of all segments, one segment after the other, each from its largest key.

    **Attributes:**

    - `support`: minus the keys, which ascends in each segment.
    - `values`, `mass`: what is averaged, and how much of it; None for 1.
    - `infinite`: elements that stand for infinite ones; None if none does.
    - `groups`: the segments, whose ids ascend.
    - `first`, `stop`: the first place of each segment, and the one after its last.
    - `permutation`: which elements they are.
    """

    support: Float[Array, " n"]
    values: Float[Array, " n"]
    mass: Float[Array, " n"] | None
    infinite: Bool[Array, " n"] | None
    groups: Segments
    first: Int[Array, " m"]
    stop: Int[Array, " m"]
    permutation: Int[Array, " n"]

    @property
    def size(self) -> int:
        return self.support.shape[-1]

    @property
    def places(self) -> Int[Array, " n"]:
        """Places of elements within their segments, from 0."""
        return jnp.arange(self.size) - self.groups.spread(self.first)

    @property
    def before(self) -> Shaped[Array, " n"]:
        """The mass of all of a segment that are before an element."""
        if self.mass is None:
            return self.places
        return segment_cumsum(self.mass, self.groups.ids) - self.mass

    def positions(self) -> Float[Array, " n"]:
        """Positions from 1: of equals the mean, so that their order does not count."""
        known, ids = jax.lax.stop_gradient(self.support), self.groups.ids
        start, end = ties_of_segments(known, ids)
        if self.mass is None:
            start, end = self.places[start], self.places[end - 1] + 1
            return (start + end + 1).astype(known.dtype) / 2
        after = segment_cumsum(self.mass, ids)
        return (after[start] - self.mass[start] + after[end - 1] + 1) / 2

    def take(
        self, x: Float[Array, " n"], intervals: Intervals
    ) -> Float[Array, "m cells"]:
        """Entries of x at units of mass, or between two of them."""
        start = jnp.asarray(intervals.start)
        last = jnp.maximum(self.stop - self.first - 1, 0)[:, None]

        def at(place):
            place = self.first[:, None] + jnp.clip(place, 0, last)
            return x[jnp.minimum(place, self.size - 1)]

        if jnp.issubdtype(start.dtype, jnp.integer):
            return at(start)
        whole = jax.lax.stop_gradient(jnp.floor(start)).astype(jnp.int32)
        lower, upper = at(whole), at(whole + 1)
        return lower + (start - whole).astype(x.dtype) * (upper - lower)

    def means(
        self, x: Float[Array, " n"], intervals: Intervals
    ) -> Float[Array, "m cells"]:
        """Means over intervals of mass of what there is for each element."""
        if self.mass is None:
            return self.take(x, intervals)
        count, ids = self.groups.count, self.groups.ids
        ends = (jnp.asarray(e) for e in (intervals.start, intervals.stop))
        ends = (jnp.broadcast_to(e, (count, e.shape[-1]))[ids] for e in ends)
        before, mass = self.before[:, None], self.mass[:, None]
        overlap = Intervals(*ends).overlap(before, mass)[..., 0].T
        total = self.groups.sum(overlap)
        rounding = ROUNDING * self.groups.spread(total)
        sums = self.groups.sum(times_infinite(overlap, x, rounding))
        return mean_of_infinite(sums, total).T

    def unsort(self, x: Float[Array, " n"]) -> Float[Array, " n"]:
        """Bring x back into the order of the elements."""
        out = jnp.zeros_like(x)
        return out.at[self.permutation].set(x, unique_indices=True)


class Sample(eqx.Module):
    """Numbers of segments, of which the first and the last are of no meaning.

    **Attributes:**

    - `keys`: what is compared and averaged, `n`, finite.
    - `mass`: None for 1, or nonnegative numbers, not all 0 in a segment.
    - `groups`: the segments, m of them. What takes no part is in the last.
    - `total`: the mass of segments, `m 1`.
    - `infinite`: elements of keys that stand for infinite ones; None if none does.
    - `absent`: the mass of elements that take no part unless they have to, `n`; None if
        none is.
    """

    keys: Float[Array, " n"]
    mass: Float[Array, " n"] | None
    groups: Segments
    total: Shaped[Array, "m 1"]
    infinite: Bool[Array, " n"] | None = None
    absent: Float[Array, " n"] | None = None

    @property
    def values(self) -> Float[Array, " n"]:
        if self.infinite is None:
            return self.keys
        return jnp.where(self.infinite, 0, self.keys)

    # Intervals of mass of each segment, as those of a row.

    def cells(self, count: int) -> Intervals:
        return first_cells(self.total, count)

    def median_cells(self) -> Intervals:
        return median_cells(self.total)

    @property
    def middle(self) -> Intervals:
        return middle_cell(self.total, self.mass is None)

    def quantile_cells(
        self, q: Float[Array, " levels"], quantile_method: str
    ) -> Intervals:
        return quantile_cells(self.total, q, quantile_method)

    def ordered(self) -> Ordered:
        return self._ordered

    # Once, as the ends of segments are searched for in loops.
    @functools.cached_property
    def _ordered(self) -> Ordered:
        support, ids, permutation = sort_segments(-self.keys, self.groups.ids)
        groups = Segments(ids, self.groups.count, True)
        first, stop = segment_ends(ids, groups.count)
        mass = None if self.mass is None else permute(self.mass, permutation)
        values, infinite = -support, self.infinite
        if infinite is not None:
            infinite = permute(infinite, permutation)
            values = jnp.where(infinite, 0, values)
        parts = support, values, mass, infinite, groups, first, stop, permutation
        return Ordered(*parts)


class Measure(eqx.Module):
    """The elements that there are of each segment, and how much there is of each.

    **Attributes:**

    - `x`: 0 for elements of no segment.
    - `mass`: None for 1; 1 in segments without any.
    - `groups`: with a segment for those before all others, and one behind them.
    - `total`: the mass of segments, 0 where there is none.
    - `bad`: segments without an answer.
    """

    x: Float[Array, " n"]
    mass: Float[Array, " n"] | None
    groups: Segments
    total: Shaped[Array, " m"]
    bad: Bool[Array, " m"]

    @classmethod
    def of(
        cls,
        x: Float[Array, " n"],
        segments: Segments,
        where: Bool[Array, " n"] | None,
        weights: Float[Array, " n"] | None,
    ) -> Measure:
        here = segments.inside if where is None else segments.inside & where
        # What belongs to none has a segment before all others, or one behind them, so
        # that ids that ascend still do.
        beyond, ids = segments.count + 1, segments.ids + 1
        ids = ids if where is None else jnp.where(here, ids, beyond)
        groups = Segments(ids, beyond + 1, segments.are_sorted and where is None)
        x = jnp.where(here, x, 0)
        nan = groups.sum(jnp.isnan(x)) > 0
        if weights is None:
            total = groups.sum(here)
            return cls(x, None, groups, total, nan)
        mass = jnp.where(here, weights, 0)
        wrong = groups.sum(~(jnp.isfinite(mass) & (mass >= 0))) > 0
        mass = jnp.where(groups.spread(wrong), 1, mass)
        total = groups.sum(mass)
        nothing = groups.spread(total == 0)
        return cls(x, jnp.where(nothing, 1, mass), groups, total, nan | wrong)

    def hard(self) -> Sample:
        """The sample as it is, infinite elements included."""
        total = self.total if self.mass is None else self.groups.sum(self.mass)
        x = jnp.where(jnp.isnan(self.x), 0, self.x)
        return Sample(x, self.mass, self.groups, total[:, None])

    def sample(self, softness: Array, absent: bool) -> tuple[Sample, Outer]:
        """Finite numbers, and what has to be put back into results of theirs.

        `absent` says whether elements of -inf are left out.
        """
        groups, spread = self.groups, self.groups.spread
        bad = spread(self.bad)
        x = jnp.where(bad, 0, self.x)
        mass = None if self.mass is None else jnp.where(bad, 1, self.mass)
        one = jnp.ones_like(x) if mass is None else mass
        up, down = x == jnp.inf, x == -jnp.inf
        size = jnp.where(up | down, 0, jnp.abs(jax.lax.stop_gradient(x)))
        terms = [jnp.where(up, one, 0), jnp.where(down, one, 0), size, one]
        above, below, reach, total = groups.sum(jnp.stack(terms))
        x = jnp.where(up | down, 0, x)
        if mass is None:
            above, below, total = (
                jnp.round(n).astype(jnp.int32) for n in (above, below, total)
            )
        outer = Outer(up, down, above, below, mass, total)
        out = jnp.zeros_like(up)
        if mass is not None:
            # What is infinite and has no weight leaves; its place is known.
            out = (up | down) & (mass == 0)
        rest = None
        if absent:
            finite = groups.sum(jnp.where(down, 0, one)) > 0
            leaves = down & spread(finite)
            rest, out = jnp.where(leaves, one, 0), out | leaves
        if absent or mass is not None:
            ids = jnp.where(out, groups.count - 1, groups.ids)
            groups = Segments(ids, groups.count)
        total = groups.sum(jnp.ones_like(up) if mass is None else mass)
        each, low = outer.each(spread), not absent
        keys, _ = stand_in(x, each, spread(reach), softness, low=low)
        infinite = up | down if low else up
        return Sample(keys, mass, groups, total[:, None], infinite, rest), outer
