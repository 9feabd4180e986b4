from .neuralsort import NeuralSortRows as NeuralSortRows
from .rows import SortedRows as SortedRows
from .softsort import SoftSortRows as SoftSortRows
