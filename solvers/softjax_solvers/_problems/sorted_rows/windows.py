"""Rows over sorted elements, one for each of them, by the neighbours that matter."""

from __future__ import annotations

import abc
import functools
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, PyTree

from ..._core.problem import ScalarDualProblem
from ..._core.readout import ColumnMeans, LogPrimal, Means, Moves, Primal
from ..._core.regularizer import Regularizer
from ..._core.rows import as_mask
from ..._core.solution import Solution
from ..._kernels.arrays import eps, safe_divide
from ..._kernels.derivatives import derivative
from ..._kernels.neighbours import Extend, Lag, Terms, neighbour_moves, neighbour_sums
from ..._kernels.sorting import permute
from ..thresholds import all_in_full, threshold_bracket, weighted_bracket
from .rows import SortedRows
from .terms import column_terms, column_terms_and_slopes, near, row_slopes, row_terms

_SPACING = 8
"""Over how many elements on either side their density is estimated."""


def far_away(dtype: Any) -> float:
    """A gap, or a dual, beyond all others, of which products do not overflow."""
    return float(jnp.finfo(dtype).max) ** 0.5


class WindowedRows(ScalarDualProblem):
    """Rows `y_ij = phi(-gap_ij / softness - theta_i)` with sum 1.

    From 0 at the nearest element that is not masked, gaps grow to either side. So where
    the link reaches 0, or falls off like exp, nothing but a window of neighbours
    matters: sums take O(n w) time, with w the size of the widest window, and O(n)
    memory.

    **Attributes:**

    - `support`: ascending along the last axis.
    - `softness`, `where`: of the rows, and over the elements.
    - `weights`: how many copies elements are; None for one.
    - `growth`: gaps of elements at equal distances grow like their distance in position
        to this power.
    """

    support: eqx.AbstractVar[Float[Array, "*batch n"]]
    softness: eqx.AbstractVar[Float[Array, "*#batch 1"]]
    where: eqx.AbstractVar[Bool[Array, "*batch n"] | None]
    weights: eqx.AbstractVar[Float[Array, "*batch n"] | None]
    growth: eqx.AbstractClassVar[int]

    @property
    def present(self) -> Bool[Array, "*batch n"] | None:
        """A mask of elements with rows; None for all. Others have a dual that is large.

        They come last, far away from all that are present.
        """
        return None

    def if_present(self, x: Array, other: float) -> Array:
        """`x` of rows that there are."""
        return x if self.present is None else jnp.where(self.present, x, other)

    @property
    @abc.abstractmethod
    def extend(self) -> Extend | None:
        """Adds up the path that gaps are made of, from what is still of the other."""

    @abc.abstractmethod
    def moving(self) -> tuple[PyTree, PyTree]:
        """Differentiated parts of gaps: of an element as centre, and as the other."""

    @abc.abstractmethod
    def still(self) -> tuple[PyTree, PyTree]:
        """Constant parts of gaps: of an element as the centre, and as the other."""

    @staticmethod
    @abc.abstractmethod
    def gap(centre: PyTree, other: PyTree, lag: Lag) -> Float[Array, "*batch n"]:
        """From what is moving and what is still, together, of each."""

    def width(self, reach: Float[Array, "*batch n"]) -> Int[Array, ""] | None:
        """The largest distance in position of two elements with a gap below `reach`.

        The reach is that of the first of the two. Default: None, to be found by adding
        up what is nearer.
        """
        return None

    @abc.abstractmethod
    def farthest(self) -> Float[Array, "*batch n"]:
        """No less than the largest gap of each row."""

    def total(
        self, dual: Float[Array, "*batch n"], regularizer: Regularizer
    ) -> Float[Array, "*batch n"]:
        """Sums of the rows."""
        _, ((total,), _) = self._sums(row_terms, self._args(dual, regularizer))
        return total

    def depth(
        self, dual: Float[Array, "*batch n"], regularizer: Regularizer
    ) -> Float[Array, "*batch n"]:
        """The depth below that of its own element to which scores of a row count."""
        return -dual - regularizer.gradient(jnp.zeros((), dual.dtype))

    def optimality(
        self, dual: Float[Array, "*batch n"], regularizer: Regularizer
    ) -> Float[Array, "*batch n"]:
        return self.total(dual, regularizer) - 1

    def residual_and_slope(
        self, dual: Float[Array, "*batch n"], regularizer: Regularizer
    ) -> tuple[Float[Array, "*batch n"], Float[Array, "*batch n"]]:
        args = self._args(dual, regularizer)
        _, (((total, slope),), _) = self._sums(row_slopes, args)
        residual, factor = derivative(
            lambda x: regularizer.contrast(x, jnp.ones_like(x)), total
        )
        return self.if_present(residual, 0), factor * slope

    def rounding(self, regularizer: Regularizer) -> float:
        return 32  # the terms of a window are added up one by one

    def primal(
        self, dual: Float[Array, "*batch n"], regularizer: Regularizer
    ) -> Float[Array, "*batch n n"]:
        return self.general().primal(dual, regularizer)

    def log_primal(
        self, dual: Float[Array, "*batch n"], regularizer: Regularizer
    ) -> Float[Array, "*batch n n"]:
        return self.general().log_primal(dual, regularizer)

    @abc.abstractmethod
    def general(self) -> SortedRows:
        """The rows that these are windows of."""

    def flat(self) -> ScalarDualProblem:
        return self.general().flat()

    def means(
        self,
        dual: Float[Array, "*batch n"],
        regularizer: Regularizer,
        values: Float[Array, "*#batch n"],
    ) -> Float[Array, "*batch n"]:
        values = self._of_rows(values)
        args = self._args(dual, regularizer, values)
        _, ((total, excess), _) = self._sums(row_terms, args)
        return values + safe_divide(excess, total)

    # One pass over the neighbours for all that is known, and one that is linear in the
    # moves. The dual moves along.
    def means_and_tangent(
        self, solution: Solution, readout: Means, moves: Moves, linear_solver: None
    ) -> tuple[Float[Array, "*batch n"], Float[Array, "*batch n"]]:
        regularizer, values = solution.regularizer, self._of_rows(readout.values)
        values_move = moves.readout.values
        if values_move is not None:
            values_move = self._of_rows(values_move)
        args = self._args(solution.dual, regularizer, values)
        width, (((total, slope), (excess, excess_slope)), _) = self._sums(
            row_slopes, args
        )
        arg_moves = self._arg_moves(args, moves, values_move)
        (total_move, excess_move), _ = self._sum_moves(
            width, row_terms, args, arg_moves
        )
        dual_move = -safe_divide(total_move, slope)
        total_move = total_move + slope * dual_move
        excess_move = excess_move + excess_slope * dual_move
        return _quotient(values, excess, total, values_move, excess_move, total_move)

    def column_means(
        self,
        dual: Float[Array, "*batch n"],
        regularizer: Regularizer,
        values: Float[Array, "*#batch n"],
    ) -> Float[Array, "*batch n"]:
        values = jnp.broadcast_to(values, self.support.shape)
        args = self._args(dual, regularizer, values)
        _, (_, (total, excess)) = self._sums(column_terms, args)
        return values + safe_divide(excess, total)

    def column_means_and_tangent(
        self,
        solution: Solution,
        readout: ColumnMeans,
        moves: Moves,
        linear_solver: None,
    ) -> tuple[Float[Array, "*batch n"], Float[Array, "*batch n"]]:
        dual, regularizer = solution.dual, solution.regularizer
        values = jnp.broadcast_to(readout.values, self.support.shape)
        values_move = moves.readout.values
        if values_move is not None:
            values_move = jnp.broadcast_to(values_move, values.shape)
        args, rows = (self._args(dual, regularizer, v) for v in (values, None))
        width, (slope, (total, excess)) = self._sums(column_terms_and_slopes, args)
        arg_moves = self._arg_moves(args, moves, None)
        (row_move,), _ = self._sum_moves(width, row_terms, rows, arg_moves)
        dual_move = -safe_divide(row_move, slope)
        shared, (centre, *_), (other, *_) = arg_moves
        arg_moves = (
            shared,
            (centre, dual_move, None, values_move),
            (other, moves.problem.weights, values_move),
        )
        _, (total_move, excess_move) = self._sum_moves(
            width, column_terms, args, arg_moves
        )
        return _quotient(values, excess, total, values_move, excess_move, total_move)

    dense: ClassVar = frozenset({Primal, LogPrimal})
    fused: ClassVar = {
        Means: means_and_tangent,
        ColumnMeans: column_means_and_tangent,
    }

    def bracket(
        self, regularizer: Regularizer
    ) -> tuple[Float[Array, "*batch n"], Float[Array, "*batch n"]]:
        lower, upper = self._bracket(regularizer)
        far = far_away(lower.dtype)
        return self.if_present(lower, far), self.if_present(upper, far)

    def _bracket(
        self, regularizer: Regularizer
    ) -> tuple[Float[Array, "*batch n"], Float[Array, "*batch n"]]:
        s = self.support
        if self.weights is not None:
            own = jnp.where(self.weights > 0, 0.0, jnp.inf).astype(s.dtype)
            lowest = -self.farthest() / self.softness
            total = jnp.broadcast_to(self.total_mass(), s.shape)
            each = own[..., None], lowest, self.weights[..., None], total
            return weighted_bracket(regularizer, *each)
        count = jnp.broadcast_to(self.count().astype(s.dtype), s.shape)
        return threshold_bracket(regularizer, -self.farthest() / self.softness, count)

    def initial_dual(self, regularizer: Regularizer) -> Float[Array, "*batch n"]:
        """The dual if elements were at equal distances.

        The sum of phi is about its integral. With a gap of 1 at the distance d in
        position, that is for a power of t - t0, with t0 = r'(0), of the order of
        phi(t) d (t - t0)^(1 / growth).
        """
        s = jax.lax.stop_gradient(self.support)
        n = s.shape[-1]
        index = jnp.arange(n)

        def take(x, place):
            return x[..., place] if place.ndim == 1 else permute(x, place)

        start, stop = self.span()
        first = jnp.maximum(index - _SPACING, start)
        last = jnp.minimum(index + _SPACING, stop - 1)
        between = last - first
        if self.weights is not None:
            mass = jax.lax.stop_gradient(self._mass)
            between = jnp.maximum(take(mass, last) - take(mass, first), eps(s))
        gap = safe_divide(take(s, last) - take(s, first), between) / self.softness
        edge = regularizer.gradient(jnp.zeros((), s.dtype))
        top = regularizer.gradient(jnp.ones((), s.dtype))

        t = jnp.full_like(s, top)
        # Two steps of Newton's method in logarithms: exact for a power.
        for _ in range(2):
            y, slope = derivative(regularizer.link, t)
            length = t - edge
            order = 1 / self.growth + safe_divide(slope * length, y)
            count = y * safe_divide(length, gap) ** (1 / self.growth)
            t = edge + length * safe_divide(1.0, count) ** (1 / order)

        guess = -t
        lower, upper = self.bracket(regularizer)
        return jnp.where((guess >= lower) & (guess <= upper), guess, lower)

    def count(self) -> Int[Array, "*#batch #n"]:
        """The number of elements that take part in each row."""
        return jnp.sum(as_mask(self.where, self.support), axis=-1, keepdims=True)

    def total_mass(self) -> Float[Array, "*#batch #n"]:
        """The mass of those."""
        return self._mass[..., -1:]

    def span(self) -> tuple[Int[Array, "*batch n"] | int, Int[Array, "*batch n"] | int]:
        """The first place of each row's neighbours, and the one after the last."""
        return 0, self.support.shape[-1]

    @property
    def _mass(self) -> Float[Array, "*batch n"]:
        """The mass up to each element, with it."""
        weights: Any = self.weights
        return jnp.cumsum(weights, axis=-1)

    def residual(self, dual, regularizer):
        residual = self.if_present(jnp.abs(self.optimality(dual, regularizer)), 0)
        if self.weights is None:
            return residual
        full = all_in_full(regularizer, self.total_mass())
        return jnp.where(full, 0, residual)

    def _of_rows(self, values: Array) -> Float[Array, "*batch n"]:
        values = jnp.broadcast_to(values, self.support.shape)
        return values if self.where is None else jnp.where(self.where, values, 0)

    def _args(
        self,
        dual: Array | None,
        regularizer: Regularizer,
        values: Array | None = None,
    ) -> tuple[PyTree, PyTree, PyTree]:
        (centre, other), (centre_still, other_still) = self.moving(), self.still()
        dual = jnp.zeros_like(self.support) if dual is None else dual
        depth = self.if_present(self.depth(dual, regularizer), -1.0)
        weight = self.weights
        if weight is None and self.where is not None:
            weight = self.where.astype(dual.dtype)
        return (
            (regularizer, 1 / self.softness),
            ((centre, centre_still), dual, jax.lax.stop_gradient(depth), values),
            ((other, other_still), weight, values),
        )

    def _arg_moves(
        self, args: PyTree, moves: Moves, values: Array | None
    ) -> tuple[PyTree, PyTree, PyTree]:
        """Moves of `_args` at a fixed dual; None where there are none."""
        move, softness = moves.problem, None
        if move.softness is not None:
            softness = -move.softness / self.softness**2

        def moving(support):
            return eqx.tree_at(lambda rows: rows.support, self, support).moving()

        _, (centre, other) = eqx.filter_jvp(moving, (self.support,), (move.support,))
        _, ((_, centre_still), *_), ((_, other_still), *_) = jax.tree.map(
            lambda _: None, args
        )
        return (
            (moves.regularizer, softness),
            ((centre, centre_still), None, None, values),
            ((other, other_still), move.weights, values),
        )

    def _sums(self, fn: Any, args: PyTree) -> tuple[Array, tuple[PyTree, PyTree]]:
        _, (_, _, depth, _), _ = args
        width = self.width(depth * self.softness)
        matters = functools.partial(near, gap=self.gap)
        return neighbour_sums(width, args, self._terms(fn), matters, self._extend)

    def _sum_moves(
        self, width: Array, fn: Any, args: PyTree, moves: PyTree
    ) -> tuple[PyTree, PyTree]:
        return neighbour_moves(width, args, moves, self._terms(fn), self._extend)

    @property
    def _extend(self) -> Extend | None:
        extend = self.extend
        return None if extend is None else lambda other, lag: extend(other[0][1], lag)

    def _terms(self, fn: Any) -> Terms:
        return functools.partial(fn, gap=self.gap)


def _quotient(values, excess, total, values_move, excess_move, total_move):
    """`values + excess / total`, and how it moves; `values_move` may be None."""
    mean = safe_divide(excess, total)
    move = safe_divide(excess_move - mean * total_move, total)
    if values_move is not None:
        move = move + values_move
    return values + mean, move
