"""Metrics of what is found among the first k, made of soft operators.

Soft indices A of the largest, the second largest, ... score say what stands in a place.
What they find, times what a place is worth, is summed over places: exact for hard ones.
"""

from __future__ import annotations

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from softjax_solvers.internal import log_sum, pad_last, safe_divide

from .. import axiswise
from .._keywords import check_count, parse_count, parse_first
from .._layout import split_parameter
from ..axiswise.masks import TOP_K_MASK
from ..axiswise.ordering import TOP_K
from ._rows import Rows, chance, known_numbers, parse_rows, relative

_einsum = functools.partial(jnp.einsum, precision="highest")


def _top_k_index(name: str, rows: Rows, k: int, **more: Any) -> Array:
    """Soft indices of the first k, `*batch k n`, with more keywords than the given."""
    k = parse_first(k, rows.arrays[0].shape[-1], name)
    _, index = axiswise.top_k(rows.arrays[0], k, **rows.keywords | more)
    if index is None:
        raise ValueError(
            f"{name} needs soft indices, which this method does not have. Use "
            "method='softsort', 'neuralsort', 'ot' or 'sorting_network'."
        )
    return index


def top_k_cross_entropy(
    scores: Any,
    target: Any,
    k: int | tuple[float, ...],
    axis: int = -1,
    *,
    weights: Any = None,
    **keywords: Any,
) -> Array:
    """`-log` of the probability that the right class is among the first k.

    `-log sum_j p_j sum_{i <= j} A_i,target`, with the soft indices A of the largest,
    the second largest, ... score, and the probability p_j that j is looked at. With the
    entropy it grows, and has a gradient, however far behind the right class is. A sum
    of exactly 0, as in a sparse mode, counts as the smallest normal number.

    **Arguments:**

    - `scores`: any shape.
    - `target`: probabilities along the axis, of the shape of `scores`; one-hot for a
        single right class.
    - `k`: the number of classes, or the probabilities of k = 1, 2, ..., which sum to 1.
    - `axis`: the axis of the classes.
    - `weights`: how often classes count, nonnegative, broadcasts to `scores`; None for
        once. A class of weight 2 takes two of the first places, and A has the sum of
        both; with the entropy and k = 1 weights are a prior.
    - `keywords`: those of [`softjax.ValueKeywords`][], with a method that has soft
        indices.

    **Returns:** of the shape of `scores` without the axis, 0 where nothing is; at least
    0 up to rounding if no element is in more than one place, as with `method="ot"`.

    **Raises:** `ValueError` if `k` is neither; `TypeError` if it is traced.

    **Example:**

        >>> scores, target = jnp.array([0.2, 1.0, 0.7]), jnp.array([0.0, 0.0, 1.0])
        >>> for k in (1, 2):
        ...     print(f"{sj.losses.top_k_cross_entropy(scores, target, k):.3f}")
        ...
        3.049
        0.006

    ??? cite

        Petersen, Kuehne, Borgelt and Deussen, "Differentiable top-k classification
        learning", ICML 2022.
    """
    name = "top_k_cross_entropy"
    arrays: dict[str, Any] = dict(weights=weights, scores=scores, target=target)
    rows = parse_rows(name, axis, keywords, operation=TOP_K, **arrays)
    right = rows.arrays[1]
    looked = _looked_at(k, right.shape[-1], name)
    logs = _top_k_index(
        name, rows, looked.size, weights=rows.weights, return_log_probs=True
    )
    # The i-th index counts for all j >= i.
    reach = jnp.asarray(np.cumsum(looked[::-1])[::-1], logs.dtype)
    shares = reach[:, None] * right.astype(logs.dtype)[..., None, :]
    flat = (*right.shape[:-1], logs.shape[-2] * logs.shape[-1])
    found = log_sum(logs.reshape(flat), -1, shares.reshape(flat))
    least = np.log(jnp.finfo(found.dtype).tiny)
    return rows.finish(-jnp.where(found == -jnp.inf, least, found))


