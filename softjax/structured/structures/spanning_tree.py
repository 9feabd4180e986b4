from __future__ import annotations

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Key, PyTree

from softjax_solvers import Regularizer
from softjax_solvers.internal import (
    add_parallel,
    log_arborescences,
    maximum_arborescence,
    maximum_spanning_tree,
    sample_arborescence,
)

from ..._keywords import parse_flag, parse_integer
from .._structure import Structure
from ._checks import check_shape, less_mean, unless_nan


class SpanningTree(Structure):
    """Spanning trees of a graph, with a score for each edge.

    `scores` are of shape `m`, those of the edges in their order; a structure says which
    edges are in the tree. With `directed`, it is an arborescence: each node but the
    root has one arc into it, and can be reached from the root. The best is found by
    Prim's algorithm, or by that of Chu, Liu and Edmonds, in O(nodes m) operations.

    The default of exponential modes is the distribution over trees, of probabilities in
    proportion to `exp(<scores, tree> / softness)`, by the matrix-tree theorem:
    marginals are the probabilities of edges.

    **Arguments:**

    - `nodes`: their number, at least 2; they are named from 0.
    - `edges`: pairs of nodes, `m 2`; of a directed graph from tail to head. Parallel
        ones are allowed. None for all pairs in the order of `triu_indices(nodes, 1)`,
        (0, 1), (0, 2), ...; of a directed graph for all ordered ones, (0, 1), (0, 2),
        ..., (1, 0), (1, 2), ...
    - `directed`: whether trees are arborescences.
    - `root`: where they start; without a meaning for undirected trees.

    **Raises:** `ValueError` if nodes are missing, or are out of reach.

    **Example:**

        >>> st = sj.structured
        >>> tree = st.SpanningTree(4)
        >>> scores = jnp.array([1.0, 0.2, 0.1, 0.9, 0.4, 0.8])
        >>> print(st.argmax(tree, scores, mode="hard"))
        [1. 0. 0. 1. 0. 1.]
        >>> print(st.argmax(tree, scores, softness=0.3))
        [0.906 0.125 0.133 0.786 0.276 0.775]
        >>> print(st.argmax(tree, scores, softness=0.5, mode="c0"))
        [1.  0.  0.  1.  0.1 0.9]

    ??? cite

        Koo, Globerson, Carreras and Collins, "Structured prediction models via the
        matrix-tree theorem", EMNLP 2007; Edmonds, "Optimum branchings", J. Res. NBS 71B
        (1967).
    """

    nodes: int = eqx.field(static=True)
    edges: tuple[tuple[int, int], ...] = eqx.field(static=True)
    directed: bool = eqx.field(static=True)
    root: int = eqx.field(static=True)

    def __init__(
        self, nodes: int, edges: Any = None, directed: bool = False, root: int = 0
    ):
        self.nodes = nodes = parse_integer(nodes, "SpanningTree: nodes", 2)
        self.root = root = parse_integer(root, "SpanningTree: root", 0)
        if root >= nodes:
            raise ValueError(
                f"SpanningTree: root must be a node, from 0 to {nodes - 1}, got "
                f"{root!r}."
            )
        directed = parse_flag(directed, "SpanningTree: directed")
        if edges is None:
            pairs = _all_pairs(nodes, directed)
        else:
            pairs = np.asarray(edges)
            fits = pairs.ndim == 2 and pairs.shape[1] == 2
            fits = fits and np.issubdtype(pairs.dtype, np.integer)
            if not (fits and np.all((pairs >= 0) & (pairs < nodes))):
                raise ValueError(
                    "SpanningTree: edges must be pairs of nodes from 0 to "
                    f"{nodes - 1}, got {edges!r}."
                )
        self.directed = directed
        self.edges = tuple(map(tuple, pairs.tolist()))
        reached = _reached(pairs, self.nodes, self.root, self.directed)
        if not reached.all():
            raise ValueError(
                f"SpanningTree: edges must join all nodes; {np.flatnonzero(~reached)} "
                f"can't be reached from {self.root}."
            )

    @property
    def pairs(self) -> Int[np.ndarray, "m 2"]:
        return np.asarray(self.edges)

    def check(self, scores: PyTree[Array]) -> None:
        check_shape("SpanningTree", "scores", scores, (len(self.edges),))

    def default_mode(self) -> str:
        return "smooth"

    def default_method(self, regularizer: Regularizer) -> str:
        exponential = regularizer.structure().rate is not None
        return "distribution" if exponential else "marginals"

    def oracle(self, scores: Float[Array, "m"]) -> Float[Array, "m"]:
        if self.directed:
            best = maximum_arborescence(scores, self.pairs, self.nodes, self.root)
        else:
            best = maximum_spanning_tree(scores, self.pairs, self.nodes)
        return unless_nan(best.astype(scores.dtype), scores)

    def log_partition(self) -> Callable[[PyTree[Array]], Float[Array, ""]] | None:
        def of(scores):
            return log_arborescences(self.log_weights(scores))

        return of

    def centered(self, scores: PyTree[Array]) -> PyTree[Array]:
        return less_mean(scores)  # all trees have as many edges

    def sample(
        self, key: Key[Array, ""], scores: Float[Array, "m"]
    ) -> Float[Array, "m"]:
        of_nodes, of_parallel = jax.random.split(key)
        parent = sample_arborescence(of_nodes, self.log_weights(scores))
        tail, head, logs = self._arcs(scores)
        # Of parallel arcs, one with the probability of its share (the Gumbel trick).
        logs = jnp.maximum(logs, -1e30)
        logs = logs + jax.random.gumbel(of_parallel, logs.shape, logs.dtype)
        top = jnp.full((self.nodes, self.nodes), -jnp.inf, logs.dtype)
        top = top.at[tail, head].max(logs)
        chosen = (parent[head] == tail) & (head != 0) & (logs == top[tail, head])
        chosen = jnp.any(chosen.reshape(-1, len(self.edges)), axis=0)
        return chosen.astype(scores.dtype)

    def log_weights(self, scores: Float[Array, "m"]) -> Float[Array, "n n"]:
        """Logarithms of the weights of arcs between nodes, of which the root is 0."""
        tail, head, logs = self._arcs(scores)
        return add_parallel(logs, tail, head, self.nodes)

    def _arcs(self, scores: Float[Array, "m"]) -> tuple[np.ndarray, np.ndarray, Array]:
        """Arcs, in both directions if there is none, between nodes of which 0 is the
        root; and their scores."""
        tail, head = np.roll(np.arange(self.nodes), self.root)[self.pairs.T]
        if self.directed:
            return tail, head, scores
        both = jnp.concatenate([scores, scores])
        return np.append(tail, head), np.append(head, tail), both


def _all_pairs(nodes: int, directed: bool) -> Int[np.ndarray, "m 2"]:
    if directed:
        return np.argwhere(~np.eye(nodes, dtype=bool))
    return np.stack(np.triu_indices(nodes, 1), axis=1)


def _reached(
    pairs: Int[np.ndarray, "m 2"], nodes: int, root: int, directed: bool
) -> np.ndarray:
    """A mask of the nodes that can be reached from the root."""
    tail, head = pairs.T
    if not directed:
        tail, head = np.append(tail, head), np.append(head, tail)
    reached = np.arange(nodes) == root
    for _ in range(nodes):
        reached[head[reached[tail]]] = True
    return reached
