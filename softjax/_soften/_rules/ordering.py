"""Sorting, the first k, and places in sorted arrays."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import JaxprEqn
from jaxtyping import Array

from ... import axiswise, comparison, selection
from .. import _jaxprs
from .._context import Context, Keep, Unsupported
from .._settings import ELEMENTWISE
from .._values import (
    Count,
    Dist,
    Known,
    Real,
    Value,
    concrete,
    is_integral,
    new_key,
    of_mean,
)
from .extrema import first_of_equals


def _sort(context: Context, eqn: JaxprEqn, operands: Sequence[Value]) -> list[Value]:
    axis, first = eqn.params["dimension"], operands[0]
    if eqn.params["num_keys"] != 1:
        raise Unsupported("by several keys")
    if isinstance(first, Known):
        raise Keep("order of what is known")
    if not isinstance(first, Real | Count | Dist):
        raise Unsupported("of Booleans")
    if len(operands) == 1:
        context.softened(eqn, "sort", "soft sort")
        out = axiswise.sort(first.mean(), axis=axis, **context.keywords("sort"))
        return [of_mean(out, first.dtype)]
    p = _inverse(first, axis)
    if p is None:
        context.softened(eqn, "sort", "soft argsort")
        numbers = first_of_equals(first, axis, 1)
        p = axiswise.argsort(numbers, axis=axis, **context.keywords("sort"))
    else:
        context.softened(eqn, "sort", "inverse of a soft permutation")
    return [_permuted(p, value, axis) for value in operands]


_PERMUTATION = "permutation"
"""Mark in the key of what a soft argsort makes of places, with the axis."""


def _inverse(value: Value, axis: int) -> Array | None:
    """The transposed matrix of a soft permutation, as shares, or None.

    Sorting its places anew would compare their means, at a distance of 1.
    """
    if not isinstance(value, Dist) or not isinstance(value.key, tuple):
        return None
    if value.key[:2] != (_PERMUTATION, axis):
        return None
    p = jnp.moveaxis(value.probs, axis, -2)
    p = jnp.swapaxes(p, -1, -2)
    total = jnp.sum(p, axis=-1, keepdims=True)
    p = p / jnp.where(total == 0, 1, total)
    return jnp.moveaxis(p, -2, axis)


def _permuted(p: Array, value: Value, axis: int) -> Value:
    """Values in a soft order; constants, such as places, as distributions."""
    numbers = concrete(value)
    if numbers is not None and numbers.dtype.kind in "iu":
        points = _equal_rows(numbers, axis)
        if points is not None:
            key = new_key()
            if points == tuple(range(len(points))):
                key = (_PERMUTATION, axis, key)
            return Dist(p, None, points, value.dtype, key)
    if isinstance(value, Known) and not jnp.issubdtype(value.dtype, jnp.inexact):
        rows = jnp.moveaxis(value.array, axis, -1)
        support = jnp.broadcast_to(jnp.expand_dims(rows, axis), p.shape)
        return Dist(p, support, None, value.dtype, new_key())
    out = selection.take_along_axis(value.mean(), p, axis=axis)
    return of_mean(out, value.dtype)


def _equal_rows(numbers: Any, axis: int) -> tuple | None:
    """The numbers along an axis, where they are the same at all other places."""
    rows = np.moveaxis(numbers, axis, -1).reshape(-1, numbers.shape[axis])
    if rows.shape[0] and (rows == rows[0]).all():
        return tuple(rows[0].tolist())
    return None


def _top_k(context: Context, eqn: JaxprEqn, operands: Sequence[Value]) -> list[Value]:
    (x,) = operands
    axis = eqn.params.get("axis", eqn.params.get("reduction_dimension", -1))
    axis %= len(x.shape)
    k = eqn.params["k"]
    if not isinstance(x, Real | Count):
        raise Unsupported("of Booleans and indices")
    if not eqn.params.get("is_max_k", True):
        raise Unsupported("of the smallest")
    context.softened(eqn, "sort", f"soft top {k}")
    numbers = first_of_equals(x, axis, -1)
    values, p = axiswise.top_k(numbers, k, axis=axis, **context.keywords("sort"))
    if p is None:
        raise Unsupported("the method has no soft indices")
    if is_integral(x):  # without the ramp
        values = selection.take_along_axis(x.mean(), p, axis=axis)
    points = tuple(range(x.shape[axis]))
    dtype = _jaxprs.aval(eqn, 1).dtype
    return [
        of_mean(values, x.dtype),
        Dist(p, None, points, jnp.dtype(dtype), new_key()),
    ]


def search_sorted(
    context: Context, eqn: JaxprEqn, operands: Sequence[Value], batch: int = 0
) -> list[Value]:
    """Places of numbers in a sorted array: soft steps at its elements."""
    batch = eqn.params.get("batch_dims", batch)
    if eqn.params.get("dimension", batch) != batch:
        raise Unsupported("along another axis")
    points = operands[0].shape[batch]
    context.softened(eqn, "comparison", "soft step at each element")
    keywords = context.keywords("comparison", *ELEMENTWISE)

    def above(elements: Array, queries: Array) -> Array:
        return comparison.greater(queries[..., None], elements, **keywords)

    for _ in range(batch):
        above = jax.vmap(above)
    p = above(*(value.mean() for value in operands))
    ends = [jnp.ones_like(p[..., :1]), jnp.zeros_like(p[..., :1])]
    p = jnp.concatenate([ends[0], p, ends[1]], axis=-1)
    probs = p[..., :-1] - p[..., 1:]
    dtype = jnp.dtype(_jaxprs.aval(eqn).dtype)
    return [Dist(probs, None, tuple(range(points + 1)), dtype, new_key())]


ORDERING = {
    "sort": _sort,
    "top_k": _top_k,
    "approx_top_k": _top_k,
    "SearchSorted": search_sorted,
}
