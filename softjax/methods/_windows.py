"""NeuralSort's rows, each by the neighbours of its own element that matter."""

from __future__ import annotations

import math

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from softjax_solvers import (
    Regularizer,
    SimplexProjection,
    anywhere,
    map_chunks,
    pad_last,
    tie_groups,
)

from ._method import Ordered, Relaxation


def group_size(n: int) -> int | None:
    """How many rows share a window of three times as many elements.

    None where windows would be no shorter than rows. The scores of a row fall with the
    square of the distance in position, so that windows grow like the root of n.
    """
    size = 2 ** math.ceil(math.log2(2 * math.sqrt(n)))
    return size if 6 * size <= n else None


class Entries(eqx.Module):
    """What scores are made of, of the elements of a sorted sample.

    **Attributes:**

    - `support`: that of the sample, but equals share their derivative.
    - `excess`: zeros, with the derivative that they do not share.
    - `moment`: `excess` times the middle of an element's equals, from its own place.
    """

    support: Float[Array, "*batch n"]
    excess: Float[Array, "*batch n"]
    moment: Float[Array, "*batch n"]

    @classmethod
    def of(cls, ordered: Ordered) -> Entries:
        s = ordered.support
        excess, moment = _excess(s, *tie_groups(s, ordered.where))
        return cls(s - excess, excess, moment)

    def scores(
        self,
        rows: Float[Array, "*groups g"],
        columns: Float[Array, "*groups n"],
        distance: Float[Array, "*batch_and_groups n"],
        sums: Float[Array, "*batch_and_groups n"],
    ) -> Float[Array, "*batch_and_groups g n"]:
        """The scores of rows, with positions and distances measured from an anchor.

        `sums` are those of Q_j. A sum of gaps counts the distance of equals as positive
        in sorted order, while |x_j - x_l| has the derivative 0 there. So it is one of
        means of equals, and the rest counts from the middle of these.
        """
        distance = distance + self.excess
        sums = sums + 2 * (columns * self.excess + self.moment)
        return 2 * rows[..., None] * distance[..., None, :] - sums[..., None, :]


@jax.custom_jvp
def _excess(s: Array, start: Array, end: Array) -> tuple[Array, Array]:
    zeros = jnp.where(False, s, 0)  # see `_tie_terms` of softjax_solvers/_scans.py
    return zeros, zeros


@_excess.defjvp
def _excess_jvp(primals, tangents):
    s, start, end = primals
    s_dot, _, _ = tangents

    # Row by row, which keeps the rows of a batch apart on whatever devices they are.
    def total(x, start):
        sums = jnp.zeros_like(x).at[start].add(x, indices_are_sorted=True)
        return sums[start]

    total = jnp.vectorize(total, signature="(n),(n)->(n)")(s_dot, start)
    middle = (start + end - 1 - 2 * jnp.arange(s.shape[-1])).astype(s.dtype) / 2
    excess = s_dot - total / (end - start)
    return _excess(s, start, end), (excess, middle * excess)


