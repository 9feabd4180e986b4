"""Means under solutions whose own tangent is known."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Float

from .._core.readout import Means, Moves
from .._core.solution import Solution


def means_and_tangent(
    problem: Any, solution: Solution, readout: Means, moves: Moves, linear_solver: Any
) -> tuple[Float[Array, "*batch"], Float[Array, "*batch"]]:
    """Means, by `problem.primal_and_tangent`, of values that are `problem.masked`."""
    y, y_move = problem.primal_and_tangent(solution, readout, moves, linear_solver)
    values, values_move = problem.masked(readout.values), moves.readout.values
    move = jnp.sum(y_move * values, axis=-1)
    if values_move is not None:
        move = move + jnp.sum(y * problem.masked(values_move), axis=-1)
    return jnp.sum(y * values, axis=-1), move
