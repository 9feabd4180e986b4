from .neuralsort import NeuralSortRows as NeuralSortRows
from .softsort import SoftSortRows as SoftSortRows
from .rows import SortedRows as SortedRows
