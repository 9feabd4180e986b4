"""Quantiles and medians of segments."""

from __future__ import annotations

import math
from typing import Any, Unpack

import jax.numpy as jnp
from jaxtyping import Array, Float

from .._defaults import reads_defaults
from .._keywords import check_levels
from ..axiswise._keywords import with_keywords
from ..methods._intervals import QUANTILE_METHODS, median_cells, quantile_cells
from ._methods import Formulation, has
from ._results import finish_values
from ._run import Operation, Run, SegmentKeywords, call


def _levels(
    formulation: Formulation, run: Run, q: Array, *, quantile_method: str
) -> Array:
    if quantile_method not in QUANTILE_METHODS:
        raise ValueError(
            f"segment.quantile: quantile_method={quantile_method!r} is not known. "
            f"Allowed: {', '.join(map(repr, QUANTILE_METHODS))}."
        )
    sample, levels = run.sample, jnp.asarray(q).ravel().astype(run.sample.keys.dtype)
    cells = quantile_cells(sample.total[:, None], levels, quantile_method)
    out = formulation.quantile(sample, run.relaxation, cells)
    out = finish_values(out, cells, run, math.nan)
    return out.reshape(len(out), *jnp.shape(q))


def _middle(formulation: Formulation, run: Run) -> Array:
    cells = median_cells(run.sample.total[:, None])
    out = formulation.median(run.sample, run.relaxation)[:, None]
    return finish_values(out, cells, run, math.nan)[:, 0]


_QUANTILE = Operation(
    "quantile", "quantile", _levels, method="neuralsort", by_units=True
)
_MEDIAN = Operation("median", "median", _middle, method="neuralsort", by_units=True)


@reads_defaults("quantile", methods=has("quantile"))
@with_keywords(_QUANTILE)
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
    out = call(_QUANTILE, *parts, quantile_method=quantile_method)
    axes = range(1, 1 + jnp.ndim(q))
    return jnp.moveaxis(out, tuple(axes), tuple(axis - 1 for axis in axes))


@reads_defaults("quantile", methods=has("median"))
@with_keywords(_MEDIAN)
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
    return call(_MEDIAN, x, segment_ids, num_segments, indices_are_sorted, keywords)
