"""Checks of weights, as far as their values are known."""

from __future__ import annotations

from typing import Any

import numpy as np

from softjax_solvers.internal import is_traced

from .._layout import layout_of, weights_shape
from ..methods import Method
from ._operation import Operation


def check_measure(
    operation: Operation,
    x: Any,
    axis: Any,
    weights: Any,
    where: Any,
    method: Method | None = None,
) -> None:
    """Check weights, and the mass of rows, as far as they are known.

    **Raises:** `TypeError` if weights are not real numbers. `ValueError` if one is
    negative or not finite, or if units of mass are asked of a row of several elements
    that has no more than one of them, or if there are more than the `method` takes.
    """
    if is_traced((weights, where)):
        return
    name, known = operation.name, known_weights(weights, operation.name)
    shape = np.shape(x)
    layout = layout_of(shape, axis, name, several=True)
    known = known.reshape(weights_shape(known, layout, name))
    try:
        known = np.broadcast_to(known, shape)
        if where is not None:
            known = np.where(np.broadcast_to(np.asarray(where), shape), known, 0)
    except ValueError:
        return  # which is said where the arrays are laid out
    check_weights(known, name)
    total, count = (x.sum(axis=layout.axes) for x in (known, known > 0))
    if operation.by_units:
        check_total(total, count, name)
    if method is not None:
        method.check_total(total, layout.size, name)


def known_weights(weights: Any, name: str) -> np.ndarray:
    """Weights in float64.

    **Raises:** `TypeError` if they are not real numbers.
    """
    known = np.asarray(weights)
    if not (np.issubdtype(known.dtype, np.floating) or known.dtype.kind in "biu"):
        raise TypeError(
            f"{name}: weights must be an array of real numbers, got {known.dtype}."
        )
    return known.astype(np.float64)


def check_weights(known: np.ndarray, name: str) -> None:
    """**Raises:** `ValueError` if a weight is negative or not finite."""
    bad = ~(np.isfinite(known) & (known >= 0))
    if bad.any():
        raise ValueError(
            f"{name}: weights must be nonnegative and finite, got {known[bad][0]}."
        )


def check_total(total: np.ndarray, count: np.ndarray, name: str) -> None:
    """**Raises:** `ValueError` if several elements have no more than one unit of mass.

    **Arguments:**

    - `total`, `count`: the mass of rows, and how many elements have some.
    """
    # Shares in float32 sum to 1 up to rounding.
    few = (total > 0) & (total < 1 + 1e-5) & (count > 1)
    if few.any():
        raise ValueError(
            f"{name}: weights count copies, and a row has only "
            f"{total[few].ravel()[0]:.6g} of them. For weights that are relative to "
            "each other pass w * sum(w) / sum(w**2), or w * n / sum(w) for as many "
            "copies as there are elements."
        )
