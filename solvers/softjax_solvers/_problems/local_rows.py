"""SoftSort's rows of all elements of a sample, by the neighbours that matter."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from .._neighbours import half_width, neighbour_moves, neighbour_sums
from .._numerics import derivative, distance, safe_divide
from .._problem import as_mask
from .._regularizer import Regularizer
from .simplex import threshold_bracket

_SPACING = 8
"""Over how many elements on either side their density is estimated."""


class LocalRows(eqx.Module):
    """Rows `y_ij = phi((nearest_i - |s_i - s_j|) / softness - theta_i)` with sum 1.

    Where the link reaches 0, a row is 0 but for a window of neighbours. So sums take
    O(n w) time, with w the size of the widest window, and O(n) memory.

    **Arguments:** as of [`softjax.solvers.SortedDistanceProjection`][].
    """

    support: Float[Array, "*batch n"]
    softness: Float[Array, "*#batch 1"]
    where: Bool[Array, "*batch n"] | None

    @property
    def nearest(self) -> Float[Array, "*batch n"]:
        """How far each element is from the nearest unmasked one, a constant."""
        s = jax.lax.stop_gradient(self.support)
        if self.where is None:
            return jnp.zeros_like(s)
        axis = s.ndim - 1
        below = jax.lax.cummax(jnp.where(self.where, s, -jnp.inf), axis=axis)
        above = jnp.where(self.where, s, jnp.inf)
        above = jax.lax.cummin(above, axis=axis, reverse=True)
        return jnp.minimum(s - below, above - s)

    def _width(self, dual: Array, regularizer: Regularizer) -> Int[Array, ""]:
        edge = regularizer.gradient(jnp.zeros((), self.support.dtype))
        reach = self.nearest + self.softness * (-dual - edge)
        return half_width(self.support, reach)

    def _args(self, dual: Array, regularizer: Regularizer, values: Array | None):
        where = None if self.where is None else self.where.astype(dual.dtype)
        return (
            (regularizer, 1 / self.softness),
            (self.support, self.nearest, dual, values),
            (self.support, where, values),
        )

    def total(
        self, dual: Float[Array, "*batch n"], regularizer: Regularizer
    ) -> Float[Array, "*batch n"]:
        """What the rows sum to."""
        args = self._args(dual, regularizer, None)
        (total,) = _collect(self._width(dual, regularizer), args, _terms)
        return total

    def total_and_slope(
        self, dual: Float[Array, "*batch n"], regularizer: Regularizer
    ) -> tuple[Float[Array, "*batch n"], Float[Array, "*batch n"]]:
        """What the rows sum to, and its derivative in the dual."""
        args = self._args(dual, regularizer, None)
        ((total, slope),) = _collect(
            self._width(dual, regularizer), args, _terms_and_slopes
        )
        return total, slope

    def mean(
        self,
        dual: Float[Array, "*batch n"],
        regularizer: Regularizer,
        values: Float[Array, "*batch n"],
    ) -> Float[Array, "*batch n"]:
        """The means of values under the rows."""
        args = self._args(dual, regularizer, self._mask(values))
        total, excess = _collect(self._width(dual, regularizer), args, _terms)
        return self._mask(values) + safe_divide(excess, total)

    def mean_and_tangent(
        self,
        dual: Float[Array, "*batch n"],
        regularizer: Regularizer,
        values: Float[Array, "*batch n"],
        move: "LocalRows",
        regularizer_move: Any,
        values_move: Float[Array, "*batch n"] | None,
    ) -> tuple[Float[Array, "*batch n"], Float[Array, "*batch n"]]:
        """The means, and how they change with all that they depend on.

        The dual is the optimal one, and moves along. One pass over the neighbours for
        all that is known, and one that is linear in the moves.
        """
        values = self._mask(values)
        if values_move is not None:
            values_move = self._mask(values_move)
        args = self._args(dual, regularizer, values)
        width = self._width(dual, regularizer)
        (total, slope), (excess, excess_slope) = _collect(
            width, args, _terms_and_slopes
        )
        softness_move = move.softness
        if softness_move is not None:
            softness_move = -softness_move / self.softness**2
        moves = (
            (regularizer_move, softness_move),
            (move.support, None, None, values_move),
            (move.support, None, values_move),
        )
        total_move, excess_move = jax.tree.map(
            jnp.add,
            neighbour_moves(width, args, moves, _terms),
            eqx.filter_jvp(_terms, args, moves)[1],
        )
        dual_move = -safe_divide(total_move, slope)
        total_move = total_move + slope * dual_move
        excess_move = excess_move + excess_slope * dual_move
        mean = safe_divide(excess, total)
        out = safe_divide(excess_move - mean * total_move, total)
        if values_move is not None:
            out = out + values_move
        return values + mean, out

    def _mask(self, values: Array) -> Array:
        return values if self.where is None else jnp.where(self.where, values, 0)

    def bracket(
        self, regularizer: Regularizer
    ) -> tuple[Float[Array, "*batch n"], Float[Array, "*batch n"]]:
        """Bounds on the dual."""
        s = self.support
        farthest = jnp.maximum(s - s[..., :1], s[..., -1:] - s) / self.softness
        count = jnp.sum(as_mask(self.where, s), axis=-1, keepdims=True)
        count = jnp.broadcast_to(count.astype(s.dtype), s.shape)
        return threshold_bracket(regularizer, -farthest, count)

    def guess(self, regularizer: Regularizer) -> Float[Array, "*batch n"]:
        """The dual if elements were at equal distances.

        With one element in each gap, the sum of phi is about its integral, which for a
        power of t - t0, with t0 = r'(0), is of the order of phi(t) (t - t0) / gap.
        """
        s = jax.lax.stop_gradient(self.support)
        n = s.shape[-1]
        index = jnp.arange(n)
        first = jnp.maximum(index - _SPACING, 0)
        last = jnp.minimum(index + _SPACING, n - 1)
        gap = (s[..., last] - s[..., first]) / (last - first) / self.softness
        edge = regularizer.gradient(jnp.zeros((), s.dtype))
        top = regularizer.gradient(jnp.ones((), s.dtype))

        def towards(_, t):
            # A step of Newton's method in logarithms: exact for a power.
            y, slope = derivative(regularizer.link, t)
            length = t - edge
            order = 1 + safe_divide(slope * length, y)
            return edge + length * safe_divide(gap, length * y) ** (1 / order)

        guess = -jax.lax.fori_loop(0, 2, towards, jnp.full_like(s, top))
        lower, upper = self.bracket(regularizer)
        return jnp.where((guess >= lower) & (guess <= upper), guess, lower)


def _argument(shared, centre, other):
    """What the link is applied to, for an entry of a row."""
    _, inverse_softness = shared
    support, nearest, dual, _ = centre
    gap = distance(support, other[0])
    return (nearest - gap) * inverse_softness - dual


def _finish(y, centre, other):
    """An entry; and, if there are values, that times the difference of two.

    Relative to the value of the row's own element, so that nothing cancels.
    """
    _, weight, other_values = other
    if weight is not None:
        y = weight * y
    values = centre[3]
    return (y,) if values is None else (y, y * (other_values - values))


def _terms(shared, centre, other):
    y = shared[0].link(_argument(shared, centre, other))
    return _finish(y, centre, other)


def _terms_and_slopes(shared, centre, other):
    """The same, each with its derivative in the dual."""
    t = _argument(shared, centre, other)
    terms = _finish(shared[0].link(t), centre, other)
    slopes = _finish(-shared[0].slope(t), centre, other)
    return tuple(zip(terms, slopes, strict=True))


def _collect(width, args, fn):
    """The sums over whole rows, with the elements themselves."""
    return jax.tree.map(jnp.add, neighbour_sums(width, args, fn), fn(*args))
