"""Folds over the entries of a plan on a line, between nodes of boxes nearby."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from .bands import LOW, Entry

_CHUNK = 32
"""Boxes whose entries are formed at once."""

_WIDEST = 128
"""The number of boxes away up to which entries count."""

_FAR = 30
"""Costs beyond which entries are of no account, whatever potentials are."""


class BoxLine(eqx.Module):
    """Where the p nodes in each of k boxes are, on both axes.

    Entries are functions of `t_ij = f_i + g_j + B_ij`, with `B_ij = 2 x_i a_j /
    softness` relative to the middles of boxes: what is far is negative.

    **Attributes:**

    - `x`, `a`: middles of boxes.
    - `pull`: nodes among the points relative to the middle, times the `rate`.
    - `beside`: nodes among the anchors, relative to the middle.
    - `low`, `high`: anchors where boxes begin and end.
    - `rate`: by which products of the two axes become costs.
    - `used`: the number of boxes that there are.
    - `width`: how many boxes away entries count.
    - `level`: a number of each box, of which entries have differences.
    """

    x: Float[Array, " k"]
    a: Float[Array, " k"]
    pull: Float[Array, "k p"]
    beside: Float[Array, "k p"]
    low: Float[Array, " k"]
    high: Float[Array, " k"]
    rate: Float[Array, ""]
    used: Int[Array, ""]
    width: Int[Array, ""]
    level: Float[Array, " k"]

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
        k, p = self.pull.shape
        chunk, widest = min(_CHUNK, k), min(_WIDEST, k)

        def pad(x, before, fill: float = 0):
            x = x.reshape(k, -1)
            widths = (before, widest + chunk, 0), (0, 0, 0)
            return jax.lax.pad(x, jnp.asarray(fill, x.dtype), widths)

        def prepare(arrays, before):
            first, *rest = (x.reshape(k, p) for x in arrays)
            places = self.x, self.a, self.low, self.high, self.pull, self.beside
            places = *places, self.level
            arrays = pad(first, before, LOW), *(pad(x, before) for x in rest)
            return arrays, tuple(pad(x, before) for x in places)

        near, far = prepare(own, 0), prepare(other, widest)
        ones = jnp.asarray([0, 1])[:, None, None]

        def read(arrays, start):
            def of(x):
                return jax.lax.dynamic_slice_in_dim(x, start, chunk)

            return jax.tree.map(of, arrays)

        def of_chunk(carry):
            i, out = carry
            start = i * chunk
            mine, (x, a, low, high, pull, beside, level) = read(near, start)

            def advance(carry):
                d, state, passed, before = carry
                sides = (
                    read(far, widest + start + d),
                    read(far, widest + start - d),
                )
                theirs, there = jax.tree.map(lambda *s: jnp.stack(s), *sides)
                x_, a_, low_, high_, pull_, beside_, level_ = there
                if by_rows:
                    apart = a_ - a + beside_
                    entry = jnp.where(ones == 0, low_, high_)
                    beyond = passed + (x_ - x) * (a_ - entry + beside_)
                    t = pull[:, :, None] * apart[..., None, :]
                    t = t - self.rate * beyond[..., None, :]
                    passed = passed + jnp.abs(x_ - x) * (high_ - low_)
                    sign = 1
                else:
                    apart = a - a_ + beside
                    # So many anchors are between the box that was passed and this.
                    edge = jnp.where(ones == 0, high, low)
                    passed = passed + jnp.abs(x_ - before[0]) * before[1]
                    beyond = passed + (x - x_) * (a - edge + beside)
                    t = pull_[..., None, :] * apart[..., :, None]
                    t = t - self.rate * beyond[..., :, None]
                    edge_ = jnp.where(ones == 0, high_, low_)
                    before = x_, jnp.abs(edge - edge_)
                    sign = -1
                # In one order, as rows are fitted in it to columns, and both compared.
                both = mine[0][:, :, None], theirs[0][..., None, :]
                of_rows, of_columns = both if by_rows else both[::-1]
                t = (t + of_columns) + of_rows
                # The diagonal is on one side only.
                t = jnp.where((d > 0) | (ones[..., None] == 0), t, LOW)
                apart = apart[..., None, :] if by_rows else apart[..., :, None]
                entry = Entry(
                    t,
                    sign * apart,
                    jnp.ones_like(self.rate),
                    tuple(y[:, :, None] for y in mine),
                    tuple(y[..., None, :] for y in theirs),
                    (sign * (level - level_))[..., None],
                )
                return d + 1, fn(state, entry), passed, before

            state = jnp.broadcast_to(jnp.asarray(fill, out.dtype), (count, chunk, p))
            none = jnp.zeros((2, chunk, 1), out.dtype)
            before = jnp.broadcast_to(x, none.shape), none
            zero = jnp.zeros_like(start)
            state = jax.lax.while_loop(
                lambda carry: carry[0] <= self.width,
                advance,
                (zero, state, none, before),
            )[1]
            new = jax.lax.dynamic_update_slice_in_dim(out, state, start, axis=1)
            return i + 1, new

        out = jnp.zeros((count, k + chunk, p), self.pull.dtype)
        out = jax.lax.while_loop(
            lambda carry: carry[0] * chunk < self.used,
            of_chunk,
            (jnp.zeros((), jnp.int32), out),
        )[1]
        return out[:, :k].reshape(count, k * p)


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
    start = one, zero, zero, near(one, zero, zero)
    width = jax.lax.while_loop(lambda carry: carry[3], advance, start)[0] - 1
    return jnp.minimum(width, min(_WIDEST, k))
