"""Nonlinear conjugate gradients for functions with Hessians of fourth differences."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from .._platform.varying import varying_as
from .arrays import eps
from .fourth_differences import nearly_solve, second_differences
from .iteration import iterate


def line_terms(
    share: Array, inner: Array, bent: Array, outer: Array, move: Array
) -> tuple[Array, Array]:
    """Entries' terms of the change of a slope along a line, and of its curvature.

    They are those at a `share` of the line, of minus the derivative of a sum of
    exponentials: their second derivatives are `inner` and `outer` at its beginning, and
    their exponents fall by `bent` and `move` to its end.
    """
    bend, grow = jnp.expm1(-share * bent), jnp.expm1(-share * move)
    change = inner * bend * bent + outer * grow * move
    return change, inner * (1 + bend) * bent**2 + outer * (1 + grow) * move**2


def damped_step(step: Array, length: Array) -> Array:
    """Damped Newton step along a line, which always decreases the function.

    `step` is a share of the line, on which no exponent changes by more than `length`.
    """
    size = jnp.abs(step) * length
    return step * jnp.where(size > 0, jnp.log1p(size) / size, 1)


def judge_step(
    share: Array, size: Array, former: Array, tolerance: Array | float
) -> tuple[Array, Array]:
    """Whether a step is taken, and whether it is the last one.

    `size` is that of the step, and `former` that of the step before it.
    """
    # A step that is not finite has no way left to go, or overflows.
    fine = jnp.isfinite(share)
    # At the level of rounding, sizes no longer decrease.
    stalled = (size < eps(size) ** (2 / 3)) & (size >= former)
    return fine, ~fine | (size <= tolerance) | stalled


class _State(NamedTuple):
    x: Float[Array, "*batch m"]
    rest: Float[Array, "*batch m"]  # minus the gradient
    move: Float[Array, "*batch m"]  # the last direction
    decrease: Float[Array, "*batch"]  # the gradient times its preconditioned self
    size: Float[Array, "*batch"]  # of the last step
    former: Float[Array, "*batch"]  # of the step before it
    steps: Int[Array, "*batch"]
    done: Bool[Array, "*batch"]


def conjugate_gradients(
    model: Callable[[Array], tuple[Array, Array, Array]],
    start: Float[Array, "*batch m"],
    inside: Bool[Array, "*batch m"],
    tolerance: float,
    max_steps: int,
    exponential: bool,
) -> tuple[Float[Array, "*batch m"], Int[Array, "*batch"]]:
    """Polak-Ribiere conjugate gradients, preconditioned by `nearly_solve`.

    They minimise a convex function whose Hessian has weighted fourth differences.

    **Arguments:**

    - `model`: of x, the weights `inner` and `outer` of the Hessian, as `nearly_solve`
        has them, and minus the gradient.
    - `tolerance`: the size of a step after which a row is done.
    - `exponential`: whether the weights are in proportion to `exp(-L x)` and
        `exp(-x)`, where sizes are those of what is in the exponents; if not, they are
        constant, and sizes relative to x.

    **Returns:** the minimiser, and the number of steps.
    """

    def totals(*terms: Array) -> Array:
        # Together, as XLA compiles three kernels for each sum of its own.
        return jnp.sum(jnp.stack(terms), axis=-1)

    def largest(x: Array) -> Array:
        return jnp.max(jnp.abs(x), axis=-1, initial=0)

    def advance(state: _State) -> _State:
        inner, outer, rest = model(state.x)
        # Far from the minimum, this keeps entries of a step from being far above 10.
        floor = 0.1 * jnp.abs(rest) if exponential else 0
        toward = nearly_solve(inner, outer + floor, rest, inside)
        decrease, gain, kept = totals(
            rest * toward, (rest - state.rest) * toward, rest * state.move
        )
        # Restarted where Polak and Ribiere's factor is negative.
        keep = jnp.maximum(gain, 0) / state.decrease
        move = toward + keep[..., None] * state.move
        slope = decrease + keep * kept
        bent = second_differences(move, inside)
        length = largest(jnp.maximum(jnp.abs(move), jnp.abs(bent)))

        def search(_, share: Array) -> Array:
            """A damped Newton step, from one share of the move to another."""
            change, curve = totals(
                *line_terms(share[..., None], inner, bent, outer, move)
            )
            return share + damped_step((slope + change) / curve, length)

        if exponential:
            none = varying_as(jnp.zeros_like(slope), slope)
            share = jax.lax.fori_loop(0, 2, search, none)
            size = jnp.abs(share) * length
        else:
            (curve,) = totals(inner * bent**2 + outer * move**2)
            share = slope / curve
            size = jnp.abs(share) * length / largest(state.x)
        fine, last = judge_step(share, size, state.former, tolerance)
        fine, done = fine & ~state.done, last | state.done
        x = jnp.where(fine[..., None], state.x + share[..., None] * move, state.x)
        steps = state.steps + ~state.done
        return _State(x, rest, move, decrease, size, state.size, steps, done)

    batch, zero = start.shape[:-1], jnp.zeros_like(start)
    infinite = jnp.full(batch, jnp.inf, start.dtype)
    steps, done = jnp.zeros(batch, jnp.int32), jnp.zeros(batch, bool)
    state = _State(start, zero, zero, infinite, infinite, infinite, steps, done)
    state = iterate(advance, state, max_steps, jnp.stack(model(start)))
    return state.x, state.steps
