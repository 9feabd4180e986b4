from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from ..._core.problem import Problem, jointly
from ..._core.regularizer import Regularizer
from ..._kernels.chunks import sum_chunks
from ..._kernels.numerics import inexact, pad_last, replace_value, safe_divide
from ..._kernels.scans import tie_groups
from ..._kernels.sorting import permute
from ..simplex import SimplexProjection
from .rows import SortedRows, dual_of_sums, parse_rows
from .windows import LocalRows

_SHORT = 128
"""Up to this length, dense rows are faster than what matters of them."""

_GROUP = 64
"""How many neighbouring rows share one anchor."""


class SortedDeviationProjection(SortedRows):
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
    - `support`: `*batch n`, ascending along the last axis.
    - `softness`: positive, a scalar or an array that broadcasts against `*batch 1`.
    - `where`: optional mask `*batch n`, of a prefix of the support.

    **Example:**

        >>> support = jnp.array([0.2, 0.7, 1.0])
        >>> problem = sj.solvers.SortedDeviationProjection(None, support, 0.1)
        >>> found = sj.solvers.solve(problem, "smooth")
        >>> print(found.expectation(support))
        [0.203 0.711 0.986]
    """

    positions: Float[Array, " m"] | None
    support: Float[Array, "*batch n"]
    softness: Float[Array, "*#batch 1"]
    where: Bool[Array, "*batch n"] | None

    def __init__(
        self,
        positions: Array | None,
        support: Array,
        softness: Array | float,
        where: Array | None = None,
    ):
        self.positions = None if positions is None else inexact(positions)
        self.support, self.softness, self.where = parse_rows(support, softness, where)

    @property
    def points(self) -> Float[Array, " m"]:
        if self.positions is not None:
            return self.positions.astype(self.support.dtype)
        return jnp.arange(self.support.shape[-1], dtype=self.support.dtype)

    def rows(self, points: Float[Array, " c"]) -> SimplexProjection:
        (m,) = points.shape
        size = min(_GROUP, m) if self.positions is None else 1
        groups = math.ceil(m / size)
        # The last group is filled up with copies of the last row.
        index = jnp.minimum(jnp.arange(groups * size), m - 1).reshape(groups, size)
        rows = points[index]
        middle = jax.lax.stop_gradient(jnp.floor(rows[:, size // 2]))
        z = _scores(self.support, rows, middle, self.where)
        z = z.reshape(*z.shape[:-3], groups * size, z.shape[-1])[..., :m, :]
        where = None if self.where is None else self.where[..., None, :]
        return SimplexProjection(z, self.softness[..., None], where)

    def local(self, regularizer: Regularizer) -> LocalRows | None:
        some = self.positions is not None or self.where is not None
        if some or self.support.shape[-1] <= _SHORT:
            return None
        windows = regularizer.reaches_zero() and not regularizer.steep()
        if regularizer.rate() is None and not windows:
            return None
        return _DeviationRows(self.support, self.softness, None)

    def exponential_dual(self, regularizer: Regularizer) -> Float[Array, "*batch m"]:
        if (local := self.local(regularizer)) is not None:
            # The rows at theta = 0 are in proportion to the exponentials.
            total = local.total(jnp.zeros_like(self.support), regularizer)
            zero = regularizer.link(jnp.zeros((), total.dtype))
            return dual_of_sums(total / zero, regularizer)
        rate: Any = regularizer.rate()
        alone = regularizer.gradient(jnp.ones((), self.support.dtype))

        def duals(rows):
            sums = jax.nn.logsumexp(rate * rows.scores, axis=-1, where=rows.mask)
            return [sums / rate - alone]

        (out,) = self.map_rows(duals)
        return out

    def solved_expectation(
        self,
        regularizer: Regularizer,
        values: Float[Array, "*#batch n"],
        find_dual: Callable[[Problem, Regularizer], Array],
    ) -> Float[Array, "*batch m"]:
        if regularizer.rate() is not None and self.local(regularizer) is not None:
            find_dual = _any_dual  # which cancels
        return super().solved_expectation(regularizer, values, find_dual)

    def solved_column_means(
        self,
        regularizer: Regularizer,
        values: Float[Array, "*#batch m"],
        find_dual: Callable[[Problem, Regularizer], Array],
    ) -> Float[Array, "*batch n"]:
        """`column_means` at the optimal dual, as in `solved_expectation`."""
        shape = (*self.support.shape[:-1], self.points.size)
        values = jnp.broadcast_to(values, shape)
        if self.local(regularizer) is not None:
            return jointly(
                self,
                regularizer,
                values,
                find_dual=find_dual,
                value=_column_means,
                tangent=_column_means_and_tangent,
            )

        def columns(chunk):
            (points, *others), included = chunk
            dual, values, there = (jnp.moveaxis(x, 0, -1) for x in others)
            y = self.rows(points).primal(dual, regularizer)
            y = y * (included * there)[..., None]
            return jnp.sum(y * values[..., None], axis=-2), jnp.sum(y, axis=-2)

        dual = find_dual(self, regularizer)
        # A masked element has no row of its own.
        there = jnp.ones(shape, values.dtype)
        if self.where is not None and self.positions is None:
            there = self.where.astype(values.dtype)
        others = dual, values, there
        rows = self.points, *(jnp.moveaxis(x, -1, 0) for x in others)
        weighted, total = sum_chunks(columns, rows, row_size=self.support.size)
        return safe_divide(weighted, total)


def _any_dual(problem: Problem, regularizer: Regularizer) -> Array:
    assert isinstance(problem, SortedDeviationProjection)
    return jnp.zeros_like(problem.support)


def _column_means(problem, dual, regularizer, values):
    return problem.local(regularizer).column_means(dual, regularizer, values)


def _column_means_and_tangent(problem, dual, regularizer, *rest):
    local = problem.local(regularizer)
    return local.column_means_and_tangent(dual, regularizer, *rest)


def _deviations(
    s: Float[Array, "*batch n"], where: Bool[Array, "*batch n"] | None
) -> tuple[Float[Array, "*batch n"], Float[Array, "*batch n"]]:
    """What scores are to differentiation: `2 (i - middle_j) s_j + below_j`.

    Up to what a row shares. The sums of s over the elements below j, and up to it, are
    added in `below`; of equals the first and the last one counts, and the middle one,
    as |s - s_l| has the derivative 0 there.
    """
    ends = jnp.concatenate(_ties(s, where), axis=-1)
    # Shifts change nothing; without one, sums of moves do not grow as large.
    s = s - jnp.mean(s, axis=-1, keepdims=True)
    ends = permute(pad_last(jnp.cumsum(s, axis=-1), 1, 0), ends)
    first, last = jnp.split(ends, 2, axis=-1)
    return s, first + last


def _middle(
    s: Float[Array, "*batch n"], where: Bool[Array, "*batch n"] | None
) -> Float[Array, "*batch n"]:
    """The middle position of each element's equals."""
    start, end = _ties(s, where)
    return (start + end - 1).astype(s.dtype) / 2


