"""Entropic transport of many points on a line, by nodes of boxes near each other."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Float

from ..._core.problem import Problem
from ..._core.regularizer import Regularizer
from .boxed_row import BoxedRow
from .compressed import CompressedTransport


class BoxedTransport(Problem):
    """`CompressedTransport` in any number of boxes, of which those nearby have entries.

    Those are formed when they are summed, in O(n) memory, so that there may be a box
    for each p points, which resolve any plan.

    **Attributes:**

    - `nodes`: the same problem, whose `optimality` has an entry for all pairs of nodes.
    """

    nodes: CompressedTransport

    def each(self, fn: Callable, regularizer: Regularizer, *args: Array) -> Any:
        """`fn(row, *args)` of all rows, with their entries of the arguments."""

        def of_row(row, grid, *args):
            return fn(BoxedRow(row, grid), *args)

        return self.nodes.each(of_row, regularizer, *args)

    def optimality(self, dual, regularizer):
        def excess(row, g):
            return -row.gap(g)

        return self.each(excess, regularizer, dual)

    def jacobian(self, dual, regularizer):
        from ..._operators.boxed import BoxedLaplacian

        def graph(row, g):
            return row.graph(row.band(g))

        return BoxedLaplacian(self.each(graph, regularizer, dual), len(dual.shape) - 1)

    def residual(self, dual, regularizer):
        def error(row, g):
            return row.error(row.gap(g))

        return self.each(error, regularizer, dual)

    def primal(self, dual, regularizer):
        return self.nodes.primal(dual, regularizer)

    def column_means(self, dual, regularizer, values):
        def means(row, g, values):
            return row.column_means(g, values)

        values = jnp.broadcast_to(values, self.nodes.points.shape)
        return self.each(means, regularizer, dual, values)

    def mean_places(
        self, dual: Float[Array, "*batch m"], regularizer: Regularizer
    ) -> Float[Array, "*batch n"]:
        """Mean places of points among the anchors, from 0 in the first one."""

        def means(row, g):
            return row.mean_places(g)

        return self.each(means, regularizer, dual)

    def default_solver(self, regularizer):
        from ..._solvers.boxed_newton import BoxedNewton

        return BoxedNewton()