def _looked_at(k: Any, size: int, name: str) -> np.ndarray:
    """The probabilities of k = 1, 2, ..., of a number or as they are.

    **Raises:** `ValueError` if they are none, or a number is not from 1 to `size`.
    """
    wanted = f"{name}: k must be a positive integer or probabilities that sum to 1"
    looked = known_numbers(k, wanted).astype(np.float64)
    if looked.ndim == 0:
        k = parse_first(k, size, name)
        return np.arange(1, k + 1) == k
    # NaN is not less than anything.
    if looked.ndim > 1 or not (np.all(looked >= 0) and abs(looked.sum() - 1) <= 1e-6):
        raise ValueError(f"{wanted}, got {k}.")
    return looked


def ndcg(
    scores: Any,
    relevance: Any,
    k: int | None = None,
    axis: int = -1,
    *,
    weights: Any = None,
    **keywords: Any,
) -> Array:
    """Soft normalized discounted cumulative gain of the first k.

    `DCG = sum_{i <= k} g_i / log2(1 + i)` with the gains `2^relevance - 1` in the order
    that a soft permutation brings them into, over the largest DCG there is. 0 if
    nothing is relevant. Weights multiply gains, and leave places as they are, as in
    Rax.

    **Arguments:**

    - `scores`: any shape.
    - `relevance`: nonnegative, of the shape of `scores`.
    - `k`: how many of the first count; None for all.
    - `axis`: the axis of the candidates.
    - `weights`: nonnegative, broadcasts to `scores`; None for 1.
    - `keywords`: those of [`softjax.ValueKeywords`][], with a method that has soft
        indices.

    **Returns:** nonnegative, of the shape of `scores` without the axis; at most 1 if no
    element is in more than one place, as with `mode="hard"` or `method="ot"`. The hard
    NDCG@k as softness goes to 0.

    **Example:**

        >>> scores, relevance = jnp.array([0.2, 1.0, 0.7]), jnp.array([2.0, 1.0, 0.0])
        >>> print(f"{sj.losses.ndcg(scores, relevance):.3f}")
        0.684
        >>> print(jax.grad(sj.losses.ndcg)(scores, relevance))
        [ 0.006  0.047 -0.053]

    ??? cite

        Jarvelin and Kekalainen, "Cumulated gain-based evaluation of IR techniques", ACM
        TOIS 20 (2002); Pobrotyn and Bialobrzeski, "NeuralNDCG", 2021.
    """
    arrays: dict[str, Any] = dict(weights=weights, scores=scores, relevance=relevance)
    rows = parse_rows("ndcg", axis, keywords, operation=TOP_K, **arrays)
    z, relevance = rows.arrays
    # Over a power of 2, since those of large grades overflow.
    highest = jnp.max(jax.lax.stop_gradient(relevance), axis=-1, keepdims=True)
    unit = jnp.maximum(jnp.floor(highest) - 64, 0)
    gains = (jnp.exp2(relevance - unit) - jnp.exp2(-unit)).astype(z.dtype)
    if rows.weights is not None:
        gains = gains * relative(rows.weights)[0]
    k = z.shape[-1] if k is None else k
    index = _top_k_index("ndcg", rows, k)
    discount = 1 / jnp.log2(2 + jnp.arange(k, dtype=z.dtype))
    reached = _einsum("i,...in,...n->...", discount, index, gains)
    ideal = _einsum("...i,i->...", -jnp.sort(-gains, axis=-1)[..., :k], discount)
    return rows.finish(safe_divide(reached, ideal))


def _found(
    name: str,
    scores: Any,
    relevance: Any,
    k: Any,
    axis: int,
    keywords: dict[str, Any],
) -> tuple[Rows, Float[Array, "*batch"], Array, Array]:
    """Relevant ones among the k largest, in all, and k, as far as there are so many."""
    arrays: dict[str, Any] = dict(scores=scores, relevance=relevance)
    rows = parse_rows(name, axis, keywords, operation=TOP_K_MASK, **arrays)
    z, p = rows.arrays[0], chance(rows.arrays[1], f"{name}: relevance")
    k = z.shape[-1] if k is None else k
    check_count(k, z.shape[-1], name)
    k = split_parameter(parse_count(k, name).astype(z.dtype), rows.layout, name, "k")
    mask = axiswise.top_k_mask(z, k, **rows.keywords)
    found = jnp.sum(mask * p, axis=-1)
    return rows, found, jnp.sum(p, axis=-1), jnp.minimum(k, rows.count)[..., 0]


