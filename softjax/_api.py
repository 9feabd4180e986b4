"""The table of contents: every public name, and where it stands."""

from . import (
    lax as lax,
    losses as losses,
    methods as methods,
    nn as nn,
    numpy as numpy,
    random as random,
    segment as segment,
    solvers as solvers,
    structured as structured,
)
from ._defaults import defaults as defaults
from ._soften import keep_hard as keep_hard, soften as soften
from ._types import SoftBool as SoftBool, SoftIndex as SoftIndex
from .activations import (
    hard_sigmoid as hard_sigmoid,
    hard_silu as hard_silu,
    hard_swish as hard_swish,
    hard_tanh as hard_tanh,
    leaky_relu as leaky_relu,
    relu6 as relu6,
)
from .autograd_safe import (
    arccos as arccos,
    arcsin as arcsin,
    div as div,
    log as log,
    norm as norm,
    sqrt as sqrt,
)
from .axiswise import (
    AxisKeywords as AxisKeywords,
    IndexKeywords as IndexKeywords,
    ValueIndexKeywords as ValueIndexKeywords,
    ValueKeywords as ValueKeywords,
    argmax as argmax,
    argmedian as argmedian,
    argmin as argmin,
    argpartition as argpartition,
    argpercentile as argpercentile,
    argquantile as argquantile,
    argsort as argsort,
    cummax as cummax,
    cummin as cummin,
    max as max,
    median as median,
    median_newton as median_newton,
    min as min,
    nanargmax as nanargmax,
    nanargmin as nanargmin,
    nanmax as nanmax,
    nanmedian as nanmedian,
    nanmin as nanmin,
    nanpercentile as nanpercentile,
    nanquantile as nanquantile,
    partition as partition,
    percentile as percentile,
    quantile as quantile,
    rank as rank,
    ranking as ranking,
    sort as sort,
    top_k as top_k,
    top_k_mask as top_k_mask,
)
from .branches import piecewise as piecewise, select as select
from .comparison import (
    equal as equal,
    greater as greater,
    greater_equal as greater_equal,
    isclose as isclose,
    less as less,
    less_equal as less_equal,
    not_equal as not_equal,
)
from .counting import (
    bincount as bincount,
    digitize as digitize,
    histogram as histogram,
    one_hot as one_hot,
    searchsorted as searchsorted,
)
from .elementwise import (
    abs as abs,
    clip as clip,
    fmax as fmax,
    fmin as fmin,
    heaviside as heaviside,
    maximum as maximum,
    minimum as minimum,
    relu as relu,
    sigmoidal as sigmoidal,
    sign as sign,
    softrelu as softrelu,
)
from .logic import (
    all as all,
    any as any,
    logical_and as logical_and,
    logical_not as logical_not,
    logical_or as logical_or,
    logical_xor as logical_xor,
)
from .rounding import (
    ceil as ceil,
    floor as floor,
    rint as rint,
    round as round,
    trunc as trunc,
)
from .selection import (
    choose as choose,
    dynamic_index_in_dim as dynamic_index_in_dim,
    dynamic_slice as dynamic_slice,
    dynamic_slice_in_dim as dynamic_slice_in_dim,
    take as take,
    take_along_axis as take_along_axis,
    where as where,
)
from .straight_through import (
    grad_replace as grad_replace,
    st as st,
    straight_through_variants as straight_through_variants,
)

# The operators with a hard and a soft form: each has a straight-through variant.
_WITH_MODE = (
    *(abs, sign, round, heaviside, relu, clip),
    *(greater, greater_equal, less, less_equal, equal, not_equal, isclose),
    *(argmax, max, argmin, min, argsort, sort, top_k, rank, ranking),
    *(argquantile, quantile, argpercentile, percentile, argmedian, median),
    *(median_newton, top_k_mask),
    *(rint, floor, ceil, trunc, maximum, minimum, fmax, fmin),
    *(relu6, leaky_relu, hard_tanh, hard_sigmoid, hard_silu, hard_swish),
    *(nanargmax, nanmax, nanargmin, nanmin, nanmedian, nanquantile, nanpercentile),
    *(partition, argpartition, cummax, cummin),
    *(searchsorted, digitize, histogram, bincount),
)
globals().update(straight_through_variants(_WITH_MODE))

_PUBLIC = [name for name in globals() if not name.startswith("_")]
