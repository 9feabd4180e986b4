"""Spanning trees: the best, and the sum over all of them."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Key

from .._platform.varying import varying_as

_LOG_ZERO = -1e30
"""Logarithm of no edge; infinity would make differences NaN."""


def maximum_spanning_tree(
    scores: Float[Array, "m"], edges: Int[np.ndarray, "m 2"], nodes: int
) -> Bool[Array, "m"]:
    """The edges of the spanning tree of the largest sum, by Prim's algorithm.

    The graph has to be connected; edges may be parallel. Of equal ones the first are
    taken. Takes `nodes` steps of O(m) operations.
    """
    tail, head = edges.T
    scores = jnp.maximum(scores, jnp.finfo(scores.dtype).min)

    def add(_, state):
        inside, chosen = state
        crossing = inside[tail] != inside[head]
        best = jnp.argmax(jnp.where(crossing, scores, -jnp.inf))
        inside = inside.at[tail[best]].set(True).at[head[best]].set(True)
        return inside, chosen.at[best].set(True)

    tail, head = jnp.asarray(tail), jnp.asarray(head)
    start = jnp.arange(nodes) == 0, jnp.zeros(len(edges), bool)
    _, chosen = jax.lax.fori_loop(0, nodes - 1, add, varying_as(start, scores))
    return chosen


def maximum_arborescence(
    scores: Float[Array, "m"], arcs: Int[np.ndarray, "m 2"], nodes: int, root: int
) -> Bool[Array, "m"]:
    """The arcs of the spanning arborescence of the largest sum.

    All nodes have to be within reach of the root. Each takes its best arc; where these
    are a cycle, it becomes one node, into which an arc counts as what it is better than
    the one that it would replace; and so on, at most `nodes - 1` times. Then the arc
    that enters a cycle replaces that of the node it enters. Takes `nodes` steps of
    O(m) operations.

    References: Chu and Liu, "On the shortest arborescence of a directed graph",
    Scientia Sinica 14 (1965); Edmonds, "Optimum branchings", J. Res. NBS 71B (1967).
    """
    tail, head = jnp.asarray(arcs[:, 0]), jnp.asarray(arcs[:, 1])
    # NaN and infinity are compared like numbers.
    scores = jnp.where(jnp.isnan(scores), -_LOG_ZERO, scores)
    scores = jnp.clip(scores, _LOG_ZERO, -_LOG_ZERO)
    names = jnp.arange(nodes)

    def contract(state, _):
        name, weights = state
        source, target = name[tail], name[head]
        # What is inside of a node, or enters the root, is no arc.
        arc = (source != target) & (target != name[root])
        weights = jnp.where(arc, weights, -jnp.inf)
        top = jnp.full(nodes, -jnp.inf, weights.dtype).at[target].max(weights)
        first = jnp.where(
            arc & (weights == top[target]), jnp.arange(len(tail)), len(tail)
        )
        best = jnp.full(nodes, len(tail)).at[target].min(first)
        has = best < len(tail)
        before = jnp.where(has, source[jnp.minimum(best, len(tail) - 1)], names)
        merged = _cycles(before)[name]
        entering = jnp.where(has, top, 0)
        weights = jnp.where(arc, weights - entering[target], _LOG_ZERO)
        return (merged, weights), (best, name)

    start = varying_as(names, scores), scores
    _, (best, name) = jax.lax.scan(contract, start, None, length=max(nodes - 1, 1))

    def expand(entering, step):
        best, name = step
        # Arcs that enter nodes of the next step, whose parts they enter here.
        inside = jnp.minimum(entering, len(tail) - 1)
        part = jnp.where(entering < len(tail), name[head[inside]], nodes)
        return best.at[part].set(entering, mode="drop"), None

    none = varying_as(jnp.full(nodes, len(tail)), scores)
    chosen, _ = jax.lax.scan(expand, none, (best, name), reverse=True)
    # Names of nodes that have become parts of others have arcs of steps before.
    first_names = jnp.where(names == root, len(tail), chosen)
    return jnp.zeros(len(tail), bool).at[first_names].set(True, mode="drop")


def _cycles(before: Int[Array, "n"]) -> Int[Array, "n"]:
    """For each node the smallest of its cycle, or itself where it is in none.

    `before` is the one node that each is reached from; nodes that are reached from none
    have themselves.
    """
    n = before.shape[0]
    names = jnp.arange(n)
    # After n steps back, all are in cycles; the nodes that are there are all of them.
    ahead, smallest = before, jnp.minimum(names, before)
    steps = 1
    while steps < n:
        smallest = jnp.minimum(smallest, smallest[ahead])
        ahead = ahead[ahead]
        steps *= 2
    in_cycle = jnp.zeros(n, bool).at[ahead].set(True)
    return jnp.where(in_cycle, smallest, names)


def log_arborescences(
    log_weights: Float[Array, "n n"],
) -> Float[Array, ""]:
    """The logarithm of the sum over spanning arborescences of node 0.

    Each counts as the product of its arcs' weights, from row to column; undirected
    spanning trees are these of a symmetric matrix. It is the determinant of a Laplacian
    (the matrix-tree theorem), found by elimination of one node after the other: the
    pivot is what enters the node, and what went through it becomes arcs past it. No
    number is ever subtracted from another, and all are kept as logarithms, so that
    weights may differ by any factor. Takes n steps of O(n^2) operations.

    References: Tutte, "The dissection of equilateral triangles into equilateral
    triangles", 1948; Grassmann, Taksar and Heyman, "Regenerative analysis and steady
    state distributions for Markov chains", Operations Research 33 (1985).
    """
    eliminate, w, scale = _elimination(log_weights)
    order = jnp.arange(log_weights.shape[0] - 1, 0, -1)
    _, pivots = jax.lax.scan(eliminate, w, order)
    return jnp.sum(pivots) + scale


def _elimination(log_weights: Float[Array, "n n"]) -> tuple[Any, Array, Array]:
    """A step of the elimination; what it begins with, and what that leaves out."""
    nodes = jnp.arange(log_weights.shape[0])
    arcs = (nodes[:, None] != nodes) & (nodes != 0)
    # Each node has one arc into it: differences from the best are of any magnitude.
    largest = jnp.max(jnp.where(arcs, log_weights, _LOG_ZERO), axis=0)
    shift = jnp.where(nodes == 0, 0, jax.lax.stop_gradient(largest))

    def eliminate(w, k):
        into = w[:, k]
        pivot = jax.nn.logsumexp(into)
        past = into[:, None] + (w[k] - pivot)
        rest = (nodes[:, None] < k) & (nodes < k) & arcs
        return jnp.where(rest, jnp.logaddexp(w, past), _LOG_ZERO), pivot

    return eliminate, jnp.where(arcs, log_weights - shift, _LOG_ZERO), jnp.sum(shift)


def add_parallel(
    logs: Float[Array, "m"],
    tail: Int[np.ndarray, "m"],
    head: Int[np.ndarray, "m"],
    nodes: int,
) -> Float[Array, "n n"]:
    """Logarithms of the sums of parallel arcs; large negative where there is none."""
    logs = jnp.maximum(logs, _LOG_ZERO)
    nothing = jnp.full((nodes, nodes), _LOG_ZERO, logs.dtype)
    there = np.zeros((nodes, nodes), bool)
    there[tail, head] = True
    if np.count_nonzero(there) == len(tail):
        return nothing.at[tail, head].set(logs)
    top = jax.lax.stop_gradient(nothing.at[tail, head].max(logs))
    sums = jnp.where(there, 0, 1.0).astype(logs.dtype)
    sums = sums.at[tail, head].add(jnp.exp(logs - top[tail, head]))
    return top + jnp.log(sums)


def sample_arborescence(
    key: Key[Array, ""], log_weights: Float[Array, "n n"]
) -> Int[Array, "n"]:
    """The parents of nodes in a random arborescence of node 0, whose own is 0.

    Its probability is in proportion to the product of its arcs' weights. The
    elimination of `log_arborescences` is undone, node by node. An arc past the node
    went through it with the probability of its share. If none did, the node is a leaf,
    of any parent by its weight. Otherwise its parent is the start of one of these arcs,
    the first that does not start behind the node. Given which of them do not, their
    starts are independent nodes that are not behind, with the probability of their
    weights, and so is the parent. Takes n steps of O(n^2) operations.

    References: Wilson, "Generating random spanning trees more quickly than the cover
    time", STOC 1996, for the random walk whose loops the pivots add up.
    """
    n = log_weights.shape[0]
    nodes = jnp.arange(n)
    eliminate, w, _ = _elimination(log_weights)

    def forward(w, k):
        w_next, _ = eliminate(w, k)
        return w_next, w

    order = jnp.arange(n - 1, 0, -1)
    _, before = jax.lax.scan(forward, w, order)

    def put_back(parent, step):
        w, k, key = step
        of_arcs, of_node = jax.random.split(key)
        into = w[:, k]
        past = into[parent] + (w[k] - jax.nn.logsumexp(into))
        direct = w[parent, nodes]
        log_odds = past - direct
        noise = jax.random.logistic(of_arcs, (n,), w.dtype)
        through = (log_odds > noise) & (nodes < k) & (nodes != 0)
        behind = _reaches(parent, through)
        first = jnp.argmax(through & ~behind[parent])
        alone = jax.random.categorical(of_node, into)
        mine = jnp.where(jnp.any(through), parent[first], alone)
        return jnp.where(through, k, parent).at[k].set(mine), None

    keys = jax.random.split(key, n - 1)
    start = varying_as(jnp.zeros(n, nodes.dtype), log_weights)
    parent, _ = jax.lax.scan(put_back, start, (before, order, keys), reverse=True)
    return parent


def _reaches(parent: Int[Array, "n"], marked: Bool[Array, "n"]) -> Bool[Array, "n"]:
    """Whether a node or one that it descends from is marked."""
    steps = 1
    while steps < parent.shape[0]:
        marked = marked | marked[parent]
        parent = parent[parent]
        steps *= 2
    return marked
