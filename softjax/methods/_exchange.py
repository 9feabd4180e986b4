"""Soft exchanges of two elements, and their derivatives."""

from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from softjax_solvers.internal import derivative, tangent_of

from .._transition import Transition


@eqx.filter_custom_jvp
def exchange(
    x: Float[Array, "*batch m"],
    other: Float[Array, "*batch m"],
    transition: Transition,
    sign: Float[Array, " m"],
    needed: Bool[Array, "*#batch 1"] | None,
    known: Float[Array, "*batch m"] | None,
    *,
    complete: bool,
) -> tuple[Float[Array, "*batch m"], Float[Array, "*batch m"], Float[Array, "..."]]:
    """Both mixtures of `x` and `other` by the share that stays, and that share.

    Unless they are `complete`, some may be -inf: those are not there, count as smaller
    than what is, and do not mix with it. All stays where nothing is `needed`. `known`
    is the step if it is. The rule keeps one array a round for the gradient of mixtures
    in x, where JAX would keep every factor.
    """
    apart = sign * (x - other)
    # Of two that are -inf, the difference is NaN.
    near = jnp.abs(apart) < jnp.inf
    numbers = apart if complete else jnp.where(near, apart, 0)
    stays = transition.heaviside_of_numbers(numbers) if known is None else known
    if needed is not None:
        stays = jnp.where(needed, stays, 1)
    first, second = mix(x, other, stays), mix(other, x, stays)
    if complete:
        return first, second, stays
    chosen = apart >= 0
    if needed is not None:
        chosen = chosen | ~needed
    return (
        jnp.where(near, first, jnp.where(chosen, x, other)),
        jnp.where(near, second, jnp.where(chosen, other, x)),
        jnp.where(near, stays, chosen),
    )


@exchange.def_jvp
def _exchange_jvp(primals, tangents, *, complete):
    x, other, transition, sign, needed, _ = primals
    x_dot, other_dot, transition_dot, *_ = tangents
    difference = x - other
    near = jnp.abs(difference) < jnp.inf
    apart = sign * difference
    apart = apart if complete else jnp.where(near, apart, 0)
    step, slope = derivative(transition.heaviside_of_numbers, apart)
    out = exchange(x, other, transition, sign, needed, step, complete=complete)
    slope = sign * slope if complete else jnp.where(near, sign * slope, 0)
    if needed is not None:
        slope = jnp.where(needed, slope, 0)
    difference = jnp.where(near, difference, 0)
    moves = jnp.zeros_like(x) if x_dot is None else x_dot
    others = jnp.zeros_like(x) if other_dot is None else other_dot
    apart_dot = moves - others
    stays_dot = slope * apart_dot
    change = (out[2] + difference * slope) * apart_dot
    if jax.tree.leaves(transition_dot):
        softens = tangent_of(
            lambda transition: transition.heaviside_of_numbers(apart),
            (transition,),
            (transition_dot,),
        )
        softens = softens if needed is None else jnp.where(needed, softens, 0)
        stays_dot, change = stays_dot + softens, change + difference * softens
    return out, (others + change, moves - change, stays_dot)


def mix(x: Array, other: Array, stays: Array) -> Array:
    """A mixture with the share of `x` that stays."""
    return stays * x + (1 - stays) * other