def precision(
    scores: Any,
    relevance: Any,
    k: Any = None,
    axis: int = -1,
    **keywords: Any,
) -> Array:
    """Soft precision at k: the share of relevant ones among the k largest scores.

    `sum_i y_i p_i / k` with the soft mask y of the k largest and the probability p that
    an element is relevant. Where there are less than k elements, relative to their
    number, as in Rax.

    **Arguments:**

    - `scores`: any shape.
    - `relevance`: 0 or 1, or probabilities; larger grades count as 1. Of the shape of
        `scores`.
    - `k`: how many are retrieved, as for [`softjax.top_k_mask`][]; None for all.
    - `axis`: the axis of the candidates.
    - `keywords`: those of [`softjax.top_k_mask`][], such as `method="ot"` or
        `"hypersimplex"`.

    **Returns:** values in [0, 1], of the shape of `scores` without the axis; 0 where
    nothing is.

    **Raises:** `ValueError` if a grade is known to be negative, or `k` is not from 0 to
    the size of the axis.

    **Example:**

        >>> scores, relevance = jnp.array([0.2, 1.0, 0.7]), jnp.array([1, 1, 0])
        >>> print(f"{sj.losses.precision(scores, relevance, 2):.3f}")
        0.537
        >>> print(jax.grad(sj.losses.precision)(scores, relevance, 1))
        [ 0.007  0.742 -0.749]

    ??? cite

        Manning, Raghavan and Schuetze, "Introduction to information retrieval",
        Cambridge University Press, 2008, chapter 8.
    """
    rows, found, _, k = _found("precision", scores, relevance, k, axis, keywords)
    return rows.finish(safe_divide(found, k))


def recall(
    scores: Any,
    relevance: Any,
    k: Any = None,
    axis: int = -1,
    **keywords: Any,
) -> Array:
    """Soft recall at k: the share of the relevant ones that the k largest scores have.

    `sum_i y_i p_i / sum_i p_i` with the soft mask y of the k largest and the
    probability p that an element is relevant. 0 if nothing is.

    **Arguments, returns, raises:** those of [`softjax.losses.precision`][].

    **Example:**

        >>> scores, relevance = jnp.array([0.2, 1.0, 0.7]), jnp.array([1, 1, 0])
        >>> print(f"{sj.losses.recall(scores, relevance, 2):.3f}")
        0.537
        >>> print(f"{sj.losses.recall(scores, relevance, 2, mode='hard'):.3f}")
        0.500

    ??? cite

        Manning, Raghavan and Schuetze, "Introduction to information retrieval",
        Cambridge University Press, 2008, chapter 8.
    """
    rows, found, relevant, _ = _found("recall", scores, relevance, k, axis, keywords)
    return rows.finish(safe_divide(found, relevant))


def _finds(
    name: str,
    scores: Any,
    relevance: Any,
    k: int | None,
    axis: int,
    keywords: dict[str, Any],
) -> tuple[Rows, Float[Array, "*batch k n"], Float[Array, "*batch n"], np.ndarray]:
    """Probabilities that places have a relevant element; p; numbers of places."""
    arrays: dict[str, Any] = dict(scores=scores, relevance=relevance)
    rows = parse_rows(name, axis, keywords, operation=TOP_K, **arrays)
    p = chance(rows.arrays[1], f"{name}: relevance")
    index = _top_k_index(name, rows, p.shape[-1] if k is None else k)
    places = np.arange(1, index.shape[-2] + 1)
    return rows, index * p[..., None, :], p, places


