"""Soft flows in networks, as solutions of linear programs."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ._core.readout import Primal
from ._core.regularizer import Regularizer
from ._core.solve import evaluate
from ._kernels.arrays import inexact, is_traced
from ._problems import Incidence, LinearProgram


def shortest_path(
    cost: Float[Array, "*batch arcs"],
    tail: Any,
    head: Any,
    source: Any,
    target: Any,
    *,
    nodes: int | None = None,
    softness: Any = 0.1,
    mode: str | Regularizer = "smooth",
    solver: Any = None,
) -> Float[Array, "*batch arcs"]:
    """Soft shortest path in a directed graph, as a unit flow from source to target.

    It minimizes `<cost, y> + softness R(y)` over flows y >= 0 of which 1 more leaves
    the source than enters it, and enters the target than leaves it. As softness goes to
    0, y becomes 1 on the arcs of the shortest path and 0 on others, if there is one
    such path and no cycle of negative cost. With a smooth mode, any cycle has a flow.
    If the target can't be reached, y is not a flow: `sj.solvers.solve` of the
    [`softjax.solvers.LinearProgram`][] says so.

    **Arguments:**

    - `cost`: `*batch arcs`, of each arc.
    - `tail`, `head`: integers, where each arc begins and ends.
    - `source`, `target`: nodes, for all paths or of a shape that broadcasts against
        `*batch`.
    - `nodes`: the number of nodes; None for the largest of `tail` and `head`, and one.
    - `softness`: positive, a scalar or an array that broadcasts against `*batch 1`.
    - `mode`, `solver`: the regularizer and solver of [`softjax.solvers.solve`][]. Modes
        of bounded links, such as `"cubic"`, can't be had.

    **Returns:** the flow on each arc, `*batch arcs`.

    **Raises:** `ValueError` if `nodes` is None and arcs are traced, or a node is known
    not to exist; what [`softjax.solvers.solve`][] does.

    **Example:**

        >>> tail, head = [0, 0, 1, 1, 2], [1, 2, 2, 3, 3]
        >>> cost = jnp.array([1.0, 3.0, 1.0, 4.0, 1.0])
        >>> print(sj.solvers.shortest_path(cost, tail, head, 0, 3, softness=0.3))
        [0.967 0.033 0.965 0.001 0.999]
        >>> print(sj.solvers.shortest_path(cost, tail, head, 0, 3, mode="c0"))
        [1. 0. 1. 0. 1.]

    ??? cite

        Berthet, Blondel, Teboul, Cuturi, Vert and Bach, "Learning with differentiable
        perturbed optimizers", NeurIPS 2020, for paths as solutions of linear programs;
        Ahuja, Magnanti and Orlin, "Network flows", Prentice Hall, 1993.
    """
    cost = inexact(cost)
    if nodes is None:
        if is_traced((tail, head)):
            raise ValueError(
                "shortest_path: nodes must be given if tail or head is traced."
            )
        nodes = 1 + max(
            int(np.max(x, initial=-1)) for x in map(np.asarray, (tail, head))
        )
    for name, node in (("source", source), ("target", target)):
        if is_traced(node):
            continue
        known = np.asarray(node)
        if not np.issubdtype(known.dtype, np.integer):
            raise TypeError(f"shortest_path: {name} must be an integer, got {node!r}.")
        if np.any((known < 0) | (known >= nodes)):
            raise ValueError(
                f"shortest_path: {name} must be a node from 0 to {nodes - 1}, got "
                f"{node}."
            )
    places = np.arange(nodes)
    leaves = (jnp.asarray(node)[..., None] == places for node in (source, target))
    start, end = (x.astype(cost.dtype) for x in leaves)
    flows = dict(softness=softness, mode=mode, solver=solver)
    return min_cost_flow(cost, tail, head, start - end, **flows)


def min_cost_flow(
    cost: Float[Array, "*batch arcs"],
    tail: Any,
    head: Any,
    supply: Any,
    capacity: Any = None,
    *,
    softness: Any = 0.1,
    mode: str | Regularizer = "smooth",
    solver: Any = None,
) -> Float[Array, "*batch arcs"]:
    """Soft flow of minimum cost that takes supplies to demands in a directed graph.

    It minimizes `<cost, y> + softness R(y)` over flows `0 <= y <= capacity` of which
    `supply` more leaves each node than enters it. If there is none, y is not a flow:
    `sj.solvers.solve` of the [`softjax.solvers.LinearProgram`][] says so.

    **Arguments:**

    - `cost`: `*batch arcs`, of a unit of flow on each arc.
    - `tail`, `head`: integers, where each arc begins and ends.
    - `supply`: of each node, negative for a demand, of sum 0 in each part of the graph;
        of a shape that broadcasts against `*batch nodes`.
    - `capacity`: nonnegative and possibly infinite, a scalar or an array that
        broadcasts against `*batch arcs`; None for no bound.
    - The others are those of [`softjax.solvers.shortest_path`][]. Modes of bounded
        links need capacities that are known to be at most 1.

    **Returns:** the flow on each arc, `*batch arcs`.

    **Raises:** `ValueError` and `TypeError` as [`softjax.solvers.LinearProgram`][],
    [`softjax.solvers.Incidence`][] and [`softjax.solvers.solve`][] do.

    **Example:**

        >>> tail, head = [0, 0, 1, 1, 2], [1, 2, 2, 3, 3]
        >>> cost = jnp.array([1.0, 3.0, 1.0, 4.0, 1.0])
        >>> supply, capacity = jnp.array([2.0, 0.0, 0.0, -2.0]), 1.5
        >>> graph = tail, head, supply, capacity
        >>> print(sj.solvers.min_cost_flow(cost, *graph, mode="c0"))
        [1.5 0.5 1.  0.5 1.5]

    ??? cite

        Ahuja, Magnanti and Orlin, "Network flows", Prentice Hall, 1993.
    """
    supply = jnp.asarray(supply)
    if supply.ndim == 0:
        raise ValueError("min_cost_flow: supply must have one entry a node, got one.")
    graph = Incidence(tail, head, supply.shape[-1])
    z = -inexact(cost)
    problem = LinearProgram(z, graph, supply, softness, upper=capacity)
    return evaluate(problem, mode, Primal(), solver)
