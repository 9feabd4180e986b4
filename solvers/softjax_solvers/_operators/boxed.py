"""The linear system of the potentials of transport between boxes on a line."""

from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp

from .._core.rows import over_batch
from .._kernels.arrays import eps
from .._problems.transport.boxed_row import BoxGraph
from .structured import StructuredOperator

_MAX_STEPS = 400


class BoxedLaplacian(StructuredOperator):
    """The Laplacians of the graphs of rows, `*batch`."""

    graph: BoxGraph
    batch: int = eqx.field(static=True)  # the number of its axes

    def _each(self, fn, *args):
        return over_batch(fn, self.graph.v.shape[: self.batch])(self.graph, *args)

    def mv(self, vector):
        return self._each(lambda graph, x: graph.mv(x), vector)

    def in_structure(self):
        return jax.ShapeDtypeStruct(self.graph.v.shape, self.graph.v.dtype)

    def inverse(self, linear_solver):
        def solve(graph, rhs):
            # Parts that nothing connects to the others stay where they are.
            ground = eps(rhs) * graph.v
            rhs = jnp.where(graph.band.inside, rhs, 0)
            return graph.solve(rhs, ground, 30 * eps(rhs), _MAX_STEPS)

        return lambda rhs: self._each(solve, rhs)
