"""Hints at the ends of error messages."""

from typing import Any


def did_you_mean(given: Any, kind: type) -> str:
    """A hint to call a class of some kind, given where an object of it belongs."""
    if isinstance(given, type) and issubclass(given, kind):
        return f" Did you mean {given.__name__}()?"
    return ""
