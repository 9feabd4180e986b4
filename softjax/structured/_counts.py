"""Checks of whole numbers."""

from __future__ import annotations

from typing import Any

import numpy as np

from .._keywords import got


def parse_integer(name: str, part: str, value: Any, least: int) -> int:
    """A whole number of Python's.

    **Raises:** `ValueError` if it is none, or less than the least.
    """
    whole = isinstance(value, int | np.integer) and not isinstance(value, bool)
    if not whole or value < least:
        raise ValueError(
            f"{name}: {part} must be an integer of at least {least}, {got(value)}"
        )
    return int(value)
