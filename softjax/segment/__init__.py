"""Soft operators over segments: ragged groups of the rows of a flat array.

`segment_ids` name the group of each row, as for `jax.ops.segment_max`. Results are
those of the operator along an axis, on each group alone.
"""

from ._run import SegmentIndexKeywords, SegmentKeywords
from .extrema import argmax, argmin, max, min
from .masks import top_k_mask
from .ordering import rank, ranking, sort, top_k
from .padding import pad
from .quantiles import median, quantile

__all__ = [
    "SegmentIndexKeywords",
    "SegmentKeywords",
    "argmax",
    "argmin",
    "max",
    "median",
    "min",
    "pad",
    "quantile",
    "rank",
    "ranking",
    "sort",
    "top_k",
    "top_k_mask",
]
