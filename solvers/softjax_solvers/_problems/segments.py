"""Projections of segments of a row, each onto a (hyper)simplex of its own."""

from __future__ import annotations

from typing import ClassVar, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from .._core.groups import Segments
from .._core.readout import Means
from .._core.regularizer import Regularizer
from .._core.rows import check_candidates, parse_ids, parse_weights, softness_per_row
from .._kernels.arrays import inexact, working_type
from . import hypersimplex, simplex
from .hypersimplex import Hypersimplex
from .shapes import check_fits
from .simplex import Simplex


class _Parsed(NamedTuple):
    """Arguments of a projection over segments, checked and of full shapes."""

    z: Float[Array, "*batch n"]
    softness: Float[Array, "*#batch 1"]
    groups: Segments
    where: Bool[Array, "*#batch n"]
    weights: Float[Array, "*#batch #n"] | None


def _parse(
    name: str,
    z: Array,
    softness: Array | float,
    segment_ids: Int[Array, " n"],
    num_segments: int,
    where: Array | None,
    weights: Array | None,
    are_sorted: bool,
) -> _Parsed:
    """Segments of the last axis of z, a mask of what belongs to one, and all else.

    **Raises:** `TypeError` if the ids are no integers, `ValueError` if they are not one
    for each candidate.
    """
    z = inexact(z)
    check_candidates(z, name)
    softness = softness_per_row(softness, z)
    ids = parse_ids(segment_ids, z)
    if isinstance(num_segments, bool) or not isinstance(num_segments, int | np.integer):
        raise TypeError(f"num_segments must be an integer, got {num_segments!r}.")
    segments = Segments(ids, int(num_segments), are_sorted)
    inside = segments.inside
    if where is not None:
        where = jnp.asarray(where)
        check_fits(name, "where", where, "z", z)
        inside = where & inside
    weights = parse_weights(weights, z, inside)
    return _Parsed(z, softness, segments, inside, weights)


class SegmentedSimplexProjection(Simplex):
    """Projections onto the simplex of segments of z, of different lengths.

    `y_j = phi(scores_j - theta_{s(j)})`, with s(j) the segment of the candidate j, and
    the dual theta, of shape `*batch m`, such that the sum of y over each of m segments
    is 1: [`softjax.solvers.SimplexProjection`][] of each segment alone. All sums are
    sums over segments, so that time and memory are linear. Means are those of segments.

    Solvers of other packages are given a row of size n for each segment.

    **Arguments:**

    - `z`: `*batch n`.
    - `softness`: positive, a scalar or an array that broadcasts against `*batch 1`.
    - `segment_ids`: the segment of each candidate, integers of shape `n`. Where they
        are not from 0 to m - 1, y is 0.
    - `num_segments`: m. Segments without candidates have the mean 0.
    - `where`: optional mask that broadcasts against `*batch n`; y is 0 outside of it.
    - `weights`: optional, nonnegative, of a shape that broadcasts against `*batch n`:
        each candidate is so many copies, and y_j that of one of them.
    - `indices_are_sorted`: whether the ids are known to ascend.

    **Raises:** `TypeError` or `ValueError` for ids that are no integers, or not one for
    each candidate.

    **Example:**

        >>> z, ids = jnp.array([0.2, 1.0, 0.7, 0.3]), jnp.array([0, 0, 0, 1])
        >>> problem = sj.solvers.SegmentedSimplexProjection(z, 0.5, ids, 2)
        >>> print(sj.solvers.solve(problem, "c0").value)
        [0.  0.8 0.2 1. ]
        >>> print(sj.solvers.evaluate(problem, "c0", sj.solvers.Means(z)))
        [0.94 0.3 ]
    """

    fused: ClassVar = {Means: Simplex.means_and_tangent}

    def __init__(
        self,
        z: Array,
        softness: Array | float,
        segment_ids: Int[Array, " n"],
        num_segments: int,
        where: Array | None = None,
        weights: Array | None = None,
        *,
        indices_are_sorted: bool = False,
    ):
        parts = segment_ids, num_segments, where, weights, indices_are_sorted
        parsed = _parse("SegmentedSimplexProjection", z, softness, *parts)
        self.z, self.softness, self.groups, self.where, self.weights = parsed
        self.largest = None

    def specialize(self, regularizer: Regularizer) -> Simplex:
        return simplex.specialized(self, regularizer)


class SegmentedHypersimplexProjection(Hypersimplex):
    """Projections onto the hypersimplex of segments of z, of different lengths.

    `y_j = min(phi(scores_j - theta_{s(j)}), 1)`, with s(j) the segment of the candidate
    j, and the dual theta, of shape `*batch m`, such that the sum of y over each of m
    segments is its k: [`softjax.solvers.HypersimplexProjection`][] of each alone.

    **Arguments:**

    - `k`: from 0 to the number of candidates, a number or an array that broadcasts
        against `*batch m`; beyond these bounds, y is that of the nearest of them.
    - The others, and what is raised, are those of
        [`softjax.solvers.SegmentedSimplexProjection`][].

    **Example:**

        >>> z, ids = jnp.array([0.2, 1.0, 0.7, 0.3]), jnp.array([0, 0, 0, 1])
        >>> k = jnp.array([2, 1])
        >>> problem = sj.solvers.SegmentedHypersimplexProjection(z, k, 1.0, ids, 2)
        >>> print(sj.solvers.solve(problem, "c0").value)
        [0.25 1.   0.75 1.  ]
    """

    fused: ClassVar = Hypersimplex.fused

    def __init__(
        self,
        z: Array,
        k: Array | float,
        softness: Array | float,
        segment_ids: Int[Array, " n"],
        num_segments: int,
        where: Array | None = None,
        weights: Array | None = None,
        *,
        indices_are_sorted: bool = False,
    ):
        parts = segment_ids, num_segments, where, weights, indices_are_sorted
        parsed = _parse("SegmentedHypersimplexProjection", z, softness, *parts)
        self.z, self.softness, self.groups, self.where, self.weights = parsed
        k = inexact(k).astype(working_type(self.z.dtype))
        shape = (*self.z.shape[:-1], int(num_segments))
        try:
            self.k = jnp.broadcast_to(k, shape)
        except ValueError:
            raise ValueError(
                f"k of shape {k.shape} must broadcast against the segments, which are "
                f"of shape {shape}."
            ) from None
        self.threshold = hypersimplex.threshold_of(self)

    def specialize(self, regularizer: Regularizer) -> Hypersimplex:
        return hypersimplex.specialized(self, regularizer)
