"""Soft operators over segments: ragged groups of the rows of a flat array.

`segment_ids` name the group of each row, as for `jax.ops.segment_max`. Results are
those of the operator along an axis, on each group alone.
"""

from ._run import (
    SegmentIndexKeywords as SegmentIndexKeywords,
    SegmentKeywords as SegmentKeywords,
)
from .extrema import (
    argmax as argmax,
    argmin as argmin,
    max as max,
    min as min,
)
from .masks import top_k_mask as top_k_mask
from .ordering import (
    rank as rank,
    ranking as ranking,
    sort as sort,
    top_k as top_k,
)
from .padding import pad as pad
from .quantiles import median as median, quantile as quantile

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
