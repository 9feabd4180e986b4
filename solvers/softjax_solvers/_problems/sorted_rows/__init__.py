from .neuralsort import NeuralSortRows as NeuralSortRows
from .rows import SortedRows as SortedRows
from .segments import SegmentedSoftSortRows as SegmentedSoftSortRows
from .softsort import SoftSortRows as SoftSortRows
