"""Searches along a line for the minimum of a convex function."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from .._platform.batches import any_true
from .._platform.varying import varying_as

_ENOUGH = 0.1
"""Share of the first slope up to which another one counts as zero."""


class _State(NamedTuple):
    share: Float[Array, "*batch"]  # to look at next, or the last one
    lower: Float[Array, "*batch"]
    lower_slope: Float[Array, "*batch"]
    upper: Float[Array, "*batch"]  # infinite as long as there is none
    upper_slope: Float[Array, "*batch"]
    done: Bool[Array, "*batch"]
    looks: Int[Array, ""]


def stationary_share(
    slope: Callable[[Array], tuple[Array, Array]],
    first: Float[Array, "*batch"],
    looks: int = 12,
) -> Float[Array, "*batch"]:
    """Share of a step at which the slope along it is nearly zero, from 1 on.

    A secant method, within a bracket once there is one, and fourfold steps before.

    **Arguments:**

    - `slope`: of a share, the slope and its rounding, both `*batch`. A slope that is
        not finite is of a function that has overflowed, beyond the minimum.
    - `first`: the slope at 0, which is negative.
    - `looks`: the number of shares that are tried.

    **Returns:** the share, 0 where none is found that descends.
    """

    def look(state: _State) -> _State:
        here, rounding = slope(state.share)
        enough = jnp.abs(here) <= jnp.maximum(-_ENOUGH * first, rounding)
        done = state.done | enough
        down = here < 0

        def choose(condition: Array, new: Array, old: Array) -> Array:
            return jnp.where(condition & ~done, new, old)

        lower = choose(down, state.share, state.lower)
        lower_slope = choose(down, here, state.lower_slope)
        upper = choose(~down, state.share, state.upper)
        upper_slope = choose(~down, here, state.upper_slope)
        ratio = lower_slope / (lower_slope - upper_slope)
        ratio = jnp.clip(jnp.where(jnp.isfinite(ratio), ratio, 0), 0.1, 0.9)
        bounded = jnp.isfinite(upper)
        inside = lower + jnp.where(bounded, upper - lower, 0) * ratio
        share = choose(bounded, inside, choose(~bounded, 4 * state.share, state.share))
        ends = lower, lower_slope, upper, upper_slope
        return _State(share, *ends, done, state.looks + 1)

    zero = jnp.zeros_like(first)
    ends = zero, first, zero + jnp.inf, zero + jnp.inf
    state = _State(zero + 1, *ends, ~(first < 0), jnp.zeros((), jnp.int32))
    state = jax.lax.while_loop(
        lambda s: any_true(~s.done) & (s.looks < looks), look, varying_as(state, first)
    )
    share = jnp.where(state.done, state.share, state.lower)
    return jnp.where(first < 0, share, 0)
