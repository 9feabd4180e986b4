"""The linear system of the potentials of transport on a line, near its band."""

from __future__ import annotations

import jax

from .._kernels.arrays import eps, safe_divide
from .._kernels.normal_equations import solve_iteratively
from .._problems.transport.band import Band, BandLaplacian
from .structured import StructuredOperator

_MAX_STEPS = 400


class BandedBipartiteLaplacian(StructuredOperator):
    """`BipartiteLaplacian` of the slopes of a link in a band."""

    band: Band

    def mv(self, vector):
        f, g = vector
        band = self.band
        rows = band.sums(order=1) * f + band.sums(g, order=1)
        columns = band.sums(f, order=1, by_rows=False)
        return type(vector)(rows, columns + g * band.sums(order=1, by_rows=False))

    def in_structure(self):
        from .._problems.transport.problem import Potentials

        like = jax.ShapeDtypeStruct(self.band.f.shape, self.band.f.dtype)
        return Potentials(like, like)

    def inverse(self, linear_solver):
        band = self.band
        rows, columns = band.sums(order=1), band.sums(order=1, by_rows=False)
        graph = BandLaplacian(band, rows, columns)
        # Parts that nothing connects to the others stay where they are.
        ground = eps(rows) * columns

        def solve(sums):
            f, g = sums
            rhs = g - band.sums(safe_divide(f, rows), order=1, by_rows=False)
            x = solve_iteratively(
                lambda x: graph.apply(x) + ground * x,
                graph.preconditioner(ground),
                rhs,
                tolerance=30 * eps(rhs),
                max_steps=_MAX_STEPS,
            )
            return type(sums)(safe_divide(f, rows) - (x + graph.means(x)), x)

        return solve
