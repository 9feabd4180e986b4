from __future__ import annotations

import functools
import math
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, Shaped

from ..._core.problem import ScalarDualProblem
from ..._core.readout import ColumnMeans, Means
from ..._core.regularizer import Regularizer
from ..._core.rows import of_rows
from ..._kernels.arrays import eps, inexact, pad_last
from ..._kernels.cumulative import prefix_sums
from ..._kernels.derivatives import linear_map, replace_value
from ..._kernels.scans import tie_groups
from ..._kernels.sorting import permute
from ..simplex import SimplexProjection
from ..thresholds import dual_of_sums
from .rows import SortedRows, parse_rows
from .windows import WindowedRows, far_away

_SHORT = 128
"""Up to this length, dense rows are faster than what matters of them."""

_GROUP = 64
"""Number of neighbouring rows that share one anchor."""


class NeuralSortRows(SortedRows):
    """Simplex projections of `(2i + 1 - n) s - sum_l |s - s_l|`, for sorted s.

    The rows of NeuralSort (Grover et al., 2019), in ascending order: that of the
    position i, from 0 to n - 1, is `y_i = phi(scores_i / softness - theta_i)` with
    sum 1. Relative to the element s_b at a position b, the score of element j in row i
    is `2 (i - b) (s_j - s_b) - Q_j` with `Q_j = sum_k (2 (k - b) + 1) (s_{k+1} - s_k)`
    over b <= k < j (and its mirror image for j < b). Near b nothing is large, whereas
    the textbook terms grow with n and leave their difference to rounding.

    For b = i, scores fall from 0 to either side. So with the entropy or a sparse
    regularizer, the rows of all positions are windows of neighbours: an expectation
    takes O(n w) time and O(n) memory, with w of the order of the root of n. Otherwise
    it takes chunks of rows.

    **Arguments:**

    - `positions`: `m`, between two elements too, or None for those of all elements.
        With weights, `*#batch m`.
    - `support`: `*batch n`, ascending along the last axis.
    - `softness`: positive, a scalar or an array that broadcasts against `*batch 1`.
    - `where`: optional mask `*batch n`, of a prefix of the support.
    - `weights`: optional, nonnegative, `*batch n`: each element is so many copies. Then
        the row of the position i is that at the mass i + 1/2 from the first element on,
        `y = phi(((2 i + 1 - W) s - sum_l w_l |s - s_l|) / softness - theta)` with
        W = sum w and `sum w y = 1`. The position of an element is that at its centre.

    **Example:**

        >>> support = jnp.array([0.2, 0.7, 1.0])
        >>> problem = sj.solvers.NeuralSortRows(None, support, 0.1)
        >>> found = sj.solvers.solve(problem, "smooth")
        >>> print(found.expectation(support))
        [0.203 0.711 0.986]
    """

    positions: Float[Array, "*#batch m"] | None
    support: Float[Array, "*batch n"]
    softness: Float[Array, "*#batch 1"]
    where: Bool[Array, "*batch n"] | None
    weights: Float[Array, "*batch n"] | None

    def __init__(
        self,
        positions: Array | None,
        support: Array,
        softness: Array | float,
        where: Array | None = None,
        weights: Array | None = None,
    ):
        self.positions = None if positions is None else inexact(positions)
        parts = parse_rows(support, softness, where, weights)
        self.support, self.softness, self.where, self.weights = parts

    @property
    def points(self) -> Float[Array, "*#batch m"]:
        if self.positions is not None:
            return self.positions.astype(self.support.dtype)
        if self.weights is not None:
            after = jnp.cumsum(self.weights, axis=-1)
            return after - (self.weights + 1) / 2
        return jnp.arange(self.support.shape[-1], dtype=self.support.dtype)

    def rows(self, points: Float[Array, "*#batch c"]) -> SimplexProjection:
        if self.weights is not None:
            z = _weighted_scores(self.support, self.weights, points + 1 / 2)
            parts = self.softness[..., None], of_rows(self.where), None
            return SimplexProjection(z, *parts, of_rows(self.weights))
        (m,) = points.shape
        size = min(_GROUP, m) if self.positions is None else 1
        groups = math.ceil(m / size)
        # The last group is filled up with copies of the last row.
        index = jnp.minimum(jnp.arange(groups * size), m - 1).reshape(groups, size)
        rows = points[index]
        middle = jax.lax.stop_gradient(jnp.floor(rows[:, size // 2]))
        z = _scores(self.support, rows, middle, self.where)
        z = z.reshape(*z.shape[:-3], groups * size, z.shape[-1])[..., :m, :]
        return SimplexProjection(z, self.softness[..., None], of_rows(self.where))

    def own_rows(self) -> Shaped[Array, "*batch m"] | None:
        if self.positions is not None:
            return None
        return self.where if self.weights is None else self.weights

    def specialize(self, regularizer: Regularizer) -> ScalarDualProblem:
        some = self.positions is not None or self.weights is not None
        if some or self.support.shape[-1] <= _SHORT:
            return self
        structure = regularizer.structure()
        if structure.rate is not None:
            return _ExponentialWindows(self.support, self.softness, self.where, None)
        if structure.windowed:
            return _SparseWindows(self.support, self.softness, self.where, None)
        return self


def _deviations(
    s: Float[Array, "*batch n"],
    ties: tuple[Int[Array, "*batch n"], Int[Array, "*batch n"]],
) -> tuple[Float[Array, "*batch n"], Float[Array, "*batch n"]]:
    """The differentiable form of scores: `2 (i - middle_j) s_j + below_j`.

    Up to what a row shares. The sums of s over the elements below j, and up to it, are
    added in `below`; of equals the first and the last one counts, and the middle one,
    as |s - s_l| has the derivative 0 there.
    """
    # Shifts change nothing; without one, sums of moves do not grow as large.
    s = s - jnp.mean(s, axis=-1, keepdims=True)
    return s, _below(s, *ties)


@jax.custom_jvp
def _below(s: Array, first: Array, last: Array) -> Array:
    before = pad_last(prefix_sums(s), 1, 0)
    return permute(before, first) + permute(before, last)


@_below.defjvp
def _below_jvp(primals, tangents):
    _, *ties = primals

    # What is not below another element is above it, but for equals, of which each
    # counts half. So the transpose is no scatter.
    def transpose(x: Array) -> Array:
        return 2 * jnp.sum(x, axis=-1, keepdims=True) - _below(x, *ties)

    move = linear_map(lambda x: _below(x, *ties), transpose, tangents[0])
    return _below(*primals), move


def _middle(ties: tuple[Array, Array], dtype: Any) -> Float[Array, "*batch n"]:
    """The middle position of each element's equals."""
    start, end = ties
    return (start + end - 1).astype(dtype) / 2


def _ties(s: Array, where: Array | None) -> tuple[Array, Array]:
    return tie_groups(jax.lax.stop_gradient(s), where)


class _DeviationWindows(WindowedRows):
    """Windows whose gaps are Q_j of the element j from that of the row itself.

    Masked elements are far away from all others, and have no rows.
    """

    growth: ClassVar[int] = 2

    support: Float[Array, "*batch n"]
    softness: Float[Array, "*#batch 1"]
    where: Bool[Array, "*batch n"] | None
    weights: None

    @property
    def present(self):
        return self.where

    def moving(self):
        ties = _ties(self.support, self.where)
        support, below = _deviations(self.support, ties)
        return below, (support, below)

    def still(self):
        s = jax.lax.stop_gradient(self.support)
        gaps = s[..., 1:] - s[..., :-1]
        if self.where is not None:
            gaps = jnp.where(self.where[..., 1:], gaps, far_away(s.dtype))
        middle = _middle(_ties(s, self.where), s.dtype)
        offset = middle - jnp.arange(s.shape[-1])
        return None, (offset, pad_last(gaps, 1, 0), pad_last(gaps, 0, 1))

    @property
    def extend(self):
        def extend(other, lag):
            _, before, after = other
            crossed = before if lag.side > 0 else after
            return lag.path + (2 * lag.distance - 1) * crossed

        return extend

    @staticmethod
    def gap(centre, other, lag):
        (below, _), ((support, other_below), (offset, _, _)) = centre, other
        apart = lag.side * jnp.asarray(lag.distance, support.dtype)
        return replace_value(
            2 * (apart + offset) * support - (other_below - below), lag.path
        )

    def farthest(self) -> Float[Array, "*batch n"]:
        s = self.support
        extent = 2 * s.shape[-1] * (s[..., -1:] - s[..., :1])
        return jnp.broadcast_to(extent, s.shape)

    def general(self) -> NeuralSortRows:
        return NeuralSortRows(None, self.support, self.softness, self.where)


class _SparseWindows(_DeviationWindows):
    """Windows of a sparse link."""


class _ExponentialWindows(_DeviationWindows):
    """Windows that hold all but rounding of an exponential link.

    The dual cancels from means, and from their derivatives.
    """

    cancels: ClassVar = frozenset({Means})
    fused: ClassVar = {ColumnMeans: WindowedRows.column_means_and_tangent}

    def depth(self, dual, regularizer):
        # What is less is lost to rounding in a sum of so many.
        rate: Any = regularizer.structure().rate
        depth = math.log(dual.shape[-1] / eps(dual)) + 5
        depth = jnp.asarray(depth / rate, dual.dtype)
        return jnp.broadcast_to(depth, dual.shape)

    def default_solver(self, regularizer):
        return "closed_form"

    def closed_form(self, regularizer):
        # The rows at theta = 0 are in proportion to the exponentials.
        def dual():
            total = self.total(jnp.zeros_like(self.support), regularizer)
            total = self.if_present(total, 1.0)
            zero = regularizer.link(jnp.zeros((), total.dtype))
            dual = dual_of_sums(total / zero, regularizer)
            return self.if_present(dual, far_away(dual.dtype))

        return dual


@functools.partial(jnp.vectorize, signature="(n),(n),(c)->(c,n)")
def _weighted_scores(
    s: Float[Array, " n"], weights: Float[Array, " n"], centres: Float[Array, " c"]
) -> Float[Array, "c n"]:
    """The scores of the rows at masses, each from the element that has it."""
    n, ends = s.shape[-1], pad_last(jnp.cumsum(weights), 1, 0)
    known, mass, at = jax.lax.stop_gradient((s, ends, centres))
    anchors = jnp.minimum(jnp.searchsorted(mass[1:], at, side="right"), n - 1)
    after = jnp.arange(n - 1) >= anchors[:, None]

    # A move of mass is multiplied by the gaps that are passed from the row on, and not
    # by distances from a mean, which one huge element moves away from all others.
    def path(s: Array, ends: Array, centres: Array) -> Array:
        # Twice the mass between the row and a gap, on which side of the row that is.
        terms = 2 * (ends[1:-1] - centres[:, None]) * (s[1:] - s[:-1])
        above = jnp.cumsum(jnp.where(after, terms, 0), axis=-1)
        below = jnp.cumsum(jnp.where(after, 0, -terms)[:, ::-1], axis=-1)[:, ::-1]
        return -pad_last(above, 1, 0) - pad_last(below, 0, 1)

    # Moves of equals are those of sums, up to what a row shares: see `_deviations`.
    first, last = tie_groups(known)
    shifted = s - jnp.mean(s)
    sums = pad_last(jnp.cumsum(jax.lax.stop_gradient(weights) * shifted), 1, 0)
    away = 2 * at[:, None] - (mass[first] + mass[last])
    ties = away * shifted + (sums[first] + sums[last]) - path(s, mass, at)
    return replace_value(path(s, ends, centres) + ties, path(known, mass, at))


def _scores(
    s: Float[Array, "*batch n"],
    rows: Float[Array, "groups g"],
    middle: Float[Array, " groups"],
    where: Bool[Array, "*batch n"] | None,
) -> Float[Array, "*batch groups g n"]:
    """The scores of rows, each group from the element in the middle of it."""
    known = jax.lax.stop_gradient(s)
    anchors = middle.astype(jnp.int32)
    offset = jnp.arange(s.shape[-1] - 1) - anchors[:, None]
    gaps = (known[..., 1:] - known[..., :-1])[..., None, :]
    terms = jnp.abs(2 * offset + 1).astype(s.dtype) * gaps
    # To both sides from the anchor, one of them backwards.
    sides = jnp.where(offset >= 0, terms, 0), jnp.where(offset < 0, terms, 0)[..., ::-1]
    above, below = prefix_sums(jnp.stack(sides))
    q = pad_last(above, 1, 0) + pad_last(below[..., ::-1], 0, 1)
    apart = known[..., None, :] - known[..., anchors][..., None]
    away = 2 * (rows - middle[:, None])[..., None]
    value = away * apart[..., None, :] - q[..., None, :]
    ties = _ties(s, where)
    (support, below), equals = _deviations(s, ties), _middle(ties, s.dtype)
    below = (below[..., None, :] - below[..., anchors][..., None])[..., None, :]
    away = 2 * (rows[..., None] - equals[..., None, None, :])
    return replace_value(away * support[..., None, None, :] + below, value)
