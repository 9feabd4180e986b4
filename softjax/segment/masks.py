"""Masks: which elements are among the k largest of their segment."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from softjax_solvers import Regularizer, SegmentedHypersimplexProjection

from .._defaults import reads_defaults
from .._keywords import check_count, parse_count
from .._types import SoftBool
from ..axiswise.masks import TOP_K_MASK
from ..methods import MaskMethod, Relaxation, get_mask_method
from ..methods.hard import parts_of_k
from ._run import call, run
from ._sample import Sample


def _hard_mask(
    _: None, sample: Sample, relaxation: Relaxation, k: Array, formulation: MaskMethod
) -> Float[Array, " n"]:
    ordered = sample.ordered()
    out = parts_of_k(ordered.groups.spread(k), ordered.before, ordered.mass)
    return ordered.unsort(out.astype(sample.keys.dtype))


def _mask(
    _: None, sample: Sample, relaxation: Relaxation, k: Array, formulation: MaskMethod
) -> Float[Array, " n"]:
    groups = sample.groups
    problem = SegmentedHypersimplexProjection(
        sample.keys,
        k,
        relaxation.softness,
        groups.ids,
        groups.count,
        weights=sample.mass,
        indices_are_sorted=groups.are_sorted,
    )
    regularizer = formulation.regularizer(relaxation.regularizer)
    return dataclasses.replace(relaxation, regularizer=regularizer).primal(problem)


_TOP_K_MASK = dataclasses.replace(TOP_K_MASK, apply=_mask, hard=_hard_mask)


def _largest(x, ids, softness, k, *, mask_method, operation, **given):
    def parse(count: int, dtype: Any) -> tuple[Array, MaskMethod]:
        number = parse_count(k, "segment.top_k_mask").astype(dtype)
        if number.shape not in ((), (1,), (count,)):
            raise ValueError(
                f"segment.top_k_mask: k of shape {number.shape} must be a number, or "
                f"one for each of {count} segments."
            )
        # What belongs to no segment has one before all others, or one behind them.
        return jnp.pad(jnp.broadcast_to(number, (count,)), 1), mask_method

    return run(operation, x, ids, softness, options=parse, **given)


@reads_defaults("top_k", methods="masks")
def top_k_mask(
    x: Any,
    segment_ids: Any,
    k: Any,
    num_segments: int | None = None,
    *,
    indices_are_sorted: bool = False,
    softness: Any = 0.1,
    mode: str | Regularizer = "smooth",
    method: str | MaskMethod = "ot",
    solver: Any = None,
    where: Any = None,
    weights: Any = None,
) -> SoftBool:
    """The soft set of the k largest of each segment: a mask with sum k.

    [`softjax.top_k_mask`][] of each segment alone. Takes O(n) time a step of Newton's
    method, and that of a sort.

    **Arguments:**

    - `k`: a nonnegative number, or an array `num_segments` of them, possibly traced and
        differentiated. Where a segment has less, all of its elements are in.
    - `method`: `"ot"`, `"hypersimplex"`, or a [`softjax.methods.MaskMethod`][].
    - The others, and what is raised, are those of [`softjax.segment.max`][].

    **Returns:** an array of the shape of x; 0 for elements that belong to no segment.

    **Example:**

        >>> x, ids = jnp.array([0.2, 1.0, 0.3, 0.7, 0.5]), jnp.array([0, 0, 0, 0, 1])
        >>> print(sj.segment.top_k_mask(x, ids, jnp.array([2, 1])))
        [0.041 0.992 0.104 0.863 1.   ]
    """
    check_count(k, np.inf, "segment.top_k_mask")
    keywords = dict(
        softness=softness, mode=mode, solver=solver, where=where, weights=weights
    )
    parts = x, segment_ids, num_segments, indices_are_sorted, keywords, k
    chosen = get_mask_method(method)
    return call(_TOP_K_MASK, *parts, body=_largest, mask_method=chosen)
