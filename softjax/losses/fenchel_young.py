"""Fenchel-Young losses, which train what a projection predicts.

Their gradient in the scores is the prediction less the target, and they vanish where
both are equal.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from softjax_solvers import (
    HypersimplexProjection,
    Regularizer,
    SimplexProjection,
    TransportProjection,
    fenchel_young_loss,
)
from softjax_solvers.internal import is_traced, safe_divide

from .._keywords import check_count, got, parse_count, parse_flag
from .._layout import parse_axis, split_parameter
from ..methods import MaskMethod, Sample, get_mask_method
from ..methods._anchors import gaps
from ..methods.fast_soft_sort import rank_problem
from ._given import parse_given


def simplex_loss(
    scores: Any,
    target: Any,
    axis: int = -1,
    *,
    softness: Any = 1.0,
    mode: str | Regularizer = "smooth",
    solver: Any = None,
    where: Any = None,
    weights: Any = None,
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
    - `where`: which classes there are, broadcasts to `scores`; None for all.
    - `weights`: how often classes count, nonnegative, broadcasts to `scores`; None for
        once. With the entropy they are a prior, times which the softmax is taken (a
        logit adjustment). The target has to be 0 where a weight is. They count as
        constant: no gradient.

    **Returns:** nonnegative, of the shape of `scores` without the axis; 0 where there
    are none.

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
    given = parse_given(
        "simplex_loss", scores, target, (axis,), (where,), softness, mode, weights
    )
    weights, target = _constant(given.weights), given.target
    problem = SimplexProjection(
        given.scores, given.softness, given.where, weights=weights
    )
    if weights is not None:  # that of one copy
        target = safe_divide(target, weights)
    loss = fenchel_young_loss(problem, target, given.regularizer, solver)
    return given.finish(loss)


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
    where: Any = None,
    weights: Any = None,
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
    - `k`: as for [`softjax.top_k_mask`][]; a constant as far as derivatives go. Where
        there are less candidates, it is their number.
    - `axis`: the axis of the candidates.
    - `softness`, `mode`, `method`, `solver`: as for [`softjax.top_k_mask`][]; softness
        is a scalar.
    - `where`: which candidates there are, broadcasts to `scores`; None for all.
    - `weights`: how often candidates w count, nonnegative, broadcasts to `scores`; None
        for once. Then `sum w y = k`, and the gradient is w times the difference. They
        count as constant: no gradient.

    **Returns:** nonnegative, of the shape of `scores` without the axis; 0 where there
    are none.

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
    check_count(k, layout.size if weights is None else np.inf, "top_k_loss")
    k = split_parameter(parse_count(k, "top_k_loss"), layout, "top_k_loss", "k")
    given = parse_given(
        "top_k_loss", scores, target, (axis,), (where,), softness, mode, weights
    )
    parts = given.softness, given.where, _constant(given.weights)
    problem = HypersimplexProjection(given.scores, k, *parts)
    regularizer = get_mask_method(method).regularizer(given.regularizer)
    return given.finish(fenchel_young_loss(problem, given.target, regularizer, solver))


def rank_loss(
    scores: Any,
    target: Any,
    axis: int = -1,
    *,
    descending: bool = True,
    softness: Any = 0.1,
    mode: str | Regularizer = "c0",
    solver: Any = None,
    where: Any = None,
    weights: Any = None,
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
    - `where`: which elements there are, broadcasts to `scores`; None for all. n is
        their number.
    - `weights`: how often elements count, nonnegative, broadcasts to `scores`; None for
        once. n is their sum, and the gradient is the weight times the difference. They
        count as constant: no gradient.

    **Returns:** nonnegative, of the shape of `scores` without the axis; 0 where there
    are none.

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
    given = parse_given(
        "rank_loss", scores, target, (axis,), (where,), softness, mode, weights
    )
    descending = parse_flag(descending, "rank_loss: descending")
    z = given.scores if descending else -given.scores
    sample = Sample(z, where=given.where, mass=_constant(given.weights))
    steps, problem = gaps(sample), rank_problem(sample, given.softness)
    target = given.target / steps
    loss = fenchel_young_loss(problem, target, given.regularizer, solver)
    return given.finish(steps[..., 0] * loss)


def _constant(weights: Array | None) -> Array | None:
    """Weights without a derivative: Danskin's theorem is for a fixed feasible set."""
    return jax.lax.stop_gradient(weights)


def _check_pair(shape: tuple[int, ...], axes: Any, where: Any) -> None:
    """Check that there are two axes of equal size, and masks of both or of neither."""
    name, ndim = "permutation_loss", len(shape)
    if ndim < 2:
        raise ValueError(
            f"{name}: scores must have two axes of equal size, got shape {shape}."
        )
    whole = isinstance(axes, tuple | list) and all(
        isinstance(axis, int | np.integer) and not isinstance(axis, bool)
        for axis in axes
    )
    if not whole or len(axes) != 2:
        raise TypeError(f"{name}: axes must be a pair of integers, {got(axes)}")
    if not all(-ndim <= axis < ndim for axis in axes):
        raise ValueError(
            f"{name}: axes={axes} are out of bounds for scores of shape {shape}; "
            f"allowed are {-ndim} to {ndim - 1}."
        )
    if (axes[0] - axes[1]) % ndim == 0:
        raise ValueError(
            f"{name}: axes={axes} are the same one of scores of shape {shape}; give "
            "that of rows and that of columns."
        )
    if shape[axes[0]] != shape[axes[1]]:
        raise ValueError(
            f"{name}: scores must have two axes of equal size, got shape {shape} and "
            f"axes={axes}."
        )
    if isinstance(where, tuple) and len(where) != 2:
        raise ValueError(
            f"{name}: where must be a mask, or a pair of rows' and columns', got "
            f"{len(where)} of them."
        )


def permutation_loss(
    scores: Any,
    target: Any,
    axes: tuple[int, int] = (-2, -1),
    *,
    softness: Any = 0.1,
    mode: str | Regularizer = "smooth",
    solver: Any = None,
    where: Any = None,
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
    - `where`: which rows there are, and the columns of the same numbers, as in padded
        sets: broadcasts to `scores` without the axis of columns. Or a pair of masks, of
        rows and of columns, equally many in each matrix. The loss is that of the
        matrix that is left, and n its size.

    **Returns:** nonnegative, of the shape of `scores` without the axes; 0 where nothing
    is left, and NaN where rows and columns are not equally many.

    **Raises:** `ValueError` if they are known not to be, or `axes` are not two of equal
    size; `TypeError` if those are no pair of integers.

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
    _check_pair(jnp.shape(scores), axes, where)
    wheres = where if isinstance(where, tuple) else (where, where)
    given = parse_given(
        "permutation_loss", scores, target, axes, wheres, softness, mode
    )
    z = given.scores
    rows = columns = jnp.ones(z.shape[-1], z.dtype)
    if given.masks is not None:
        fit = jnp.equal(*(jnp.sum(mask, -1, keepdims=True) for mask in given.masks))
        if not is_traced(fit) and not np.all(fit):
            raise ValueError(
                "permutation_loss: where must leave as many rows as columns."
            )
        # A plan between other marginals does not exist.
        rows, columns = ((mask | ~fit).astype(z.dtype) for mask in given.masks)
    problem = TransportProjection(-z, rows, columns, given.softness)
    loss = fenchel_young_loss(problem, given.target, given.regularizer, solver)
    if given.masks is not None:
        loss = jnp.where(fit[..., 0], loss, jnp.nan)
    return given.finish(loss)
