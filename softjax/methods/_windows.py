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
)

from ._method import Ordered, Relaxation


def group_size(n: int) -> int | None:
    """How many rows share a window of three times as many elements.

    None where windows would be no shorter than rows. The scores of a row fall with the
    square of the distance in position, so that windows grow like the root of n.
    """
    size = 2 ** math.ceil(math.log2(2 * math.sqrt(n)))
    return size if 6 * size <= n else None


def sums_from_anchor(
    gaps: Float[Array, "*#batch n-1"], offset: Int[Array, "*#batch n-1"]
) -> Float[Array, "*batch n"]:
    """Sums of `|2 offset + 1| gap` over the gaps between each element and an anchor.

    `offset` counts the gaps from the anchor: 0 above it, and -1 below it.
    """
    above = jnp.where(offset >= 0, 2 * offset + 1, 0).astype(gaps.dtype) * gaps
    below = jnp.where(offset < 0, -2 * offset - 1, 0).astype(gaps.dtype) * gaps
    axis = above.ndim - 1
    above = pad_last(jax.lax.cumsum(above, axis=axis), 1, 0)
    return above + pad_last(jax.lax.cumsum(below, axis=axis, reverse=True), 0, 1)


class Windows(eqx.Module):
    """Groups of neighbouring rows, and the elements next to them.

    Arrays have a leading axis over groups. A group's window begins one group before
    its own elements and ends one after.

    **Attributes:**

    - `support`, `ties`, `values`: `groups *batch 3g`, of a sorted sample. See
        `_Scores` for the second.
    - `inside`: `groups 3g`, whether there is such an element.
    """

    support: Float[Array, "groups *batch w"]
    ties: Float[Array, "groups *batch w"]
    values: Float[Array, "groups *batch w"]
    inside: Bool[Array, "groups w"]
    size: int = eqx.field(static=True)

    @classmethod
    def of(cls, ordered: Ordered, ties: Float[Array, "*batch n"], size: int):
        n = ordered.support.shape[-1]
        support, ties, values = (
            _cut(x, size) for x in (ordered.support, ties, ordered.values)
        )
        index = size * jnp.arange(support.shape[0])[:, None] + jnp.arange(3 * size)
        inside = (index >= size) & (index < n + size)
        return cls(support, ties, values, inside, size)

    def suffice(
        self, regularizer: Regularizer, softness: Float[Array, "*#batch 1"], n: int
    ) -> Bool[Array, ""]:
        """Whether all that is outside of windows is 0, or would be lost to rounding."""
        g, s = self.size, jax.lax.stop_gradient(self.support)
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
        s, g = self.support, self.size
        anchor = g + g // 2
        gaps = s[..., 1:] - s[..., :-1]
        q = sums_from_anchor(gaps, jnp.arange(3 * g - 1) - anchor)
        row = (g + jnp.arange(g) - anchor).astype(s.dtype)[:, None]
        distance = s - s[..., anchor, None]
        z = 2 * row * distance[..., None, :] + (self.ties - q)[..., None, :]
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
        return self.support[0].size * self.size


def _cut(x: Float[Array, "*batch n"], size: int) -> Float[Array, "groups *batch w"]:
    n = x.shape[-1]
    groups = -(-n // size)
    blocks = pad_last(x, size, (groups + 1) * size - n, fill=None)
    blocks = blocks.reshape(*x.shape[:-1], groups + 2, size)
    windows = [blocks[..., k : k + groups, :] for k in range(3)]
    return jnp.moveaxis(jnp.concatenate(windows, axis=-1), -2, 0)


def _join(x: Float[Array, "*batch groups g"]) -> Float[Array, "*batch groups*g"]:
    return x.reshape(*x.shape[:-2], -1)
