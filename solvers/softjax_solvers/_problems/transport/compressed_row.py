"""One row of transport on a line: nodes in boxes, and the plan between them."""

from __future__ import annotations

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from ..._kernels.arrays import eps, exact_einsum, pad_last
from ..._kernels.chebyshev import (
    FEW,
    gauss_of_equal_distances,
    interpolate,
    last_coefficients,
    moments,
    nodes,
)
from ..._kernels.cumulative import prefix_sums


class Grid(NamedTuple):
    """Nodes of both axes in the boxes of a row; `p` of each in every box.

    **Attributes:**

    - `own`: whether the nodes of a box are the points and the anchors themselves.
    - `first`, `length`: of boxes, the first point and their number.
    - `box`, `slot`, `s`: of points, their box, number and place in it.
    - `x`, `w`: nodes among the points, and sums of Lagrange polynomials over points.
    - `a`, `v`: nodes among the anchors, and weights of a Gauss rule.
    - `centre_x`, `centre_a`, `low`, `high`: of boxes, middles, which of points
        themselves are their means, and the anchors where they begin and end.
    - `beside_x`: nodes among the points from the middles of boxes. Those are rounded,
        and nodes are not to be off the zeros of their polynomials by that.
    - `centre`, `beside_a`, `beside_b`: in units of the distance of anchors, middles of
        boxes from the first anchor, and nodes among the anchors from them.
    """

    own: Bool[Array, " k"]
    first: Int[Array, " k"]
    length: Int[Array, " k"]
    box: Int[Array, " n"]
    slot: Int[Array, " n"]
    s: Float[Array, " n"]
    x: Float[Array, " m"]
    w: Float[Array, " m"]
    a: Float[Array, " m"]
    v: Float[Array, " m"]
    b: Float[Array, " m"]
    centre_x: Float[Array, " k"]
    centre_a: Float[Array, " k"]
    low: Float[Array, " k"]
    high: Float[Array, " k"]
    beside_x: Float[Array, "k p"]
    centre: Float[Array, " k"]
    beside_a: Float[Array, "k p"]
    beside_b: Float[Array, "k p"]