class Windows(eqx.Module):
    """Groups of neighbouring rows, and the elements next to them.

    Arrays have a leading axis over groups. A group's window begins one group before
    its own elements and ends one after.

    **Attributes:**

    - `entries`, `values`: `groups *batch 3g`, of a sorted sample.
    - `inside`: `groups 3g`, whether there is such an element.
    """

    entries: Entries
    values: Float[Array, "groups *batch w"]
    inside: Bool[Array, "groups w"]
    size: int = eqx.field(static=True)

    @classmethod
    def of(cls, entries: Entries, values: Float[Array, "*batch n"], size: int):
        n = values.shape[-1]
        parts = [entries.support, entries.excess, entries.moment, values]
        parts = _cut(jnp.stack(parts), size)
        *parts, values = (x[:, 0] for x in jnp.split(parts, 4, axis=1))
        index = size * jnp.arange(values.shape[0])[:, None] + jnp.arange(3 * size)
        inside = (index >= size) & (index < n + size)
        return cls(Entries(*parts), values, inside, size)

    def suffice(
        self, regularizer: Regularizer, softness: Float[Array, "*#batch 1"], n: int
    ) -> Bool[Array, ""]:
        """Whether all that is outside of windows is 0, or would be lost to rounding."""
        g, s = self.size, jax.lax.stop_gradient(self.entries.support)
        zero, one = (jnp.full((), y, s.dtype) for y in (0, 1))
        depth = regularizer.gradient(one) - regularizer.gradient(zero)
        if regularizer.exponential:
            depth = jnp.log(n / jnp.finfo(s.dtype).eps) + 5
        # From the outer rows of a group to the ends of its window.
        weights = 2 * jnp.arange(g, dtype=s.dtype) + 1
        gaps = s[..., 1:] - s[..., :-1]
        first = jnp.sum(weights[::-1] * gaps[..., :g], axis=-1)
        last = jnp.sum(weights * gaps[..., 2 * g - 1 :], axis=-1)
        ends = self.inside.reshape(-1, *(1,) * (s.ndim - 2), 3 * g)
        needed = depth * jax.lax.stop_gradient(softness)[..., 0]
        short = (~(first >= needed) & ends[..., 0]) | (
            ~(last >= needed) & ends[..., -1]
        )
        return ~anywhere(short)

    def problem(self, relaxation: Relaxation) -> SimplexProjection:
        """The rows of some groups, `groups *batch g 3g`."""
        s, g = self.entries.support, self.size
        columns = jnp.arange(-(g + g // 2), 2 * g - g // 2)
        rows = columns[g : 2 * g].astype(s.dtype)
        gaps = s[..., 1:] - s[..., :-1]
        q = jnp.matmul(gaps, _weights(columns, s.dtype), precision="highest")
        distance = s - s[..., g + g // 2, None]
        z = self.entries.scores(rows, columns.astype(s.dtype), distance, q)
        inside = self.inside.reshape(-1, *(1,) * (s.ndim - 2), 1, 3 * g)
        return SimplexProjection(z, relaxation.softness[..., None], inside)

    def means(self, relaxation: Relaxation) -> Float[Array, "*batch groups*g"]:
        """The means of the values under the rows; those at the end may not exist."""

        def fn(windows):
            values = windows.values[..., None, :]
            return relaxation.expectation(windows.problem(relaxation), values)

        out = map_chunks(fn, self, row_size=self._row_size)
        return _join(jnp.moveaxis(out, 0, -2))

    def column_sums(
        self, relaxation: Relaxation, n: int
    ) -> tuple[Float[Array, "*batch n"], Float[Array, "*batch n"]]:
        """The sums of each element's column, times the row's position, and as it is."""
        g = self.size
        groups = self.inside.shape[0]
        positions = jnp.arange(1, groups * g + 1).reshape(groups, g)

        def fn(rows):
            windows, positions = rows
            y = relaxation.solve(windows.problem(relaxation)).value
            shape = (-1, *(1,) * (y.ndim - 3), g, 1)
            positions = positions.reshape(shape)
            y = jnp.where(positions <= n, y, 0)
            weighted = y * positions.astype(y.dtype)
            return jnp.sum(weighted, axis=-2), jnp.sum(y, axis=-2)

        def overlap(parts):
            parts = jnp.moveaxis(parts, 0, -2)
            parts = parts.reshape(*parts.shape[:-1], 3, g)
            parts = [_join(parts[..., k, :]) for k in range(3)]
            before = pad_last(parts[0][..., g:], 0, g)
            after = pad_last(parts[2][..., :-g], g, 0)
            return (before + parts[1] + after)[..., :n]

        weighted, total = map_chunks(fn, (self, positions), row_size=self._row_size)
        return overlap(weighted), overlap(total)

    @property
    def _row_size(self) -> int:
        """How many entries the rows of one group have."""
        return self.values[0].size * self.size


def _weights(columns: Int[Array, " w"], dtype) -> Float[Array, "w-1 w"]:
    """Of each gap in the sum from the anchor to each element."""
    gaps, elements = columns[:-1, None], columns[None, :]
    above = (gaps >= 0) & (elements > gaps)
    below = (gaps < 0) & (elements <= gaps)
    return jnp.where(above | below, jnp.abs(2 * gaps + 1), 0).astype(dtype)


def _cut(x: Float[Array, "*batch n"], size: int) -> Float[Array, "groups *batch w"]:
    """The window of each group; what is at the ends goes on beyond, as a constant."""
    n = x.shape[-1]
    groups = -(-n // size)
    after = (groups + 1) * size - n
    first, last = jax.lax.stop_gradient((x[..., :1], x[..., -1:]))
    parts = jnp.repeat(first, size, axis=-1), x, jnp.repeat(last, after, axis=-1)
    blocks = jnp.concatenate(parts, axis=-1)
    blocks = blocks.reshape(*x.shape[:-1], groups + 2, size)
    windows = [blocks[..., k : k + groups, :] for k in range(3)]
    return jnp.moveaxis(jnp.concatenate(windows, axis=-1), -2, 0)


def _join(x: Float[Array, "*batch groups g"]) -> Float[Array, "*batch groups*g"]:
    return x.reshape(*x.shape[:-2], -1)
