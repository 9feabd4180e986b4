"""Rules by which entries of a block are pooled: sums of links, lines, exponentials."""

from __future__ import annotations

import abc
from collections.abc import Callable
from typing import ClassVar, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from ..._core.regularizer import Regularizer
from ..._kernels.arrays import eps, is_traced, safe_divide
from ..._kernels.derivatives import derivative
from .blocks import Groups


class Balance(NamedTuple):
    """The equation that ties the value v of a group to its entries.

    **Attributes:**

    - `excess`: decreases in v, and vanishes for the right one.
    - `slope`: minus its derivative in v.
    - `size`: the size of what it is a difference of.
    """

    excess: Array
    slope: Array
    size: Array


class Rule(eqx.Module):
    """A rule by which entries are pooled, in terms of `u = s - v`.

    `weights` are positive, or None for 1: of how many copies an entry consists.
    """

    moves_with_w: eqx.AbstractClassVar[bool]  # whether y shifts when w does

    @abc.abstractmethod
    def alone(self, w: Array) -> Array:
        """The u of an entry that is a block of its own."""

    @abc.abstractmethod
    def output(self, u: Array) -> Array:
        """The y of an entry."""

    @abc.abstractmethod
    def balance(
        self,
        u: Array,
        w: Array,
        inside: Array,
        groups: Groups,
        weights: Array | None = None,
    ) -> Balance:
        """The balance of each group, of which only the entries `inside` count."""

    @abc.abstractmethod
    def shared(self, w: Array, weights: Array, spacing: Array) -> Array:
        """One w for all copies of an entry, which are pooled anyway, in place of many.

        Those are at distances `spacing` around `w`, and `weights` in number.

        **Raises:** `ValueError` if that has no closed form.
        """

    def flat(self, balance: Balance) -> Bool[Array, "..."] | bool:
        """Groups whose value moves infinitely fast with w, as all slopes vanish."""
        return balance.slope == 0

    def unrounded(self, u: Array, balance: Balance) -> Array | float:
        """Parts of the excess that a link makes of rounding. Default: none."""
        return 0.0

    def resolves(self) -> bool:
        """Whether y near 0 are of u near 0, lost in the rounding of others.

        Default: they are not.
        """
        return False

    def summary(self) -> Summary | None:
        """The rule by which blocks are pooled without their entries. Default: None."""
        return None

    def summary_scale(self) -> float | Float[Array, ""]:
        """Factor of u before it is summarized. Default: 1."""
        return 1.0


Pair = tuple[Array, Array]


class Summary(eqx.Module):
    """Two numbers that say of a block what has to be known to pool it with another.

    They are relative to the first entry: to its s, and to the u that it has alone.
    """

    @abc.abstractmethod
    def new(self, weight: Array) -> Pair:
        """The summary of an entry."""

    @abc.abstractmethod
    def join(self, block: Pair, after: Pair, rise: Array, drop: Array) -> Pair:
        """The summary of two blocks, of which the second has s and u so much larger."""

    @abc.abstractmethod
    def level(self, block: Pair) -> Array:
        """By how much the value of a block is above that of its first entry alone."""


class _Means(Summary):
    """The weight of the entries, and the weighted sum of their values."""

    def new(self, weight):
        return weight, 0 * weight  # which varies over a mesh where the weight does

    def join(self, block, after, rise, drop):
        (count, total), (more, added) = block, after
        return count + more, total + added + more * (rise - drop)

    def level(self, block):
        count, total = block
        return total / count


class _Exponentials(Summary):
    """The sums of the exponentials of s and of w, which is the u of an entry alone."""

    def new(self, weight):
        return weight, weight

    def join(self, block, after, rise, drop):
        (source, target), (more_source, more_target) = block, after
        return (
            source + jnp.exp(rise) * more_source,
            target + jnp.exp(drop) * more_target,
        )

    def level(self, block):
        source, target = block
        return jnp.log(source / target)


