"""Means under solutions whose own tangent is known."""

from __future__ import annotations

from typing import Any

from jaxtyping import Array, Float

from .._core.readout import Means, Moves
from .._core.solution import Solution
from .._kernels.derivatives import tangent_of


def means_and_tangent(
    problem: Any, solution: Solution, readout: Means, moves: Moves, linear_solver: Any
) -> tuple[Float[Array, "*groups"], Float[Array, "*groups"]]:
    """Means, by `problem.primal_and_tangent`, of values that are `problem.weighted`.

    They are `problem.added`."""

    def weighted(problem, readout):
        return problem.weighted(readout.values)

    y, y_move = problem.primal_and_tangent(solution, readout, moves, linear_solver)
    values = weighted(problem, readout)
    values_move = tangent_of(
        weighted, (problem, readout), (moves.problem, moves.readout)
    )
    move = y_move * values + y * values_move
    return problem.added(y * values), problem.added(move)
