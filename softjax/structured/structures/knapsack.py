from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import equinox as eqx
import numpy as np
from jaxtyping import Array, Float, PyTree

from softjax_solvers import Regularizer

from ..._keywords import parse_integer
from .._semirings import Semiring
from .._structure import DynamicProgram
from ._checks import check_shape, unless_nan
from ._items import best_of_items, best_subset


class Knapsack(DynamicProgram):
    """Subsets of n items whose sizes add up to at most a capacity.

    `scores` are those of items, `n`; items of negative scores are left out. The best
    is found by a recursion over items, with a state for each total size: O(n capacity)
    operations.

    **Arguments:**

    - `sizes`: n positive integers.
    - `capacity`: a nonnegative integer.

    **Example:**

        >>> st = sj.structured
        >>> bag = st.Knapsack(sizes=(3, 2, 2, 1), capacity=4)
        >>> scores = jnp.array([1.0, 0.6, 0.5, 0.2])
        >>> print(st.argmax(bag, scores, mode="hard"))
        [1. 0. 0. 1.]
        >>> print(st.argmax(bag, scores, softness=0.1))
        [0.75 0.25 0.25 0.75]

    ??? cite

        Bellman, "Dynamic programming", Princeton University Press 1957.
    """

    sizes: tuple[int, ...] = eqx.field(static=True)
    capacity: int = eqx.field(static=True)

    def __init__(self, sizes: Sequence[int] | Any, capacity: int):
        known = np.asarray(sizes)
        if known.ndim != 1 or not np.issubdtype(known.dtype, np.integer):
            raise ValueError(
                f"Knapsack: sizes must be a list of positive integers, got {sizes!r}."
            )
        if np.any(known <= 0):
            raise ValueError(f"Knapsack: sizes must be positive, got {sizes!r}.")
        self.sizes = tuple(known.tolist())
        self.capacity = parse_integer(capacity, "Knapsack: capacity", 0)

    def check(self, scores: PyTree[Array]) -> None:
        check_shape("Knapsack", "scores", scores, (len(self.sizes),))

    def default_mode(self) -> str:
        return "c0"

    def default_method(self, regularizer: Regularizer) -> str:
        return "marginals"

    @property
    def room(self) -> int:
        """The capacity, of which more is of no use than all items need."""
        return min(self.capacity, sum(self.sizes))

    def oracle(self, scores: Float[Array, "n"]) -> Float[Array, "n"]:
        best = best_subset(scores, np.asarray(self.sizes), self.room)
        return unless_nan(best, scores)

    def recursion(
        self, scores: Float[Array, "n"], semiring: Semiring
    ) -> Float[Array, "..."]:
        states = best_of_items(scores, np.asarray(self.sizes), self.room, semiring)
        return semiring.max(states, 0)
