"""Metrics of rankings, classifiers and fits, made of soft operators."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from softjax_solvers import Regularizer
from softjax_solvers.internal import safe_divide

from .. import axiswise, comparison
from .._keywords import as_float, check_softness, parse_softness
from .._layout import parse_axis, split_parameter


class _Rows(NamedTuple):
    """Arrays of one shape with the axis at the end, and keywords that go with them."""

    arrays: tuple[Float[Array, "*batch n"], ...]
    keywords: dict[str, Any]
    dtype: Any  # of the result, that of the first array


def _rows(name: str, axis: int, keywords: dict[str, Any], **arrays: Any) -> _Rows:
    parsed = {key: as_float(x, f"{name}: {key}") for key, x in arrays.items()}
    (first, (x, dtype)), *others = parsed.items()
    for other, (y, _) in others:
        if y.shape != x.shape:
            raise ValueError(
                f"{name}: {first} and {other} have the shapes {x.shape} and {y.shape}; "
                "they must be equal."
            )
    layout = parse_axis(x.shape, axis, name)
    if "softness" in keywords:
        check_softness(keywords["softness"])
        softness = parse_softness(keywords["softness"], x.dtype)
        softness = split_parameter(softness, layout, name, "softness")
        keywords = keywords | dict(softness=softness)
    split = tuple(layout.split(x) for x, _ in parsed.values())
    return _Rows(split, keywords, dtype)


def _top_k_index(name: str, z: Array, k: int, keywords: dict[str, Any]) -> Array:
    _, index = axiswise.top_k(z, k, **keywords)
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
    **keywords: Any,
) -> Array:
    """`-log` of the probability that the right class is among the first k.

    `-log sum_j p_j sum_{i <= j} A_i,target`, with the soft indices A of the largest,
    the second largest, ... score, and the probability p_j that j is looked at.

    **Arguments:**

    - `scores`: any shape.
    - `target`: probabilities along the axis, of the shape of `scores`; one-hot for a
        single right class.
    - `k`: the number of classes, or the probabilities of k = 1, 2, ..., which sum to 1.
    - `axis`: the axis of the classes.
    - `keywords`: those of [`softjax.top_k`][], with a method that has soft indices.

    **Returns:** nonnegative up to rounding, of the shape of `scores` without the axis.

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
    (z, right), keywords, dtype = _rows(
        "top_k_cross_entropy", axis, keywords, scores=scores, target=target
    )
    weights = np.eye(k)[-1] if isinstance(k, int) else np.asarray(k, np.float64)
    if weights.ndim != 1 or np.any(weights < 0) or abs(weights.sum() - 1) > 1e-6:
        raise ValueError(
            "top_k_cross_entropy: k must be a positive integer or probabilities that "
            f"sum to 1, got {k}."
        )
    index = _top_k_index("top_k_cross_entropy", z, weights.size, keywords)
    # The i-th index counts for all j >= i.
    reach = jnp.asarray(np.cumsum(weights[::-1])[::-1], index.dtype)
    chance = jnp.einsum("i,...in,...n->...", reach, index, right.astype(index.dtype))
    out = -jnp.log(jnp.clip(chance, jnp.finfo(chance.dtype).tiny))
    return out.astype(dtype)


