"""The potentials by which rows of a plan have their sums: one equation a row."""

from __future__ import annotations

import functools
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from ..._core.regularizer import Regularizer
from ..._kernels.arrays import eps, max_of_rows, sum_of_rows
from ..._kernels.derivatives import derivative
from ..._kernels.roots import bracketed_newton


def fit_exponential(
    scores: Float[Array, "*batch m n"],
    target: Float[Array, "*#batch n"],
    present: Bool[Array, "*#batch m 1"],
    regularizer: Regularizer,
    start: Float[Array, "*batch n"] | None,
    weights: Float[Array | np.ndarray, "*#batch m 1"] | None,
) -> Float[Array, "*batch n"]:
    """`fit` by logarithms of sums, for an exponential link."""
    present = _counted(present, weights)
    target, inside, top = _prepare(scores, target, present)
    rate: Any = regularizer.structure().rate
    # Nothing overflows where the largest is 0.
    terms = jnp.exp(rate * (scores - top[..., None, :]))
    terms = terms if weights is None else weights * terms
    total = sum_of_rows(jnp.where(present, terms, 0))
    alone = regularizer.gradient(target)
    return jnp.where(inside, alone - jnp.log(total) / rate - top, 0)


def fit(
    scores: Float[Array, "*batch m n"],
    target: Float[Array, "*#batch n"],
    present: Bool[Array, "*#batch m 1"],
    regularizer: Regularizer,
    start: Float[Array, "*batch n"] | None,
    weights: Float[Array | np.ndarray, "*#batch m 1"] | None,
) -> Float[Array, "*batch n"]:
    """`shift` in `sum_j weights_j phi(scores_ji + shift_i) = target_i`.

    The sum is over the j `present`.

    **Arguments:**

    - `start`: where to start from, if something is known.
    - `weights`: nonnegative. None for 1 and targets of at most 1, as of rows that all
        count; other targets are reached by links that are large enough.
    """
    present = _counted(present, weights)
    target, inside, top = _prepare(scores, target, present)
    centred = scores - top[..., None, :]
    if weights is None:
        # The largest entry lies between the mean and the sum. Where r'(1) is infinite,
        # no entry reaches 1.
        largest = jnp.minimum(target, 1 - eps(scores))
        lower = -regularizer.gradient(largest)
        upper = -regularizer.gradient(largest / jnp.maximum(present.sum(axis=-2), 1))
    else:
        lower, upper = _bracket(centred, target, present, regularizer, weights)
    # The inverse link has been rounded.
    lower = lower - 64 * eps(scores) * jnp.abs(lower)
    upper = upper + 64 * eps(scores) * jnp.abs(upper)
    lower, upper = (jnp.broadcast_to(bound, top.shape) for bound in (lower, upper))
    start = lower if start is None else -(start + top)

    def residual(dual):
        y = regularizer.link(centred - dual[..., None, :])
        y = y if weights is None else weights * y
        total = sum_of_rows(jnp.where(present, y, 0))
        return regularizer.contrast(total, target)

    # A plan's rows are normalized in the end, so that no more than this is needed.
    tolerance = 16 * eps(scores)
    equation = functools.partial(derivative, residual)
    dual = bracketed_newton(equation, lower, upper, start, tolerance=tolerance).point
    return jnp.where(inside, -dual - top, 0)


def _counted(
    present: Bool[Array, "*#batch m 1"],
    weights: Float[Array | np.ndarray, "*#batch m 1"] | None,
) -> Bool[Array, "*#batch m 1"]:
    return present if weights is None else present & (weights > 0)


def _bracket(
    centred: Float[Array, "*batch m n"],
    target: Float[Array, "*batch n"],
    present: Bool[Array, "*#batch m 1"],
    regularizer: Regularizer,
    weights: Float[Array | np.ndarray, "*#batch m 1"],
) -> tuple[Float[Array, "*batch n"], Float[Array, "*batch n"]]:
    """Bounds on minus the shift of scores of which the largest is 0."""

    def inverse(y):
        bound = regularizer.gradient(y)
        attained = regularizer.gradient(jnp.full_like(bound, 1 - eps(centred)))
        return jnp.where(jnp.isfinite(bound), bound, attained)

    # The mean entry, by weight, lies between those of the smallest and the largest
    # score, and the largest one alone does not exceed the sum. That bound is of use
    # where its link may reach it.
    total = jnp.sum(jnp.where(present, weights, 0), axis=-2)
    mean = inverse(target / jnp.where(total > 0, total, 1))
    smallest = jnp.min(jnp.where(present, centred, 0), axis=-2)
    at_top = jnp.max(jnp.where(present & (centred == 0), weights, 0), axis=-2)
    alone = target <= at_top
    largest = inverse(jnp.where(alone, target / jnp.where(alone, at_top, 1), 1 / 2))
    lower = smallest - mean
    return jnp.where(alone, jnp.maximum(lower, -largest), lower), -mean


def _prepare(
    scores: Float[Array, "*batch m n"],
    target: Float[Array, "*#batch n"],
    present: Bool[Array, "*#batch m 1"],
) -> tuple[Array, Array, Array]:
    """Targets, 1/2 where there is no mass; where there is; the largest scores."""
    low = jnp.finfo(scores.dtype).min
    inside = target > 0
    top = max_of_rows(jnp.where(present, scores, low))
    return jnp.where(inside, target, 1 / 2), inside, top
