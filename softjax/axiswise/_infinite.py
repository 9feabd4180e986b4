"""Infinite elements of what is sorted, which take the first and the last places."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Shaped

from softjax_solvers.internal import rough_sums, safe_divide

from ..methods import Infinite, Intervals, Logarithms, Plain, Sample, Shares
from ..methods._intervals import ROUNDING
from ._operation import INDEX, LOGS, MASK, POSITION, VALUE, Operation

SHARES: dict[str, Shares] = {INDEX: Plain(), LOGS: Logarithms()}
"""Kind of an output that is a soft index -> the arithmetic of its entries."""


class Outer(NamedTuple):
    """The infinite elements of rows, and how much mass they have."""

    up: Bool[Array, "*batch n"]
    down: Bool[Array, "*batch n"]
    above: Shaped[Array, "*batch 1"]
    below: Shaped[Array, "*batch 1"]
    mass: Float[Array, "*batch n"] | None  # of elements, None for 1
    total: Shaped[Array | np.ndarray, "*#batch 1"]  # of all elements that there are
    by_ratios: bool = False  # whether the first have all, however little mass they have

    def each(self, fn: Callable[[Any], Array]) -> Outer:
        """This with `fn` of the numbers that rows have."""
        above, below, total = map(fn, (self.above, self.below, self.total))
        return self._replace(above=above, below=below, total=total)

    @property
    def first_below(self) -> Shaped[Array | np.ndarray, "*batch 1"]:
        """The first position of those that are -inf."""
        return self.total - self.below

    def parts(
        self, places: Intervals, dtype: jnp.dtype
    ) -> tuple[Float[Array, "*batch m"], Float[Array, "*batch m"]]:
        """The parts of intervals that are inf, and -inf."""
        start, stop = jnp.asarray(places.start), jnp.asarray(places.stop)
        if self.mass is None:
            up, down = start < self.above, start >= self.first_below
            return (up & ~down).astype(dtype), down.astype(dtype)
        # A point is one or the other.
        point = stop <= start
        length = jnp.where(point, 1, stop - start)
        up = jnp.clip(self.above - start, 0, length) / length
        down = jnp.clip(stop - self.first_below, 0, length) / length
        up = jnp.where(point, start < self.above, up)
        down = jnp.where(point, start >= self.first_below, down)
        down = jnp.where(self.below > 0, down, 0)
        # Sums of masses are rounded, and a finite element beside others stays finite.
        up, down = (jnp.where(part > ROUNDING, part, 0) for part in (up, down))
        return up.astype(dtype), jnp.minimum(down, 1 - up).astype(dtype)

    def shares(self, dtype: jnp.dtype) -> tuple[Array, Array]:
        """Soft indices `*batch n` of inf and of -inf, which equal ones share."""
        one = jnp.ones((), dtype) if self.mass is None else self.mass
        return (
            safe_divide(jnp.where(self.up, one, 0), self.above),
            safe_divide(jnp.where(self.down, one, 0), self.below),
        )

    def put(
        self,
        out: Array,
        kind: str,
        operation: Operation,
        sample: Sample,
        options: tuple[Any, ...],
    ) -> Array:
        """Results in which infinite elements have their places."""
        if kind == MASK:  # which has none: an element is in it or not
            return out
        if kind == POSITION:
            return put_positions(out, self, operation.first)
        places, single = operation.places(sample, *options)
        axis = -1 if kind == VALUE else -2
        out = jnp.expand_dims(out, axis) if single else out
        if kind == VALUE:
            out = put_values(out, places, self)
        else:
            out = put_indices(out, places, self, SHARES[kind])
        out = jnp.squeeze(out, axis) if single else out
        return self._put_first(out, kind) if self.by_ratios else out

    def _put_first(self, out: Array, kind: str) -> Array:
        """The first place of rows, all of which those have that are inf."""
        some = self.above > 0
        if kind == VALUE:
            return jnp.where(some[..., 0], jnp.inf, out)
        of_up, _ = self.shares(out.dtype)
        return jnp.where(some, SHARES[kind].of(of_up), out)


class Top(NamedTuple):
    """The largest elements, where nothing else is asked for.

    **Attributes:**

    - `x`: the elements, without a derivative.
    - `largest`: the largest number of a row, `*batch 1`.
    - `by_mask`: whether soft indices are those of infinite elements already.
    """

    x: Float[Array, "*batch n"]
    largest: Float[Array, "*batch 1"]
    by_mask: bool

    def put(self, out: Array, kind: str, *_: Any) -> Array:
        """Results in which infinite elements have their places."""
        if kind == VALUE:
            largest = self.largest[..., 0]
            return jnp.where(jnp.isinf(largest), largest, out)
        if self.by_mask:
            return out
        up = (self.x == jnp.inf).astype(out.dtype)
        # At least 1 where it is looked at.
        one = 1 / jnp.maximum(jnp.sum(up, axis=-1, keepdims=True), 1)
        return jnp.where(self.largest == jnp.inf, SHARES[kind].of(one * up), out)


def find_infinite(
    x: Float[Array, "*batch n"],
    mass: Float[Array, "*batch n"] | None,
    total_mass: Shaped[Array | np.ndarray, "*#batch 1"],
) -> tuple[Outer, Bool[Array, "*batch 1"], Float[Array, "*batch 1"]]:
    """The infinite elements; which rows have NaN; the size of the finite ones together.

    Without a mass of elements, the sums are those of counts, which are exact up to one
    over the rounding of the type.
    """
    up, down = x == jnp.inf, x == -jnp.inf
    size = jnp.where(up | down, 0, jnp.abs(jax.lax.stop_gradient(x)))
    # One sum for all three, which is much cheaper than three. The first one is NaN if
    # an element is, as 0 times that is: a solve that never sees NaN cannot hang.
    one = 1 if mass is None else mass
    terms = *(jnp.where(x, one, 0 * size) for x in (up, down)), size
    if mass is None:  # counts are exact, and the total is no more than a bound
        first, last, total = rough_sums(*terms)
    else:
        first, last, total = jnp.sum(jnp.stack(terms), axis=-1, keepdims=True)
    bad = jnp.isnan(first)
    above, below, total = (jnp.where(bad, 0, x) for x in (first, last, total))
    if mass is None:
        above, below = above.astype(jnp.int32), below.astype(jnp.int32)
    outer = Outer(up, down, above, below, mass, total_mass)
    return outer, bad, total


def stand_in(
    keys: Float[Array, "*batch n"],
    outer: Outer,
    reach: Float[Array, "*batch 1"],
    softness: Array,
    *,
    low: bool,
) -> tuple[Float[Array, "*batch n"], Infinite]:
    """Keys with finite numbers for infinite elements, beyond all others.

    No finite key exceeds the `reach`. `low` says whether there may be any for -inf.
    """
    infinite, far = _stand_ins(keys, outer, reach, softness, low=low)
    keys = jnp.where(outer.up, far, keys)
    return jnp.where(outer.down, -far, keys) if low else keys, infinite


def clip_infinite(
    x: Float[Array, "*batch n"],
    outer: Outer,
    reach: Float[Array, "*batch 1"],
    softness: Array,
) -> tuple[Float[Array, "*batch n"], Infinite]:
    """`stand_in` for elements that are infinite themselves, in fewer operations."""
    infinite, far = _stand_ins(x, outer, reach, softness, low=True)
    # In a row without infinite elements, none is too large.
    far = jnp.where(outer.above + outer.below > 0, far, jnp.inf)
    far = jnp.broadcast_to(far, x.shape)
    return jax.lax.clamp(-far, x, far), infinite


def _stand_ins(
    x: Float[Array, "*batch n"],
    outer: Outer,
    reach: Float[Array, "*batch 1"],
    softness: Array,
    *,
    low: bool,
) -> tuple[Infinite, Float[Array, "*batch 1"]]:
    reach = jnp.minimum(reach, jnp.finfo(x.dtype).max / 8)
    below = outer.below if low else jnp.zeros_like(outer.below)
    infinite = Infinite(outer.above, below, reach)
    return infinite, infinite.beyond(softness)


def put_values(
    out: Float[Array, "*batch m"], places: Intervals, outer: Outer
) -> Float[Array, "*batch m"]:
    """Values at places, where those of infinite elements are infinite."""
    up, down = outer.parts(places, out.dtype)
    edge = jnp.where(up > 0, jnp.inf, jnp.where(down > 0, -jnp.inf, 0))
    if places.share is not None:
        # What has no share does not count; inf and -inf have no mean.
        some = jnp.asarray(places.share) > places.rounding
        edge = places.add(jnp.where(some, edge, 0))
    return jnp.where(edge == 0, out, edge)


def put_indices(
    out: Float[Array, "*batch m n"], places: Intervals, outer: Outer, shares: Shares
) -> Float[Array, "*batch m n"]:
    """Soft indices at places, where those of infinite elements are shared by these."""
    up, down = (part[..., None] for part in outer.parts(places, out.dtype))
    of_up, of_down = (x[..., None, :] for x in outer.shares(out.dtype))
    if outer.mass is None and places.share is None:  # all of a row, or nothing of it
        parts = jnp.where(up > 0, of_up, of_down)
        return jnp.where(up + down > 0, shares.of(parts), out)
    parts, taken = up * of_up + down * of_down, up + down
    if places.share is not None:
        share = jnp.asarray(places.share)[..., None]
        parts, taken = places.add(share * parts, -2), places.add(share * taken, -2)
    # Half way to an infinite element, the finite ones keep their shares of the rest.
    rest = jnp.where((outer.up | outer.down)[..., None, :], shares.nothing, out)
    beside = shares.beside(parts, 1 - taken, shares.over_sum(rest))
    if outer.mass is not None:
        # Where they have none, all is shared by the infinite ones.
        some = jnp.any(rest != shares.nothing, axis=-1, keepdims=True)
        beside = jnp.where(some, beside, shares.of(safe_divide(parts, taken)))
    return jnp.where(taken > 0, beside, out)


def put_positions(
    out: Float[Array, "*batch n"], outer: Outer, first: int
) -> Float[Array, "*batch n"]:
    """Positions counted from `first`; equal infinities have the mean of theirs."""
    dtype = out.dtype
    high = (outer.above - 1).astype(dtype) / 2
    low = outer.total - 1 - (outer.below - 1).astype(dtype) / 2
    return jnp.where(outer.up, first + high, jnp.where(outer.down, first + low, out))
