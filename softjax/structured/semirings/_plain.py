"""Operations of semirings whose states are the scores themselves."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from .._semirings import ABSENT, Semiring


class Plain(Semiring):
    """A semiring whose states are scores, of the same shape."""

    def lift(self, scores: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
        return scores

    def times(self, state: Array, score: Array) -> Array:
        return state + score

    def join(self, first: Array, second: Array) -> Array:
        return first + second

    def where(self, condition: Array, state: Array, other: Array) -> Array:
        return jnp.where(condition, state, other)


def is_present(scores: Float[Array, "..."]) -> Bool[Array, "..."]:
    """A mask of the candidates that there are; NaN counts as one."""
    return ~(scores <= ABSENT / 2)


def first_largest(scores: Float[Array, "n ..."]) -> Float[Array, "n ..."]:
    """The indicator of the first of the largest scores along the first axis.

    NaN if one of them is.
    """
    scores = jax.lax.stop_gradient(scores)
    largest = jnp.max(scores, axis=0)
    place = jax.lax.broadcasted_iota(jnp.int32, scores.shape, 0)
    count = scores.shape[0]
    # Two reductions, as that of `argmax` over pairs is not vectorized on a CPU.
    first = jnp.min(jnp.where(scores == largest, place, count), axis=0)
    chosen = (place == first).astype(scores.dtype)
    return jnp.where(jnp.isnan(largest), jnp.nan, chosen)
