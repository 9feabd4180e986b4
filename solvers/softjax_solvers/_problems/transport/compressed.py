"""Entropic transport of many points on a line, by its values at few nodes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Shaped

from ..._core.problem import Problem
from ..._core.readout import Readout
from ..._core.regularizer import Regularizer
from ..._core.rows import over_batch
from ..._kernels.boxes import choose_edges
from .compressed_row import CompressedRow, Grid


class CompressedTransport(Problem):
    """Entropic transport of n points on a line to n anchors at equal distances.

    The plan `P_ij = exp(f(x_i) + g(a_j) - (x_i - a_j)^2 / softness)` of mass 1 a point,
    with the sums 1 of rows and columns, has potentials that are analytic. In boxes of a
    few widths of the plan, or of a few points, polynomials follow them: a problem of as
    many nodes is left, whatever n is. Its dual is g at the nodes among the anchors.

    **Attributes:**

    - `points`: `*batch n`, ascending. Those that take part are `count` of them, from
        the one with the index `start`, both `*batch`; anchors of theirs are in [0, 1].
    - `softness`: `*batch`.
    - `edges`: where boxes begin, and the last one ends, `*batch k+1`.
    - `p`: the number of nodes in a box.
    - `grid`: the nodes, and where points are among them.
    """

    points: Float[Array, "*batch n"]
    softness: Float[Array, "*batch"]
    start: Int[Array, "*batch"]
    count: Int[Array, "*batch"]
    edges: Int[Array, "*batch k+1"]
    p: int = eqx.field(static=True)
    grid: Grid

    @classmethod
    def on_line(
        cls,
        points: Float[Array, "*batch n"],
        softness: Any,
        regularizer: Regularizer,
        boxes: int,
        start: Any = 0,
        count: Any = None,
        p: int = 16,
    ) -> CompressedTransport:
        """The problem in so many `boxes`, with an exponential regularizer.

        **Arguments:**

        - `softness`, `start`, `count`: as of the class, of shapes that broadcast. A
            `count` of None is n.
        """
        *batch, n = points.shape
        softness = jnp.broadcast_to(jnp.asarray(softness, points.dtype), batch)
        start = jnp.broadcast_to(jnp.asarray(start, jnp.int32), batch)
        count = jnp.asarray(n if count is None else count, jnp.int32)
        count = jnp.broadcast_to(count, batch)

        def nodes(points, softness, start, count):
            known = jax.lax.stop_gradient((points, softness))
            edges = choose_edges(*known, start, count, boxes, p)
            row = CompressedRow(points, softness, start, count, edges, p)
            return edges, row.grid()

        rate: Any = regularizer.structure().rate
        nodes = over_batch(nodes, batch)
        edges, grid = nodes(points, softness / rate, start, count)
        return cls(points, softness, start, count, edges, p, grid)

    def each(self, fn: Callable, regularizer: Regularizer, *args: Array) -> Any:
        """`fn(row, grid, *args)` of all rows, with their entries of the arguments."""
        rate: Any = regularizer.structure().rate
        rows = CompressedRow(
            self.points,
            self.softness / rate,
            self.start,
            self.count,
            self.edges,
            self.p,
        )
        return over_batch(fn, self.points.shape[:-1])(rows, self.grid, *args)

    def optimality(self, dual, regularizer):
        def excess(row, grid, g):
            _, plan = row.rows(grid, row.scores(grid, grid.a), g)
            return -row.gap(grid, plan)

        return self.each(excess, regularizer, dual)

    def jacobian(self, dual, regularizer):
        from ..._operators.laplacian import GraphLaplacian

        def edges(row, grid, g):
            _, plan = row.rows(grid, row.scores(grid, grid.a), g)
            return row.graph(grid, plan)

        return GraphLaplacian(self.each(edges, regularizer, dual))

    def residual(self, dual, regularizer):
        def error(row, grid, g):
            _, plan = row.rows(grid, row.scores(grid, grid.a), g)
            return row.error(grid, row.gap(grid, plan))

        return self.each(error, regularizer, dual)

    def primal(self, dual, regularizer):
        """The plan, `*batch n n`, of the points to the anchors."""

        def plan(row, grid, g):
            f, _ = row.rows(grid, row.scores(grid, grid.a), g)
            return row.plan(grid, f) / row.count.astype(g.dtype)

        return self.each(plan, regularizer, dual)

    def column_means(self, dual, regularizer, values):
        def means(row, grid, g, values):
            f, _ = row.rows(grid, row.scores(grid, grid.a), g)
            return row.column_means(grid, f, values)

        values = jnp.broadcast_to(values, self.points.shape)
        return self.each(means, regularizer, dual, values)

    def mean_places(
        self, dual: Float[Array, "*batch m"], regularizer: Regularizer
    ) -> Float[Array, "*batch n"]:
        """Mean places of points among the anchors, from 0 in the first one."""

        def means(row, grid, g):
            return row.mean_places(grid, g)

        return self.each(means, regularizer, dual)

    def default_solver(self, regularizer):
        from ..._solvers.compressed_newton import CompressedNewton

        return CompressedNewton()


class MeanPlaces(Readout):
    """Mean places of the points of a `CompressedTransport` among the anchors.

    Counted from the `first`, an integer that broadcasts against `*batch n`.
    """

    first: Shaped[Array, "*#batch #n"]

    def read(self, solution):
        problem: Any = solution.problem
        places = problem.mean_places(solution.dual, solution.regularizer)
        return self.first + places
