"""Boxes of a sorted row, in which functions of a plan on a line are polynomials."""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

_WIDTHS = 2 * 1.3 ** np.arange(12)
"""Squared widths of boxes to choose from, in units of that of the plan.

The smallest resolves it to rounding, which is what derivatives in smaller ones would be
of.
"""

_STEPS = 6
"""Lengths of boxes to choose from, for each factor of two."""


def choose_edges(
    x: Float[Array, " n"],
    softness: Float[Array, ""],
    start: Int[Array, ""],
    count: Int[Array, ""],
    boxes: int,
    p: int,
) -> Int[Array, " boxes+1"]:
    """Edges of boxes of `count` sorted points from `start`, the last end included.

    A box has at most p points, or is so small that p nodes resolve the plan of it and
    of its neighbourhoods, `dx du <= C softness` where u is the share of points. There
    is one among the anchors, as those next to a gap have points beyond it, and one
    among the points, as those in a gap would have anchors far away from it. Half of the
    box's length on either side, on their axis, belongs to them. C is the smallest in a
    list with which so many boxes do, of which one is enough where there is a box for
    each p points.
    """
    n = x.shape[-1]
    # All at once: for each C, the lengths from the shortest to the longest.
    steps = max(math.ceil(_STEPS * math.log2(max(n, p + 1) / p)), 1)
    lengths = np.unique(np.rint(p * (n / p) ** (np.arange(steps + 1) / steps)))
    lengths = lengths.astype(np.int32)
    widths = _WIDTHS[:1] if boxes * p >= n else _WIDTHS
    width = widths.astype(x.dtype)[:, None] * softness * count.astype(x.dtype)
    last = start + count - 1

    def advance(edge, _):
        at = edge[:, None]

        def read(index):
            return _read(x, jnp.clip(index, start, last))

        extent = read(at + (3 * lengths + 1) // 2) - read(at - lengths // 2)
        low, high = read(at), read(at + lengths - 1)
        # So many more points may be within half the distance of these two.
        half = (high - low) / 2
        most = jnp.minimum(width / (2 * half), 2 * n)
        room = (most.astype(jnp.int32) - lengths) // 2
        before, after = at - 1 - room, at + lengths + room
        clear = (before < start) | (read(before) <= low - half)
        clear &= (after > last) | (read(after) >= high + half)
        fits = (extent * lengths <= width) & (room >= 0) & clear
        fits |= lengths == p
        # The longest one.
        length = jnp.max(jnp.where(fits, lengths, p), axis=-1)
        new = jnp.minimum(edge + length, start + count).astype(edge.dtype)
        return new, new

    first = jnp.broadcast_to(start, (len(widths),)).astype(jnp.int32)
    end, edges = jax.lax.scan(advance, first, None, length=boxes)
    edges = jnp.concatenate([first[None], edges])
    # Where no C does, the last box has all the rest.
    enough = jnp.argmax(end >= start + count)
    enough = jnp.where(jnp.any(end >= start + count), enough, len(widths) - 1)
    return edges[:, enough].at[-1].set(start + count)


def _read(x: Float[Array, " n"], i: Int[Array, "..."]) -> Float[Array, "..."]:
    return x.at[i].get(mode="promise_in_bounds")
