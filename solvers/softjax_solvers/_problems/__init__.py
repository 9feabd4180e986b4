from .coupled import (
    ClusteredSimplexProjection as ClusteredSimplexProjection,
    FusedSimplexProjection as FusedSimplexProjection,
    GroupedSimplexProjection as GroupedSimplexProjection,
    GroupLassoProjection as GroupLassoProjection,
    MetricSimplexProjection as MetricSimplexProjection,
    NormSimplexProjection as NormSimplexProjection,
    Pulled as Pulled,
    ReducedProjection as ReducedProjection,
    SparseSimplexProjection as SparseSimplexProjection,
    project as project,
)
from .hypersimplex import HypersimplexProjection as HypersimplexProjection
from .linear_program import (
    Incidence as Incidence,
    LinearProgram as LinearProgram,
    Program as Program,
)
from .majorization import MajorizationProjection as MajorizationProjection
from .oracle import Atoms as Atoms, OracleProjection as OracleProjection
from .permutahedron import (
    Blocks as Blocks,
    IsotonicRegression as IsotonicRegression,
    PermutahedronProjection as PermutahedronProjection,
)
from .segments import (
    SegmentedHypersimplexProjection as SegmentedHypersimplexProjection,
    SegmentedSimplexProjection as SegmentedSimplexProjection,
)
from .simplex import SimplexProjection as SimplexProjection
from .sorted_rows import (
    NeuralSortRows as NeuralSortRows,
    SegmentedSoftSortRows as SegmentedSoftSortRows,
    SoftSortRows as SoftSortRows,
    SortedRows as SortedRows,
)
from .transport import (
    Potentials as Potentials,
    Transport as Transport,
    TransportProjection as TransportProjection,
)
