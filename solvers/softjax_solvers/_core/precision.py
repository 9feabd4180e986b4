"""Numbers of 16 bits: computed in float32, and returned as what they are."""

from __future__ import annotations

from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np

from .._kernels.arrays import working_type

_Tree = TypeVar("_Tree")


def common_type(*trees: Any) -> jnp.dtype:
    """The type that all floating-point numbers of trees promote to."""
    types = _types(trees)
    return jnp.result_type(*types) if types else jnp.dtype(jnp.result_type(float))


def narrow_type(problem: Any) -> jnp.dtype | None:
    """The type of solutions of a problem if it is of 16 bits, else None."""
    dtype = problem.dtype
    return None if working_type(dtype) == dtype else dtype


def widened(tree: _Tree) -> _Tree:
    """A tree with its numbers of 16 bits in the type that they are computed in."""
    return jax.tree.map(
        lambda x: x.astype(working_type(x.dtype)) if _is_floating(x) else x, tree
    )


def computed_with(tree: _Tree, problem: Any) -> _Tree:
    """A tree with its numbers in the type that a problem is computed in."""
    dtype = working_type(problem.dtype)
    return jax.tree.map(lambda x: x.astype(dtype) if _is_floating(x) else x, tree)


def narrowed(out: _Tree, dtype: jnp.dtype | None, *given: Any) -> _Tree:
    """Results of a problem in its type of 16 bits, if that is one.

    Or in a wider one, if what else they depend on was `given` in that.
    """
    if dtype is None:
        return out
    dtype = jnp.result_type(dtype, *_types(given))
    return jax.tree.map(lambda x: x.astype(dtype) if _is_floating(x) else x, out)


def _types(tree: Any) -> list[jnp.dtype]:
    return [x.dtype for x in jax.tree.leaves(tree) if _is_floating(x)]


def _is_floating(leaf: Any) -> bool:
    is_array = isinstance(leaf, jax.Array | np.ndarray)
    return is_array and jnp.issubdtype(leaf.dtype, jnp.floating)
