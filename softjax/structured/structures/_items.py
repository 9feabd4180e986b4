"""Recursions over items that are taken or left."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from .._semirings import ABSENT, Semiring


def best_of_items(
    scores: Float[Array, "n"],
    sizes: Int[np.ndarray, "n"],
    capacity: int,
    semiring: Semiring,
) -> Float[Array, "m ..."]:
    """States of the best subsets of each total size from 0 to the capacity.

    Each subset is counted once, as that of its own size. Takes O(n m) operations.
    """
    total = jnp.arange(capacity + 1)
    empty = jnp.where(total == 0, 0, ABSENT).astype(scores.dtype)

    def take_or_leave(state, item):
        score, size = item
        rest = total - size
        before = state[jnp.maximum(rest, 0)]
        none = semiring.absent(total.shape, scores.dtype)
        taken = semiring.where(rest >= 0, semiring.times(before, score), none)
        return semiring.max(jnp.stack([state, taken]), 0), None

    state, _ = jax.lax.scan(
        take_or_leave, semiring.lift(empty), (scores, jnp.asarray(sizes))
    )
    return state


def best_subset(
    scores: Float[Array, "n"], sizes: Int[np.ndarray, "n"], capacity: int
) -> Float[Array, "n"]:
    """The best subset, as zeros and ones; the smallest of equal ones.

    It is the gradient of the recursion, in less time: only the choice that was made is
    followed back, not all states.
    """
    total = jnp.arange(capacity + 1)
    empty = jnp.where(total == 0, 0, ABSENT).astype(scores.dtype)

    def take_or_leave(state, item):
        score, size = item
        rest = total - size
        taken = jnp.where(rest >= 0, state[jnp.maximum(rest, 0)] + score, ABSENT)
        better = taken > state
        return jnp.where(better, taken, state), better

    def follow(left, item):
        better, size = item
        takes = better[left]
        return left - size * takes, takes

    known = jnp.asarray(sizes)
    state, better = jax.lax.scan(take_or_leave, empty, (scores, known))
    start = jnp.argmax(state).astype(known.dtype)
    _, takes = jax.lax.scan(follow, start, (better, known), reverse=True)
    return takes.astype(scores.dtype)
