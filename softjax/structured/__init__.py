"""Structured prediction: soft paths, alignments, segmentations, trees.

A structure is a vertex of a polytope in the space of its scores; a soft structure is a
point of it, its marginals.
"""

from ._alignments import soft_dtw_divergence as soft_dtw_divergence
from ._check import (
    StructureReport as StructureReport,
    check_structure as check_structure,
)
from ._functions import (
    argmax as argmax,
    argmax_st as argmax_st,
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
from ._top_k import (
    TopK as TopK,
    mean_of_k as mean_of_k,
    mean_of_k_st as mean_of_k_st,
    top_k as top_k,
    top_k_st as top_k_st,
)
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

__all__ = [
    "ABSENT",
    "METHODS",
    "Alignment",
    "Chain",
    "Distribution",
    "DynamicProgram",
    "GraphPath",
    "GridPath",
    "Hard",
    "KBest",
    "KBestDistribution",
    "KSubset",
    "Knapsack",
    "Marginals",
    "Matching",
    "MeanOfK",
    "Oracle",
    "Perturbed",
    "ProjectiveTree",
    "Ranked",
    "Recursion",
    "Regularized",
    "Sampled",
    "Segments",
    "Semiring",
    "SpanningTree",
    "Structure",
    "StructureReport",
    "StructuredMethod",
    "TopK",
    "argmax",
    "argmax_st",
    "check_structure",
    "entropy",
    "fenchel_young_loss",
    "get_method",
    "mean_of_k",
    "mean_of_k_st",
    "sample",
    "soft_dtw_divergence",
    "top_k",
    "top_k_st",
    "value",
]
