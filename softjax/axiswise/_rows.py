"""The input of an axiswise operator and the keywords of its shape, laid out as rows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from softjax_solvers.internal import pad_last

from .._keywords import parse_parameter, parse_softness
from .._layout import Layout, split_mask, split_parameter, split_weights
from ._operation import Operation


class Rows(NamedTuple):
    """The input of an operation and keywords of its shape, laid out as rows.

    **Attributes:**

    - `x`: `*batch n`.
    - `softness`: `*#batch 1`.
    - `where`, `weights`: None, or `*batch n`.
    """

    x: Float[Array, "*batch n"]
    softness: Float[Array, "*#batch 1"]
    where: Bool[Array, "*batch n"] | None
    weights: Float[Array, "*batch n"] | None


def split_rows(
    operation: Operation,
    x: Float[Array, "..."],
    softness: Any,
    given: Mapping[str, Any],
    layout: Layout,
    initial: Any = None,
) -> Rows:
    """The input and the keywords of its shape as rows.

    **Raises:** `TypeError` or `ValueError` if one of them does not fit.
    """
    name, where, weights = operation.name, given["where"], given["weights"]
    softness = parse_softness(softness, x.dtype)
    softness = split_parameter(softness, layout, name, "softness")
    if where is not None:
        where = split_mask(where, layout, name)
    if weights is not None:
        weights = split_weights(weights, layout, name).astype(x.dtype)
    rows = layout.split(x) if x.ndim else x.reshape(1)
    if operation.skips_nan:
        numbers = ~jnp.isnan(rows)
        rows = jnp.where(numbers, rows, 0)
        where = numbers if where is None else where & numbers
    if initial is not None:
        rows = _with_initial(rows, initial, layout, name)
        where = None if where is None else pad_last(where, 0, 1, True)
        weights = None if weights is None else pad_last(weights, 0, 1, 1)
    return Rows(rows, softness, where, weights)


def _with_initial(
    rows: Float[Array, "*batch n"], initial: Any, layout: Layout, name: str
) -> Float[Array, "*batch m"]:
    """Rows with one more element at the end."""
    allowed = "a number or an array of them"
    initial = parse_parameter(initial, f"{name}: initial", allowed).astype(rows.dtype)
    initial = split_parameter(initial, layout, name, "initial")
    initial = jnp.broadcast_to(initial, (*rows.shape[:-1], 1))
    return jnp.concatenate([rows, initial], axis=-1)
