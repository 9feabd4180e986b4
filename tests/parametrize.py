"""Decorators that parametrize a test over entries of the shared lists."""

from collections.abc import Callable

import pytest
from cases import METHODS, REPRESENTATIVES, Case
from facts import takes


def each(
    name: str, entries: list, *, fast: tuple[str, ...] | None = None
) -> pytest.MarkDecorator:
    """Parametrize a test over entries of `cases.py`, strings, numbers or functions.

    Where `fast` names some of the entries, the test is slow for the others.
    """

    def parameter(entry):
        label = getattr(entry, "name", getattr(entry, "__name__", str(entry)))
        slow = fast is not None and label not in fast
        return pytest.param(entry, id=label, marks=[pytest.mark.slow] if slow else [])

    return pytest.mark.parametrize(name, [parameter(entry) for entry in entries])


def each_pair(
    regularizers: list[Case],
    fast: dict[str, str | None] = REPRESENTATIVES,
    holds: Callable[[str], bool] = lambda method: True,
) -> pytest.MarkDecorator:
    """Parametrize a test over `case` and `method`, slow except for the pairs `fast`.

    Leaves out the methods for which it does not hold.
    """
    return pytest.mark.parametrize(
        ("case", "method"),
        [
            pytest.param(
                case,
                method,
                id=f"{case.name}-{method}",
                marks=[pytest.mark.slow] if fast[method] != case.name else [],
            )
            for case in regularizers
            for method in METHODS
            if takes(method, case) and holds(method)
        ],
    )


def pick(entries: list, *names: str) -> list:
    """Some entries of a list, by name."""
    return [{e.name: e for e in entries}[name] for name in names]
