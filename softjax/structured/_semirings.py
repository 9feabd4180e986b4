"""The operations that a recursion is written in, whatever its maxima mean."""

from __future__ import annotations

import abc
from typing import Any

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

ABSENT = -1e30
"""Score of what does not exist: infinity would make NaN of differences.

**Example:**

    >>> absent = sj.structured.ABSENT
    >>> soft = sj.structured.Regularized("smooth", 1.0)
    >>> print(soft.max(jnp.array([0.5, absent])))
    0.5
"""


class Semiring(eqx.Module):
    """Meaning of `times` and `max` of a dynamic program.

    A *state* is an array with the axes of its scores first; a semiring may add one of
    its own at the end. So axes are counted from the front, and indexed as in
    `state[:, None]`.

    **Example:**

        >>> class Counting(sj.structured.Semiring):  # how many structures there are
        ...     def lift(self, scores):
        ...         return jnp.where(scores > sj.structured.ABSENT / 2, 1.0, 0.0)
        ...     def times(self, state, score):
        ...         return state * self.lift(score)
        ...     def join(self, first, second):
        ...         return first * second
        ...     def max(self, state, axis=0):
        ...         return jnp.sum(state, axis)
        ...     def where(self, condition, state, other):
        ...         return jnp.where(condition, state, other)
        ...
        >>> print(sj.structured.GridPath().recursion(jnp.zeros((4, 4)), Counting()))
        20.0
    """

    @abc.abstractmethod
    def lift(self, scores: Float[Array, "*shape"]) -> Float[Array, "*shape ..."]:
        """The states of single candidates with these scores; `ABSENT` for none."""

    @abc.abstractmethod
    def times(
        self, state: Float[Array, "..."], score: Float[Array, "..."]
    ) -> Float[Array, "..."]:
        """States of the same candidates with a further part, of this score."""

    @abc.abstractmethod
    def join(
        self, first: Float[Array, "..."], second: Float[Array, "..."]
    ) -> Float[Array, "..."]:
        """States of pairs of candidates, one of each."""

    @abc.abstractmethod
    def max(self, state: Float[Array, "..."], axis: int = 0) -> Float[Array, "..."]:
        """States of the best of the candidates along an axis, counted from the front.

        A single candidate among absent ones passes unchanged.
        """

    @abc.abstractmethod
    def where(
        self,
        condition: Bool[Array, "..."],
        state: Float[Array, "..."],
        other: Float[Array, "..."],
    ) -> Float[Array, "..."]:
        """States of one or of the other, by a condition on the axes of scores."""

    def absent(self, shape: tuple[int, ...], dtype: Any = float) -> Float[Array, "..."]:
        """States without any candidate."""
        return self.lift(jnp.full(shape, ABSENT, dtype))
