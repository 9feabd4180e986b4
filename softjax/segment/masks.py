"""Masks: which elements are among the k largest of their segment."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from softjax_solvers import Regularizer, SegmentedHypersimplexProjection
from softjax_solvers.internal import safe_divide

from .._defaults import reads_defaults
from .._keywords import check_count, parse_count
from .._types import SoftBool
from ..methods import MaskMethod, get_mask_method
from ..methods.hard import parts_of_k
from ._run import Operation, Run, call


def _mask(formulation: Any, run: Run, k: Any, *, mask_method: MaskMethod) -> Array:
    sample, groups = run.sample, run.sample.groups
    number = parse_count(k, "segment.top_k_mask").astype(sample.keys.dtype)
    count = run.segments.count
    if number.shape not in ((), (1,), (count,)):
        raise ValueError(
            f"segment.top_k_mask: k of shape {number.shape} must be a number, or one "
            f"for each of {count} segments."
        )
    none = jnp.zeros(1, number.dtype)
    number = jnp.concatenate([none, jnp.broadcast_to(number, (count,)), none])
    if run.outer is None:
        return run.finish(jnp.where(run.given, _hard(run, number), 0))
    problem = SegmentedHypersimplexProjection(
        sample.keys,
        number,
        run.relaxation.softness,
        groups.ids,
        groups.count,
        weights=sample.mass,
        indices_are_sorted=groups.are_sorted,
    )
    regularizer = mask_method.regularizer(run.relaxation.regularizer)
    relaxation = type(run.relaxation)(
        regularizer, run.relaxation.softness, run.relaxation.solver
    )
    out = run.present(relaxation.primal(problem))
    if sample.absent is not None:
        # What is left when all that are present are in full is shared by the absent.
        own = run.measure.groups
        present = own.sum(jnp.where(sample.absent > 0, 0, _mass(run)))
        share = safe_divide(number - present, own.sum(sample.absent))
        share = own.spread(jnp.clip(share, 0, 1))
        out = jnp.where(sample.absent > 0, share, out)
    # Whatever k is, it is that of all copies where there are none.
    out = jnp.where(run.measure.groups.spread(run.measure.total) > 0, out, 1)
    return run.finish(jnp.where(run.given, out, 0))


def _mass(run: Run) -> Array:
    mass = run.measure.mass
    return jnp.ones_like(run.measure.x) if mass is None else mass


def _hard(run: Run, k: Array) -> Array:
    ordered = run.sample.ordered()
    out = parts_of_k(ordered.groups.spread(k), ordered.before, ordered.mass)
    return ordered.unsort(out.astype(run.measure.x.dtype))


_TOP_K_MASK = Operation(
    "top_k_mask", "top_k", _mask, True, absent=True, of_method=False
)


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
    return call(_TOP_K_MASK, *parts, mask_method=get_mask_method(method))
