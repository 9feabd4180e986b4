"""Bounds on the threshold theta of projections onto the simplex."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from .._core.groups import Groups, Rows
from .._core.regularizer import Regularizer

if TYPE_CHECKING:
    from .simplex import Simplex


def threshold_bracket(
    regularizer: Regularizer, lowest: Float[Array, "..."], count: Float[Array, "..."]
) -> tuple[Float[Array, "..."], Float[Array, "..."]]:
    """Bounds on theta in `sum_i phi(scores_i - theta) = 1`.

    For so many scores, the largest of which is 0.
    """
    # The largest y lies between 1/n and 1, and the smallest is at most 1/n.
    one = jnp.ones((), lowest.dtype)
    uniform = regularizer.gradient(one / jnp.maximum(count, 1))
    lower = jnp.maximum(-regularizer.gradient(one), lowest - uniform)
    upper = -uniform
    # A single candidate has y = 1 at any dual, also where r'(1) is infinite.
    alone = (count <= 1) & ~jnp.isfinite(upper)
    anywhere = -regularizer.gradient(one / 2)
    return jnp.where(alone, anywhere, lower), jnp.where(alone, anywhere, upper)


def weighted_bracket(
    regularizer: Regularizer,
    scores: Float[Array, "*batch n"],
    lowest: Float[Array, "*batch"],
    weights: Float[Array, "*#batch n"],
    total: Float[Array, "*batch"],
    groups: Groups | None = None,
) -> tuple[Float[Array, "*batch"], Float[Array, "*batch"]]:
    """Bounds on theta in `sum_j w_j phi(scores_j - theta) = 1`, with the sum of w.

    Of candidates with positive weight, the largest score is 0; others have that of inf.
    """
    # No share is above 1, which a candidate might reach alone; and no copy below the
    # mean of all copies where it is largest.
    alone = scores - _inverse(regularizer, weights)
    able = jnp.isfinite(scores) & ~all_in_full(regularizer, weights)
    alone = jnp.where(able, alone, -jnp.inf)
    uniform = _inverse(regularizer, total)
    nearest = (groups or Rows()).max(alone)
    lower = jnp.maximum(nearest, lowest - uniform)
    upper = jnp.maximum(-uniform, lower)
    # Far below all scores, where the link has levelled off.
    full = all_in_full(regularizer, total)
    far = jnp.asarray(-_BEYOND, lowest.dtype)
    return jnp.where(full, far, lower), jnp.where(full, far, upper)


_BEYOND = 2.0**40
"""An argument for which a bounded link has levelled off."""


def all_in_full(
    regularizer: Regularizer, total: Float[Array, "..."]
) -> Bool[Array, "..."]:
    """Whether a bounded link cannot reach more than the sum of 1."""
    top = regularizer.link(jnp.asarray(_BEYOND, total.dtype))
    return jax.lax.stop_gradient(total * top) <= 1


def _inverse(
    regularizer: Regularizer, weights: Float[Array, "..."]
) -> Float[Array, "..."]:
    """`r'(1 / w)`, the largest number where it is not finite."""
    weights = jax.lax.stop_gradient(weights)
    info = jnp.finfo(weights.dtype)
    out = regularizer.gradient(1 / jnp.maximum(weights, 2 / info.max))
    return jnp.where(jnp.isfinite(out), out, info.max / 4)


def dual_of_sums(
    total: Float[Array, "*batch m"], regularizer: Regularizer
) -> Float[Array, "*batch m"]:
    """theta of an exponential link, from the sums of `exp(rate scores)`."""
    alone = regularizer.gradient(jnp.ones((), total.dtype))
    rate: Any = regularizer.structure().rate
    return jnp.log(total) / rate - alone


_FAR = 80.0
"""Distance that a score may be above all that counts."""


def cut_off(
    problem: Simplex, regularizer: Regularizer
) -> tuple[Float[Array, "*batch n"], Float[Array, "*batch #n"]]:
    """Scores of candidates with weights, cut off far above the largest that counts.

    Only those of hardly any weight are so far above it, and their links might overflow.
    Returns the latter too.
    """
    z, softness = problem.z, problem.softness
    weights: Any = problem.weights
    known = jax.lax.stop_gradient(z)
    rate = regularizer.structure().rate
    if rate is not None:
        # The largest of `w exp(rate z / softness)`, however small a weight is, is 1.
        known = known + softness / rate * jnp.log(jnp.where(problem.mask, weights, 1))
        height = 0.95 * math.log(jnp.finfo(z.dtype).max) / rate
    else:
        height = jnp.asarray(_FAR, z.dtype)
        height = jnp.where(jnp.isfinite(regularizer.link(height)), height, 0)
    largest = problem.largest if rate is None else None
    if largest is None:
        largest = problem.largest_of(known)
    largest, height = jax.lax.stop_gradient((largest, height * softness))
    above = jax.lax.stop_gradient(jnp.maximum(z - (largest + height), 0))
    return z - above, largest