def _ties(s: Array, where: Array | None) -> tuple[Array, Array]:
    return tie_groups(jax.lax.stop_gradient(s), where)


class _DeviationRows(LocalRows):
    """Gaps are Q_j of the element j from that of the row itself."""

    growth: ClassVar[int] = 2

    support: Float[Array, "*batch n"]
    softness: Float[Array, "*#batch 1"]
    where: None

    def moving(self):
        support, below = _deviations(self.support, None)
        return below, (support, below)

    def still(self):
        s = jax.lax.stop_gradient(self.support)
        gaps = s[..., 1:] - s[..., :-1]
        offset = _middle(s, None) - jnp.arange(s.shape[-1])
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
    above, below = jnp.cumsum(jnp.stack(sides), axis=-1)
    q = pad_last(above, 1, 0) + pad_last(below[..., ::-1], 0, 1)
    apart = known[..., None, :] - known[..., anchors][..., None]
    away = 2 * (rows - middle[:, None])[..., None]
    value = away * apart[..., None, :] - q[..., None, :]
    support, below = _deviations(s, where)
    below = (below[..., None, :] - below[..., anchors][..., None])[..., None, :]
    away = 2 * (rows[..., None] - _middle(s, where)[..., None, None, :])
    return replace_value(away * support[..., None, None, :] + below, value)
