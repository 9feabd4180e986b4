"""Row-wise functions, and loops over single numbers, which are the fastest on a CPU."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax.experimental.custom_partitioning import custom_partitioning
from jaxtyping import Array

from .varying import varying_as


def read(x: Array, i: Array) -> Array:
    """`x[i]` of an index that is known to be nonnegative and in bounds."""
    return jax.lax.dynamic_index_in_dim(
        x, i, keepdims=False, allow_negative_indices=False
    )


def write(x: Array, entry: Array, i: Array) -> Array:
    """`x` with `entry` at the index `i`, which is nonnegative and in bounds."""
    return jax.lax.dynamic_update_index_in_dim(
        x, entry, i, 0, allow_negative_indices=False
    )


def row_by_row(
    fn: Callable[..., tuple[Array, ...]], *rows: Array, outputs: int
) -> tuple[Array, ...]:
    """`fn(*rows)` of a row-wise function without derivatives, partitioned by rows.

    XLA might gather the rows of several devices; by `custom_partitioning`, each device
    keeps its own. That has no rule for `jax.vmap` (JAX 0.10), which `custom_vmap` adds.

    **Arguments:**

    - `fn`: takes arrays `*batch n`, and returns a tuple of so many `outputs`
        `*batch m`.
    - `rows`: `*batch n`.
    """

    def partition(mesh, args, results):
        shardings = (tuple(x.sharding for x in tree) for tree in (results, args))
        return mesh, fn, *shardings

    def axes(count: int, last: str) -> str:
        batch = (f"batch{i}" for i in range(rows[0].ndim - 1))
        return ", ".join([" ".join([*batch, last])] * count)

    apart = custom_partitioning(fn)
    apart.def_partition(
        partition,
        sharding_rule=f"{axes(len(rows), 'n')} -> {axes(outputs, 'm')}",
        need_replication_factors=("n", "m"),
    )
    call = jax.custom_batching.custom_vmap(lambda *rows: apart(*rows))

    @call.def_vmap
    def _(axis_size, in_batched, *rows):
        rows = (
            x if batched else jnp.broadcast_to(x, (axis_size, *x.shape))
            for x, batched in zip(rows, in_batched, strict=True)
        )
        return row_by_row(fn, *rows, outputs=outputs), (True,) * outputs

    return call(*rows)


def serially(
    fn: Callable[..., tuple[Array, ...]], *rows: Array, outputs: int
) -> tuple[Array, ...]:
    """`fn(first, *rows)` of a serial loop, with all rows concatenated to a single one.

    On a CPU, XLA compiles a loop whose steps read and write single numbers to a native
    loop; in one over arrays, each step calls a compiled function for each operation.
    So rows are not mapped over but concatenated, also those of `jax.vmap`, and `first`
    says of each entry whether a row starts there. On several devices, each has a loop
    over its own rows: see `row_by_row`.

    **Arguments:**

    - `fn`: takes flat arrays, and returns a tuple of so many `outputs` of that shape;
        without derivatives.
    - `rows`: `*batch n`.
    """
    if not rows[0].size:
        # One row for the types, as some functions have its length built in.
        one = (max(rows[0].shape[-1], 1),)
        like = [jax.ShapeDtypeStruct(one, x.dtype) for x in (rows[0] == 0, *rows)]
        out = jax.eval_shape(fn, *like)
        return tuple(jnp.zeros(rows[0].shape, x.dtype) for x in out)

    def one_row(*rows: Array) -> tuple[Array, ...]:
        shape = rows[0].shape
        first = jnp.broadcast_to(jnp.arange(shape[-1]) == 0, shape)
        out = fn(first.ravel(), *(x.ravel() for x in rows))
        return tuple(x.reshape(shape) for x in out)

    rows = varying_as(rows, *rows)
    return row_by_row(one_row, *rows, outputs=outputs)
