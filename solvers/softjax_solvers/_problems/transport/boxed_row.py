"""One row of transport between boxes on a line: its band, and what is read off it."""

from __future__ import annotations

import functools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ..._kernels.bands import Entry
from ..._kernels.box_bands import BoxLine, Places, width_of
from ..._kernels.chebyshev import moments
from ..._kernels.cumulative import prefix_sums
from ..._kernels.normal_equations import solve_along_path
from .band import Band, Kind, Term
from .box_sums import Sides, lack
from .compressed_row import CompressedRow, Grid


class BoxGraph(eqx.Module):
    """Graph of the anchors that is left where potentials of rows are eliminated.

    Its edges are `sum_i w_i v_j v_k P_ij P_ik`, of a plan P with sums 1 of rows.

    **Attributes:**

    - `columns`: sums of columns, times v.
    - `tilt`: the product with the places of the nodes.
    - `places`: these.
    """

    band: Band
    w: Float[Array, " m"]
    v: Float[Array, " m"]
    columns: Float[Array, " m"]
    tilt: Float[Array, " m"]
    places: Float[Array, " m"]

    def mv(self, x: Float[Array, " m"]) -> Float[Array, " m"]:
        """The product, which can be differentiated."""
        ones = jnp.ones_like(x)
        total, mean = self.band.sums(self.v * ones, self.v * x)
        columns, flow = self.band.sums(self.w * total, self.w * mean, by_rows=False)
        return self.v * (columns * x - flow)

    def apply(self, x: Float[Array, " m"]) -> Float[Array, " m"]:
        """The product, accurate also where differences of x are small."""

        def of_rows(entry: Entry) -> tuple[Array, ...]:
            x, v = entry.other[1:]
            return (jnp.exp(entry.t) * v * (x - entry.own[1]),)

        def of_columns(entry: Entry) -> tuple[Array, ...]:
            x, mean, w = entry.other[1:]
            return (jnp.exp(entry.t) * w * ((entry.own[1] - x) - mean),)

        f, g = self.band.potentials
        line = self.band.line
        (means,) = line.fold_sums(of_rows, (f, x), (g, x, self.v), True)
        other = f, x, means, self.w
        (out,) = line.fold_sums(of_columns, (g, x), other, False)
        return self.v * out

    def solve(
        self,
        rhs: Float[Array, " m"],
        ground: Float[Array, " m"],
        tolerance: float,
        max_steps: int,
    ) -> Float[Array, " m"]:
        """x in `mv(x) + ground x = rhs`, by conjugate gradients."""
        inside = self.band.inside
        both = inside[1:] & inside[:-1]
        apart = jnp.where(both, self.places[1:] - self.places[:-1], 1)
        flow = -prefix_sums(self.tilt)[:-1] / apart
        flow = jnp.where(both, jnp.maximum(flow, 0), 0)
        given = jnp.maximum(self.columns, 0), ground, rhs, tolerance, max_steps
        return solve_along_path(self.apply, flow, *given)