def ndcg(
    scores: Any,
    relevance: Any,
    k: int | None = None,
    axis: int = -1,
    **keywords: Any,
) -> Array:
    """Soft normalized discounted cumulative gain of the first k.

    `DCG = sum_{i <= k} g_i / log2(1 + i)` with the gains `2^relevance - 1` in the order
    that a soft permutation brings them into, over the largest DCG there is. 0 if
    nothing is relevant.

    **Arguments:**

    - `scores`: any shape.
    - `relevance`: nonnegative, of the shape of `scores`.
    - `k`: how many of the first count; None for all.
    - `axis`: the axis of the candidates.
    - `keywords`: those of [`softjax.top_k`][], with a method that has soft indices.

    **Returns:** values in [0, 1], of the shape of `scores` without the axis; the hard
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
    (z, relevance), keywords, dtype = _rows(
        "ndcg", axis, keywords, scores=scores, relevance=relevance
    )
    gains = (jnp.exp2(relevance) - 1).astype(z.dtype)
    k = z.shape[-1] if k is None else k
    index = _top_k_index("ndcg", z, k, keywords)
    discount = 1 / jnp.log2(2 + jnp.arange(k, dtype=z.dtype))
    reached = jnp.einsum("i,...in,...n->...", discount, index, gains)
    ideal = -jnp.sort(-gains, axis=-1)[..., :k] @ discount
    return safe_divide(reached, ideal).astype(dtype)


def spearman(x: Any, y: Any, axis: int = -1, **keywords: Any) -> Array:
    """Spearman's correlation of soft ranks of x with the ranks of y.

    Pearson's correlation `cov(r, s) / (std r std s)` of the soft ranks r of x and the
    ranks s of y, where equal elements have the mean of theirs. 0 if either is constant.

    **Arguments:**

    - `x`, `y`: of equal shape; gradients are those in x.
    - `axis`: the axis along which to rank.
    - `keywords`: those of [`softjax.rank`][].

    **Returns:** values in [-1, 1], of the shape of `x` without the axis.

    **Example:**

        >>> x, y = jnp.array([0.2, 1.0, 0.7]), jnp.array([1.0, 3.0, 2.0])
        >>> print(f"{sj.losses.spearman(x, y):.3f} {sj.losses.spearman(x, -y):.3f}")
        0.999 -0.999

    ??? cite

        Spearman, 1904; Blondel, Teboul, Berthet and Djolonga, "Fast differentiable
        sorting and ranking", ICML 2020.
    """
    (x, y), keywords, dtype = _rows("spearman", axis, keywords, x=x, y=y)
    soft = axiswise.rank(x, axis=-1, **keywords)
    hard = axiswise.rank(jax.lax.stop_gradient(y), axis=-1, mode="hard")
    ranks = soft, hard.astype(soft.dtype)
    soft, hard = (r - jnp.mean(r, axis=-1, keepdims=True) for r in ranks)
    square = jnp.sum(soft * soft, axis=-1) * jnp.sum(hard * hard, axis=-1)
    varies = square > 0
    norm = jnp.sqrt(jnp.where(varies, square, 1))
    out = jnp.where(varies, jnp.sum(soft * hard, axis=-1) / norm, 0)
    return out.astype(dtype)


def auc(
    scores: Any,
    labels: Any,
    axis: int = -1,
    *,
    softness: Any = 0.1,
    mode: str | Regularizer = "smooth",
) -> Array:
    """Soft area under the curve of true against false positives.

    The mean of `H(s_i - s_j)` over positives i and negatives j: how probable it is that
    one is above the other. Takes O(n^2) time.

    **Arguments:**

    - `scores`: any shape.
    - `labels`: 1 for positives and 0 for negatives, or probabilities; of the shape of
        `scores`.
    - `axis`: the axis of the samples.
    - `softness`, `mode`: as for [`softjax.greater`][]; a softness that is an array
        broadcasts against `scores` with size 1 along the axis.

    **Returns:** values in [0, 1], of the shape of `scores` without the axis; NaN
    if there are no positives, or no negatives.

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
    keywords = dict(softness=softness)
    (z, p), keywords, dtype = _rows("auc", axis, keywords, scores=scores, labels=labels)
    pairs = z[..., :, None], z[..., None, :]
    softness = keywords["softness"][..., None]
    above = comparison.greater(*pairs, softness=softness, mode=mode)
    p = p.astype(above.dtype)
    total = jnp.einsum("...i,...ij,...j->...", p, above, 1 - p)
    out = total / (jnp.sum(p, axis=-1) * jnp.sum(1 - p, axis=-1))
    return out.astype(dtype)


def trimmed_mean(
    x: Any, proportion: float | tuple[float, float], axis: int = -1, **keywords: Any
) -> Array:
    """The mean of what is left when the smallest and the largest are dropped.

    `mean_{l <= i < n - u} s_i` of the soft sorted values s, with l and u the numbers to
    drop on both sides, as `scipy.stats.trim_mean` does. With `proportion=(0, p)` of
    squared residuals it is the loss of least trimmed squares.

    **Arguments:**

    - `x`: any shape.
    - `proportion`: the share to drop on each side, or a pair of shares of the smallest
        and the largest; they sum to less than 1. The numbers are rounded down.
    - `axis`: the axis along which to sort.
    - `keywords`: those of [`softjax.sort`][].

    **Returns:** an array of the shape of x without the axis.

    **Example:**

        >>> x = jnp.array([0.2, 1.0, 0.7, 90.0])
        >>> print(f"{sj.losses.trimmed_mean(x, 0.25):.3f} {jnp.mean(x):.3f}")
        0.848 22.975

    ??? cite

        Rousseeuw, "Least median of squares regression", JASA 79 (1984).
    """
    (x,), keywords, dtype = _rows("trimmed_mean", axis, keywords, x=x)
    n = x.shape[-1]
    pair = proportion if isinstance(proportion, tuple) else (proportion, proportion)
    lower, upper = (int(share * n + 1e-9) for share in pair)
    if min(pair) < 0 or lower + upper >= n:
        raise ValueError(
            f"trimmed_mean: proportion={proportion} must be nonnegative and leave "
            f"something of {n} elements."
        )
    ordered = axiswise.sort(x, axis=-1, **keywords)
    return jnp.mean(ordered[..., lower : n - upper], axis=-1).astype(dtype)
