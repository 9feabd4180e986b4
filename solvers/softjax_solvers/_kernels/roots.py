"""Elementwise root finding: a bracketed Newton method, and its implicit derivative."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, PyTree

from .arrays import eps, safe_divide
from .derivatives import derivative, tangent_of
from .iteration import choose_tolerance, iterate


class Root(NamedTuple):
    """Last points of an elementwise iteration, and the numbers of steps to them."""

    point: Float[Array, "..."]
    steps: Int[Array, "..."]


class _State(NamedTuple):
    point: Float[Array, "..."]
    following: Float[Array, "..."]  # the point to evaluate next, the same if done
    lower: Float[Array, "..."]
    upper: Float[Array, "..."]
    last_step: Float[Array, "..."]
    steps: Int[Array, "..."]

    @property
    def done(self) -> Bool[Array, "..."]:
        return ~(jnp.abs(self.following - self.point) > 0)  # also of NaN


def bracketed_newton(
    fn: Callable[[Array], tuple[Array, Array]],
    lower: Float[Array, "..."],
    upper: Float[Array, "..."],
    start: Float[Array, "..."],
    *,
    tolerance: float | None = None,
    max_steps: int = 64,
) -> Root:
    """Bracketed Newton method for a nonincreasing elementwise function.

    `fn` returns its value and its derivative, and has a root in `[lower, upper]`.

    A step that would leave the initial bracket goes to its end; one that would go
    beyond a point that has been evaluated, or is longer than half of the step before
    the last, is replaced by a bisection. Never raises: an element that has not
    converged after `max_steps`, or that holds NaN, returns its last iterate.
    `tolerance` is the |residual| to stop at (default: four units of rounding).
    """
    tolerance = choose_tolerance(tolerance, 4, start)

    # The function is compiled once, as the loop evaluates it at the start too. An
    # element that is done stays done, as its last step is 0.
    def advance(state: _State) -> _State:
        point = state.following
        residual, slope = fn(point)
        lower = jnp.where(residual > 0, point, state.lower)
        upper = jnp.where(residual < 0, point, state.upper)
        last = point - state.point
        resolution = 2 * eps(point) * jnp.abs(point)
        newton = -safe_divide(residual, slope)
        left, right = lower == bracket[0], upper == bracket[1]
        proposal = jnp.where(left, jnp.maximum(point + newton, lower), point + newton)
        proposal = jnp.where(right, jnp.minimum(proposal, upper), proposal)
        # A step below the resolution of the point ends the iteration if only rounding
        # is left in the residual. Elsewhere the slope is steep only locally, and such
        # steps would lead nowhere.
        tiny = jnp.abs(newton) <= resolution
        settled = tiny & (jnp.abs(residual) <= 1000 * tolerance)
        stalled = jnp.abs(last) <= resolution
        trusted = (
            (slope < 0)
            & ~tiny
            & (proposal >= lower)
            & (proposal <= upper)
            & (2 * jnp.abs(newton) <= jnp.abs(state.last_step))
        )
        following = jnp.where(trusted, proposal, lower + (upper - lower) / 2)
        done = ~(jnp.abs(residual) > tolerance) | stalled | settled
        following = jnp.where(done, point, following)
        steps = state.steps + ~state.done
        return _State(point, following, lower, upper, last, steps)

    bracket = lower, upper
    nowhere = jnp.full_like(start, jnp.inf)
    steps = jnp.full(start.shape, -1, jnp.int32)
    start = jnp.clip(start, lower, upper)
    state = _State(nowhere, start, lower, upper, nowhere, steps)
    state = iterate(advance, state, max_steps, start)
    return Root(state.point, state.steps)


# The search is a part of the function that has the rule: JAX 0.10 drops rules in second
# derivatives of a `scan`, which then has the derivative of the search, instead of none.
@eqx.filter_custom_jvp
def _solve_for_root(
    args: PyTree,
    bracket: tuple[Array, Array, Array],
    *,
    fn: Callable[[Array, PyTree], Array],
) -> Float[Array, "..."]:
    """Root of `fn(root, args) = 0`, elementwise, with an implicit derivative in `args`.

    That is `d root = -d fn / fn'` by the implicit function theorem, and zero where
    `fn' = 0`.
    """
    residual_and_slope = functools.partial(derivative, lambda point: fn(point, args))
    return bracketed_newton(residual_and_slope, *bracket).point


@_solve_for_root.def_jvp
def _solve_for_root_jvp(primals, tangents, *, fn):
    args, bracket = primals
    args_tangent, _ = tangents
    # Re-entering, so that higher derivatives follow the rule too.
    root = _solve_for_root(args, bracket, fn=fn)
    if not jax.tree.leaves(args_tangent):
        return root, jnp.zeros_like(root)
    shift = tangent_of(lambda a: fn(root, a), (args,), (args_tangent,))
    _, slope = derivative(lambda r: fn(r, args), root)
    return root, -safe_divide(shift, slope)


def find_root(
    fn: Callable[[Array, PyTree], Array],
    args: PyTree,
    lower: Float[Array, "..."],
    upper: Float[Array, "..."],
    start: Float[Array, "..."],
) -> Float[Array, "..."]:
    """Root of a nonincreasing elementwise `fn(point, args)`, differentiable in `args`.

    **Example:**

        >>> def residual(x, square):
        ...     return square - x**2
        ...
        >>> def root(square):
        ...     zero = jnp.zeros_like(square)
        ...     return sj.solvers.find_root(residual, square, zero, square, square)
        ...
        >>> print(root(jnp.array(4.0)), jax.grad(root)(jnp.array(4.0)))
        2.0 0.25
    """
    return _solve_for_root(args, (lower, upper, start), fn=fn)
