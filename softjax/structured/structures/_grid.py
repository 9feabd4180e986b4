"""Recursion of monotone paths through a grid, along its antidiagonals."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from .._semirings import ABSENT, Semiring


def path_state(
    scores: Float[Array, "n m"],
    moves: tuple[tuple[int, int], ...],
    semiring: Semiring,
    end: tuple[Any, Any] | None = None,
) -> Float[Array, "..."]:
    """The state of the best path from the first cell to the last one.

    **Arguments:**

    - `scores`: of cells.
    - `moves`: numbers of rows and columns by which a path goes on, none negative.
    - `end`: the row and the column of the last cell; None for those of the grid.
    """
    rows, columns = scores.shape
    lag = max(sum(move) for move in moves)
    diagonals = _skewed(scores)

    # The states of the last `lag` antidiagonals, by row, the latest first.
    def step(window, cells):
        sources = [_shifted(window[i + j - 1], i, semiring) for i, j in moves]
        best = semiring.max(jnp.stack(sources), 0)
        new = semiring.times(best, cells)
        return jnp.concatenate([new[None], window[:-1]])

    start = jnp.full((lag, rows), ABSENT, scores.dtype)
    window = semiring.lift(start.at[0, 0].set(scores[0, 0]))
    if end is None:
        window, _ = jax.lax.scan(lambda w, x: (step(w, x), None), window, diagonals[1:])
        return window[0, rows - 1]

    row, column = end
    here = jnp.arange(1, rows + columns - 1) <= row + column

    def step_here(window, cells_here):
        cells, here = cells_here
        return semiring.where(here, step(window, cells), window), None

    window, _ = jax.lax.scan(step_here, window, (diagonals[1:], here))
    return window[0, row]


def _skewed(scores: Float[Array, "n m"]) -> Float[Array, "d n"]:
    """Antidiagonals of a matrix, by row; absent where a row has no cell."""
    rows, columns = scores.shape
    count = rows + columns - 1
    wide = jnp.pad(scores, ((0, 0), (0, rows)), constant_values=ABSENT)
    # Rows that are longer by one shift by one more each, and no gather is needed.
    return wide.reshape(-1)[: rows * count].reshape(rows, count).T


def _shifted(state: Array, by: int, semiring: Semiring) -> Array:
    """States of the cells that are so many rows above."""
    if by == 0:
        return state
    by = min(by, state.shape[0])
    kept = state[: state.shape[0] - by]
    return jnp.concatenate(
        [
            jnp.broadcast_to(semiring.absent((), state.dtype), (by, *state.shape[1:])),
            kept,
        ]
    )
