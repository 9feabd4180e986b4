from __future__ import annotations

from typing import Any

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from softjax_solvers.internal import is_traced

from ..._keywords import parse_integer
from .._semirings import ABSENT, Semiring
from .._structure import DynamicProgram
from ._checks import check_length, check_pair, check_shape
from ._grid import banded_path_state, path_state

_MOVES = ((1, 1), (1, 0), (0, 1))


class Alignment(DynamicProgram):
    """Alignments of two sequences: monotone paths through the cells of a grid.

    Scores have shape `(n, m)`, of the cells. A path goes from the first cell to the
    last one by moves diagonal, down and right; of equal ones, in this order from its
    end. With scores `-D`, minus costs, `-value` is soft dynamic time warping.

    **Arguments:**

    - `band`: an integer from 0; only cells with `|i - j| <= band` are used (Sakoe and
        Chiba). None for all. Time is in proportion to it.
    - `lengths`: a pair of lengths, from 1 to n and from 1 to m, scalars; None for all.
        What is outside may hold anything, and changes nothing to the last bit.

    Without any path that stays in the band, the value is about -1e30, and marginals
    are 0.

    **Example:**

        >>> x, y = jnp.array([0.0, 1.0, 2.0]), jnp.array([0.0, 2.0])
        >>> costs = (x[:, None] - y) ** 2
        >>> path = sj.structured.argmax(sj.structured.Alignment(), -costs, softness=0.5)
        >>> print(path)
        [[1.    0.   ]
         [0.532 0.532]
         [0.    1.   ]]

    ??? cite

        Sakoe and Chiba, "Dynamic programming algorithm optimization for spoken word
        recognition", 1978; Cuturi and Blondel, "Soft-DTW", ICML 2017.
    """

    band: int | None = eqx.field(
        default=None,
        static=True,
        converter=lambda band: (
            None if band is None else parse_integer(band, "Alignment: band", 0)
        ),
    )
    lengths: Any = None

    def check(self, scores: PyTree[Array]) -> None:
        check_shape("Alignment", "scores", scores, ("n", "m"))
        shape = jnp.shape(scores)
        sizes: tuple[Any, ...] = shape
        if self.lengths is not None:
            check_pair("Alignment", self.lengths)
            sizes = tuple(self.lengths)
            for part, length, most in zip("nm", sizes, shape, strict=True):
                check_length("Alignment", f"lengths (of {part})", length, most)
        if self.band is not None and not is_traced(sizes):
            least = abs(int(sizes[0]) - int(sizes[1]))
            if self.band < least:
                raise ValueError(
                    f"Alignment: band must be at least {least}, by how much the "
                    f"lengths differ, got {self.band}."
                )

    def kept(self, scores: PyTree[Array]) -> PyTree[Array]:
        return self._outside(scores, 0)

    def recursion(
        self, scores: PyTree[Array], semiring: Semiring
    ) -> Float[Array, "..."]:
        end = None
        n, m = scores.shape if self.lengths is None else self.lengths
        if self.lengths is not None:
            end = jnp.asarray(n) - 1, jnp.asarray(m) - 1
        scores = self._outside(scores, ABSENT)
        if self.band is None:
            return path_state(scores, _MOVES, semiring, end)
        if 2 * self.band + 1 < scores.shape[0]:
            state = banded_path_state(scores, _MOVES, semiring, end, self.band)
        else:
            state = path_state(scores, _MOVES, semiring, end)
        # Lengths that are traced may differ by more than the band.
        none = semiring.absent((), scores.dtype)
        return semiring.where(jnp.abs(n - m) <= self.band, state, none)

    def _outside(self, scores: Array, fill: float) -> Array:
        """Scores with a number in the cells that no path may use."""
        rows, columns = jnp.ogrid[: scores.shape[0], : scores.shape[1]]
        if self.lengths is not None:
            inside = (rows < self.lengths[0]) & (columns < self.lengths[1])
            scores = jnp.where(inside, scores, fill)
        if self.band is not None:
            scores = jnp.where(abs(rows - columns) <= self.band, scores, fill)
        return scores
