from __future__ import annotations

from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from ..._kernels.arrays import is_traced
from .matrix import Matrix


class Incidence(Matrix):
    """The node-arc incidence matrix of a directed graph, as constraints on flows.

    An arc has 1 in the row of its tail and -1 in the row of its head: `A y = b` says
    that of a flow y on the arcs, b is what leaves each node less what enters it. Rows
    sum to 0, so that b has to. An arc from a node to itself has a column of zeros.

    **Arguments:**

    - `tail`, `head`: integers from 0 to nodes - 1, of shape `arcs`: where each arc
        begins and ends.
    - `nodes`: the number of nodes.

    **Raises:** `TypeError` if they are no integers; `ValueError` if shapes differ, or
    a node is known not to exist.

    **Example:**

        >>> A = sj.solvers.Incidence([0, 0, 1], [1, 2, 2], 3)
        >>> print(A.apply(jnp.array([1.0, 2.0, 3.0])))
        [ 3.  2. -5.]
    """

    tail: Int[Array | np.ndarray, " n"]
    head: Int[Array | np.ndarray, " n"]
    nodes: int = eqx.field(static=True)

    def __init__(self, tail: Any, head: Any, nodes: int):
        self.tail, self.head = _nodes("tail", tail, nodes), _nodes("head", head, nodes)
        self.nodes = int(nodes)
        if self.tail.shape != self.head.shape:
            raise ValueError(
                "Incidence: tail and head must be of the same shape, got "
                f"{self.tail.shape} and {self.head.shape}."
            )

    @property
    def shape(self):
        return self.nodes, self.tail.shape[-1]

    def _sum(self, node: Any, x: Array) -> Array:
        """Sums over the arcs of each node."""
        return jnp.zeros((*x.shape[:-1], self.nodes), x.dtype).at[..., node].add(x)

    def apply(self, y: Float[Array, "*batch n"]) -> Float[Array, "*batch m"]:
        return self._sum(self.tail, y) - self._sum(self.head, y)

    def apply_transpose(self, x: Float[Array, "*batch m"]) -> Float[Array, "*batch n"]:
        return x[..., self.tail] - x[..., self.head]

    @property
    def terms(self) -> int:
        return 2

    def sizes(self, y: Float[Array, "*batch n"]) -> Float[Array, "*batch m"]:
        return self.diagonal(jnp.abs(y))

    def dense(self, dtype: jnp.dtype) -> Float[Array, "*#batch m n"]:
        return self.apply(jnp.eye(self.shape[1], dtype=dtype)).T

    def diagonal(self, weight: Float[Array, "*batch n"]) -> Float[Array, "*batch m"]:
        weight = jnp.where(self.tail == self.head, 0, weight)
        return self._sum(self.tail, weight) + self._sum(self.head, weight)

    def gram(self, weight: Float[Array, "*batch n"]) -> Float[Array, "*batch m m"]:
        """The Laplacian of the graph."""
        loops = jnp.eye(self.nodes, dtype=bool)
        edges = jnp.zeros((*weight.shape[:-1], self.nodes, self.nodes), weight.dtype)
        edges = edges.at[..., self.tail, self.head].add(weight)
        edges = jnp.where(loops, 0, edges + edges.swapaxes(-1, -2))
        degree = jnp.sum(edges, axis=-1)
        return jnp.where(loops, degree[..., None], -edges)


def _nodes(name: str, x: Any, nodes: int) -> Array | np.ndarray:
    """Nodes of a graph, checked if they are known."""
    x = x if eqx.is_array(x) else np.asarray(x)
    if not jnp.issubdtype(x.dtype, jnp.integer):
        raise TypeError(f"Incidence: {name} must be integers, got type {x.dtype}.")
    if x.ndim != 1:
        raise ValueError(
            f"Incidence: {name} must have one axis, of the arcs, got shape {x.shape}."
        )
    if not is_traced(x) and x.size:
        lowest, highest = int(np.min(x)), int(np.max(x))
        if lowest < 0 or highest >= nodes:
            raise ValueError(
                f"Incidence: {name} must be nodes from 0 to {nodes - 1}, got "
                f"{lowest if lowest < 0 else highest}."
            )
    return x
