"""The linear system of the potentials of transport on a line, near its band."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from .._kernels.arrays import eps, safe_divide
from .._problems.transport.band import Band, graph_and_gap
from .._problems.transport.problem import Potentials
from .structured import StructuredOperator

_MAX_STEPS = 400


class BandedBipartiteLaplacian(StructuredOperator):
    """`BipartiteLaplacian` of the slopes of a link in a band."""

    band: Band

    def mv(self, vector):
        f, g = vector
        ones = jnp.ones_like(f)
        rows, of_g = self.band.sums(ones, g, order=1)
        columns, of_f = self.band.sums(ones, f, order=1, by_rows=False)
        return type(vector)(rows * f + of_g, of_f + columns * g)

    def in_structure(self):
        like: Any = jax.ShapeDtypeStruct(self.band.f.shape, self.band.f.dtype)
        return Potentials(like, like)

    def inverse(self, linear_solver):
        band = self.band
        graph, _ = graph_and_gap(band, jnp.ones_like(band.f))
        # Parts that nothing connects to the others stay where they are.
        ground = eps(band.f) * graph.columns

        def solve(sums):
            f, g = (jnp.where(band.inside, y, 0) for y in sums)
            f = safe_divide(f, graph.rows)
            (moved,) = band.sums(f, order=1, by_rows=False)
            x = graph.solve(g - moved, ground, 30 * eps(f), _MAX_STEPS)
            return type(sums)(f - (x + graph.means(x)), x)

        return solve
