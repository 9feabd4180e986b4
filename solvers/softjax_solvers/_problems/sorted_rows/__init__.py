from .deviation import SortedDeviationProjection as SortedDeviationProjection
from .distance import SortedDistanceProjection as SortedDistanceProjection
from .rows import SortedRows as SortedRows
