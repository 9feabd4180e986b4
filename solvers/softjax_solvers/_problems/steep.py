"""Solutions of scalar duals whose link may be infinitely steep where it leaves 0.

The slope of an entry near 0 multiplies the rounding of the dual, without bound. But
such an entry is what the others leave of the sum, and so are its derivatives: those of
a solution are `diag(s) - s s^T / sum s` with `s = 1 / r''(y)`, in which the largest s
cancels.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from .._core.groups import Groups, Rows
from .._core.regularizer import Regularizer
from .._kernels.arrays import eps, safe_divide
from .._kernels.derivatives import derivative, tangent_of

_LEAST = 1e-30
"""Least value of r'', so that neither its inverse nor a sum of those overflows."""


def settle(
    y: Float[Array, "*batch n"],
    t: Float[Array, "*batch n"],
    missing: Float[Array, "*groups"],
    free: Bool[Array, "*batch n"],
    inside: Bool[Array, "*batch n"],
    regularizer: Regularizer,
    weights: Float[Array, "*#batch #n"] | None = None,
    groups: Groups | None = None,
) -> Float[Array, "*batch n"]:
    """`y = phi(t)`, with what is `missing` from its sum, by the rounding of t.

    The sum is that of y times the weights, if there are any. What is missing is shared
    in proportion to the slopes of what is `free` to move. It is more than rounding if
    an entry has been rounded to 0, which then takes it.
    """
    groups = groups or Rows()
    missing = groups.spread(missing)
    edge, top = regularizer.gradient(jnp.asarray([0.0, 1.0], t.dtype))
    size = jnp.abs(edge) + jnp.abs(top) + jnp.abs(t)
    known = jnp.isfinite(edge)
    rounded = (
        inside & (y == 0) & known & (t > jnp.where(known, edge, 0) - 16 * eps(t) * size)
    )
    count = _sum(rounded, weights, groups)
    slope = jnp.where(free, regularizer.slope(t), 0)
    share = safe_divide(slope, _sum(slope, weights, groups))
    lost = (missing > 64 * eps(t)) & (count > 0)
    share = jnp.where(lost, safe_divide(rounded, count), share)
    return jnp.maximum(y + missing * share, 0)


def _sum(
    x: Array, weights: Float[Array, "*#batch #n"] | None, groups: Groups
) -> Float[Array, "*batch #n"]:
    """The sum over the group of each candidate."""
    x = x if weights is None else weights * x
    return groups.spread(groups.sum(x))


def tangent_of_solution(
    y: Float[Array, "*batch n"],
    free: Bool[Array, "*batch n"],
    regularizer: Regularizer,
    scores_move: Float[Array, "*batch n"],
    regularizer_move: Any,
    sum_move: Float[Array, "*groups"] | None,
    weights: Float[Array, "*#batch #n"] | None = None,
    weights_move: Float[Array, "*#batch #n"] | None = None,
    groups: Groups | None = None,
) -> Float[Array, "*batch n"]:
    """The move of the solution with scores, regularizer, its sum and weights in that.

    Only what is `free` does. None of the sum's moves is 0.
    """
    groups = groups or Rows()
    safe = jnp.where(free, y, 1 / 2)
    _, curvature = derivative(regularizer.gradient, safe)
    slope = jnp.where(free, 1 / jnp.maximum(curvature, _LEAST), 0)
    move = scores_move
    if jax.tree.leaves(regularizer_move):
        move = move - tangent_of(
            lambda r: r.gradient(safe), (regularizer,), (regularizer_move,)
        )
    move = jnp.where(free, move, 0)
    # From the move of the steepest entry: its own product would cancel.
    heavy = slope if weights is None else jnp.where(weights > 0, slope, 0)
    steepest = heavy == groups.spread(groups.max(jax.lax.stop_gradient(heavy)))
    steepest = jax.lax.stop_gradient(steepest.astype(y.dtype))
    steepest = safe_divide(steepest, _sum(steepest, None, groups))
    move = move - _sum(steepest * move, None, groups)
    share = safe_divide(slope, _sum(slope, weights, groups))
    move = move - _sum(share * move, weights, groups)
    if weights_move is not None:
        change = groups.sum(weights_move * y)
        sum_move = -change if sum_move is None else sum_move - change
    move = slope * move
    return move if sum_move is None else move + share * groups.spread(sum_move)


def within_rounding(
    problem: Any, dual: Float[Array, "*batch"], regularizer: Regularizer
) -> Bool[Array, "*batch"]:
    """Whether the dual that solves `optimality` is next to this one."""
    edge, top = regularizer.gradient(jnp.asarray([0.0, 1.0], dual.dtype))
    size = jnp.where(jnp.isfinite(edge), jnp.abs(edge), 0) + jnp.abs(top)
    near = 8 * eps(dual) * (size + jnp.abs(dual))
    below, above = (
        problem.optimality(d, regularizer) for d in (dual - near, dual + near)
    )
    return (below >= 0) & (above <= 0)
