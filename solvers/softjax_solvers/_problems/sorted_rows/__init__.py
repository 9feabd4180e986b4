from .deviation import NeuralSortRows as NeuralSortRows
from .distance import SoftSortRows as SoftSortRows
from .rows import SortedRows as SortedRows