class BoxedRow(eqx.Module):
    """One row of `BoxedTransport`."""

    row: CompressedRow
    grid: Grid

    @property
    def inside(self) -> Array:
        return self.grid.v > 0

    @property
    def _rate(self) -> Float[Array, ""]:
        last = jnp.maximum(self.row.count - 1, 1).astype(self.grid.x.dtype)
        return 2 / (last * self.row.softness)

    def line(
        self, beside: Float[Array, "k p"], level: Float[Array, " k"] | float = 0
    ) -> BoxLine:
        """The line, with some nodes among the anchors, and levels of boxes."""
        row, grid = self.row, self.grid
        k, p = row.boxes, row.p
        size = grid.length.astype(grid.x.dtype)
        low, high = grid.centre - size / 2, grid.centre + size / 2
        x = grid.x.reshape(k, p)
        used = jnp.sum(grid.length > 0)
        # Those of a box that has points.
        ends = jnp.where(self.inside.reshape(k, p), x, grid.centre_x[:, None])
        ends = jnp.min(ends, axis=1), jnp.max(ends, axis=1)
        width = width_of(*ends, grid.centre_x, size, self._rate, used)
        level = jnp.broadcast_to(level, size.shape)
        places = Places(
            x=grid.centre_x[:, None],
            a=grid.centre[:, None],
            low=low[:, None],
            high=high[:, None],
            level=level[:, None],
            pull=self._rate * grid.beside_x,
            beside=beside,
        )
        line = BoxLine(places, self._rate, used.astype(jnp.int32), width)
        return jax.lax.stop_gradient(line)

    @property
    def sides(self) -> Sides:
        grid, softness = self.grid, self.row.softness
        known = jax.lax.stop_gradient
        # Both are 0. The first has the derivative in nodes, the other in the softness.
        beside = grid.beside_x.ravel()
        pull = self._rate * (beside - known(beside))
        cooling = jnp.log(known(softness) / softness) + jnp.zeros_like(pull)
        line = self.line(grid.beside_a)
        return Sides(pull, cooling, grid.w, grid.v, self.inside, line)

    def band(self, g: Float[Array, " m"]) -> Band:
        """The plan of some potentials, whose rows have their sums."""
        sides = self.sides
        return sides.band(sides.fit(g), g)

    def gap(self, g: Float[Array, " m"]) -> Float[Array, " m"]:
        """Mass that columns lack."""
        return lack(g, self.sides)

    def error(self, gap: Float[Array, " m"]) -> Float[Array, ""]:
        """The largest part that a column lacks of its sum."""
        return self.row.error(self.grid, gap)

    def graph(self, band: Band) -> BoxGraph:
        w, v = self.grid.w, self.grid.v
        (mean,) = band.sums(v, power=1)
        f, g = band.potentials

        def terms(entry: Entry) -> tuple[Array, ...]:
            _, mean, w = entry.other
            weight = jnp.exp(entry.t) * w
            return weight, -weight * (entry.beside + mean)

        columns, tilt = band.line.fold_sums(terms, (g,), (f, mean, w), False, 2)
        centre = self.grid.centre[:, None] - self.grid.centre[0]
        places = (centre + self.grid.beside_a).ravel()
        return BoxGraph(band, w, v, v * columns, v * tilt, places)

    def column_means(
        self, g: Float[Array, " m"], values: Float[Array, " n"]
    ) -> Float[Array, " n"]:
        """Means over points, by what anchors have of them."""
        row, grid, sides = self.row, self.grid, self.sides
        band, total = sides.scaled(g)
        k, p = row.boxes, row.p
        known = jax.lax.stop_gradient(values)
        centre = _at(known, grid.first + grid.length // 2)
        centre = jnp.where(grid.length > 0, centre, 0)
        beside = values - _at(centre, grid.box)
        beside = jnp.where(grid.box < k, beside, 0)
        slots = np.arange(p)
        own = _at(beside, grid.first[:, None] + slots)
        own = jnp.where(slots < grid.length[:, None], own, 0)
        sums = moments(grid.s, beside, grid.box, k, p)
        sums = jnp.where(grid.own[:, None], own, sums)
        sums = sums / row.count.astype(values.dtype)
        line = self.line(grid.beside_b, centre)
        low = band.potentials[0]
        top = jnp.where(self.inside, line.tops(low, by_rows=False), 0)
        band = sides._replace(line=line).band(band.f, -top)
        # Sums of what is relative to the box of the column, as what is far from all
        # others has no part in it, and of masses.
        kind = Kind((Term(level=1), Term()), by_rows=False, gather=True)
        terms = jnp.stack([grid.w, jnp.zeros_like(grid.w), sums.ravel(), grid.w])
        sums, mass = band.fold(kind, (terms / total).reshape(2, 2, -1))
        means = sums / jnp.where(mass > 0, mass, 1)
        means = row.spread(grid, row.places(grid), means)
        return means + _at(centre, grid.box)

    def mean_places(self, g: Float[Array, " m"]) -> Float[Array, " n"]:
        """Mean places of points among the anchors, from 0 in the first one."""
        sides = self.sides
        band, total = sides.scaled(g)
        means = band.sums(sides.v, power=1)[0] / total
        means = self.row.spread(self.grid, self.grid.s, means)
        return means + _at(self.grid.centre, self.grid.box)


_at = functools.partial(jnp.take, mode="clip")
