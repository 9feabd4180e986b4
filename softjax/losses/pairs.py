"""Shares of pairs that are in the right order, or in the wrong one."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Float

from softjax_solvers import Regularizer
from softjax_solvers.internal import safe_divide

from .. import comparison
from ._rows import Rows, chance, parse_rows, relative


def _above(rows: Rows, mode: str | Regularizer) -> Float[Array, "*batch n n"]:
    """`H(s_i - s_j)` of the scores of each pair i, j."""
    z, softness = rows.arrays[0], rows.keywords["softness"][..., None]
    pairs = z[..., :, None], z[..., None, :]
    return comparison.greater(*pairs, softness=softness, mode=mode)


def auc(
    scores: Any,
    labels: Any,
    axis: int = -1,
    *,
    softness: Any = 0.1,
    mode: str | Regularizer = "smooth",
    where: Any = None,
    weights: Any = None,
) -> Array:
    """Soft area under the curve of true against false positives.

    The mean of `H(s_i - s_j)` over positives i and negatives j: how probable it is that
    one is above the other. With weights,
    `sum w_i w_j p_i (1 - p_j) H(s_i - s_j) / sum w_i w_j p_i (1 - p_j)`. Takes O(n^2)
    time.

    **Arguments:**

    - `scores`: any shape.
    - `labels`: 1 for positives and 0 for negatives, or probabilities; larger grades
        count as 1. Of the shape of `scores`.
    - `axis`: the axis of the samples.
    - `softness`, `mode`: as for [`softjax.greater`][]; a softness that is an array
        broadcasts against `scores` with size 1 along the axis.
    - `where`: which samples there are, broadcasts to `scores`; None for all.
    - `weights`: how often each counts, nonnegative, broadcasts to `scores`; None for
        once.

    **Returns:** values in [0, 1], of the shape of `scores` without the axis; NaN
    if there are no positives, or no negatives.

    **Raises:** `ValueError` if a label is known to be negative.

    **Example:**

        >>> scores, labels = jnp.array([0.2, 1.0, 0.7]), jnp.array([1, 1, 0])
        >>> print(f"{sj.losses.auc(scores, labels):.3f}")
        0.480
        >>> print(f"{sj.losses.auc(scores, labels, mode='hard'):.3f}")
        0.500

    ??? cite

        Yan, Dodier, Mozer and Wolniewicz, "Optimizing classifier performance via an
        approximation to the Wilcoxon-Mann-Whitney statistic", ICML 2003.
    """
    keywords = dict(softness=softness, where=where)
    rows = parse_rows(
        "auc", axis, keywords, weights=weights, scores=scores, labels=labels
    )
    above = _above(rows, mode)
    p = chance(rows.arrays[1], "auc: labels").astype(above.dtype)
    positive, negative = p, 1 - p
    if rows.mass is not None:
        mass, _ = relative(rows.mass)
        positive, negative = positive * mass, negative * mass
    totals = [jnp.sum(part, axis=-1, keepdims=True) for part in (positive, negative)]
    # Shares of each, since the product of their totals may overflow, or underflow.
    positive, negative = map(safe_divide, (positive, negative), totals)
    mean = jnp.einsum(
        "...i,...ij,...j->...", positive, above, negative, precision="highest"
    )
    # NaN only as the value: that of 0 / 0 would be the derivative's too.
    none = ((totals[0] == 0) | (totals[1] == 0))[..., 0]
    return rows.finish(jnp.where(none, jnp.nan, mean), jnp.nan)


def pairwise_loss(
    scores: Any,
    relevance: Any,
    axis: int = -1,
    *,
    softness: Any = 0.1,
    mode: str | Regularizer = "smooth",
    where: Any = None,
    weights: Any = None,
) -> Array:
    """Soft share of the pairs that are in the wrong order.

    The mean of `w_i H(s_j - s_i)` over the pairs i, j with `relevance_i > relevance_j`.
    Takes O(n^2) time.

    **Arguments:**

    - `scores`: any shape.
    - `relevance`: of the shape of `scores`; only its order counts.
    - `axis`: the axis of the candidates.
    - `softness`, `mode`: as for [`softjax.greater`][]; a softness that is an array
        broadcasts against `scores` with size 1 along the axis.
    - `where`: which candidates there are, broadcasts to `scores`; None for all.
    - `weights`: nonnegative, broadcasts to `scores`; None for 1. A pair has that of the
        more relevant one, and counts as one pair, as in Rax.

    **Returns:** values in [0, 1] without weights, of the shape of `scores` without the
    axis; 0 if no pair has an order.

    **Example:**

        >>> scores, relevance = jnp.array([0.2, 1.0, 0.9]), jnp.array([0, 1, 2])
        >>> print(f"{sj.losses.pairwise_loss(scores, relevance):.3f}")
        0.244
        >>> print(f"{sj.losses.pairwise_loss(scores, relevance, mode='hard'):.3f}")
        0.333
        >>> print(jax.grad(sj.losses.pairwise_loss)(scores, relevance))
        [ 0.004  0.654 -0.658]

    ??? cite

        Kendall, "A new measure of rank correlation", Biometrika 30 (1938); Jagerman,
        Wang, Zhuang, Qin, Bendersky and Najork, "Rax: composable learning-to-rank using
        JAX", KDD 2022.
    """
    keywords = dict(softness=softness, where=where)
    rows = parse_rows(
        "pairwise_loss",
        axis,
        keywords,
        weights=weights,
        scores=scores,
        relevance=relevance,
    )
    above = _above(rows, mode)
    r = rows.arrays[1]
    better = r[..., :, None] > r[..., None, :]
    if rows.present is not None:
        given = rows.present.given
        better &= given[..., :, None] & given[..., None, :]
    better = better.astype(above.dtype)
    cost, unit = better, 1
    if rows.weights is not None:  # whose sum over pairs may overflow
        weights, largest = relative(rows.weights)
        cost, unit = better * weights[..., :, None], largest[..., 0]
    total = jnp.sum(cost * above.swapaxes(-1, -2), axis=(-1, -2))
    mean = unit * safe_divide(total, jnp.sum(better, axis=(-1, -2)))
    # NaN has no order, which a comparison does not say.
    known = ~jnp.any(jnp.isnan(r), axis=-1)
    return rows.finish(jnp.where(known, mean, jnp.nan))