class _Sums(Rule):
    """Sums of links; `odd` says whether they are extended to an odd function.

    `rounds` says whether y is far less accurate than the u that it is the link of.
    """

    moves_with_w: ClassVar[bool] = False

    regularizer: Regularizer
    odd: bool | Bool[Array, ""]
    rounds: bool
    grounded: bool = False

    def resolves(self) -> bool:
        return self.grounded

    def unrounded(self, u: Array, balance: Balance) -> Array | float:
        # Shared in proportion to slopes, where sums of y are what is balanced.
        if self.odd is False or not self.rounds:
            return 0.0
        _, slope = derivative(self.output, jax.lax.stop_gradient(u))
        share = safe_divide(slope, balance.slope)
        missing = jnp.where(self.odd, -share * balance.excess, 0)
        return jax.lax.stop_gradient(missing)

    def _choose(self, odd: Callable, positive: Callable, x: Array) -> Array:
        if isinstance(self.odd, bool):
            return odd(x) if self.odd else positive(x)
        # Not both: what is not meant may overflow.
        return jax.lax.cond(self.odd, lambda x: odd(x), lambda x: positive(x), x)

    # Where the link is positive everywhere, w and y are arguments of the link of its
    # unit, so that a multiple of a regularizer is a multiple of the softness.

    def _to_unit(self, u: Array) -> Array:
        return u / self.regularizer.unit()[1]

    def _from_unit(self, w: Array) -> Array:
        return self.regularizer.unit()[1] * w

    def _edge(self, like: Array) -> Float[Array, ""]:
        edge = self.regularizer.gradient(jnp.zeros((), like.dtype))
        return jnp.where(jnp.isfinite(edge), edge, 0)

    def _extended(self, u: Array) -> Array:
        edge = self._edge(u)
        distance = jnp.where(u < edge, edge - u, u - edge)
        # At the edge the slope is that from the right, of both sides.
        least = jnp.finfo(u.dtype).tiny + eps(u) * jnp.abs(edge)
        off = jax.lax.stop_gradient(jnp.maximum(distance, least) - distance)
        # What is above the edge is not measured from there, which may be far.
        above = jnp.where(u < edge, edge + distance, u)
        y = self.regularizer.link(above + off)
        # There it is 0, and just has the derivative of what is next to it.
        y = jnp.where(distance > 0, y, y - jax.lax.stop_gradient(y))
        return jnp.where(u < edge, -y, y)

    def _inverse(self, w: Array) -> Array:
        edge = self._edge(w)
        above = self.regularizer.gradient(jnp.abs(w))
        return jnp.where(w < 0, edge - (above - edge), above)

    def _link(self, u: Array) -> Array:
        return self._choose(self._extended, self.regularizer.link, u)

    def alone(self, w: Array) -> Array:
        return self._choose(self._inverse, self._from_unit, w)

    def output(self, u: Array) -> Array:
        return self._choose(self._extended, self._to_unit, u)

    def balance(self, u, w, inside, groups, weights=None):
        unit, _ = self.regularizer.unit()
        target = self._choose(_same, unit.link, w)
        return _balance_sums(self._link, u, target, inside, groups, weights)

    def shared(self, w: Array, weights: Array, spacing: Array) -> Array:
        if self.odd is False:
            raise ValueError(
                f"The link of the regularizer {self.regularizer!r} is positive "
                "everywhere, and its mean over the copies that a weight stands for has "
                "a closed form for an exponential only. Use a mode such as 'smooth', "
                "'c0', 'c1' or 'c2', or repeat entries."
            )
        # Means of w are means of sums; where that is not known, it is told by NaN.
        return w if self.odd is True else jnp.where(self.odd, w, jnp.nan)


def _balance_sums(
    link: Callable[[Array], Array],
    u: Array,
    target: Array,
    inside: Array,
    groups: Groups,
    weights: Array | None,
) -> Balance:
    """The balance of groups in which `link(u)` sums to the same as `target`."""
    y, slope = derivative(link, jnp.where(inside, u, 0))
    size = jax.lax.stop_gradient(jnp.abs(y) + jnp.abs(target))
    terms = y - target, slope, size
    if weights is not None:
        terms = (x * weights for x in terms)
    return Balance(*groups.totals(*(jnp.where(inside, x, 0) for x in terms)))


def _same(x: Array) -> Array:
    return x


