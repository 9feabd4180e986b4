"""Rows of SoftSort and NeuralSort over sorted segments, one after the other."""

from __future__ import annotations

from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from ..._core.groups import Segments
from ..._core.problem import ScalarDualProblem
from ..._core.regularizer import Regularizer
from ..._core.rows import of_rows, parse_ids
from ..._kernels.arrays import pad_last
from ..._kernels.derivatives import distance, replace_value
from ..._kernels.neighbours import half_width
from ..._kernels.scans import tie_groups
from ..._kernels.segments import (
    segment_cumsum,
    segment_ends,
    segment_starts,
    ties_of_segments,
)
from ..simplex import SimplexProjection
from .rows import parse_rows
from .softsort import SHORT, KernelRows, KernelSums
from .windows import WindowedRows


class SegmentedSoftSortRows(KernelRows):
    """Simplex projections of `-|s_i - s_j|` over the j of the segment of i.

    The rows of [`softjax.solvers.SoftSortRows`][] of each segment alone, one for each
    element. With the entropy, and with a sparse regularizer, the time is that of a
    single row of the size of all segments; otherwise it takes chunks of dense rows.

    **Arguments:**

    - `support`: `*batch n`, ascending along the last axis in each segment.
    - `softness`: positive, a scalar or an array that broadcasts against `*batch 1`.
    - `segment_ids`: the segment of each element, integers of shape `n` that ascend.
    - `weights`: optional, nonnegative, `*batch n`: each element is so many copies.

    **Raises:** `TypeError` or `ValueError` for ids that are no integers, or not one for
    each element.

    **Example:**

        >>> support, ids = jnp.array([0.2, 0.7, 0.1, 0.4]), jnp.array([0, 0, 1, 1])
        >>> problem = sj.solvers.SegmentedSoftSortRows(support, 0.1, ids)
        >>> found = sj.solvers.solve(problem, "smooth")
        >>> print(found.expectation(support))
        [0.203 0.697 0.114 0.386]
    """

    queries: None
    support: Float[Array, "*batch n"]
    softness: Float[Array, "*#batch 1"]
    where: None
    weights: Float[Array, "*batch n"] | None
    ids: Int[Array, " n"]

    def __init__(
        self,
        support: Array,
        softness: Array | float,
        segment_ids: Int[Array, " n"],
        weights: Array | None = None,
    ):
        parts = parse_rows(support, softness, None, weights)
        self.support, self.softness, _, self.weights = parts
        self.queries = self.where = None
        self.ids = parse_ids(segment_ids, self.support)

    @property
    def starts(self) -> Bool[Array, "*batch n"]:
        return jnp.broadcast_to(segment_starts(self.ids), self.support.shape)

    @property
    def points(self) -> Int[Array, " n"]:
        """Places of elements."""
        return jnp.arange(self.support.shape[-1])

    def rows(self, points: Int[Array, " c"]) -> SimplexProjection:
        s = self.support
        z = -distance(s[..., points, None], s[..., None, :])
        where = self.ids[points][:, None] == self.ids
        largest = jnp.zeros(1, z.dtype)
        weights = of_rows(self.weights)
        return SimplexProjection(z, self.softness[..., None], where, largest, weights)

    def specialize(self, regularizer: Regularizer) -> ScalarDualProblem:
        structure = regularizer.structure()
        if structure.rate is not None:
            return KernelSums(self)
        if self.support.shape[-1] > SHORT and structure.windowed:
            ids = jnp.broadcast_to(self.ids, self.support.shape)
            parts = self.support, self.softness, None, self.weights
            return _SegmentWindows(*parts, ids)
        return self


_FAR = 1e18
"""The gap between elements of different segments: beyond the reach of any row."""


