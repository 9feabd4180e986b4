"""Formulations of structured prediction: what is regularized."""

from collections.abc import Callable

from ..._keywords import parse_choice
from ._method import StructuredMethod as StructuredMethod
from .distribution import Distribution as Distribution
from .k_best import KBestDistribution as KBestDistribution
from .marginals import Marginals as Marginals
from .perturbed import Perturbed as Perturbed
from .recursion import Recursion as Recursion

METHODS: dict[str, Callable[[], StructuredMethod]] = {
    "recursion": Recursion,
    "marginals": Marginals,
    "k_best": KBestDistribution,
    "distribution": Distribution,
}
"""Name of a method of structured prediction -> what makes it.

**Example:**

    >>> for name in sj.structured.METHODS:
    ...     print(name)
    recursion
    marginals
    k_best
    distribution
"""


def get_method(method: str | StructuredMethod) -> StructuredMethod:
    """The method of structured prediction that `method` names, or `method` itself.

    **Raises:** `ValueError` for an unknown name, `TypeError` for anything else.

    **Example:**

        >>> print(sj.structured.get_method("recursion"))
        Recursion()
    """
    return parse_choice(method, StructuredMethod, METHODS)


def has_method(method: object) -> bool:
    """Whether this is a method of structured prediction, or the name of one."""
    return isinstance(method, StructuredMethod) or method in METHODS
