from __future__ import annotations

import equinox as eqx
import numpy as np
from jaxtyping import Array, Float, PyTree

from .._semirings import Semiring
from .._structure import DynamicProgram
from ._checks import check_shape, parse_pairs
from ._grid import path_state


class GridPath(DynamicProgram):
    """Monotone paths through the cells of a grid, from the first cell to the last one.

    Scores have shape `(n, m)`, of the cells, both ends included. Paths are as short as
    costs, minus the scores, say.

    **Arguments:**

    - `moves`: pairs of integers, by how many rows and columns a path may go on: not
        negative, and not both 0. Down and right by default. Of equal paths, the best is
        the one whose last moves come first here.

    **Example:**

        >>> costs = jnp.array([[0.0, 0.2, 0.9], [0.1, 0.5, 0.3], [0.1, 0.1, 0.0]])
        >>> print(sj.structured.argmax(sj.structured.GridPath(), -costs, mode="hard"))
        [[1. 0. 0.]
         [1. 0. 0.]
         [1. 1. 1.]]
    """

    moves: tuple[tuple[int, int], ...] = eqx.field(
        default=((1, 0), (0, 1)),
        static=True,
        converter=lambda moves: parse_pairs("GridPath", "moves", moves),
    )

    def __check_init__(self) -> None:
        good = all(i >= 0 and j >= 0 and i + j > 0 for i, j in self.moves)
        if not self.moves or not good or len(set(self.moves)) < len(self.moves):
            raise ValueError(
                "GridPath: moves must be different pairs of integers, not negative and "
                f"not both 0, got {self.moves}."
            )

    def check(self, scores: PyTree[Array]) -> None:
        check_shape("GridPath", "scores", scores, ("n", "m"))
        sizes = np.shape(scores)
        if not _reaches(sizes, self.moves):
            raise ValueError(
                f"GridPath: no path leads through a grid of shape {sizes} by "
                f"moves={self.moves}."
            )

    def recursion(
        self, scores: PyTree[Array], semiring: Semiring
    ) -> Float[Array, "..."]:
        return path_state(scores, self.moves, semiring)


def _reaches(sizes: tuple[int, ...], moves: tuple[tuple[int, int], ...]) -> bool:
    """Whether the last cell can be reached from the first one."""
    rows, columns = sizes
    if {(1, 0), (0, 1)} <= set(moves):
        return True
    reached = np.zeros((rows, columns), bool)
    reached[0, 0] = True
    for i in range(rows):
        for j in range(columns):
            for di, dj in moves:
                if i >= di and j >= dj:
                    reached[i, j] |= reached[i - di, j - dj]
    return bool(reached[-1, -1])