class CompressedRow(eqx.Module):
    """One row of `CompressedTransport`, with one number a box.

    **Attributes:**

    - `softness`: over the rate of the link.
    """

    points: Float[Array, " n"]
    softness: Float[Array, ""]
    start: Int[Array, ""]
    count: Int[Array, ""]
    edges: Int[Array, " k+1"]
    p: int = eqx.field(static=True)

    @property
    def boxes(self) -> int:
        return self.edges.shape[-1] - 1

    def grid(self) -> Grid:
        k, p, x = self.boxes, self.p, self.points
        n = x.shape[-1]
        known = jax.lax.stop_gradient(x)
        edges = self.edges
        first, stop = edges[:-1], edges[1:]
        length = stop - first
        own = length <= p
        index = jnp.arange(n)
        if k > FEW:
            box = jnp.searchsorted(edges, index, side="right") - 1
        else:
            box = jnp.sum(index >= edges[:, None], axis=0) - 1
        box = jnp.where(box < 0, k, box)
        slot = index - _at(first, box)
        low, high = _at(known, first), _at(known, stop - 1)
        # Nodes of equal points have to differ for the sake of derivatives. Over less
        # than the softness, nothing changes by much more than the factor exp(2).
        least = jax.lax.stop_gradient(self.softness) + 8 * eps(x) * jnp.abs(low)
        middle, half = (low + high) / 2, jnp.maximum((high - low) / 2, least)
        s = (x - _at(middle, box)) / _at(half, box)
        s = jnp.where(box < k, s, 0)
        # Of anchors, in units of their distance.
        size = length.astype(x.dtype)
        gap = 1 / jnp.maximum(self.count - 1, 1).astype(x.dtype)
        before = (first - self.start).astype(x.dtype)
        centre = before + (size - 1) / 2
        places, weights = gauss_of_equal_distances(jnp.maximum(size, p), p)
        slots = np.arange(p)
        present = slots < length[:, None]
        own_, size_, centre_ = own[:, None], size[:, None], centre[:, None]
        beside = jnp.minimum(slots, jnp.maximum(size_ - 1, 0)) - (size_ - 1) / 2
        cheb = nodes(p).astype(x.dtype)
        beside_a = jnp.where(own_, beside, places * size_ / 2)
        beside_b = jnp.where(own_, beside, cheb * (size_ - 1) / 2)
        a, b = centre_ + beside_a, centre_ + beside_b
        v = jnp.where(own_, present, weights * size_)
        own_x = _at(x, first[:, None] + slots)
        # Potentials of the hard plan are then equal at both ends of a box, however far
        # its points are from each other, and are not large beyond it.
        mean = jnp.where(present, jax.lax.stop_gradient(own_x) - low[:, None], 0)
        mean = low + jnp.sum(mean, axis=1) / jnp.maximum(size, 1)
        centre_x = jnp.where(own, mean, middle)
        own_x = jnp.where(present, own_x - centre_x[:, None], 0)
        beside_x = jnp.where(own_, own_x, half[:, None] * cheb)
        nodes_x = centre_x[:, None] + beside_x
        w = moments(s, jnp.ones_like(s), box, k, p)
        w = jnp.where(own_, present, w)
        share = 1 / self.count.astype(x.dtype)
        return Grid(
            own,
            first,
            length,
            box,
            slot,
            s,
            nodes_x.ravel(),
            share * w.ravel(),
            gap * a.ravel(),
            share * v.ravel(),
            gap * b.ravel(),
            centre_x,
            gap * centre,
            gap * (before - 0.5),
            gap * (before + size - 0.5),
            beside_x,
            centre,
            beside_a,
            beside_b,
        )

    def scores(self, grid: Grid, a: Float[Array, " m"]) -> Float[Array, "m m"]:
        """`2 x a / softness` up to potentials, at pairs of nodes.

        Relative to the middles of boxes: differences of what is near are accurate, and
        what is far is negative.
        """
        k, p = self.boxes, self.p
        a = a.reshape(k, p)
        apart = grid.centre_x - grid.centre_x[:, None]
        index = np.arange(k)
        terms = apart * (grid.high - grid.low)
        lower = np.tri(k, k=-1, dtype=a.dtype)
        # Over the boxes between two: sums of terms of one sign.
        passed = exact_einsum("kl,lj->kj", terms * lower.T, lower.T)
        passed = passed - exact_einsum("kl,lj->kj", terms * lower, lower)
        entry = jnp.where(index[:, None] < index, grid.low, grid.high)
        beyond = passed[..., None] + apart[..., None] * (a - entry[..., None])
        inside = a - grid.centre_a[:, None, None]
        offset = grid.beside_x[..., None, None]
        t = offset * inside[:, None] - beyond[:, None]
        return (2 / self.softness) * t.reshape(k * p, k * p)

    def start_of(self, grid: Grid) -> Float[Array, " m"]:
        """Potentials of the hard plan, relative to those of the middles of boxes."""
        k, p = self.boxes, self.p
        a = grid.a.reshape(k, p)
        gap = jnp.maximum(self.count - 1, 1).astype(a.dtype)
        place = jnp.rint(a * gap).astype(jnp.int32) + self.start
        there = _at(jax.lax.stop_gradient(self.points), place)
        there = jnp.where(grid.length[:, None] > 0, there - grid.centre_x[:, None], 0)
        there = jnp.concatenate([there[:, :1], there, there[:, -1:]], axis=1)
        ends = jnp.concatenate([grid.low[:, None], a, grid.high[:, None]], axis=1)
        terms = (ends[:, 1:] - ends[:, :-1]) * (there[:, 1:] + there[:, :-1])
        inside = exact_einsum("kt,qt->kq", terms, np.tri(p + 1, dtype=a.dtype))
        before = pad_last(prefix_sums(inside[:, -1]), 1, -1)
        g = -(inside[:, :-1] + before[:, None]) / self.softness
        return jax.lax.stop_gradient(g.ravel())

    def rows(
        self, grid: Grid, scores: Float[Array, "m m"], g: Float[Array, " m"]
    ) -> tuple[Float[Array, " m"], Float[Array, "m m"]]:
        """Potentials f by which rows have their sums, and the density of the plan."""
        t = scores + g
        present = grid.v > 0
        low = jnp.finfo(t.dtype).min
        top = jnp.max(jnp.where(present, t, low), axis=-1, keepdims=True)
        top = jax.lax.stop_gradient(top)
        density = jnp.exp(jnp.where(present, t - top, low))
        total = jnp.sum(grid.v * density, axis=-1, keepdims=True)
        return -(top + jnp.log(total))[:, 0], density / total

    def graph(self, grid: Grid, plan: Float[Array, "m m"]) -> Float[Array, "m m"]:
        scaled = plan * grid.v
        edges = exact_einsum("cq,cr->qr", grid.w[:, None] * scaled, scaled)
        return jnp.where(np.eye(len(grid.v), dtype=bool), 0, edges)

    def gap(self, grid: Grid, plan: Float[Array, "m m"]) -> Float[Array, " m"]:
        """Mass that columns lack."""
        return grid.v * (1 - exact_einsum("c,cq->q", grid.w, plan))

    def error(self, grid: Grid, gap: Float[Array, " m"]) -> Float[Array, ""]:
        """The largest part that a column lacks of its sum."""
        return jnp.max(jnp.abs(gap) / jnp.where(grid.v > 0, grid.v, jnp.inf))

    def columns(self, grid: Grid, f: Float[Array, " m"]) -> Float[Array, "m m"]:
        """Shares of points that anchors have at nodes, up to factors."""
        t = self.scores(grid, grid.b) + f[:, None]
        return jnp.exp(t - jax.lax.stop_gradient(jnp.max(t, axis=0)))

    def places(self, grid: Grid) -> Float[Array, " n"]:
        """Places of anchors in their boxes, from -1 to 1."""
        half = jnp.maximum(grid.length - 1, 1).astype(grid.s.dtype) / 2
        return grid.slot.astype(grid.s.dtype) / _at(half, grid.box) - 1

    def column_means(
        self, grid: Grid, f: Float[Array, " m"], values: Float[Array, " n"]
    ) -> Float[Array, " n"]:
        """Means over points, by what anchors have of them."""
        k, p = self.boxes, self.p
        # Relative to a value in the own box, as what is far has no part in it.
        centre = _at(jax.lax.stop_gradient(values), grid.first + grid.length // 2)
        beside = values - _at(centre, grid.box)
        sums = moments(grid.s, beside, grid.box, k, p)
        own = _at(beside, grid.first[:, None] + np.arange(p))
        own = jnp.where(np.arange(p) < grid.length[:, None], own, 0)
        sums = jnp.where(grid.own[:, None], own, sums)
        sums = sums / self.count.astype(values.dtype)
        density = self.columns(grid, f).reshape(k, p, k, p)
        w = grid.w.reshape(k, p)
        total = exact_einsum("kc,kcjq->jq", w, density)
        total = jnp.where(total > 0, total, 1)
        apart = centre[:, None] - centre
        terms = sums[..., None] + w[..., None] * apart[:, None]
        means = exact_einsum("kcj,kcjq->jq", terms, density) / total
        means = jax.lax.stop_gradient(means)
        # Relative to the mean itself, as for derivatives all differences count.
        terms = (
            sums[..., None, None]
            + w[..., None, None] * (apart[..., None] - means)[:, None]
        )
        means = means + jnp.sum(terms * density, axis=(0, 1)) / total
        means = means.ravel()
        means = self.spread(grid, self.places(grid), means)
        return means + _at(centre, grid.box)

    def mean_places(self, grid: Grid, g: Float[Array, " m"]) -> Float[Array, " n"]:
        """Mean places of points among the anchors, from 0 in the first one."""
        k, p = self.boxes, self.p
        _, plan = self.rows(grid, self.scores(grid, grid.a), g)
        # Relative to the middle of a box, where few are far away.
        beside = grid.v * (grid.a - grid.centre_a[:, None])
        means = exact_einsum("kcq,kq->kc", plan.reshape(k, p, k * p), beside)
        means = self.spread(grid, grid.s, means.ravel())
        last = jnp.maximum(self.count - 1, 1).astype(means.dtype)
        return last * (means + _at(grid.centre_a, grid.box))

    def plan(self, grid: Grid, f: Float[Array, " m"]) -> Float[Array, "n n"]:
        """The density of the plan, at all pairs of points and anchors."""
        density = self.columns(grid, f)
        share = exact_einsum("c,cq->q", grid.w, density)
        density = density / jnp.where(share > 0, share, 1)
        of_points = jax.vmap(lambda x: self.spread(grid, grid.s, x))(density.T)
        return jax.vmap(lambda x: self.spread(grid, self.places(grid), x))(of_points.T)

    def unresolved(
        self, grid: Grid, f: Float[Array, " m"], plan: Float[Array, "m m"]
    ) -> Float[Array, ""]:
        """An estimate of errors, as parts of the range, by the last coefficients."""
        k, p = self.boxes, self.p
        density = self.columns(grid, f)
        sums = jnp.stack([grid.w * (grid.x - grid.x[0]), grid.w])
        both = exact_einsum("rc,cq->rq", sums, density)
        values = both[0] / jnp.where(both[1] > 0, both[1], 1)
        known = self.points
        extent = _at(known, self.start + self.count - 1) - _at(known, self.start)
        values = values / jnp.where(extent > 0, extent, 1)
        places = exact_einsum("cq,q->c", plan, grid.v * grid.a)
        means = jnp.stack([values.reshape(k, p), places.reshape(k, p)], axis=-1)
        share = jnp.abs(jnp.sum(grid.w.reshape(k, p), axis=-1))
        last = jnp.abs(last_coefficients(plan.reshape(k, p, k * p)))
        both = jnp.max(jnp.abs(last_coefficients(means)), axis=(1, 2))
        # Sums over points are much better than their worst terms.
        error = jnp.maximum(both, 3e-3 * share * jnp.max(last, axis=(1, 2)))
        return jnp.max(jnp.where(grid.own, 0, error))

    def spread(
        self, grid: Grid, place: Float[Array, " n"], values: Float[Array, " m"]
    ) -> Float[Array, " n"]:
        """Values at the nodes as functions of points or anchors."""
        values = values.reshape(self.boxes, self.p)
        smooth = interpolate(place, values, grid.box)
        slot = jnp.clip(grid.slot, 0, self.p - 1)
        own = values.at[jnp.minimum(grid.box, self.boxes - 1), slot].get()
        return jnp.where(_at(grid.own, grid.box), own, smooth)


def _at(x: Array, i: Array) -> Array:
    return x.at[i].get(mode="clip")
