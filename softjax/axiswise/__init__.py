"""Operators along an axis: soft indices, order statistics, ranks and masks.

All of them take the keywords in `softjax.AxisKeywords`; those that return values also
take `gated_grad`, and those that return soft indices `return_log_probs`. What they mean
is said there, once. Infinite elements take the first or the last places, which equal
ones share, and leave the others as they are; their derivatives are 0. A row with NaN is
NaN.
"""

from ._keywords import (
    AxisKeywords as AxisKeywords,
    IndexKeywords as IndexKeywords,
    ValueIndexKeywords as ValueIndexKeywords,
    ValueKeywords as ValueKeywords,
)
from .extrema import argmax as argmax, argmin as argmin, max as max, min as min
from .masks import top_k_mask as top_k_mask
from .ordering import (
    argpartition as argpartition,
    argsort as argsort,
    partition as partition,
    rank as rank,
    ranking as ranking,
    sort as sort,
    top_k as top_k,
)
from .quantiles import (
    argmedian as argmedian,
    argpercentile as argpercentile,
    argquantile as argquantile,
    median as median,
    median_newton as median_newton,
    percentile as percentile,
    quantile as quantile,
)
from .running import cummax as cummax, cummin as cummin
from .without_nan import (
    nanargmax as nanargmax,
    nanargmin as nanargmin,
    nanmax as nanmax,
    nanmedian as nanmedian,
    nanmin as nanmin,
    nanpercentile as nanpercentile,
    nanquantile as nanquantile,
)
