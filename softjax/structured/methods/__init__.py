"""Formulations of structured prediction: what is regularized."""

from collections.abc import Callable

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
    if isinstance(method, StructuredMethod):
        return method
    names = ", ".join(map(repr, METHODS))
    if not isinstance(method, str):
        hint = ""
        if isinstance(method, type) and issubclass(method, StructuredMethod):
            hint = f" Did you mean {method.__name__}()?"
        raise TypeError(
            f"method must be one of {names} or a StructuredMethod instance, got "
            f"{method!r}.{hint}"
        )
    if method not in METHODS:
        raise ValueError(
            f"method={method!r} is not known. Allowed: {names}, or a StructuredMethod "
            "instance."
        )
    return METHODS[method]()


def has_method(method: object) -> bool:
    """Whether this is a method of structured prediction, or the name of one."""
    return isinstance(method, StructuredMethod) or method in METHODS
