"""Fenchel-Young losses, which train what a projection predicts.

Their gradient in the scores is the prediction less the target, and they vanish where
both are equal.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
from jaxtyping import Array

from softjax_solvers import (
    HypersimplexProjection,
    MaximizationProblem,
    Regularizer,
    SimplexProjection,
    TransportProjection,
    fenchel_young_loss,
)

from .._keywords import (
    as_float,
    check_count,
    check_softness,
    parse_count,
    parse_mode,
    parse_softness,
)
from .._layout import parse_axis, split_parameter
from ..methods import MaskMethod, Sample, get_mask_method
from ..methods.fast_soft_sort import rank_problem


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
