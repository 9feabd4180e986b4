"""Recursion of monotone paths through a grid, along its antidiagonals."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from .._semirings import ABSENT, Semiring

Moves = tuple[tuple[int, int], ...]


def path_state(
    scores: Float[Array, "n m"],
    moves: Moves,
    semiring: Semiring,
    end: tuple[Any, Any] | None = None,
) -> Float[Array, "..."]:
    """The state of the best path from the first cell to the last one.

    **Arguments:**

    - `scores`: of cells.
    - `moves`: numbers of rows and columns by which a path goes on, none negative.
    - `end`: the row and the column of the last cell; None for those of the grid.
    """
    last = scores.shape[0] - 1 if end is None else end[0]
    shifts = [i for i, _ in moves]
    return _scanned(_skewed(scores), moves, shifts, (0, last), semiring, end)


def banded_path_state(
    scores: Float[Array, "n m"],
    moves: Moves,
    semiring: Semiring,
    end: tuple[Any, Any] | None,
    band: int,
) -> Float[Array, "..."]:
    """`path_state` of paths with `|i - j| <= band`, in time `O((n + m) band)`.

    It has a meaning if the last cell is one of them.
    """
    rows, columns = scores.shape
    row, column = (rows - 1, columns - 1) if end is None else end
    shifts = [i - j for i, j in moves]
    # By i - j, of which each antidiagonal has every other one.
    total, difference = np.ogrid[: rows + columns - 1, -band : band + 1]
    i, j = (total + difference) // 2, (total - difference) // 2
    exists = (total + difference) % 2 == 0
    exists &= (i >= 0) & (i < rows) & (j >= 0) & (j < columns)
    cells = scores[np.where(exists, i, 0), np.where(exists, j, 0)]
    cells = jnp.where(exists, cells, ABSENT)
    last = jnp.clip(row - column + band, 0, 2 * band)
    return _scanned(cells, moves, shifts, (band, last), semiring, end)


def _scanned(
    diagonals: Float[Array, "d w"],
    moves: Moves,
    shifts: list[int],
    ends: tuple[int, Any],
    semiring: Semiring,
    end: tuple[Any, Any] | None,
) -> Float[Array, "..."]:
    """The state of the last cell, over antidiagonals of cells.

    - `shifts`: by how many places on its antidiagonal each of the moves goes on.
    - `ends`: the places of the first and the last cell on theirs.
    """
    lags = [sum(move) for move in moves]

    # The states of the last antidiagonals, the latest first.
    def step(window, cells):
        before = zip(lags, shifts, strict=True)
        sources = [_shifted(window[lag - 1], by, semiring) for lag, by in before]
        best = semiring.max(jnp.stack(sources), 0)
        new = semiring.times(best, cells)
        return jnp.concatenate([new[None], window[:-1]])

    first, last = ends
    start = jnp.full((max(lags), diagonals.shape[1]), ABSENT, diagonals.dtype)
    window = semiring.lift(start.at[0, first].set(diagonals[0, first]))
    if end is None:
        steps = diagonals[1:]
        window, _ = jax.lax.scan(lambda w, cells: (step(w, cells), None), window, steps)
        return window[0, last]

    row, column = end
    here = jnp.arange(1, len(diagonals)) <= row + column

    def step_here(window, cells_here):
        cells, here = cells_here
        return semiring.where(here, step(window, cells), window), None

    window, _ = jax.lax.scan(step_here, window, (diagonals[1:], here))
    return window[0, last]


def _skewed(scores: Float[Array, "n m"]) -> Float[Array, "d n"]:
    """Antidiagonals of a matrix, by row; absent where a row has no cell."""
    rows, columns = scores.shape
    count = rows + columns - 1
    wide = jnp.pad(scores, ((0, 0), (0, rows)), constant_values=ABSENT)
    # Rows that are longer by one shift by one more each, and no gather is needed.
    return wide.reshape(-1)[: rows * count].reshape(rows, count).T


def _shifted(state: Array, by: int, semiring: Semiring) -> Array:
    """States that have moved on by so many places, with none in the free ones."""
    if by == 0:
        return state
    size = state.shape[0]
    count = min(abs(by), size)
    none = semiring.absent((), state.dtype)
    none = jnp.broadcast_to(none, (count, *state.shape[1:]))
    if by > 0:
        return jnp.concatenate([none, state[: size - count]])
    return jnp.concatenate([state[count:], none])
