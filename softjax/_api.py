"""The table of contents: every public name, and where it stands."""

from . import (
    losses as losses,
    methods as methods,
    segment as segment,
    solvers as solvers,
)
from ._soften import (
    keep_hard as keep_hard,
    soften as soften,
)
from ._types import SoftBool as SoftBool, SoftIndex as SoftIndex
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
    ValueKeywords as ValueKeywords,
    argmax as argmax,
    argmedian as argmedian,
    argmin as argmin,
    argpercentile as argpercentile,
    argquantile as argquantile,
    argsort as argsort,
    max as max,
    median as median,
    median_newton as median_newton,
    min as min,
    percentile as percentile,
    quantile as quantile,
    rank as rank,
    ranking as ranking,
    sort as sort,
    top_k as top_k,
    top_k_mask as top_k_mask,
)
from .comparison import (
    equal as equal,
    greater as greater,
    greater_equal as greater_equal,
    isclose as isclose,
    less as less,
    less_equal as less_equal,
    not_equal as not_equal,
)
from .elementwise import (
    abs as abs,
    clip as clip,
    heaviside as heaviside,
    relu as relu,
    round as round,
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
)
globals().update(straight_through_variants(_WITH_MODE))

_PUBLIC = [name for name in globals() if not name.startswith("_")]
