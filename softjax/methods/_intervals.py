"""Intervals of mass: which part of a sorted row is read, counted from the largest."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Shaped

from softjax_solvers.internal import is_traced, pad_last, permute, safe_divide

ROUNDING = 1e-5
"""Part of a unit by which sums of weights, such as those normalized, may be off."""


class Intervals(NamedTuple):
    """Intervals of mass in rows, counted from the largest element.

    An element of mass w takes up the interval `[c, c + w]`, with c the mass of all that
    are larger. Where all have mass 1, `[i, i + 1]` is the i-th largest, counted from 0.

    **Attributes:**

    - `start`, `stop`: `*#batch m`, of NumPy where they are known. Integers are ends of
        whole units of mass. A `stop` that is not beyond the `start` makes an interval
        empty.
    - `share`: None, or shares `*#batch m` in m / 2 mixtures, of which the i-th is made
        of the i-th interval and of the i-th in the second half, which comes after it.

    **Example:**

        >>> sample = sj.methods.Sample(jnp.array([0.2, 1.0, 0.7]))
        >>> quartile = sample.quantile_cells(jnp.array([0.25]))
        >>> print(quartile.start, quartile.stop, quartile.share)
        [1 2] [2 3] [0.5 0.5]
        >>> print(quartile.read(jnp.array([1.0, 0.7, 0.2])))
        [0.45]
    """

    start: Shaped[Array | np.ndarray, "*#batch m"]
    stop: Shaped[Array | np.ndarray, "*#batch m"]
    share: Float[Array | np.ndarray, "*#batch m"] | None = None

    @property
    def rounding(self) -> float:
        """The share up to which a mixture may have an interval by rounding alone."""
        whole = jnp.issubdtype(self.start.dtype, jnp.integer)
        return 0.0 if whole else ROUNDING

    def take(
        self, x: Float[Array, "*batch n ..."], axis: int = -1
    ) -> Float[Array, "*batch m ..."]:
        """Means over each interval, of mass 1, of what stands for the units of mass.

        Those are along the `axis` of `x`, which is -1 or -2.
        """
        lower, upper, share = self.neighbours(x, axis)
        return lower if share is None else lower + share * (upper - lower)

    def neighbours(
        self, x: Float[Array, "*batch n ..."], axis: int = -1
    ) -> tuple[Array, Array, Array | None]:
        """Elements of the units that intervals begin in, and of the next ones.

        And the share that an interval has of the latter; None if they are whole.
        """
        place = self.start
        if jnp.issubdtype(place.dtype, jnp.integer):
            found = _at(x, place, axis)
            return found, found, None
        place = jnp.asarray(place, x.dtype)
        whole = jax.lax.stop_gradient(jnp.floor(place)).astype(jnp.int32)
        lower = _at(x, whole, axis)
        upper = _at(x, jnp.minimum(whole + 1, x.shape[axis] - 1), axis)
        return lower, upper, _along(place - whole, axis)

    def add(
        self, x: Float[Array, "*batch m ..."], axis: int = -1
    ) -> Float[Array, "*batch m/2 ..."]:
        """Sums over the intervals of each mixture."""
        if self.share is None:
            return x
        first, second = jnp.split(x, 2, axis=axis)
        return first + second

    def mix(
        self, x: Float[Array, "*batch m ..."], axis: int = -1
    ) -> Float[Array, "*batch m/2 ..."]:
        """Mixtures of what belongs to each interval."""
        if self.share is None:
            return x
        return self.add(_along(jnp.asarray(self.share, x.dtype), axis) * x, axis)

    def mix_infinite(
        self, values: Float[Array, "*batch m"]
    ) -> Float[Array, "*batch m/2"]:
        """Mixtures of values of intervals that may be infinite."""
        if self.share is None:
            return values
        # Between equal infinities there is nothing to interpolate, and without a share
        # they do not count.
        share = jnp.asarray(self.share, values.dtype)
        lower, upper = jnp.split(values, 2, axis=-1)
        mixed = self.add(times_infinite(share, values, self.rounding))
        return jnp.where(lower == upper, lower, mixed)

    def read(
        self, x: Float[Array, "*batch n ..."], axis: int = -1
    ) -> Float[Array, "*batch m/2 ..."]:
        """Mixtures of what stands for the units of mass along the `axis` of `x`."""
        return self.mix(self.take(x, axis), axis)

    def up_to(self, total: Float[Array, "*#batch 1"]) -> Intervals:
        """What is of intervals before a total; those that begin there stay."""
        start, stop = jnp.asarray(self.start), jnp.asarray(self.stop)
        # Sums of masses are rounded.
        some = start + ROUNDING * jnp.minimum(total, 1) < total
        return self._replace(stop=jnp.where(some, jnp.minimum(stop, total), stop))

    def overlap(
        self,
        before: Shaped[Array | np.ndarray, "*#batch n"],
        mass: Shaped[Array | np.ndarray, "*#batch n"],
    ) -> Shaped[Array, "*#batch m n"]:
        """The mass that each interval has of each element, from that before it."""
        start, stop = (jnp.asarray(x)[..., None] for x in (self.start, self.stop))
        before, mass = (jnp.asarray(x)[..., None, :] for x in (before, mass))
        after = before + mass
        common = jnp.minimum(stop, after) - jnp.maximum(start, before)
        # Whole elements have their own mass, free of the rounding of what is before.
        whole = (start <= before) & (after <= stop)
        overlap = jnp.where(whole, mass, jnp.maximum(common, 0))
        # An interval without length is a point, which an element has all of.
        here = (start == stop) & (before <= start) & (start < after)
        return jnp.where(start == stop, here.astype(overlap.dtype), overlap)

    def shares(
        self,
        before: Shaped[Array | np.ndarray, "*#batch n"],
        mass: Shaped[Array | np.ndarray, "*#batch n"],
    ) -> Float[Array, "*#batch m n"]:
        """The shares that elements have of each interval, 0 of one without mass."""
        overlap = self.overlap(before, mass)
        return safe_divide(overlap, jnp.sum(overlap, axis=-1, keepdims=True))


@functools.partial(jnp.vectorize, signature="(n),(n,k)->(n,k)")
def cell_means(
    mass: Float[Array, " n"], values: Float[Array, "n k"]
) -> Float[Array, "n k"]:
    """Means of what sorted elements have over the first n units of mass, 0 beyond.

    In O(n), of positive terms: a unit is a part of the element that holds its start,
    elements that are whole, and a part of the one that holds its end.
    """
    n = mass.shape[-1]
    after = jnp.cumsum(mass)
    before, units = pad_last(after[:-1], 1, 0), jnp.arange(n + 1, dtype=mass.dtype)
    # How many elements are before each unit: the next one holds its start.
    known = jax.lax.stop_gradient(after)
    place = jnp.minimum(jnp.ceil(known), n + 1).astype(jnp.int32)
    count = jnp.cumsum(jax.ops.segment_sum(jnp.ones_like(place), place, n + 2))
    holder = jnp.minimum(count[:-1], n - 1)
    # Together, as derivatives come back by one scatter.
    held = jnp.concatenate([before[:, None], after[:, None], values], axis=-1)[holder]
    start, stop, ends = held[:, 0], held[:, 1], held[:, 2:]
    # What is left of it from there on, and what it has before that.
    rest = jnp.where((start < units) & (stop > units), stop - units, 0)
    part = jnp.where((start < units) & (stop > units), units - start, 0)
    alone = (holder[:-1] == holder[1:]) & (stop[:-1] >= units[1:])
    first = jnp.where(alone, 1, rest[:-1])[:, None]
    last = jnp.where(alone, 0, part[1:])[:, None]
    cell = jnp.floor(jax.lax.stop_gradient(before))
    whole = (after <= cell + 1) & (cell < n)
    cell = jnp.minimum(cell, n).astype(jnp.int32)
    rounding = ROUNDING * jnp.clip(known[-1] - units[:-1, None], 0, 1)
    terms = times_infinite(mass[:, None], values, rounding[jnp.minimum(cell, n - 1)])
    terms = jnp.concatenate([mass[:, None], terms], axis=-1)
    terms = jnp.where(whole[:, None], terms, 0)
    inside = jax.ops.segment_sum(terms, cell, n, indices_are_sorted=True)
    weighted = times_infinite(first, ends[:-1], rounding) + inside[:, 1:]
    weighted = weighted + times_infinite(last, ends[1:], rounding)
    return mean_of_infinite(weighted, first + inside[:, :1] + last)


def times_infinite(mass: Array, x: Array, rounding: Array | float) -> Array:
    """The product, where a mass up to a rounding has nothing of what is infinite.

    And no mass has a derivative there.
    """
    far = jnp.isinf(x)
    return jnp.where(far & (mass > rounding), x, mass * jnp.where(far, 0, x))


def mean_of_infinite(total: Array, mass: Array) -> Array:
    """The quotient of a sum that may be infinite, which no mass moves, and of mass."""
    far = jnp.isinf(total)
    return jnp.where(far, total, safe_divide(jnp.where(far, 0, total), mass))


def _at(x: Array, place: Int[Array | np.ndarray, "*#batch m"], axis: int) -> Array:
    if place.ndim == 1:
        return x[..., place] if axis == -1 else x[..., place, :]
    if axis == -1:
        return permute(x, jnp.broadcast_to(place, (*x.shape[:-1], place.shape[-1])))
    place = jnp.broadcast_to(place, (*x.shape[:-2], place.shape[-1]))[..., None]
    return jnp.take_along_axis(x, place, axis=-2, mode="promise_in_bounds")


def _along(x: Array, axis: int) -> Array:
    return x if axis == -1 else x[..., None]


def units(
    start: Shaped[Array | np.ndarray, "*#batch m"],
    share: Float[Array | np.ndarray, "*#batch m"] | None = None,
) -> Intervals:
    """Intervals of mass 1."""
    return Intervals(start, start + 1, share)


def _unit(total: Shaped[Array | np.ndarray, "*#batch 1"]) -> Any:
    """A unit of mass: 1, or the least that is more than the rounding of a large total.

    None where the total is whole.
    """
    if jnp.issubdtype(total.dtype, jnp.integer):
        return None
    least = 8 * jnp.finfo(total.dtype).eps * jnp.asarray(total)
    return jax.lax.stop_gradient(jnp.maximum(least, 1))


def first_cells(total: Shaped[Array | np.ndarray, "*#batch 1"], m: int) -> Intervals:
    """The m largest units of mass, `[i, min(i + 1, W)]` for i from 0 to m - 1."""
    start = np.arange(m)
    return Intervals(start, _library(total).clip(total, start, start + 1))


def middle_cell(
    total: Shaped[Array | np.ndarray, "*#batch 1"], whole: bool
) -> Intervals:
    """The unit of mass in the middle, in one piece: all that there is of less."""
    if whole:
        start = (total - 1) / 2
        return Intervals(start, start + 1)
    lower = jnp.maximum(total - _unit(total), 0) / 2
    return Intervals(lower, total - lower)


def median_cells(total: Shaped[Array | np.ndarray, "*#batch 1"]) -> Intervals:
    """The unit of mass in the middle of rows, in two halves.

    Where the total is whole, each half is a part of a whole unit, which stands for it.
    """
    if jnp.issubdtype(total.dtype, jnp.integer):
        xp = _library(total)
        start = xp.concatenate([(total - 1) // 2, total // 2], axis=-1)
        return units(start, np.full(2, 0.5))
    unit = _unit(total)
    lower = jnp.maximum(total - unit, 0) / 2
    upper = jnp.minimum(total, (total + unit) / 2)
    ends = jnp.concatenate([lower, total / 2, upper], axis=-1)
    return Intervals(ends[..., :2], ends[..., 1:], np.full(2, 0.5))


def quantile_cells(
    total: Shaped[Array | np.ndarray, "*#batch 1"],
    q: Float[Array | np.ndarray, " m"],
    quantile_method: str,
) -> Intervals:
    """The units of mass of quantiles, counted from the smallest, as intervals."""
    return QUANTILE_METHODS[quantile_method](total, q)


def _inverted_cdf(total: Array | np.ndarray, q: Array | np.ndarray) -> Intervals:
    """The element at which the mass from the smallest on reaches q of all.

    Where the total is whole, as its unit, and else as a point, which it has all of.
    """
    xp = _library((total, q))
    if jnp.issubdtype(total.dtype, jnp.integer):
        start = xp.minimum(xp.floor(total - q * total), total - 1)
        return units(start.astype(np.int32))
    eps = jnp.finfo(total.dtype).eps
    point = jnp.minimum(total - q * total, total * (1 - 2 * eps))
    return Intervals(point, point)


def _between(
    total: Array | np.ndarray,
    q: Array | np.ndarray,
    choose: Callable[[Any, Any], tuple[Any, Any]],
) -> Intervals:
    """Mixtures of order statistics; `choose` is called with the position between them.

    It counts from the smallest, and returns the lower order statistic and the share of
    the one above, None where there is nothing to mix.
    """
    xp, unit = _library((total, q)), _unit(total)
    total = total if unit is None else total / unit
    last = xp.maximum(total - 1, 0)
    h = q * last
    below, above = choose(h, xp)
    if jnp.issubdtype(total.dtype, jnp.integer):
        below = below.astype(np.int32)
    if above is None:
        cells, share = below, None
    else:
        # Where there is nothing above, the upper one of the last two has all.
        lower = xp.minimum(below, xp.maximum(xp.ceil(last).astype(below.dtype) - 1, 0))
        rest = 1 - (above + (below - lower))
        cells = xp.concatenate([lower + 1, lower], axis=-1)
        share = xp.concatenate([1 - rest, rest], axis=-1)
    ends = (xp.clip(total - cells - i, 0, total) for i in (1, 0))
    start, stop = (end if unit is None else unit * end for end in ends)
    return Intervals(start, stop, share)


_CHOICES: dict[str, Callable[[Any, Any], tuple[Any, Any]]] = {
    "linear": lambda h, xp: (xp.floor(h), h - xp.floor(h)),
    "lower": lambda h, xp: (xp.floor(h), None),
    "higher": lambda h, xp: (xp.ceil(h), None),
    "midpoint": lambda h, xp: (xp.floor(h), (h > xp.floor(h)).astype(h.dtype) / 2),
    "nearest": lambda h, xp: (xp.round(h), None),
}

QUANTILE_METHODS: dict[str, Callable[[Any, Any], Intervals]] = {
    name: functools.partial(_between, choose=choose)
    for name, choose in _CHOICES.items()
} | {"inverted_cdf": _inverted_cdf}
"""Interpolation -> the intervals of mass of levels, of rows of a total mass."""


def _library(tree: Any) -> Any:
    """NumPy, whose results are known, or that of JAX where an array is not."""
    return jnp if is_traced(tree) else np
