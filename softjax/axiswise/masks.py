"""Masks: which elements are among the k largest."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from softjax_solvers import HypersimplexProjection, Regularizer, solve
from softjax_solvers.internal import invert, safe_divide

from .._defaults import reads_defaults
from .._keywords import as_array, check_count, parse_count
from .._layout import Layout, layout_of, split_parameter
from .._types import SoftBool
from ..methods import MaskMethod, Method, Relaxation, Sample, get_mask_method
from ..methods.hard import order, parts_of_k
from ._operation import MASK, Operation
from ._run import call, run


def _hard_mask(
    method: Method,
    sample: Sample,
    relaxation: Relaxation,
    k: Float[Array, "*#batch 1"],
    formulation: MaskMethod,
) -> Float[Array, "*batch n"]:
    if sample.mass is None:
        return parts_of_k(k, invert(order(sample)), None)
    ordered = sample.ordered()
    before = ordered.unsort(jnp.asarray(ordered.before))
    return parts_of_k(k, before, sample.mass)


def _mask(
    method: Method,
    sample: Sample,
    relaxation: Relaxation,
    k: Float[Array, "*#batch 1"],
    formulation: MaskMethod,
) -> Float[Array, "*batch n"]:
    keys, where, weights = sample.keys, sample.where, sample.mass
    problem = HypersimplexProjection(keys, k, relaxation.softness, where, weights)
    regularizer = formulation.regularizer(relaxation.regularizer)
    mask = solve(problem, regularizer, relaxation.solver).value
    if sample.absent is None:
        return mask
    # What is left when all that are present are in full is shared by the absent.
    absent = jnp.sum(sample.absent, axis=-1, keepdims=True)
    share = jnp.clip(safe_divide(k - sample.total, absent), 0, 1)
    return jnp.where(sample.absent > 0, share, mask)


TOP_K_MASK = Operation("top_k_mask", _mask, (MASK,), absent=True, hard=_hard_mask)


def _largest(x, softness, k, *, operation, axis, keywords, method):
    chosen = get_mask_method(method)

    def parse(layout: Layout, dtype: Any) -> tuple[Array, MaskMethod]:
        value = parse_count(k, "top_k_mask").astype(dtype)
        return split_parameter(value, layout, "top_k_mask", "k"), chosen

    (out,), layout = run(
        operation, x, softness, axis, keywords, several=True, options=parse
    )
    assert out is not None
    return layout.merge(out)


@reads_defaults("top_k", methods="masks")
def top_k_mask(
    x: Any,
    k: Any,
    axis: int | tuple[int, ...] | None = -1,
    *,
    softness: Any = 0.1,
    mode: str | Regularizer = "smooth",
    method: str | MaskMethod = "ot",
    solver: Any = None,
    standardize: bool = False,
    where: Any = None,
    weights: Any = None,
) -> SoftBool:
    """The soft set of the k largest elements: a mask in [0, 1] with sum k.

    `argmax_y <x, y> - softness (R(y) + R(1 - y))` over `0 <= y <= 1` with `sum y = k`,
    which is `y = sigma(x / softness - theta)` with the sigmoid of the mode. It is as
    smooth as the mode where an element reaches 0 and where one reaches 1, and 1 less
    the mask of the others. With `"c0"`, `"c1"`, ... most elements are exactly 0 or 1;
    where all are, derivatives are 0. Takes O(n) time.

    `method="hypersimplex"` leaves out `R(1 - y)`. Then it is the soft argmax for k = 1,
    and changes from 0 to 1 over half the distance, with a kink where an element reaches
    1. Softness is not scaled in either.

    With `mode="hard"`, derivatives in x are 0, and that in k is 1 for the element that
    is in part; where k is an integer, it is the mean of both sides: 1/2 for the last
    element that is in, and 1/2 for the first that is not.

    **Arguments:**

    - `k`: from 0 to the size of the axis; an integer or not, possibly traced and
        differentiated. With weights w, it is `sum w y`, and y is 1 from their sum on.
        It may be an array that broadcasts against x with size 1 along
        the axis.
    - `axis`: one or several axes to choose from together; None for all of them.
    - `method`: `"ot"`, `"hypersimplex"`, or a [`softjax.methods.MaskMethod`][].
    - The others are those of `softjax.AxisKeywords`.

    Elements of -inf count as absent: they have 0 as long as k others are present.

    **Returns:** an array of the shape of x. The hard mask of equal elements has the
    first of them, and one element in part if k is not an integer.

    **Example:**

        >>> x = jnp.array([0.2, 1.0, 0.3, 0.7])
        >>> print(sj.top_k_mask(x, 2))
        [0.041 0.992 0.104 0.863]
        >>> print(sj.top_k_mask(x, 2, method="hypersimplex"))
        [0.007 1.    0.018 0.976]
        >>> print(sj.top_k_mask(x, 2, mode="c0"))
        [0. 1. 0. 1.]
        >>> print(sj.top_k_mask(x, 2.5, mode="hard"))
        [0.  1.  0.5 1. ]

    ??? cite

        Xie et al., "Differentiable top-k with optimal transport", NeurIPS 2020; Sander,
        Puigcerver, Djolonga, Peyré and Blondel, "Fast, differentiable and sparse top-k:
        a convex analysis perspective", ICML 2023.
    """
    x = as_array(x)
    layout = layout_of(np.shape(x), axis, "top_k_mask", several=True)
    check_count(k, layout.size if weights is None else np.inf, "top_k_mask")
    keywords = dict(
        softness=softness,
        mode=mode,
        solver=solver,
        standardize=standardize,
        where=where,
        weights=weights,
    )
    return call(_largest, TOP_K_MASK, x, axis, keywords, k, method=method)
