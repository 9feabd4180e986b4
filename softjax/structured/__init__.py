"""Structured prediction: soft paths, alignments, segmentations, trees.

A structure is a vertex of a polytope in the space of its scores; a soft structure is a
point of it, its marginals.
"""

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
from .methods import (
    METHODS as METHODS,
    Marginals as Marginals,
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
    ProjectiveTree as ProjectiveTree,
    Segments as Segments,
)

__all__ = [
    "ABSENT",
    "METHODS",
    "Alignment",
    "Chain",
    "DynamicProgram",
    "GraphPath",
    "GridPath",
    "Hard",
    "KBest",
    "Marginals",
    "ProjectiveTree",
    "Ranked",
    "Recursion",
    "Regularized",
    "Sampled",
    "Segments",
    "Semiring",
    "Structure",
    "StructuredMethod",
    "argmax",
    "argmax_st",
    "entropy",
    "fenchel_young_loss",
    "get_method",
    "sample",
    "value",
]