def mrr(
    scores: Any,
    relevance: Any,
    k: int | None = None,
    axis: int = -1,
    **keywords: Any,
) -> Array:
    """Soft reciprocal rank of the first relevant element, whose mean is the MRR.

    `sum_{i <= k} (Q_{i-1} - Q_i) / i`, with `Q_i = prod_a (1 - p_a sum_{l <= i} A_la)`
    the probability that nothing relevant is among the first i, by the soft indices A of
    the largest, the second largest, ... score and the probability p that an element is
    relevant. With hard indices it is the expected reciprocal rank. 0 if nothing is
    relevant.

    **Arguments:**

    - `scores`: any shape.
    - `relevance`: 0 or 1, or probabilities; larger grades count as 1. Of the shape of
        `scores`.
    - `k`: how many of the first count; None for all.
    - `axis`: the axis of the candidates.
    - `keywords`: those of [`softjax.ValueKeywords`][], with a method that has soft
        indices.

    **Returns:** values in [0, 1], of the shape of `scores` without the axis, as far as
    no element is in more than one place, as with `mode="hard"` or `method="ot"`.

    **Raises:** `ValueError` if a grade is known to be negative, or `k` is not from 1 to
    the size of the axis.

    **Example:**

        >>> scores, relevance = jnp.array([0.2, 1.0, 0.7]), jnp.array([0, 0, 1])
        >>> print(f"{sj.losses.mrr(scores, relevance):.3f}")
        0.523
        >>> print(f"{sj.losses.mrr(scores, relevance, mode='hard'):.3f}")
        0.500
        >>> print(jax.grad(sj.losses.mrr)(scores, relevance))
        [-0.008 -0.228  0.237]

    ??? cite

        Chapelle, Metzler, Zhang and Grinspan, "Expected reciprocal rank for graded
        relevance", CIKM 2009; Voorhees, "The TREC-8 question answering track report",
        1999, for hard ranks.
    """
    rows, hit, _, places = _finds("mrr", scores, relevance, k, axis, keywords)
    missed = jnp.prod(1 - jnp.cumsum(hit, axis=-2), axis=-1)
    before = pad_last(missed[..., :-1], 1, 0, 1)
    return rows.finish(jnp.sum((before - missed) / places, axis=-1))


def average_precision(
    scores: Any,
    relevance: Any,
    k: int | None = None,
    axis: int = -1,
    **keywords: Any,
) -> Array:
    """Soft average precision: the mean of the precisions at all relevant elements.

    `sum_{i <= k} sum_a (1 + sum_{l < i} sum_{b != a} A_lb p_b) A_ia p_a / i` over
    `sum_a p_a`, by the soft indices A of the largest, the second largest, ... score and
    the probability p that an element is relevant: if a stands in place i, it counts
    itself and what else is relevant before it. 0 if nothing is relevant.

    **Arguments:**

    - `scores`: any shape.
    - `relevance`: 0 or 1, or probabilities; larger grades count as 1. Of the shape of
        `scores`.
    - `k`: how many of the first count; None for all. All that are relevant stay in the
        denominator, as in Rax.
    - `axis`: the axis of the candidates.
    - `keywords`: those of [`softjax.ValueKeywords`][], with a method that has soft
        indices.

    **Returns:** nonnegative, of the shape of `scores` without the axis; at most 1 if no
    element is in more than one place, as with `mode="hard"` or `method="ot"`.

    **Raises:** `ValueError` if a grade is known to be negative, or `k` is not from 1 to
    the size of the axis.

    **Example:**

        >>> scores, relevance = jnp.array([0.2, 1.0, 0.7]), jnp.array([1, 1, 0])
        >>> print(f"{sj.losses.average_precision(scores, relevance):.3f}")
        0.822
        >>> print(f"{sj.losses.average_precision(scores, relevance, mode='hard'):.3f}")
        0.833

    ??? cite

        Manning, Raghavan and Schuetze, "Introduction to information retrieval",
        Cambridge University Press, 2008, chapter 8; Rolinek et al., "Optimizing
        rank-based metrics with blackbox differentiation", CVPR 2020.
    """
    rows, hit, p, places = _finds(
        "average_precision", scores, relevance, k, axis, keywords
    )
    before = jnp.cumsum(hit, axis=-2) - hit
    others = jnp.sum(before, axis=-1, keepdims=True) - before
    terms = jnp.sum(hit * (1 + others), axis=-1) / places
    return rows.finish(safe_divide(jnp.sum(terms, axis=-1), jnp.sum(p, axis=-1)))
