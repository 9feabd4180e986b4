"""Segments as rows of an array, filled up to equal lengths."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, PyTree

from softjax_solvers.internal import is_traced, segment_ends

from .._dispatch import dispatch
from .._keywords import as_array, parse_flag, parse_integer
from ._ids import check_ids, in_order, narrow_ids, out_of_order, parse_count


def pad(
    x: PyTree[Array],
    segment_ids: Any,
    num_segments: int | None = None,
    max_size: int | None = None,
    *,
    indices_are_sorted: bool = False,
) -> tuple[PyTree[Array], Bool[Array, "num_segments max_size"], Callable[..., Any]]:
    """Segments as rows of equal length, for operators along an axis with `where=`.

    Every operator, method and keyword works on segments by
    `op(padded, axis=1, where=where)`.

    **Arguments:**

    - `x`: an array `n ...`, or a pytree of them.
    - `segment_ids`, `num_segments`, `indices_are_sorted`: as of
        [`softjax.segment.max`][].
    - `max_size`: the length of rows. None for the size of the largest segment, which
        has to be known then. Of larger segments, the elements beyond are left out,
        where that can't be known.

    **Returns:** three things:

    - `padded`: `num_segments max_size ...`, each segment in the order of x, and 0
        behind it.
    - `where`: `num_segments max_size`, which of these are elements.
    - `unpad`: a function that takes an array `num_segments max_size ...`, or a pytree
        of them, back to `n ...`; 0 for elements that are in no row.

    **Raises:** `ValueError` if a segment is known to be larger than `max_size`, or if
    `num_segments` or `max_size` is needed and can't be known; and as
    [`softjax.segment.max`][] does.

    **Example:**

        >>> x, ids = jnp.array([0.2, 0.5, 1.0, 0.3, 0.7]), jnp.array([0, 1, 0, 1, 0])
        >>> padded, where, unpad = sj.segment.pad(x, ids)
        >>> print(padded)
        [[0.2 1.  0.7]
         [0.5 0.3 0. ]]
        >>> print(unpad(sj.rank(padded, axis=1, method="ot", where=where)))
        [2.931 1.119 1.177 1.881 1.892]
    """
    name, ids = "segment.pad", as_array(segment_ids, "segment_ids")
    are_sorted = parse_flag(indices_are_sorted, f"{name}: indices_are_sorted")
    ids = ids if isinstance(ids, jax.Array) else np.asarray(ids)
    count = parse_count(ids, num_segments, name)
    for leaf in jax.tree.leaves(x):
        check_ids(ids, np.shape(leaf), name)
    size = _size(segment_ids, count, max_size)
    constants = dict(count=count, size=size, are_sorted=are_sorted)
    padded, where, slots = dispatch(_fill, ids, x=x, **constants)

    def unpad(y: PyTree[Array]) -> PyTree[Array]:
        return jax.tree.map(lambda y: _read(y, slots, where.shape), y)

    return padded, where, unpad


def _fill(ids, *, x, count, size, are_sorted):
    """Rows of segments, which of it are elements, and where elements are."""
    ids = narrow_ids(jnp.asarray(ids), count)
    ordered, places = in_order(ids, are_sorted)
    # What is before all segments has one of its own, and so has what is behind them.
    first, stop = segment_ends(ordered + 1, count + 2)
    column = jnp.arange(len(ids), dtype=jnp.int32) - first[ordered + 1]
    inside = (column < size) & (ordered >= 0) & (ordered < count)
    # What is in no row is behind all of them.
    slots = jnp.where(inside, ordered * size + column, count * size)
    slots = out_of_order(slots, places)
    columns, first = jnp.arange(size), first[1:-1, None]
    where = columns < stop[1:-1, None] - first

    def fill(x):
        x = jnp.asarray(x)
        here = where.reshape(*where.shape, *(1,) * (x.ndim - 1))
        if len(ids) == 0:
            return jnp.zeros((count, size, *x.shape[1:]), x.dtype)
        take = jnp.minimum(first + columns, len(ids) - 1)
        rows = x[take if places is None else places[take]]
        return jnp.where(here, rows, jnp.zeros((), x.dtype))

    return jax.tree.map(fill, x), where, slots


def _read(y: Any, slots: Array, shape: tuple[int, ...]) -> Array:
    """Entries of rows for each element, 0 for one that is in none."""
    y = jnp.asarray(y)
    if y.shape[:2] != shape:
        raise ValueError(f"unpad: an array of shape {y.shape} must begin with {shape}.")
    rows = y.reshape(shape[0] * shape[1], *y.shape[2:])
    return jnp.concatenate([rows, jnp.zeros((1, *rows.shape[1:]), y.dtype)])[slots]


def _size(segment_ids: Any, count: int, max_size: Any) -> int:
    """The length of rows.

    **Raises:** `ValueError` or `TypeError` if it does not fit.
    """
    if max_size is not None:
        max_size = parse_integer(max_size, "segment.pad: max_size", 0)
    if is_traced(segment_ids):
        if max_size is None:
            raise ValueError(
                "segment.pad: max_size must be given where segment_ids are traced, as "
                "under jax.jit."
            )
        return max_size
    known = np.asarray(segment_ids)
    known = known[(known >= 0) & (known < count)]
    largest = int(np.bincount(known.astype(np.int64)).max()) if known.size else 0
    if max_size is None:
        return largest
    if largest > max_size:
        raise ValueError(
            f"segment.pad: a segment has {largest} elements, more than "
            f"max_size={max_size}."
        )
    return max_size