class _LinearSums(Rule):
    """Sums of a linear link, which is its own extension to an odd function."""

    moves_with_w: ClassVar[bool] = True

    regularizer: Regularizer

    def _gradient(self, y: float, like: Array) -> Float[Array, ""]:
        return self.regularizer.gradient(jnp.full((), y, like.dtype))

    def summary(self) -> Summary:
        return _Means()

    def alone(self, w: Array) -> Array:
        start = self._gradient(0, w)
        return start + (self._gradient(1, w) - start) * w

    def output(self, u: Array) -> Array:
        start = self._gradient(0, u)
        return (u - start) / (self._gradient(1, u) - start)

    def balance(self, u, w, inside, groups, weights=None):
        return _balance_sums(self.output, u, w, inside, groups, weights)

    def shared(self, w: Array, weights: Array, spacing: Array) -> Array:
        return w


class _LogSums(Rule):
    """Logarithms of sums of exponentials, for a multiple of the entropy.

    With the rate c of the link, `sum_B exp(c u_i) = sum_B exp(w_i)` and `y = c u`. Of
    m copies at distances d, the mean exponential is
    `exp(w) sinh(m d / 2) / (m sinh(d / 2))`.
    """

    moves_with_w: ClassVar[bool] = True

    rate: float | Float[Array, ""]

    def flat(self, balance: Balance) -> bool:
        return False

    def summary(self) -> Summary:
        return _Exponentials()

    def summary_scale(self) -> float | Float[Array, ""]:
        return self.rate

    def alone(self, w: Array) -> Array:
        return w / self.rate

    def output(self, u: Array) -> Array:
        return self.rate * u

    def shared(self, w: Array, weights: Array, spacing: Array) -> Array:
        return w + _log_sinhc(weights * spacing / 2) - _log_sinhc(spacing / 2)

    def balance(self, u, w, inside, groups, weights=None):
        u = self.rate * u
        # Both descend: nothing overflows where the first is 0.
        source, target = jax.lax.stop_gradient(groups.first(inside, u, w))

        def total(x: Array) -> Array:
            # One by one, which XLA compiles into faster code for exponentials.
            terms = jnp.exp(jnp.where(inside, x, -jnp.inf))
            (total,) = groups.totals(terms if weights is None else terms * weights)
            return jnp.where(total == 0, 1, total)

        sources, targets = total(u - source), total(w - target)
        excess = source - target + jnp.log(sources / targets)
        size = 1 + jnp.abs(source) + jnp.abs(target)
        return Balance(excess, self.rate * jnp.ones_like(excess), size)


def _log_sinhc(x: Array) -> Array:
    """`log(sinh(x) / x)` of nonnegative numbers, whose derivative does not cancel."""
    small = jnp.minimum(x, 1)
    # The Taylor series of sinh(x) / x - 1, of which no term is negative.
    square, series = small**2, jnp.zeros_like(x)
    for k in reversed(range(2, 20, 2)):
        series = square / (k * (k + 1)) * (1 + series)
    large = jnp.maximum(x, 1)
    far = large + jnp.log(-jnp.expm1(-2 * large) / (2 * large))
    return jnp.where(x < 1, jnp.log1p(series), far)


def choose_rule(regularizer: Regularizer) -> Rule:
    structure = regularizer.structure()
    if structure.rate is not None:
        return _LogSums(structure.rate)
    odd = is_odd(regularizer)
    if odd is True and structure.linear:
        return _LinearSums(regularizer)
    grounded = regularizer if odd is False else regularizer.grounded()
    # An edge far from 0 makes numbers beyond it large.
    rounds = structure.steep or grounded is not regularizer
    # By a steep link, much is next to the edge, that is told from 0 only from there.
    if structure.steep and odd is not False:
        return _Sums(grounded, odd, rounds, grounded is not regularizer)
    return _Sums(regularizer, odd, rounds)


def is_odd(regularizer: Regularizer) -> bool | Bool[Array, ""]:
    """Whether r'(0) is finite, so that the link is extended to an odd function.

    A `bool` where that is known, and else not the guess of `Structure.sparse`.
    """
    # A factor makes no difference, traced or not.
    regularizer, _ = regularizer.unit()
    if is_traced(regularizer):
        return jnp.isfinite(regularizer.gradient(jnp.zeros(())))
    return regularizer.structure().sparse
