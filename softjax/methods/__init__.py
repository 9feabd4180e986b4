"""Formulations: which regularized linear program stands for an operator."""

from collections.abc import Callable

from .._keywords import parse_choice as _parse_choice
from ._intervals import Intervals as Intervals
from ._method import (
    IndexMethod as IndexMethod,
    Method as Method,
    Relaxation as Relaxation,
    ValueMethod as ValueMethod,
)
from ._rows import RowMethod as RowMethod
from ._sample import Infinite as Infinite, Ordered as Ordered, Sample as Sample
from ._shares import Logarithms as Logarithms, Plain as Plain, Shares as Shares
from .coupled import (
    Clustered as Clustered,
    Fused as Fused,
    Grouped as Grouped,
    GroupLasso as GroupLasso,
    LargestMethod as LargestMethod,
    Metric as Metric,
    Normmax as Normmax,
    Sparse as Sparse,
)
from .fast_soft_sort import FastSoftSort as FastSoftSort
from .masks import (
    MASK_METHODS as MASK_METHODS,
    HypersimplexMask as HypersimplexMask,
    MaskMethod as MaskMethod,
    TransportMask as TransportMask,
    get_mask_method as get_mask_method,
)
from .neuralsort import NeuralSort as NeuralSort
from .ot import OptimalTransport as OptimalTransport
from .smooth_sort import SmoothSort as SmoothSort
from .softsort import SoftSort as SoftSort
from .sorting_network import SortingNetwork as SortingNetwork

METHODS: dict[str, Callable[[], Method]] = {
    "softsort": SoftSort,
    "neuralsort": NeuralSort,
    "ot": OptimalTransport,
    "fast_soft_sort": FastSoftSort,
    "smooth_sort": SmoothSort,
    "sorting_network": SortingNetwork,
}
"""Name of a method -> what makes it.

**Example:**

    >>> print(", ".join(sj.methods.METHODS))
    softsort, neuralsort, ot, fast_soft_sort, smooth_sort, sorting_network
"""


def get_method(method: str | Method) -> Method:
    """The method that `method` names, or `method` itself.

    **Raises:** `ValueError` for an unknown name, `TypeError` for anything else.

    **Example:**

        >>> print(sj.methods.get_method("ot"))
        OptimalTransport()
        >>> print(sj.sort(jnp.array([0.2, 1.0, 0.7]), method=sj.methods.NeuralSort()))
        [0.203 0.711 0.986]
    """
    return _parse_choice(method, Method, METHODS)
