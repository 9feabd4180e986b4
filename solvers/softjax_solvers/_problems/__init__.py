from .hypersimplex import HypersimplexProjection as HypersimplexProjection
from .majorization import MajorizationProjection as MajorizationProjection
from .permutahedron import (
    Blocks as Blocks,
    PermutahedronProjection as PermutahedronProjection,
)
from .simplex import SimplexProjection as SimplexProjection
from .sorted_deviation import (
    SortedDeviationProjection as SortedDeviationProjection,
)
from .sorted_distance import SortedDistanceProjection as SortedDistanceProjection
from .sorted_rows import SortedRows as SortedRows
from .transport import (
    Potentials as Potentials,
    TransportProjection as TransportProjection,
)
