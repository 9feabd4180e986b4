from __future__ import annotations

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PyTree

from ..._keywords import parse_integer
from .._semirings import ABSENT, Semiring
from .._structure import DynamicProgram
from ._checks import check_shape, parse_pairs


class GraphPath(DynamicProgram):
    """Paths through a directed acyclic graph, from a source to a target.

    Scores have shape `(E,)`, of the edges; with minus the lengths, the best path is the
    shortest.

    **Arguments:**

    - `edges`: `(E, 2)`, pairs of nodes `(from, to)`, which are integers from 0;
        constants. Several edges may join the same nodes.
    - `source`, `target`: nodes.

    **Raises:** `ValueError` if edges are no pairs of integers from 0, the source or the
    target is negative, the graph has a cycle, or no path leads to the target;
    `TypeError` if the source or the target is no integer.

    **Example:**

        >>> graph = sj.structured.GraphPath([(0, 1), (1, 2), (0, 2)], 0, 2)
        >>> lengths = jnp.array([1.0, 1.0, 2.1])
        >>> print(sj.structured.argmax(graph, -lengths))
        [0.731 0.731 0.269]
    """

    edges: tuple[tuple[int, int], ...] = eqx.field(
        static=True,
        converter=lambda edges: parse_pairs("GraphPath", "edges", edges),
    )
    source: int = eqx.field(
        static=True,
        converter=lambda node: parse_integer(node, "GraphPath: source", 0),
    )
    target: int = eqx.field(
        static=True,
        converter=lambda node: parse_integer(node, "GraphPath: target", 0),
    )

    def __check_init__(self) -> None:
        nodes = {node for edge in self.edges for node in edge}
        if any(node < 0 for node in nodes):
            raise ValueError(
                "GraphPath: nodes must be integers from 0, got "
                f"{sorted(nodes)[0]} in edges."
            )
        levels = _levels(self.edges, self.source)
        if self.target not in levels:
            raise ValueError(
                f"GraphPath: target={self.target} must be reachable from "
                f"source={self.source}."
            )

    def check(self, scores: PyTree[Array]) -> None:
        check_shape("GraphPath", "scores", scores, (len(self.edges),))

    def recursion(
        self, scores: PyTree[Array], semiring: Semiring
    ) -> Float[Array, "..."]:
        steps = _steps(self.edges, self.source)
        # One more score and one more node, both absent, for what pads a step.
        scores = jnp.concatenate([scores, jnp.full(1, ABSENT, scores.dtype)])

        def step(state, table):
            nodes, origins, parts = table
            candidates = semiring.times(state[origins], parts)
            return state.at[nodes].set(semiring.max(candidates, 1)), None

        start = jnp.full(steps.size + 1, ABSENT, scores.dtype)
        state = semiring.lift(start.at[steps.place[self.source]].set(0))
        tables = steps.nodes, steps.origins, scores[steps.edges]
        state, _ = jax.lax.scan(step, state, tables)
        return state[steps.place[self.target]]


class _Steps(NamedTuple):
    """Nodes in the order of their levels, and the edges that arrive at each.

    - `nodes`: `(levels, width)`; `size` for none.
    - `origins`, `edges`: `(levels, width, degree)`, where they come from, and which
        they are.
    - `place`: of each node that can be reached.
    """

    size: int
    place: dict[int, int]
    nodes: np.ndarray
    origins: np.ndarray
    edges: np.ndarray


def _levels(edges: Any, source: int) -> dict[int, int]:
    """The largest number of edges from the source to each node that it reaches.

    **Raises:** `ValueError` if there is a cycle.
    """
    following: dict[int, list[int]] = {}
    waiting: dict[int, int] = {}
    for origin, end in edges:
        following.setdefault(origin, []).append(end)
        waiting[end] = waiting.get(end, 0) + 1
    nodes = set(following) | set(waiting)
    levels = {source: 0}
    ready = [node for node in nodes if not waiting.get(node)]
    done = 0
    while ready:
        node = ready.pop()
        done += 1
        for end in following.get(node, ()):
            if node in levels:
                levels[end] = max(levels.get(end, 0), levels[node] + 1)
            waiting[end] -= 1
            if not waiting[end]:
                ready.append(end)
    if done < len(nodes):
        raise ValueError("GraphPath: edges must have no cycle.")
    return levels


def _steps(edges: Any, source: int) -> _Steps:
    levels = _levels(edges, source)
    place = {node: i for i, node in enumerate(sorted(levels))}
    arriving: dict[int, list[tuple[int, int]]] = {}
    for number, (origin, end) in enumerate(edges):
        if origin in levels and end != source:
            arriving.setdefault(end, []).append((place[origin], number))
    groups: dict[int, list[int]] = {}
    for node in sorted(arriving):
        groups.setdefault(levels[node], []).append(node)
    count = len(groups)
    width = max(map(len, groups.values()), default=1)
    degree = max(map(len, arriving.values()), default=1)
    size = len(place)
    nodes = np.full((count, width), size)
    origins = np.full((count, width, degree), size)
    numbers = np.full((count, width, degree), len(edges))
    for i, level in enumerate(sorted(groups)):
        for j, node in enumerate(groups[level]):
            nodes[i, j] = place[node]
            for k, (origin, number) in enumerate(arriving[node]):
                origins[i, j, k], numbers[i, j, k] = origin, number
    return _Steps(size, place, nodes, origins, numbers)
