"""Row-wise work in chunks, so that memory stays linear."""

from __future__ import annotations

import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, PyTree

_BLOCK = 2**20
"""Elements of the largest intermediate array that one chunk of rows may form.

A few such arrays fit into a processor's cache; chunks four times as large spent most of
their time on fetching pages.
"""


def chunk_length(rows: int, row_size: int) -> int:
    """Number of rows in a chunk, of `rows` rows with `row_size` elements each."""
    fit = max(1, _BLOCK // max(1, row_size))
    chunks = math.ceil(rows / fit)
    # Chunks of equal length waste the least on padding.
    return math.ceil(rows / max(1, chunks))


def map_chunks(
    fn: Callable[[PyTree], PyTree], rows: PyTree, *, row_size: int
) -> PyTree:
    """Map of a row-wise function over chunks along the leading axis: `fn(rows)`.

    `fn` maps a pytree of arrays with leading axis `c` to another one, row by row. It is
    called once where all rows fit into one chunk. Otherwise it runs chunk by chunk, and
    again for the gradient, which then stores no more than the chunks' inputs.
    """
    (count,) = {leaf.shape[0] for leaf in jax.tree.leaves(rows)}
    length = chunk_length(count, row_size)
    if length >= count:
        return fn(rows)
    out = jax.lax.map(
        jax.checkpoint(fn), jax.tree.map(lambda leaf: _split(leaf, length), rows)
    )
    return jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[2:])[:count], out)


def _split(rows: Array, length: int) -> Array:
    """Chunks of equal length, the last one filled up with copies of the last row."""
    missing = -rows.shape[0] % length
    if missing:
        rows = jnp.concatenate([rows, jnp.repeat(rows[-1:], missing, axis=0)])
    return rows.reshape(-1, length, *rows.shape[1:])


def sum_chunks(
    fn: Callable[[tuple[PyTree, Array]], PyTree], rows: PyTree, *, row_size: int
) -> PyTree:
    """Sum of `fn((rows, included))` over chunks along the leading axis.

    `fn` returns a pytree of sums over the rows it is given, each times its entry of
    `included`, which is 1, or 0 for rows that only fill up the last chunk.
    """
    leaves = jax.tree.leaves(rows)
    (count,) = {leaf.shape[0] for leaf in leaves}
    dtype = jnp.result_type(*leaves)
    length = chunk_length(count, row_size)
    if length >= count:
        return fn((rows, jnp.ones(count, dtype)))
    split = jax.tree.map(lambda leaf: _split(leaf, length), rows)
    included = (jnp.arange(-(-count // length) * length) < count).astype(dtype)
    chunks = split, included.reshape(-1, length)
    shapes = jax.eval_shape(fn, jax.tree.map(lambda leaf: leaf[0], chunks))
    start = jax.tree.map(jnp.zeros_like, shapes)
    step = jax.checkpoint(fn)

    def add(total, chunk):
        return jax.tree.map(jnp.add, total, step(chunk)), None

    return jax.lax.scan(add, start, chunks)[0]
