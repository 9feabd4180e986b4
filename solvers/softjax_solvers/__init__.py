"""Regularized linear programs: regularizers, problems, solvers, derivatives."""

from ._check import (
    RegularizerReport as RegularizerReport,
    check_regularizer as check_regularizer,
    measure_smoothness as measure_smoothness,
)
from ._chunks import map_chunks as map_chunks, sum_chunks as sum_chunks
from ._fenchel_young import (
    fenchel_young_loss as fenchel_young_loss,
    optimal_value as optimal_value,
)
from ._modes import MODES as MODES, get_regularizer as get_regularizer
from ._numerics import (
    anywhere as anywhere,
    derivative as derivative,
    distance as distance,
    is_traced as is_traced,
    linear_map as linear_map,
    pad_last as pad_last,
    safe_divide as safe_divide,
    tangent_of as tangent_of,
    varying_as as varying_as,
)
from ._problem import (
    ConcaveDualProblem as ConcaveDualProblem,
    MaximizationProblem as MaximizationProblem,
    Problem as Problem,
    ScalarDualProblem as ScalarDualProblem,
)
from ._problems import (
    Blocks as Blocks,
    HypersimplexProjection as HypersimplexProjection,
    MajorizationProjection as MajorizationProjection,
    PermutahedronProjection as PermutahedronProjection,
    Potentials as Potentials,
    SimplexProjection as SimplexProjection,
    SortedDeviationProjection as SortedDeviationProjection,
    SortedDistanceProjection as SortedDistanceProjection,
    SortedRows as SortedRows,
    TransportProjection as TransportProjection,
)
from ._registry import SOLVERS as SOLVERS, choose_solver as choose_solver
from ._regularizer import (
    Regularizer as Regularizer,
    link_from_gradient as link_from_gradient,
)
from ._regularizers import (
    BinaryEntropy as BinaryEntropy,
    Cubic as Cubic,
    Entropy as Entropy,
    LogBarrier as LogBarrier,
    PNorm as PNorm,
    PseudoHuber as PseudoHuber,
    Quintic as Quintic,
    Scaled as Scaled,
    Sum as Sum,
    Tsallis as Tsallis,
    TwoSided as TwoSided,
)
from ._roots import find_root as find_root
from ._scans import linear_recurrence as linear_recurrence, tie_groups as tie_groups
from ._solve import (
    column_means as column_means,
    expectation as expectation,
    primal as primal,
    solve as solve,
)
from ._solver import Solution as Solution, Solver as Solver
from ._solvers import (
    Alternating as Alternating,
    ClosedForm as ClosedForm,
    ConjugateGradients as ConjugateGradients,
    DampedNewton as DampedNewton,
    JaxoptMinimiser as JaxoptMinimiser,
    Merging as Merging,
    Newton as Newton,
    OptimistixMinimiser as OptimistixMinimiser,
    OptimistixRootFinder as OptimistixRootFinder,
    PoolAdjacentViolators as PoolAdjacentViolators,
    Rowwise as Rowwise,
    SemiDual as SemiDual,
    Sinkhorn as Sinkhorn,
)
from ._sorting import (
    invert as invert,
    kth_largest as kth_largest,
    largest as largest,
    permute as permute,
    sort_with_permutation as sort_with_permutation,
)
from ._subsets import (
    log_subset_sums as log_subset_sums,
    surplus as surplus,
    surplus_of_sizes as surplus_of_sizes,
)
