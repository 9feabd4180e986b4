"""Polytopes that an oracle describes, with all their vertices."""

import itertools
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

import softjax as sj

_EDGES = np.array(list(itertools.combinations(range(4), 2)))
_SIZES, _CAPACITY = np.array([3, 1, 2, 4, 2, 3]), 7
_STAGES, _STATES = 3, 2


class Polytope(NamedTuple):
    """The hull of what `oracle` returns.

    - `vertices`: all of them, each a row.
    - `scores`: a pytree of arrays of the shapes of scores.
    """

    name: str
    oracle: Callable
    vertices: np.ndarray
    scores: object


def best_tree(scores):
    """The best spanning tree of four nodes, by Kruskal's method."""

    def add(i, state):
        parts, tree = state
        edge = jnp.argsort(-scores)[i]
        a, b = parts[jnp.asarray(_EDGES)[edge]]
        tree = tree.at[edge].set(jnp.where(a != b, 1, tree[edge]))
        return jnp.where(parts == a, b, parts), tree

    return jax.lax.fori_loop(0, 6, add, (jnp.arange(4), jnp.zeros_like(scores)))[1]


def _all_trees():
    for chosen in itertools.combinations(range(6), 3):
        laplacian = np.zeros((4, 4))
        for a, b in _EDGES[list(chosen)]:
            laplacian[[a, b], [a, b]] += 1
            laplacian[[a, b], [b, a]] -= 1
        if np.linalg.matrix_rank(laplacian) == 3:
            yield np.isin(np.arange(6), chosen)


def best_load(scores):
    """The best items that fit, by dynamic programming over capacities."""

    def consider(best, item):
        score, size = item
        left = jnp.arange(_CAPACITY + 1) - size
        more = jnp.where(left >= 0, best[left] + score, -jnp.inf)
        return jnp.maximum(best, more), more > best

    start = jnp.zeros(_CAPACITY + 1, scores.dtype)
    items = scores, jnp.asarray(_SIZES, jnp.int32)
    _, taken = jax.lax.scan(consider, start, items)

    def trace(left, item):
        taken, size = item
        take = taken[left]
        return left - jnp.where(take, size, 0), take

    _, load = jax.lax.scan(
        trace, jnp.asarray(_CAPACITY, jnp.int32), (taken, items[1]), reverse=True
    )
    return load  # of truth values


def _all_loads():
    for load in itertools.product([0, 1], repeat=6):
        if _SIZES @ load <= _CAPACITY:
            yield load


def best_path(scores):
    """The best path through 3 x 3 cells, one to the right or down at a time."""
    total, paths = {}, {}
    for i, j in itertools.product(range(3), repeat=2):
        step = jnp.zeros_like(scores).at[i, j].set(1)
        before = [c for c in ((i - 1, j), (i, j - 1)) if c in total]
        if not before:
            total[i, j], paths[i, j] = scores[i, j], step
            continue
        totals = jnp.stack([total[c] for c in before])
        best = jnp.argmax(totals)
        total[i, j] = totals[best] + scores[i, j]
        paths[i, j] = jnp.stack([paths[c] for c in before])[best] + step
    return paths[2, 2]


def _all_paths():
    for moves in itertools.product([(0, 1), (1, 0)], repeat=4):
        cells = np.cumsum([(0, 0), *moves], axis=0)
        if tuple(cells[-1]) == (2, 2):
            path = np.zeros((3, 3))
            path[tuple(cells.T)] = 1
            yield path.ravel()


def best_sequence(scores):
    """The best states and transitions of a chain, by Viterbi's recursion."""
    unary, transition = scores
    value, back = unary[0], []
    for t in range(1, _STAGES):
        totals = value[:, None] + transition[t - 1] + unary[t]
        value, back = totals.max(axis=0), [*back, totals.argmax(axis=0)]
    states = [value.argmax()]
    for arg in reversed(back):
        states = [arg[states[0]], *states]
    one = jax.nn.one_hot(jnp.stack(states), _STATES, dtype=unary.dtype)
    return one, one[:-1, :, None] * one[1:, None, :]


def _all_sequences():
    for states in itertools.product(range(_STATES), repeat=_STAGES):
        one = np.eye(_STATES)[list(states)]
        pairs = one[:-1, :, None] * one[1:, None, :]
        yield np.concatenate([one.ravel(), pairs.ravel()])


def _rows(vertices) -> np.ndarray:
    return np.array(list(vertices), float)


POLYTOPES = [
    Polytope("trees", best_tree, _rows(_all_trees()), np.zeros(6)),
    Polytope("loads", best_load, _rows(_all_loads()), np.zeros(6)),
    Polytope("paths", best_path, _rows(_all_paths()), np.zeros((3, 3))),
    Polytope(
        "chain",
        best_sequence,
        _rows(_all_sequences()),
        (np.zeros((_STAGES, _STATES)), np.zeros((_STAGES - 1, _STATES, _STATES))),
    ),
]


def simplex(scores):
    return jax.nn.one_hot(jnp.argmax(scores), scores.size, dtype=int)


def two_of(scores):
    return jnp.zeros(scores.size, bool).at[jax.lax.top_k(scores, 2)[1]].set(True)


def matching(scores):
    """The best permutation of three, of all."""
    swaps = np.eye(3)[np.array([*np.ndindex(3, 3, 3)])]
    all_of_them = swaps[(swaps.sum(axis=1) == 1).all(axis=1)]
    totals = jnp.einsum("pij,ij->p", all_of_them, scores)
    return jnp.asarray(all_of_them)[jnp.argmax(totals)]


def transport(z, softness):
    ones = jnp.ones(3)
    # The regularizer of transport is that of plans over their mass.
    return sj.solvers.TransportProjection(-z, ones, ones, 3 * softness)
