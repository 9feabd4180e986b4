"""The potentials by which rows of a plan have their sums: one equation a row."""

from __future__ import annotations

import functools
from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from ..._core.regularizer import Regularizer
from ..._kernels.arrays import eps
from ..._kernels.derivatives import derivative
from ..._kernels.roots import bracketed_newton


def fit_exponential(
    scores: Float[Array, "*batch m n"],
    target: Float[Array, "*#batch n"],
    present: Bool[Array, "*#batch m 1"],
    regularizer: Regularizer,
    start: Float[Array, "*batch n"] | None,
) -> Float[Array, "*batch n"]:
    """`fit` by logarithms of sums, for an exponential link."""
    target, inside, top = _prepare(scores, target, present)
    rate: Any = regularizer.structure().rate
    # Nothing overflows where the largest is 0.
    terms = jnp.exp(rate * (scores - top[..., None, :]))
    total = jnp.sum(jnp.where(present, terms, 0), axis=-2)
    alone = regularizer.gradient(target)
    return jnp.where(inside, alone - jnp.log(total) / rate - top, 0)


def fit(
    scores: Float[Array, "*batch m n"],
    target: Float[Array, "*#batch n"],
    present: Bool[Array, "*#batch m 1"],
    regularizer: Regularizer,
    start: Float[Array, "*batch n"] | None,
) -> Float[Array, "*batch n"]:
    """`shift` in `sum_j phi(scores_ji + shift_i) = target_i`, over the j `present`.

    **Arguments:**

    - `start`: where to start from, if something is known.
    """
    target, inside, top = _prepare(scores, target, present)
    centred = scores - top[..., None, :]
    # The largest entry lies between the mean and the sum. Where r'(1) is infinite, no
    # entry reaches 1.
    largest = jnp.minimum(target, 1 - eps(scores))
    lower = -regularizer.gradient(largest)
    upper = -regularizer.gradient(largest / jnp.maximum(present.sum(axis=-2), 1))
    # The inverse link has been rounded.
    lower = lower - 64 * eps(scores) * jnp.abs(lower)
    upper = upper + 64 * eps(scores) * jnp.abs(upper)
    lower, upper = (jnp.broadcast_to(bound, top.shape) for bound in (lower, upper))
    start = lower if start is None else -(start + top)

    def residual(dual):
        y = regularizer.link(centred - dual[..., None, :])
        total = jnp.sum(jnp.where(present, y, 0), axis=-2)
        return regularizer.contrast(total, target)

    # A plan's rows are normalized in the end, so that no more than this is needed.
    tolerance = 16 * eps(scores)
    equation = functools.partial(derivative, residual)
    dual = bracketed_newton(equation, lower, upper, start, tolerance=tolerance).point
    return jnp.where(inside, -dual - top, 0)


def _prepare(
    scores: Float[Array, "*batch m n"],
    target: Float[Array, "*#batch n"],
    present: Bool[Array, "*#batch m 1"],
) -> tuple[Array, Array, Array]:
    """Targets, 1/2 where there is no mass; where there is; the largest scores."""
    low = jnp.finfo(scores.dtype).min
    inside = target > 0
    top = jnp.max(jnp.where(present, scores, low), axis=-2)
    return jnp.where(inside, target, 1 / 2), inside, top
