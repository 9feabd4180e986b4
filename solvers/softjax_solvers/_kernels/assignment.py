"""Linear assignment: the best matching of rows with columns."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from .._platform.varying import varying_as

_FAR = 1e30
"""Upper bound of all distances."""


class _Matched(NamedTuple):
    """Potentials, and the partner of each row and column; -1 for none."""

    u: Float[Array, "n"]
    v: Float[Array, "m"]
    column_of: Int[Array, "n"]
    row_of: Int[Array, "m"]


class _Tree(NamedTuple):
    """Shortest paths from a free row along reduced costs."""

    distance: Float[Array, "m"]
    parent: Int[Array, "m"]
    reached: Bool[Array, "m"]
    row: Int[Array, ""]
    length: Float[Array, ""]
    end: Int[Array, ""]


def assign(
    scores: Float[Array, "n m"],
) -> tuple[Int[Array, "n"], Float[Array, "n m"]]:
    """The columns, all different, of the largest sum of scores; n is at most m.

    And reduced costs, minus the scores up to numbers for rows and columns: nonnegative,
    and 0 for the pairs that are matched.

    Shortest augmenting paths: rows are matched one after the other, each by a path from
    it to a free column that is the shortest in reduced costs, which Dijkstra's
    algorithm finds. Takes O(n^2 m) operations, and ends for whatever scores: a path has
    at most as many steps as there are columns. As many pairs of infinite scores are
    matched as can be.

    References: Jonker and Volgenant, "A shortest augmenting path algorithm for dense
    and sparse linear assignment problems", Computing 38 (1987); Crouse, "On
    implementing 2D rectangular assignment algorithms", IEEE TAES 52 (2016).
    """
    n, m = scores.shape
    scores = _bounded(scores)
    # Of order of the differences: potentials are sums of costs.
    cost = jnp.max(scores, axis=1, keepdims=True) - scores
    start = _Matched(
        jnp.zeros_like(cost[:, 0]),
        jnp.zeros_like(cost[0]),
        varying_as(jnp.full(n, -1), cost),
        varying_as(jnp.full(m, -1), cost),
    )
    found = jax.lax.fori_loop(0, n, lambda i, s: _augment(cost, s, i), start)
    reduced = cost - found.u[:, None] - found.v
    # Rounding of potentials leaves something, which a small softness would multiply.
    matched = found.column_of[:, None] == jnp.arange(m)
    return found.column_of, jnp.where(matched, 0, jnp.maximum(reduced, 0))


def _bounded(scores: Float[Array, "n m"]) -> Float[Array, "n m"]:
    """Scores of which those of infinity are finite, and count more than all others."""
    present = jnp.isfinite(scores) & (scores > -_FAR / 2)
    largest = jnp.max(jnp.where(present, jnp.abs(scores), 0))
    return jnp.where(scores == jnp.inf, 2 * len(scores) * largest + 1, scores)


def _augment(cost: Float[Array, "n m"], matched: _Matched, first: Array) -> _Matched:
    tree = _shortest_path(cost, matched, first)
    slack = tree.length - tree.distance
    moved = jnp.where(tree.reached, slack, 0)
    v = matched.v - moved
    # Rows of the tree are the first and the partners of the columns that were reached
    # before the last, whose slack is 0.
    partner = jnp.where(tree.reached & (matched.row_of >= 0), matched.row_of, len(cost))
    u = matched.u.at[partner].add(moved, mode="drop").at[first].add(tree.length)

    def pending(state):
        return state[-1] >= 0

    def flip(state):
        column_of, row_of, column = state
        row = tree.parent[column]
        previous = column_of[row]
        column_of, row_of = column_of.at[row].set(column), row_of.at[column].set(row)
        return column_of, row_of, jnp.where(row == first, -1, previous)

    state = matched.column_of, matched.row_of, tree.end
    column_of, row_of, _ = jax.lax.while_loop(pending, flip, state)
    return _Matched(u, v, column_of, row_of)


def _shortest_path(cost: Float[Array, "n m"], matched: _Matched, first: Array) -> _Tree:
    def pending(tree: _Tree):
        return tree.end < 0

    def grow(tree: _Tree) -> _Tree:
        row = tree.row
        reduced = tree.length + (cost[row] - matched.u[row] - matched.v)
        # Finite, NaN too, so that some column is the nearest until all are reached.
        reduced = jnp.where(reduced < _FAR, reduced, _FAR)
        closer = ~tree.reached & (reduced < tree.distance)
        distance = jnp.where(closer, reduced, tree.distance)
        parent = jnp.where(closer, row, tree.parent)
        near = jnp.where(tree.reached, jnp.inf, distance)
        column = jnp.argmin(near)
        partner = matched.row_of[column]
        return _Tree(
            distance,
            parent,
            tree.reached.at[column].set(True),
            jnp.maximum(partner, 0),
            near[column],
            jnp.where(partner < 0, column, -1),
        )

    columns = cost.shape[1]
    like = cost[0] + cost[:, 0].sum()  # which varies as all of the costs do
    tree = _Tree(
        jnp.full_like(like, jnp.inf),
        varying_as(jnp.full(columns, -1), like),
        varying_as(jnp.zeros(columns, bool), like),
        varying_as(first, like),
        jnp.zeros_like(like[0]),
        varying_as(jnp.asarray(-1), like),
    )
    return jax.lax.while_loop(pending, grow, tree)
