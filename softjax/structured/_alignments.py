"""Distances between time series, by alignments of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from softjax_solvers import Regularizer

from .._dispatch import dispatch
from .._keywords import as_float, check_softness
from ._functions import value
from .methods import StructuredMethod
from .structures import Alignment
from .structures._checks import check_length, check_pair


def _squared(a: Array, b: Array) -> Array:
    """Squared Euclidean distances, of elements that may be vectors."""
    if a.shape[1:] != b.shape[1:]:
        raise ValueError(
            "soft_dtw_divergence: elements of x and y must have one shape, got "
            f"{a.shape[1:]} and {b.shape[1:]}."
        )
    square = (a[:, None] - b[None]) ** 2
    return square.reshape(len(a), len(b), -1).sum(axis=-1)


def soft_dtw_divergence(
    x: Any,
    y: Any,
    *,
    costs: Callable[[Array, Array], Array] = _squared,
    band: int | None = None,
    lengths: tuple[Any, Any] | None = None,
    softness: Any = 0.1,
    mode: str | Regularizer = "smooth",
    method: str | StructuredMethod = "recursion",
) -> Float[Array, ""]:
    """The divergence of soft dynamic time warping, which is 0 for equal series.

    `D(x, y) - (D(x, x) + D(y, y)) / 2`, with `D(x, y) = -value(Alignment(), -C)` of the
    costs C between elements. It is symmetric; D itself is neither 0 for equal series
    nor least for them.

    **Arguments:**

    - `x`, `y`: series, of shapes `(n, ...)` and `(m, ...)`.
    - `costs`: a function of two series that returns their costs, `(n, m)`; by default
        squared Euclidean distances. A new one, such as a lambda in a function that is
        called again, is compiled anew.
    - `band`: as for [`softjax.structured.Alignment`][].
    - `lengths`: a pair of lengths of x and y; None for all.
    - `softness`, `mode`, `method`: as for [`softjax.structured.value`][].

    **Returns:** a scalar.

    **Raises:** `ValueError` for shapes that do not fit, `TypeError` for lengths that
    are no pair of integers.

    **Example:**

        >>> x, y = jnp.array([0.0, 1.0, 2.0]), jnp.array([0.0, 0.5, 2.0, 2.0])
        >>> print(f"{sj.structured.soft_dtw_divergence(x, y):.3f}")
        0.305
        >>> print(f"{sj.structured.soft_dtw_divergence(x, x):.3f}")
        0.000

    ??? cite

        Blondel, Mensch and Vert, "Differentiable divergences between time series",
        AISTATS 2021.
    """
    name = "soft_dtw_divergence"
    for part, series in (("x", x), ("y", y)):
        if np.size(series) == 0 or not np.shape(series):
            raise ValueError(
                f"{name}: {part} must be a series of shape (n, ...), of at least one "
                f"element, got shape {np.shape(series)}."
            )
    if lengths is not None:
        check_pair(name, lengths)
        for part, length, series in zip("xy", lengths, (x, y), strict=True):
            check_length(name, f"lengths (of {part})", length, len(series))
    check_softness(softness)
    given = dict(costs=costs, band=band, lengths=lengths, mode=mode, method=method)
    return dispatch(_divergence, x, y, softness, **given)


def _divergence(x, y, softness, *, costs, band, lengths, **given):
    (x, one), (y, other) = as_float(x, "x"), as_float(y, "y")
    n, m = (None, None) if lengths is None else lengths

    def warped(a, b, pair):
        structure = Alignment(band, None if lengths is None else pair)
        table = costs(a, b)
        if jnp.shape(table) != (len(a), len(b)):
            raise ValueError(
                "soft_dtw_divergence: costs must return an array of shape "
                f"{(len(a), len(b))}, got {jnp.shape(table)}."
            )
        return -value(structure, -table, softness=softness, **given)

    alone = warped(x, x, (n, n)) + warped(y, y, (m, m))
    return (warped(x, y, (n, m)) - alone / 2).astype(jnp.result_type(one, other))
