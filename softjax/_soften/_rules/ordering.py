"""Sorting, the first k, and places in sorted arrays."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import JaxprEqn
from jaxtyping import Array

from ... import axiswise, comparison, selection
from .. import _jaxprs
from .._context import Context, Unsupported
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
    axis, keys = eqn.params["dimension"], eqn.params["num_keys"]
    if all(isinstance(value, Known) for value in operands[:keys]):
        context.kept(eqn, "order of what is known")
        return _in_known_order(context, eqn, operands)
    if keys != 1:
        raise Unsupported("by several keys")
    first, *others = operands
    if not isinstance(first, Real | Count | Dist):
        raise Unsupported("of Booleans")
    first, order = _nan_last(first, axis)
    if not others:
        context.softened(eqn, "sort", "soft sort")
        out = axiswise.sort(first.mean(), axis=axis, **context.keywords("sort"))
        return [order(of_mean(out, first.dtype, is_integral(first)))]
    p = _inverse(first, axis)
    if p is None:
        context.softened(eqn, "sort", "soft argsort")
        numbers = first_of_equals(first, axis, 1)
        p = axiswise.argsort(numbers, axis=axis, **context.keywords("sort"))
    else:
        context.softened(eqn, "sort", "inverse of a soft permutation")
    sorted_first, *rest = (_permuted(p, value, axis) for value in (first, *others))
    return [order(sorted_first), *rest]


def _in_known_order(
    context: Context, eqn: JaxprEqn, operands: Sequence[Value]
) -> list[Value]:
    keys, axis = eqn.params["num_keys"], eqn.params["dimension"]
    arrays = [jnp.asarray(value.hard()) for value in operands[:keys]]
    places = jax.lax.broadcasted_iota(int, arrays[0].shape, axis)
    *_, order = jax.lax.sort((*arrays, places), dimension=axis, num_keys=keys)

    def move(array: Array) -> Array:
        return jnp.take_along_axis(array, order, axis)

    tag = "sort", context.scope, id(eqn)
    return [value.rearranged(move, tag) for value in operands]


def _nan_last(value: Value, axis: int) -> tuple[Value, Callable[[Value], Value]]:
    """The value with infinity for NaN, and what puts NaN in the last places again."""
    if not isinstance(value, Real):
        return value, lambda value: value
    unknown = jnp.isnan(value.array)
    place = jax.lax.broadcasted_iota(int, value.shape, axis)
    last = place >= jnp.sum(~unknown, axis, keepdims=True)

    def restored(found: Value) -> Value:
        return Real(jnp.where(last, jnp.nan, found.mean()), value.integral)

    return Real(jnp.where(unknown, jnp.inf, value.array), value.integral), restored


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
    return of_mean(out, value.dtype, is_integral(value))


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
        of_mean(values, x.dtype, is_integral(x)),
        Dist(p, None, points, jnp.dtype(dtype), new_key()),
    ]


def _search(context: Context, eqn: JaxprEqn, operands: Sequence[Value]) -> list[Value]:
    batch = eqn.params.get("batch_dims", 0)
    if eqn.params.get("dimension", batch) != batch:
        raise Unsupported("along another axis")
    table, queries = (value.mean() for value in operands)
    return search_sorted(context, eqn, table, queries, batch)


def search_sorted(
    context: Context, eqn: JaxprEqn, table: Array, queries: Array, batch: int = 0
) -> list[Value]:
    """Places of numbers in a sorted array: soft steps at its elements."""
    points = table.shape[batch]
    context.softened(eqn, "comparison", "soft step at each element")
    keywords = context.keywords("comparison", *ELEMENTWISE)

    def above(elements: Array, queries: Array) -> Array:
        return comparison.greater(queries[..., None], elements, **keywords)

    for _ in range(batch):
        above = jax.vmap(above)
    p = above(table, queries)
    ends = [jnp.ones_like(p[..., :1]), jnp.zeros_like(p[..., :1])]
    p = jnp.concatenate([ends[0], p, ends[1]], axis=-1)
    probs = p[..., :-1] - p[..., 1:]
    dtype = jnp.dtype(_jaxprs.aval(eqn).dtype)
    return [Dist(probs, None, tuple(range(points + 1)), dtype, new_key())]


ORDERING = {
    "sort": _sort,
    "top_k": _top_k,
    "approx_top_k": _top_k,
    "SearchSorted": _search,
}
