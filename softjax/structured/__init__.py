"""Structured prediction: soft paths, alignments, segmentations, trees.

A structure is a vertex of a polytope in the space of its scores; a soft structure is a
point of it, its marginals.
"""

import typing

from ..straight_through import straight_through_variants as _variants
from ._alignments import soft_dtw_divergence as soft_dtw_divergence
from ._check import (
    StructureReport as StructureReport,
    check_structure as check_structure,
)
from ._functions import (
    argmax as argmax,
    entropy as entropy,
    fenchel_young_loss as fenchel_young_loss,
    sample as sample,
    value as value,
)
from ._semirings import ABSENT as ABSENT, Semiring as Semiring
from ._structure import (
    DynamicProgram as DynamicProgram,
    Ranked as Ranked,
    Structure as Structure,
)
from ._top_k import TopK as TopK, mean_of_k as mean_of_k, top_k as top_k
from .methods import (
    METHODS as METHODS,
    Distribution as Distribution,
    KBestDistribution as KBestDistribution,
    Marginals as Marginals,
    Perturbed as Perturbed,
    Recursion as Recursion,
    StructuredMethod as StructuredMethod,
    get_method as get_method,
)
from .semirings import (
    Hard as Hard,
    KBest as KBest,
    Regularized as Regularized,
    Sampled as Sampled,
)
from .structures import (
    Alignment as Alignment,
    Chain as Chain,
    GraphPath as GraphPath,
    GridPath as GridPath,
    Knapsack as Knapsack,
    KSubset as KSubset,
    Matching as Matching,
    MeanOfK as MeanOfK,
    Oracle as Oracle,
    ProjectiveTree as ProjectiveTree,
    Segments as Segments,
    SpanningTree as SpanningTree,
)

_WITH_MODE = argmax, mean_of_k, top_k
globals().update(_variants(_WITH_MODE, "softjax.structured"))

if typing.TYPE_CHECKING:
    # The straight-through variants, which are generated.
    def __getattr__(name: str) -> typing.Any: ...
