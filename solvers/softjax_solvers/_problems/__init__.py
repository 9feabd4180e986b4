from .hypersimplex import HypersimplexProjection as HypersimplexProjection
from .majorization import MajorizationProjection as MajorizationProjection
from .permutahedron import (
    Blocks as Blocks,
    PermutahedronProjection as PermutahedronProjection,
)
from .simplex import SimplexProjection as SimplexProjection
from .sorted_rows import (
    SortedDeviationProjection as SortedDeviationProjection,
    SortedDistanceProjection as SortedDistanceProjection,
    SortedRows as SortedRows,
)
from .transport import (
    Potentials as Potentials,
    TransportProjection as TransportProjection,
)
