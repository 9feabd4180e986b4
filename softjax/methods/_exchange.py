"""Soft exchanges of two elements, and their derivatives."""

from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from softjax_solvers.internal import derivative, tangent_of

from .._transition import Transition


@eqx.filter_custom_jvp
def exchange(
    x: Float[Array, "*batch m"],
    other: Float[Array, "*batch m"],
    transition: Transition,
    sign: Float[Array, " m"],
    known: Float[Array, "*batch m"] | None,
    *,
    complete: bool,
) -> tuple[Float[Array, "*batch m"], Float[Array, "*batch m"]]:
    """A mixture of `x` and `other` by the share of `x` that stays, and that share.

    Unless they are `complete`, some may be -inf: those are not there, count as smaller
    than what is, and do not mix with it. `known` is the step if it is. The rule keeps
    one array a round for the mixture's gradient in x, where JAX would keep every
    factor.
    """
    difference = x - other
    apart = sign * difference
    stays = transition.heaviside(apart) if known is None else known
    mixed = mix(x, other, stays)
    if complete:
        return mixed, stays
    near = jnp.abs(difference) < jnp.inf
    chosen = apart >= 0
    stays = jnp.where(near, stays, chosen)
    return jnp.where(near, mixed, jnp.where(chosen, x, other)), stays


@exchange.def_jvp
def _exchange_jvp(primals, tangents, *, complete):
    x, other, transition, sign, _ = primals
    x_dot, other_dot, transition_dot, *_ = tangents
    difference = x - other
    apart = sign * difference
    step, slope = derivative(transition.heaviside, apart)
    out = exchange(x, other, transition, sign, step, complete=complete)
    slope = sign * slope  # which is 0 at infinity
    difference = jnp.where(jnp.abs(difference) < jnp.inf, difference, 0)
    moves = jnp.zeros_like(x) if x_dot is None else x_dot
    others = jnp.zeros_like(x) if other_dot is None else other_dot
    moves = moves - others
    stays_dot = slope * moves
    mixed_dot = others + (out[1] + difference * slope) * moves
    if jax.tree.leaves(transition_dot):
        softens = tangent_of(
            lambda transition: transition.heaviside(apart),
            (transition,),
            (transition_dot,),
        )
        stays_dot, mixed_dot = stays_dot + softens, mixed_dot + difference * softens
    return out, (mixed_dot, stays_dot)


def mix(x: Array, other: Array, stays: Array) -> Array:
    """A mixture with the share of `x` that stays."""
    return stays * x + (1 - stays) * other