class _SegmentWindows(WindowedRows):
    """Windows whose gaps are distances, within segments."""

    growth: ClassVar[int] = 1

    support: Float[Array, "*batch n"]
    softness: Float[Array, "*#batch 1"]
    where: None
    weights: Float[Array, "*batch n"] | None
    ids: Int[Array, "*batch n"]

    def moving(self):
        return self.support, self.support

    def still(self):
        return self.ids, self.ids

    @property
    def extend(self):
        return None

    @staticmethod
    def gap(centre, other, lag):
        (place, here), (there, segment) = centre, other
        return jnp.where(here == segment, distance(place, there), _FAR)

    def width(self, reach: Float[Array, "*batch n"]) -> Int[Array, ""]:
        return half_width(self.support, reach, self.ids)

    def general(self) -> SegmentedSoftSortRows:
        ids = self.ids[(0,) * (self.ids.ndim - 1)]
        return SegmentedSoftSortRows(self.support, self.softness, ids, self.weights)

    def span(self):
        return tie_groups(self.ids)

    def count(self):
        start, stop = self.span()
        return stop - start

    def total_mass(self):
        weights: Any = self.weights
        known = jax.lax.stop_gradient(weights)
        before = segment_cumsum(known, self.ids)
        return before + segment_cumsum(known, self.ids, reverse=True) - known

    def farthest(self) -> Float[Array, "*batch n"]:
        s, (start, stop) = self.support, self.span()
        first, last = (jnp.take_along_axis(s, i, axis=-1) for i in (start, stop - 1))
        return jnp.maximum(s - first, last - s)


def deviation_scores(
    s: Float[Array, " n"],
    centres: Float[Array, "rows m"],
    ids: Int[Array, " n"],
    weights: Float[Array, " n"] | None = None,
) -> Float[Array, "rows n"]:
    """Scores of rows of NeuralSort at masses of each of m segments.

    `(2 c - W) s_j - sum_l w_l |s_j - s_l|` with sums over the segment of j, in which s
    ascends, and the row's centre c there: up to what a segment shares, and from the
    element that has the mass c, where nothing is large. In O(n) for each row.
    """
    weights = jnp.ones_like(s) if weights is None else weights
    starts, count = segment_starts(ids), centres.shape[-1]
    segments = Segments(ids, count, True)
    ends = segment_cumsum(weights, ids)
    centres = segments.spread(centres)
    known, mass, at = jax.lax.stop_gradient((s, ends, centres))
    place = segments.sum((mass <= at).astype(jnp.int32))
    first, stop = segment_ends(ids, count)
    anchors = segments.spread(first + jnp.minimum(place, stop - first - 1))
    after = jnp.arange(len(s)) >= anchors

    # A move of mass is multiplied by the gaps that are passed from the row on, and not
    # by distances from a mean, which one huge element moves away from all others.
    def path(s: Array, ends: Array, centres: Array) -> Array:
        gaps = pad_last(jnp.where(starts[1:], 0, s[1:] - s[:-1]), 0, 1)
        # Twice the mass between the row and a gap, on which side of the row that is.
        terms = 2 * (ends - centres) * gaps
        above = segment_cumsum(jnp.where(after, terms, 0), ids)
        below = segment_cumsum(jnp.where(after, 0, -terms), ids, reverse=True)
        return -jnp.where(starts, 0, pad_last(above[..., :-1], 1, 0)) - below

    # Moves of equals are those of sums, up to what a segment shares.
    still = jax.lax.stop_gradient(weights)
    lower, upper = ties_of_segments(known, ids)
    mean = segments.sum(s) / jnp.maximum(stop - first, 1)
    shifted = s - segments.spread(mean)
    parts = still * shifted
    sums = segment_cumsum(parts, ids)
    away = 2 * at - (mass[lower] - still[lower] + mass[upper - 1])
    sums = sums[lower] - parts[lower] + sums[upper - 1]
    ties = away * shifted + sums - path(s, mass, at)
    return replace_value(path(s, ends, centres) + ties, path(known, mass, at))
