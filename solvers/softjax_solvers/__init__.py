"""Regularized linear programs: regularizers, problems, solvers, derivatives."""

import typing as _typing

from ._checks.problem import (
    ProblemReport as ProblemReport,
    check_problem as check_problem,
)
from ._checks.regularizer import (
    RegularizerReport as RegularizerReport,
    check_regularizer as check_regularizer,
)
from ._checks.smoothness import measure_smoothness as measure_smoothness
from ._core.fenchel_young import (
    fenchel_young_loss as fenchel_young_loss,
    optimal_value as optimal_value,
)
from ._core.modes import MODES as MODES, get_regularizer as get_regularizer
from ._core.problem import (
    ConcaveDualProblem as ConcaveDualProblem,
    MaximizationProblem as MaximizationProblem,
    Problem as Problem,
    ScalarDualProblem as ScalarDualProblem,
)
from ._core.readout import (
    ColumnMeans as ColumnMeans,
    Dual as Dual,
    LogPrimal as LogPrimal,
    Means as Means,
    Primal as Primal,
    Readout as Readout,
    Value as Value,
)
from ._core.registry import SOLVERS as SOLVERS, choose_solver as choose_solver
from ._core.regularizer import (
    Regularizer as Regularizer,
    link_from_gradient as link_from_gradient,
)
from ._core.solution import Solution as Solution
from ._core.solve import evaluate as evaluate, solve as solve
from ._core.solver import Solver as Solver
from ._core.structure import (
    Exponential as Exponential,
    General as General,
    Structure as Structure,
)
from ._flows import min_cost_flow as min_cost_flow, shortest_path as shortest_path
from ._kernels.roots import find_root as find_root
from ._problems import (
    Atoms as Atoms,
    Blocks as Blocks,
    ClusteredSimplexProjection as ClusteredSimplexProjection,
    FusedSimplexProjection as FusedSimplexProjection,
    GroupedSimplexProjection as GroupedSimplexProjection,
    GroupLassoProjection as GroupLassoProjection,
    HypersimplexProjection as HypersimplexProjection,
    Incidence as Incidence,
    LinearProgram as LinearProgram,
    MajorizationProjection as MajorizationProjection,
    MetricSimplexProjection as MetricSimplexProjection,
    NeuralSortRows as NeuralSortRows,
    NormSimplexProjection as NormSimplexProjection,
    OracleProjection as OracleProjection,
    PermutahedronProjection as PermutahedronProjection,
    Potentials as Potentials,
    Pulled as Pulled,
    ReducedProjection as ReducedProjection,
    SegmentedHypersimplexProjection as SegmentedHypersimplexProjection,
    SegmentedSimplexProjection as SegmentedSimplexProjection,
    SegmentedSoftSortRows as SegmentedSoftSortRows,
    SimplexProjection as SimplexProjection,
    SoftSortRows as SoftSortRows,
    SortedRows as SortedRows,
    SparseSimplexProjection as SparseSimplexProjection,
    TransportProjection as TransportProjection,
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
from ._solvers import (
    ActiveSet as ActiveSet,
    ClosedForm as ClosedForm,
    ConjugateGradients as ConjugateGradients,
    DampedNewton as DampedNewton,
    DivideAndConquerIsotonic as DivideAndConquerIsotonic,
    DualCoordinateAscent as DualCoordinateAscent,
    FrankWolfe as FrankWolfe,
    JaxoptMinimiser as JaxoptMinimiser,
    MetricNewton as MetricNewton,
    Newton as Newton,
    OptimistixMinimiser as OptimistixMinimiser,
    OptimistixRootFinder as OptimistixRootFinder,
    OTTSinkhorn as OTTSinkhorn,
    PoolAdjacentViolators as PoolAdjacentViolators,
    ProjectedNewton as ProjectedNewton,
    SemiDual as SemiDual,
)

# Type checkers are told of the names of today alone.
if not _typing.TYPE_CHECKING:
    from ._deprecated import former_names as _former_names

    __getattr__ = _former_names(__name__)
