"""A batch that is distributed over devices: each works on its own rows."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import equinox as eqx
import jax
from jax.sharding import NamedSharding, PartitionSpec
from jaxtyping import Array, Float, PyTree

from .varying import all_varying


def on_each_device(
    fn: Callable[..., PyTree[Array]], x: Float[Array, "*batch n"], *others: Any
) -> PyTree[Array]:
    """`fn(x, *others)`, whose results have the axes `*batch` in front.

    Where the type of x says how its rows are distributed (that is, over explicit axes
    of a mesh), each device calls it with those that it has. Then no loop has to wait
    for other devices', as it would if the rows were those of one program.

    **Arguments:**

    - `others`: pytrees. Arrays in them of as many axes as x have axes of size 1, or
        those of the batch; any else are the same for all rows.
    """
    sharding = jax.typeof(x).sharding
    *batch, last = (*sharding.spec, *[None] * (x.ndim - len(sharding.spec)))
    axes = {name for entry in batch if entry is not None for name in _names(entry)}
    if not axes or last is not None:
        return fn(*all_varying((x, *others)))
    arrays, static = eqx.partition(others, eqx.is_array)

    def place(leaf: Array) -> PartitionSpec:
        if leaf.ndim != x.ndim:
            return PartitionSpec()
        sizes = leaf.shape[:-1]
        entries = (
            e if size > 1 else None for e, size in zip(batch, sizes, strict=True)
        )
        return PartitionSpec(*entries)

    mesh, specs = sharding.mesh, jax.tree.map(place, arrays)
    arrays = jax.tree.map(
        lambda leaf, spec: jax.sharding.reshard(leaf, NamedSharding(mesh, spec)),
        arrays,
        specs,
    )
    by_rows = jax.shard_map(
        lambda x, arrays: fn(x, *eqx.combine(arrays, static)),
        mesh=mesh,
        in_specs=(PartitionSpec(*batch), specs),
        out_specs=PartitionSpec(*batch),
        axis_names=axes,
        # Solvers of other libraries need not keep what differs between devices.
        check_vma=False,
    )
    return by_rows(x, arrays)


def _names(entry: Any) -> tuple[Any, ...]:
    return entry if isinstance(entry, tuple) else (entry,)


def known_mesh() -> AbstractContextManager[None]:
    """The mesh that there is, said explicitly.

    JAX 0.10 traces rules of derivatives with the mesh set explicitly, and its caches
    tell a mesh that is set from the same one that is there by default. So what has been
    traced for a value is found again for its derivative.
    """
    return jax.sharding.use_abstract_mesh(jax.sharding.get_abstract_mesh())
