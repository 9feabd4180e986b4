"""Types of arrays inside of `jax.shard_map`."""

from __future__ import annotations

import functools
import operator
from typing import Any, TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, PyTree

_Tree = TypeVar("_Tree")


def is_manual() -> bool:
    """Whether this is traced inside of `jax.shard_map`."""
    return bool(jax.sharding.get_abstract_mesh().manual_axes)


def varying_as(tree: PyTree[Array], *like: Array) -> PyTree[Array]:
    """`tree`, as arrays that differ between devices if any of `like` does.

    Inside of `jax.shard_map`, that is part of an array's type (since JAX 0.7), and a
    loop has to keep the types of its state. So constants that a loop starts from take
    the type of what it will write to them. Outside of it, nothing differs, and
    selections would only be traced.
    """
    if not is_manual():
        return tree
    ones = (jnp.ones_like(x, bool, shape=()) for x in like)
    true = functools.reduce(operator.and_, ones, jnp.asarray(True))
    return jax.tree.map(lambda x: jnp.where(true, x, jnp.zeros((), x.dtype)), tree)


def all_varying(tree: _Tree) -> _Tree:
    """`tree`, all arrays of which differ between devices if any of them does.

    JAX 0.10 mistakes the types of what does not in functions that a linear solve holds.
    """
    if not is_manual():
        return tree
    arrays, static = eqx.partition(tree, _holds_numbers)
    return eqx.combine(varying_as(arrays, *jax.tree.leaves(arrays)), static)


def _holds_numbers(leaf: Any) -> bool:
    """Whether it is an array, and not one of random keys."""
    return eqx.is_array(leaf) and not jnp.issubdtype(leaf.dtype, jax.dtypes.extended)
