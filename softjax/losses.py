"""Losses and metrics that are made of soft operators.

Fenchel-Young losses train what a projection predicts: `simplex_loss`, `top_k_loss`,
`rank_loss` and `permutation_loss`. Their gradient in the scores is the prediction less
the target, and they vanish where both are equal. The others are what people
measure rankings and classifiers by, with soft operators in place of hard ones. All of
them return one number for each row of the batch: which mean to take is up to the user.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from softjax_solvers import (
    HypersimplexProjection,
    MaximizationProblem,
    Regularizer,
    SimplexProjection,
    TransportProjection,
    fenchel_young_loss,
)
from softjax_solvers.internal import (
    safe_divide,
)

from . import axiswise, comparison
from ._axis import parse_axis, split_parameter
from ._keywords import (
    as_float,
    check_count,
    check_softness,
    parse_count,
    parse_mode,
    parse_softness,
)
from .methods import MaskMethod, Sample, get_mask_method
from .methods.fast_soft_sort import rank_problem

__all__ = [
    "auc",
    "ndcg",
    "permutation_loss",
    "rank_loss",
    "simplex_loss",
    "spearman",
    "top_k_cross_entropy",
    "top_k_loss",
    "trimmed_mean",
]


def _fenchel_young(
    name: str,
    make: Callable[[Array, Array], MaximizationProblem],
    scores: Any,
    target: Any,
    axes: tuple[int, ...],
    softness: Any,
    mode: str | Regularizer,
    solver: Any,
    regularize: Callable[[Regularizer], Regularizer] = lambda regularizer: regularizer,
) -> Array:
    scores, out_dtype = as_float(scores, f"{name}: scores")
    target, _ = as_float(target, f"{name}: target")
    if target.shape != scores.shape:
        raise ValueError(
            f"{name}: target has the shape {target.shape}, and scores {scores.shape}; "
            "they must be equal."
        )
    last = tuple(range(-len(axes), 0))
    scores, target = (jnp.moveaxis(x, axes, last) for x in (scores, target))
    regularizer = parse_mode(mode).regularizer
    if regularizer is None:
        raise ValueError(
            f"{name}: the loss of mode='hard' has no useful gradient. Use 'smooth', "
            "'c0', 'c1', ... or a Regularizer."
        )
    check_softness(softness)
    softness = parse_softness(softness, scores.dtype)
    if softness.ndim:
        raise ValueError(f"{name}: softness must be a scalar, got {softness.shape}.")
    problem = make(scores, softness)
    target = target.astype(scores.dtype)
    loss = fenchel_young_loss(problem, target, regularize(regularizer), solver)
    return loss.astype(out_dtype)


def simplex_loss(
    scores: Any,
    target: Any,
    axis: int = -1,
    *,
    softness: Any = 1.0,
    mode: str | Regularizer = "smooth",
    solver: Any = None,
) -> Array:
    """The Fenchel-Young loss of the argmax over the simplex.

    `max_y (<scores, y> - softness R(y)) - <scores, target> + softness R(target)`, y in
    the simplex. With `"smooth"` and softness 1 it is the divergence of Kullback and
    Leibler, the cross-entropy of a softmax if the target is one-hot; with `"c0"` the
    sparsemax loss, with `Tsallis(a)` the a-entmax loss. Its gradient in the scores is
    `argmax(scores) - target`.

    **Arguments:**

    - `scores`: any shape.
    - `target`: probabilities along the axis, of the shape of `scores`.
    - `axis`: the axis of the classes.
    - `softness`, `mode`, `solver`: as for [`softjax.argmax`][]; softness is a scalar.

    **Returns:** nonnegative, of the shape of `scores` without the axis.

    **Example:**

        >>> scores, target = jnp.array([2.0, 0.5, 1.0]), jnp.array([0.0, 0.0, 1.0])
        >>> print(f"{sj.losses.simplex_loss(scores, target):.3f}")
        1.464
        >>> print(jax.grad(sj.losses.simplex_loss)(scores, target))
        [ 0.629  0.14  -0.769]

    ??? cite

        Martins and Astudillo, "From softmax to sparsemax", ICML 2016; Peters, Niculae
        and Martins, "Sparse sequence-to-sequence models", ACL 2019; Blondel, Martins
        and Niculae, "Learning with Fenchel-Young losses", JMLR 21 (2020).
    """
    return _fenchel_young(
        "simplex_loss",
        SimplexProjection,
        scores,
        target,
        (axis,),
        softness,
        mode,
        solver,
    )


def top_k_loss(
    scores: Any,
    target: Any,
    k: Any,
    axis: int = -1,
    *,
    softness: Any = 1.0,
    mode: str | Regularizer = "smooth",
    method: str | MaskMethod = "ot",
    solver: Any = None,
) -> Array:
    """The Fenchel-Young loss of a top-k mask over the hypersimplex.

    `max_y (<scores, y> - softness Q(y)) - <scores, target> + softness Q(target)`, with
    `0 <= y <= 1` and `sum y = k`, and `Q(y) = R(y) + R(1 - y)`, or R itself for
    `method="hypersimplex"`. Its gradient in the scores is
    `top_k_mask(scores, k) - target`: for labels of which k are right, it trains
    all of them together.

    **Arguments:**

    - `scores`: any shape.
    - `target`: a mask in [0, 1] with sum k along the axis, of the shape of `scores`.
    - `k`: as for [`softjax.top_k_mask`][]; a constant as far as derivatives go.
    - `axis`: the axis of the candidates.
    - `softness`, `mode`, `method`, `solver`: as for [`softjax.top_k_mask`][]; softness
        is a scalar.

    **Returns:** nonnegative, of the shape of `scores` without the axis.

    **Example:**

        >>> scores, target = jnp.array([2.0, 0.5, 1.0]), jnp.array([1.0, 1.0, 0.0])
        >>> print(f"{sj.losses.top_k_loss(scores, target, 2):.3f}")
        1.866
        >>> print(jax.grad(sj.losses.top_k_loss)(scores, target, 2))
        [-0.169 -0.476  0.645]

    ??? cite

        Blondel, Martins and Niculae, "Learning with Fenchel-Young losses", JMLR 21
        (2020), section 7.
    """
    layout = parse_axis(jnp.shape(scores), axis, "top_k_loss")
    check_count(k, layout.size, "top_k_loss")
    k = split_parameter(parse_count(k, "top_k_loss"), layout, "top_k_loss", "k")
    return _fenchel_young(
        "top_k_loss",
        lambda z, softness: HypersimplexProjection(z, k, softness),
        scores,
        target,
        (axis,),
        softness,
        mode,
        solver,
        get_mask_method(method).regularizer,
    )


def rank_loss(
    scores: Any,
    target: Any,
    axis: int = -1,
    *,
    descending: bool = True,
    softness: Any = 0.1,
    mode: str | Regularizer = "c0",
    solver: Any = None,
) -> Array:
    """The Fenchel-Young loss of ranks over the permutahedron.

    `(n - 1) (max_y (<z, y> - softness R(y)) - <z, t> + softness R(t))`, over y in the
    convex hull of the permutations of (1, ..., n) / (n - 1), with t the target over
    n - 1, and z the scores, or minus the scores if `descending`. Its gradient in z is
    `rank(scores, method="fast_soft_sort") - target`.

    **Arguments:**

    - `scores`: any shape.
    - `target`: ranks from 1 to n, of the shape of `scores`; equal ones count as means.
    - `axis`: the axis along which scores are ranked.
    - `descending`: whether rank 1 is that of the largest, as in [`softjax.rank`][].
    - `softness`, `mode`, `solver`: as for [`softjax.rank`][]; softness is a scalar, and
        r'(0) must be finite, as it is for `"c0"`, `"c1"`, ...

    **Returns:** nonnegative, of the shape of `scores` without the axis.

    **Example:**

        >>> scores, target = jnp.array([0.2, 1.0, 0.7]), jnp.array([1.0, 2.0, 3.0])
        >>> print(f"{sj.losses.rank_loss(scores, target):.3f}")
        1.300
        >>> print(jax.grad(sj.losses.rank_loss)(scores, target))
        [-2.  1.  1.]

    ??? cite

        Blondel, Teboul, Berthet and Djolonga, "Fast differentiable sorting and
        ranking", ICML 2020; Blondel, Martins and Niculae, "Learning with Fenchel-Young
        losses", JMLR 21 (2020).
    """
    steps = max(jnp.shape(scores)[axis] - 1, 1)

    def make(z: Array, softness: Array) -> MaximizationProblem:
        return rank_problem(Sample(z if descending else -z), softness)

    target, _ = as_float(target, "rank_loss: target")
    loss = _fenchel_young(
        "rank_loss", make, scores, target / steps, (axis,), softness, mode, solver
    )
    return steps * loss


def permutation_loss(
    scores: Any,
    target: Any,
    axes: tuple[int, int] = (-2, -1),
    *,
    softness: Any = 0.1,
    mode: str | Regularizer = "smooth",
    solver: Any = None,
) -> Array:
    """The Fenchel-Young loss of a permutation over doubly stochastic matrices.

    `max_P (<scores, P> - softness n R(P / n)) - <scores, T> + softness n R(T / n)`,
    over matrices P whose rows and columns sum to 1, and the target T. Its gradient in
    the scores is P - T: it learns a permutation, or which row belongs to which column.

    **Arguments:**

    - `scores`: how well rows fit to columns, with two axes of equal size n.
    - `target`: permutation matrices, or doubly stochastic ones, of the shape of
        `scores`.
    - `axes`: the axes of rows and columns.
    - `softness`, `mode`, `solver`: as for [`softjax.argsort`][] by optimal transport;
        softness is a scalar.

    **Returns:** nonnegative, of the shape of `scores` without the axes.

    **Example:**

        >>> scores, target = jnp.array([[0.9, 0.2], [0.5, 0.3]]), jnp.eye(2)
        >>> print(f"{sj.losses.permutation_loss(scores, target):.3f}")
        0.016
        >>> print(jax.grad(sj.losses.permutation_loss)(scores, target))
        [[-0.076  0.076]
         [ 0.076 -0.076]]

    ??? cite

        Mena, Belanger, Linderman and Snoek, "Learning latent permutations with
        Gumbel-Sinkhorn networks", ICLR 2018; Blondel, Martins and Niculae, "Learning
        with Fenchel-Young losses", JMLR 21 (2020).
    """
    shape = jnp.shape(scores)
    if len(shape) < 2 or shape[axes[0]] != shape[axes[1]]:
        raise ValueError(
            "permutation_loss: scores must have two axes of equal size, got shape "
            f"{shape} and axes={axes}."
        )

    def make(z: Array, softness: Array) -> MaximizationProblem:
        ones = jnp.ones(z.shape[-1], z.dtype)
        return TransportProjection(-z, ones, ones, softness)

    return _fenchel_young(
        "permutation_loss", make, scores, target, axes, softness, mode, solver
    )


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
