"""Quantiles and medians of segments."""

from __future__ import annotations

from typing import Any, Unpack

import jax.numpy as jnp
from jaxtyping import Array, Float

from .._keywords import check_levels
from ..axiswise.quantiles import (
    MEDIAN,
    QUANTILE,
    check_quantile_method,
    reading,
    within_bounds,
)
from ._run import SegmentKeywords, call, over_segments, run


def _levels(x, ids, softness, q, *, quantile_method, operation, **given):
    check_quantile_method("segment.quantile", quantile_method)
    q = jnp.asarray(q)

    def levels(count: int, dtype: Any) -> tuple[Array, str]:
        return within_bounds(q.ravel().astype(dtype)), quantile_method

    out = run(operation, x, ids, softness, options=levels, **given)
    return jnp.moveaxis(out, 1, 0).reshape(*q.shape, len(out), *out.shape[2:])


@over_segments("quantile", QUANTILE)
def quantile(
    x: Any,
    segment_ids: Any,
    q: Any,
    num_segments: int | None = None,
    *,
    quantile_method: str = "linear",
    indices_are_sorted: bool = False,
    **keywords: Unpack[SegmentKeywords],
) -> Float[Array, "..."]:
    """Soft quantiles of each segment: [`softjax.quantile`][] of each alone.

    Takes O(n log n) time, and O(n) more for each level.

    **Arguments:**

    - `q`, `quantile_method`: as of [`softjax.quantile`][].
    - The others, and what is raised, are those of [`softjax.segment.max`][].

    **Returns:** an array of shape `q.shape + (num_segments, ...)`; NaN for segments
    without elements.

    **Example:**

        >>> x, ids = jnp.array([0.0, 1.0, 0.6, 0.2, 0.5]), jnp.array([0, 0, 0, 0, 1])
        >>> print(sj.segment.quantile(x, ids, 0.5))
        [0.391 0.5  ]
    """
    check_levels(q, 1, "segment.quantile")
    parts = x, segment_ids, num_segments, indices_are_sorted, keywords, q
    operation = reading(QUANTILE, quantile_method)
    return call(operation, *parts, body=_levels, quantile_method=quantile_method)


@over_segments("quantile", MEDIAN)
def median(
    x: Any,
    segment_ids: Any,
    num_segments: int | None = None,
    *,
    indices_are_sorted: bool = False,
    **keywords: Unpack[SegmentKeywords],
) -> Float[Array, "num_segments ..."]:
    """The soft median of each segment: [`softjax.median`][] of each alone.

    **Arguments, Raises:** as of [`softjax.segment.max`][].

    **Returns:** an array `num_segments ...`; NaN for segments without elements.

    **Example:**

        >>> x, ids = jnp.array([0.0, 1.0, 0.6, 0.1, 0.2]), jnp.array([0, 0, 0, 1, 1])
        >>> print(sj.segment.median(x, ids))
        [0.606 0.15 ]
    """
    return call(MEDIAN, x, segment_ids, num_segments, indices_are_sorted, keywords)
