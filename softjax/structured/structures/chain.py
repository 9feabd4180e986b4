from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from .._semirings import Semiring
from .._structure import DynamicProgram
from ._checks import check_length, check_pytree, check_shape, keep


class Chain(DynamicProgram):
    """Sequences of states: a linear-chain conditional random field, or its best path.

    Scores are a pair `(unary, transition)`, of shapes `(T, S)` and `(T - 1, S, S)`: of
    state s at time t, and of s at time t followed by s' at t + 1. Structures are
    indicators of the same shapes, marginals their probabilities.

    `score = sum_t unary[t, s_t] + sum_t transition[t, s_t, s_(t + 1)]`.

    **Arguments:**

    - `lengths`: the number of times that count, from 1 to T, a scalar; None for all.
        What comes after may hold anything, and changes nothing to the last bit.
        Batches of ragged sequences are `jax.vmap` over it and the scores.

    **Example:**

        >>> chain = sj.structured.Chain()
        >>> scores = jnp.array([[0.2, 0.0], [0.0, 0.1]]), jnp.zeros((1, 2, 2))
        >>> states, transitions = sj.structured.argmax(chain, scores)
        >>> print(states)
        [[0.881 0.119]
         [0.269 0.731]]

    ??? cite

        Lafferty, McCallum and Pereira, "Conditional random fields", ICML 2001.
    """

    lengths: Any = None

    def check(self, scores: PyTree[Array]) -> None:
        check_pytree("Chain", scores, 2)
        unary, transition = scores
        check_shape("Chain", "unary", unary, ("T", "S"))
        steps, states = jnp.shape(unary)
        shape = steps - 1, states, states
        check_shape("Chain", "transition", transition, shape)
        if self.lengths is not None:
            check_length("Chain", "lengths", self.lengths, steps)

    def kept(self, scores: PyTree[Array]) -> PyTree[Array]:
        unary, transition = scores
        if self.lengths is None:
            return unary, transition
        here = jnp.arange(unary.shape[0]) < self.lengths
        return keep(here[:, None], unary), keep(here[1:, None, None], transition)

    def recursion(
        self, scores: PyTree[Array], semiring: Semiring
    ) -> Float[Array, "..."]:
        unary, transition = self.kept(scores)
        moves = transition + unary[1:, None, :]

        def step(state, move):
            return semiring.max(semiring.times(state[:, None], move), 0), None

        def step_here(state, move_here):
            move, here = move_here
            return semiring.where(here, step(state, move)[0], state), None

        state = semiring.lift(unary[0])
        if self.lengths is None:
            state, _ = jax.lax.scan(step, state, moves)
        else:
            here = jnp.arange(1, unary.shape[0]) < self.lengths
            state, _ = jax.lax.scan(step_here, state, (moves, here))
        return semiring.max(state, 0)
