"""Folds over the entries of a plan on a line, between nodes of boxes nearby."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from .._platform.varying import varying_as
from .bands import LOW, Entry

_CHUNK = 32
"""Boxes whose entries are formed at once."""

_WIDEST = 128
"""The number of boxes away up to which entries count."""

_FAR = 30
"""Costs beyond which entries are of no account, whatever potentials are."""


class Places(NamedTuple):
    """Where the p nodes in each of k boxes are, on both axes.

    **Attributes:**

    - `x`, `a`: middles of boxes.
    - `low`, `high`: anchors where boxes begin and end.
    - `level`: a number of each box, of which entries have differences.
    - `pull`: nodes among the points relative to the middle, times the rate.
    - `beside`: nodes among the anchors, relative to the middle.
    """

    x: Float[Array, "*k 1"]
    a: Float[Array, "*k 1"]
    low: Float[Array, "*k 1"]
    high: Float[Array, "*k 1"]
    level: Float[Array, "*k 1"]
    pull: Float[Array, "*k p"]
    beside: Float[Array, "*k p"]


class BoxLine(eqx.Module):
    """The nodes of boxes on a line, and how far away from a box others count.

    Entries are functions of `t_ij = f_i + g_j + B_ij`, with `B_ij = 2 x_i a_j /
    softness` relative to the middles of boxes: what is far is negative.

    **Attributes:**

    - `places`: all `Places`, and boxes beyond both ends, as one array: that is read
        from at once.
    - `rate`: by which products of the two axes become costs.
    - `used`: the number of boxes that there are.
    - `width`: how many boxes away entries count.
    - `shape`: the number of boxes, and of nodes in each.
    """

    places: Float[Array, "rows columns"]
    rate: Float[Array, ""]
    used: Int[Array, ""]
    width: Int[Array, ""]
    shape: tuple[int, int] = eqx.field(static=True)

    def __init__(
        self,
        places: Places,
        rate: Float[Array, ""],
        used: Int[Array, ""],
        width: Int[Array, ""],
    ):
        k, p = places.pull.shape
        self.shape = k, p
        self.places = self._pad(jnp.concatenate(places, axis=1), 0)
        self.rate, self.used, self.width = rate, used, width

    @property
    def _reach(self) -> tuple[int, int]:
        """How many boxes are read at once, and how far beyond the ends."""
        return min(_CHUNK, self.shape[0]), min(_WIDEST, self.shape[0])

    def _pad(self, x: Float[Array, "k c"], fill: float) -> Float[Array, "rows c"]:
        chunk, widest = self._reach
        widths = (widest, widest + chunk, 0), (0, 0, 0)
        return jax.lax.pad(x, jnp.asarray(fill, x.dtype), widths)

    def _split(self, places: Float[Array, "... columns"]) -> Places:
        p = self.shape[1]
        ends = *range(1, 6), 5 + p
        return Places(*jnp.split(places, ends, axis=-1))

    def fold_sums(
        self,
        terms: Callable[[Entry], tuple[Array, ...]],
        own: tuple[Float[Array, " m"], ...],
        other: tuple[Float[Array, " m"], ...],
        by_rows: bool,
        count: int = 1,
    ) -> tuple[Float[Array, " m"], ...]:
        """Sums of so many `terms` over the entries of rows, or of columns."""

        def add(sums, entry):
            new = [jnp.sum(y, axis=(0, -1)) for y in terms(entry)]
            return sums + jnp.stack(new)

        return tuple(self._fold(add, 0, own, other, by_rows, count))

    def tops(
        self, potential: Float[Array, " m"], by_rows: bool = True
    ) -> Float[Array, " m"]:
        """The largest `g_j + B_ij` of rows i, or `f_i + B_ij` of columns j."""

        def compare(top, entry):
            return jnp.maximum(top, jnp.max(entry.t, axis=(0, -1)))

        zero = jnp.zeros_like(potential)
        return self._fold(compare, LOW, (zero,), (potential,), by_rows, 1)[0]

    def log_sums(
        self,
        potential: Float[Array, " m"],
        mass: Float[Array, " m"],
    ) -> Float[Array, " m"]:
        """Logarithms of the sums `sum_j mass_j exp(g_j + B_ij)` of rows.

        Relative to the largest entry so far, so that nothing overflows.
        """
        zero = jnp.zeros_like(potential)

        def add(state, entry):
            top, total = state
            new = jnp.maximum(top, jnp.max(entry.t, axis=(0, -1)))
            terms = jnp.exp(entry.t - new[None, :, :, None]) * entry.other[1]
            total = total * jnp.exp(top - new) + jnp.sum(terms, axis=(0, -1))
            return jnp.stack([new, total])

        start = jnp.asarray([LOW, 0])[:, None, None]
        top, total = self._fold(add, start, (zero,), (potential, mass), True, 2)
        return top + jnp.log(jnp.where(total > 0, total, 1))

    def _fold(
        self, fn, fill: Any, own, other, by_rows, count
    ) -> Float[Array, "count m"]:
        (k, p), (chunk, widest) = self.shape, self._reach
        costs_of = _costs_of_rows if by_rows else _costs_of_columns

        def prepare(arrays):
            # Beyond the ends, potentials are so low that nothing else counts.
            rows = jnp.stack([x.reshape(k, p) for x in arrays], axis=1)
            return self._pad(rows.reshape(k, -1), LOW), self.places

        def read(arrays, start):
            def of(x):
                return jax.lax.dynamic_slice_in_dim(x, widest + start, chunk)

            return jax.tree.map(of, arrays)

        def split(rows, places):
            rows = jnp.split(rows, rows.shape[-1] // p, axis=-1)
            return tuple(rows), self._split(places)

        near, far = prepare(own), prepare(other)
        ahead = jnp.asarray([True, False])[:, None, None]

        # One loop over chunks and distances: two of them are twice as much to compile.
        def advance(carry):
            start, d, path, out = carry
            mine, here = split(*read(near, start))
            sides = read(far, start + d), read(far, start - d)
            theirs, there = split(*jax.tree.map(lambda *s: jnp.stack(s), *sides))
            path = jax.tree.map(lambda x: jnp.where(d > 0, x, 0), path)
            costs, path = costs_of(here, there, ahead, path)
            t = costs.gain - self.rate * costs.beyond
            # In one order, as rows are fitted in it to columns, and both compared.
            both = mine[0][:, :, None], theirs[0][..., None, :]
            of_rows, of_columns = both if by_rows else both[::-1]
            t = (t + of_columns) + of_rows
            entry = Entry(
                # The diagonal is on one side only.
                jnp.where((d > 0) | ahead[..., None], t, LOW),
                costs.apart,
                jnp.ones_like(self.rate),
                tuple(y[:, :, None] for y in mine),
                tuple(y[..., None, :] for y in theirs),
                costs.level[..., None],
            )
            state = jax.lax.dynamic_slice_in_dim(out, start, chunk, axis=1)
            state = fn(state, entry)
            out = jax.lax.dynamic_update_slice_in_dim(out, state, start, axis=1)
            last = d >= self.width
            start = start + jnp.where(last, chunk, 0)
            return start, jnp.where(last, 0, d + 1), path, out

        fill = jnp.asarray(fill, self.places.dtype)
        out = jnp.broadcast_to(fill, (count, k + chunk, p))
        path = (jnp.zeros((2, chunk, 1), out.dtype),) * 3
        zero = jnp.zeros((), jnp.int32)
        start = varying_as((zero, zero, path, out), self.places, *own, *other)
        out = jax.lax.while_loop(lambda carry: carry[0] < self.used, advance, start)[-1]
        return out[:, :k].reshape(count, k * p)


class _Costs(NamedTuple):
    """Costs `B = gain - rate * beyond` between nodes of boxes.

    **Attributes:**

    - `apart`: how far anchors are from the middle of the point's box.
    - `level`: by how much the level of the point's box is above that of theirs.
    """

    gain: Float[Array, "2 c p p"]
    beyond: Float[Array, "2 c ..."]
    apart: Float[Array, "2 c ..."]
    level: Float[Array, "2 c 1"]


def _costs_of_rows(
    here: Places, there: Places, ahead: Bool[Array, "2 1 1"], path: Any
) -> tuple[_Costs, Any]:
    """Of points here with anchors there; and the path to the next boxes.

    **Arguments:**

    - `path`: costs of the way past the boxes between, and, as columns need it, of the
        last one of them the middle and how many anchors are from its edge to here. All
        are 0 at first.
    """
    passed, *last = path
    apart = there.a - here.a + there.beside
    entry = jnp.where(ahead, there.low, there.high)
    way = there.x - here.x
    beyond = passed + way * (there.a - entry + there.beside)
    passed = passed + jnp.abs(way) * (there.high - there.low)
    apart = apart[..., None, :]
    gain = here.pull[:, :, None] * apart
    costs = _Costs(gain, beyond[..., None, :], apart, here.level - there.level)
    return costs, (passed, *last)


def _costs_of_columns(
    here: Places, there: Places, ahead: Bool[Array, "2 1 1"], path: Any
) -> tuple[_Costs, Any]:
    """Of points there with anchors here, as `_costs_of_rows`."""
    passed, x, anchors = path
    apart = here.a - there.a + here.beside
    edge = jnp.where(ahead, here.high, here.low)
    passed = passed + jnp.abs(there.x - x) * anchors
    beyond = passed + (here.x - there.x) * (here.a - edge + here.beside)
    apart = apart[..., :, None]
    gain = there.pull[..., None, :] * apart
    anchors = jnp.abs(edge - jnp.where(ahead, there.high, there.low))
    costs = _Costs(gain, beyond[..., :, None], -apart, there.level - here.level)
    return costs, (passed, there.x, anchors)


def width_of(
    first: Float[Array, " k"],
    last: Float[Array, " k"],
    x: Float[Array, " k"],
    size: Float[Array, " k"],
    rate: Float[Array, ""],
    used: Int[Array, ""],
) -> Int[Array, ""]:
    """How many boxes away costs of the hard plan are small.

    **Arguments:**

    - `first`, `last`, `x`: the points of a box at its ends and its middle.
    - `size`: the number of its anchors.
    """
    k = len(x)

    def far(y):
        return jax.lax.pad(y, jnp.zeros((), y.dtype), [(k, k, 0)])

    x_, size_ = far(x), far(size)

    def near(d, up, down):
        index = jnp.arange(k)
        rising = (rate * up < _FAR) & (index + d < used)
        falling = (rate * down < _FAR) & (index - d >= 0) & (index < used)
        return jnp.any(rising | falling)

    def advance(carry):
        d, up, down, _ = carry
        above = jax.lax.dynamic_slice_in_dim(x_, k + d, k)
        below = jax.lax.dynamic_slice_in_dim(x_, k - d, k)
        more = jax.lax.dynamic_slice_in_dim(size_, k + d, k)
        less = jax.lax.dynamic_slice_in_dim(size_, k - d, k)
        up = up + jnp.maximum(above - last, 0) * more
        down = down + jnp.maximum(first - below, 0) * less
        return d + 1, up, down, near(d + 1, up, down)

    zero = jnp.zeros_like(x)
    one = jnp.ones((), jnp.int32)
    start = varying_as((one, zero, zero, near(one, zero, zero)), x)
    width = jax.lax.while_loop(lambda carry: carry[3], advance, start)[0] - 1
    return jnp.minimum(width, min(_WIDEST, k))
