"""Ids of segments: how many there are, in which range, and in which order."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int, Shaped

from softjax_solvers.internal import is_traced, sort_pairs

from .._keywords import parse_integer


def parse_count(segment_ids: Any, num_segments: Any, name: str) -> int:
    """The number of segments: that of the highest of the ids, if it is not given.

    **Raises:** `ValueError` if it is needed and the ids are traced, or if it is
    negative; `TypeError` if it is no integer, or the ids are none.
    """
    if num_segments is None:
        if is_traced(segment_ids):
            raise ValueError(
                f"{name}: num_segments must be given where segment_ids are traced, as "
                "under jax.jit."
            )
        known = np.asarray(segment_ids)
        _check_type(known.dtype, name)
        return max(int(known.max()) + 1, 0) if known.size else 0
    count = parse_integer(num_segments, f"{name}: num_segments")
    if count < 0:
        raise ValueError(f"{name}: num_segments={count} must not be negative.")
    return count


def check_ids(ids: Any, shape: tuple[int, ...], name: str) -> None:
    """Check that there is an integer for each row of an array of a shape.

    **Raises:** `TypeError`, `ValueError`.
    """
    _check_type(ids.dtype, name)
    if not shape or ids.shape != shape[:1]:
        raise ValueError(
            f"{name}: segment_ids of shape {ids.shape} must have one integer for each "
            f"row of x, which is of shape {shape}."
        )


def _check_type(dtype: Any, name: str) -> None:
    if not jnp.issubdtype(dtype, jnp.integer):
        raise TypeError(f"{name}: segment_ids must be integers, got type {dtype}.")


def narrow_ids(ids: Int[Array, " n"], count: int) -> Int[Array, " n"]:
    """Ids in int32, where those of no segment are -1 or the count.

    Of any integer type: narrow ones need not have room for the count, and wide ones
    have more of it than int32 does.
    """
    behind = jnp.zeros(ids.shape, bool)
    if count <= jnp.iinfo(ids.dtype).max:
        behind = ids >= count
    inside = jnp.where(behind | (ids < 0), jnp.zeros_like(ids), ids).astype(jnp.int32)
    return jnp.where(behind, count, jnp.where(ids < 0, -1, inside))


def in_order(
    ids: Int[Array, " n"], are_sorted: bool
) -> tuple[Int[Array, " n"], Int[Array, " n"] | None]:
    """Ids that ascend, and where each of them stood; None if that is where it is."""
    if are_sorted:
        return ids, None
    return sort_pairs(ids, jnp.arange(len(ids), dtype=jnp.int32))


def out_of_order(
    x: Shaped[Array, " n"], places: Int[Array, " n"] | None
) -> Shaped[Array, " n"]:
    """What belongs to ids that ascend, where these stood."""
    if places is None:
        return x
    return jnp.zeros_like(x).at[places].set(x, unique_indices=True)
