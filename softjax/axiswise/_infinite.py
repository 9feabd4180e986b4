"""Infinite elements of what is sorted, which take the first and the last places."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from softjax_solvers.internal import (
    safe_divide,
)

from ..methods import Infinite, Intervals


class Outer(NamedTuple):
    """The infinite elements of rows, and how many there are of them."""

    up: Bool[Array, "*batch n"]
    down: Bool[Array, "*batch n"]
    above: Int[Array, "*batch 1"]
    below: Int[Array, "*batch 1"]
    total: Int[Array | np.ndarray, "*#batch 1"]  # of all elements that there are

    @property
    def first_below(self) -> Int[Array | np.ndarray, "*batch 1"]:
        """The first position of those that are -inf."""
        return self.total - self.below

    def edge(
        self, position: Int[Array, "..."], dtype: jnp.dtype
    ) -> Float[Array, "*batch m"]:
        """inf or -inf at positions from the largest that have one, and else 0."""
        above = jnp.where(position < self.above, jnp.inf, 0)
        edge = jnp.where(position >= self.first_below, -jnp.inf, above)
        return edge.astype(dtype)

    def share(self, position: Int[Array, "..."], dtype: jnp.dtype) -> Array:
        """Soft indices `*batch m n` of infinite elements, which equal ones share.

        Those of inf where the position is not one of -inf.
        """
        of_up = safe_divide(self.up.astype(dtype), self.above)
        of_down = safe_divide(self.down.astype(dtype), self.below)
        low = position >= self.first_below
        return jnp.where(low[..., None], of_down[..., None, :], of_up[..., None, :])


def find_infinite(
    x: Float[Array, "*batch n"], count: Int[Array | np.ndarray, "*#batch 1"]
) -> tuple[Outer, Bool[Array, "*batch 1"], Float[Array, "*batch 1"]]:
    """The infinite elements; which rows have NaN; the size of the finite ones together.

    Rows have a `count` of elements. Counts are exact up to one over the rounding of
    the type.
    """
    up, down = x == jnp.inf, x == -jnp.inf
    size = jnp.where(up | down, 0, jnp.abs(jax.lax.stop_gradient(x)))
    # One sum for all three, which is much cheaper than three. The first one is NaN if
    # an element is, as 0 times that is: a solve that never sees NaN cannot hang.
    terms = jnp.stack([jnp.where(up, 1, 0 * size), jnp.where(down, 1, 0 * size), size])
    first, last, total = jnp.sum(terms, axis=-1, keepdims=True)
    bad = jnp.isnan(first)
    above, below, total = (jnp.where(bad, 0, x) for x in (first, last, total))
    above, below = above.astype(jnp.int32), below.astype(jnp.int32)
    outer = Outer(up, down, above, below, count)
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
    reach = jnp.minimum(reach, jnp.finfo(keys.dtype).max / 8)
    below = outer.below if low else jnp.zeros_like(outer.below)
    infinite = Infinite(outer.above, below, reach)
    far = infinite.beyond(softness)
    keys = jnp.where(outer.up, far, keys)
    return jnp.where(outer.down, -far, keys) if low else keys, infinite


def put_values(
    out: Float[Array, "*batch m"], places: Intervals, outer: Outer
) -> Float[Array, "*batch m"]:
    """Values at places, where those of infinite elements are infinite."""
    edge = outer.edge(jnp.asarray(places.start), out.dtype)
    if places.share is not None:
        # What has no share does not count; inf and -inf have no mean.
        edge = places.add(jnp.where(jnp.asarray(places.share) > 0, edge, 0))
    return jnp.where(edge == 0, out, edge)


def put_indices(
    out: Float[Array, "*batch m n"], places: Intervals, outer: Outer
) -> Float[Array, "*batch m n"]:
    """Soft indices at places, where those of infinite elements are shared by these."""
    place = jnp.asarray(places.start)
    infinite = (outer.edge(place, out.dtype) != 0)[..., None]
    index = outer.share(place, out.dtype)
    if places.share is None:
        return jnp.where(infinite, index, out)
    share = jax.lax.stop_gradient(jnp.asarray(places.share))
    share = jnp.where(infinite, share[..., None], 0)
    parts, taken = places.add(share * index, -2), places.add(share, -2)
    # Half way to an infinite element, the finite ones keep their shares of the rest.
    rest = jnp.where((outer.up | outer.down)[..., None, :], 0, out)
    rest = safe_divide(rest, jnp.sum(rest, axis=-1, keepdims=True))
    return jnp.where(taken > 0, parts + (1 - taken) * rest, out)


def put_positions(
    out: Float[Array, "*batch n"], outer: Outer, first: int
) -> Float[Array, "*batch n"]:
    """Positions counted from `first`; equal infinities have the mean of theirs."""
    dtype = out.dtype
    high = (outer.above - 1).astype(dtype) / 2
    low = outer.total - 1 - (outer.below - 1).astype(dtype) / 2
    return jnp.where(outer.up, first + high, jnp.where(outer.down, first + low, out))
