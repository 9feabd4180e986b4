"""Formulations: which regularized linear program stands for an operator."""

from collections.abc import Callable

from ._method import (
    IndexMethod as IndexMethod,
    Level as Level,
    Method as Method,
    Ordered as Ordered,
    Relaxation as Relaxation,
    Sample as Sample,
    ValueMethod as ValueMethod,
)
from ._rows import RowMethod as RowMethod
from .fast_soft_sort import FastSoftSort as FastSoftSort
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
"""Name of a method -> what makes it."""


def get_method(method: str | Method) -> Method:
    """The method that `method` names, or `method` itself.

    **Raises:** `ValueError` for an unknown name, `TypeError` for anything else.
    """
    if isinstance(method, Method):
        return method
    names = ", ".join(map(repr, METHODS))
    if not isinstance(method, str):
        hint = ""
        if isinstance(method, type) and issubclass(method, Method):
            hint = f" Did you mean {method.__name__}()?"
        raise TypeError(
            f"method must be one of {names} or a Method instance, got {method!r}.{hint}"
        )
    if method not in METHODS:
        raise ValueError(
            f"method={method!r} is not known. Allowed: {names}, or a Method instance."
        )
    return METHODS[method]()
