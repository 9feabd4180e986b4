"""The rule by which a maximum is differentiated: at a fixed maximizer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from softjax_solvers.internal import tangent_of


@eqx.filter_custom_jvp
def attach(
    value: Float[Array, "..."],
    best: Float[Array, "n ..."],
    scores: Float[Array, "n ..."],
    parameters: Any,
    *,
    term: Callable[..., Array],
) -> Float[Array, "..."]:
    """`value = max_y <scores, y> + term(y, *parameters)`, of the maximizer `best`.

    Along the first axis. By Danskin's theorem its derivative is that at a fixed y; that
    of y counts from the second derivative on. `value` should have the same derivative,
    if only up to rounding: JAX drops rules in second derivatives of a `scan`.
    """
    return value


@attach.def_jvp
def _attach_jvp(primals, tangents, *, term):
    value, best, scores, parameters = primals
    _, _, scores_move, moves = tangents
    move = jnp.zeros_like(value)
    if scores_move is not None:
        move = move + jnp.sum(best * scores_move, axis=0)
    if jax.tree.leaves(moves):
        move = move + tangent_of(lambda p: term(best, *p), (parameters,), (moves,))
    return attach(value, best, scores, parameters, term=term), move


def no_term(best: Float[Array, "n ..."]) -> Float[Array, "..."]:
    """The term of a maximum without a regularizer."""
    return jnp.zeros(best.shape[1:], best.dtype)
