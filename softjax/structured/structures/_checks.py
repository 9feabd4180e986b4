"""Checks of the scores and sizes of structures."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from softjax_solvers.internal import is_traced


def check_shape(name: str, part: str, x: Any, *allowed: tuple[Any, ...]) -> None:
    """**Raises:** `ValueError` if an array has none of the shapes.

    A shape is given by sizes, and words for those that may be any positive number.
    """
    shape = jnp.shape(x)
    for sizes in allowed:
        if len(sizes) == len(shape) and all(
            have >= 1 if isinstance(size, str) else have == size
            for size, have in zip(sizes, shape, strict=True)
        ):
            return
    words = " or ".join(f"({', '.join(map(str, sizes))})" for sizes in allowed)
    raise ValueError(f"{name}: {part} must have shape {words}, got {shape}.")


def check_length(name: str, part: str, length: Any, most: int) -> None:
    """**Raises:** `ValueError` if a length is no scalar, or known not to fit."""
    if jnp.shape(length) != ():
        raise ValueError(
            f"{name}: {part} must be a scalar, got shape {jnp.shape(length)}; "
            "jax.vmap is for batches."
        )
    if not is_traced(length) and not 1 <= int(length) <= most:
        raise ValueError(f"{name}: {part} must be from 1 to {most}, got {length}.")


def check_pytree(name: str, scores: Any, parts: int) -> None:
    """**Raises:** `TypeError` if scores are no tuple of so many arrays."""
    if not isinstance(scores, tuple | list) or len(scores) != parts:
        raise TypeError(
            f"{name}: scores must be a tuple of {parts} arrays, got {type(scores)}."
        )


def keep(condition: Array | np.ndarray, x: Array) -> Array:
    """`x`, and 0 where it must not count, whatever it holds there."""
    return jnp.where(condition, x, 0)


def unless_nan(structure: Any, scores: Any) -> Any:
    """A structure, of NaN where any of its scores is."""
    bad = [jnp.any(jnp.isnan(z)) for z in jax.tree.leaves(scores)]
    nan = jnp.any(jnp.stack(bad))
    return jax.tree.map(lambda v: jnp.where(nan, jnp.nan, v), structure)
