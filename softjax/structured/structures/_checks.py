"""Checks of the scores and sizes of structures."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from softjax_solvers.internal import is_traced

from ..._keywords import ARGUMENTS, got
from .._structure import any_nan
from ..semirings._plain import is_present


def check_shape(name: str, part: str, x: Any, *allowed: tuple[Any, ...]) -> None:
    """**Raises:** `ValueError` if an array has none of the shapes.

    And `TypeError` if it is no array, such as a list of numbers. A shape is given by
    sizes, and words for those that may be any positive number.
    """
    words = " or ".join(f"({', '.join(map(str, sizes))})" for sizes in allowed)
    if not isinstance(x, ARGUMENTS):
        raise TypeError(
            f"{name}: {part} must be an array of shape {words}, got a "
            f"{type(x).__name__}, {x!r}."
        )
    shape = jnp.shape(x)
    for sizes in allowed:
        if len(sizes) == len(shape) and all(
            have >= 1 if isinstance(size, str) else have == size
            for size, have in zip(sizes, shape, strict=True)
        ):
            return
    raise ValueError(f"{name}: {part} must have shape {words}, got {shape}.")


def check_length(name: str, part: str, length: Any, most: int) -> None:
    """**Raises:** `ValueError` if a length is no scalar, or known not to fit.

    And `TypeError` if it is no whole number.
    """
    is_number = isinstance(length, ARGUMENTS)
    if is_number and jnp.shape(length) != ():
        raise ValueError(
            f"{name}: {part} must be a scalar, got shape {jnp.shape(length)}; "
            "jax.vmap is for batches."
        )
    if not is_number or not jnp.issubdtype(jnp.result_type(length), jnp.integer):
        raise TypeError(
            f"{name}: {part} must be an integer from 1 to {most}, got {length!r}."
        )
    if not is_traced(length) and not 1 <= np.asarray(length) <= most:
        raise ValueError(f"{name}: {part} must be from 1 to {most}, got {length}.")


def check_pair(name: str, lengths: Any) -> None:
    """**Raises:** `TypeError` if lengths are no pair."""
    if not isinstance(lengths, tuple | list) or len(lengths) != 2:
        raise TypeError(f"{name}: lengths must be a pair, got {lengths!r}.")


def parse_pairs(name: str, part: str, pairs: Any) -> tuple[tuple[int, int], ...]:
    """Pairs of whole numbers of Python's.

    **Raises:** `ValueError` if they are none.
    """
    try:
        known: Any = np.asarray(list(pairs))
    except (TypeError, ValueError):  # no list, of different lengths, or traced
        known = np.zeros(())
    if known.shape == (0,):
        return ()
    whole = np.issubdtype(known.dtype, np.integer)
    if not whole or known.ndim != 2 or known.shape[1] != 2:
        raise ValueError(f"{name}: {part} must be pairs of integers, {got(pairs)}")
    return tuple((i, j) for i, j in known.tolist())


def check_pytree(name: str, scores: Any, parts: int) -> None:
    """**Raises:** `TypeError` if scores are no tuple of so many arrays."""
    if not isinstance(scores, tuple | list) or len(scores) != parts:
        raise TypeError(
            f"{name}: scores must be a tuple of {parts} arrays, got {type(scores)}."
        )


def keep(condition: Array | np.ndarray, x: Array) -> Array:
    """`x`, and 0 where it must not count, whatever it holds there."""
    return jnp.where(condition, x, 0)


def less_mean(scores: Array) -> Array:
    """Scores of parts, less the mean of those that there are."""
    here = is_present(scores)
    mean = jnp.sum(jnp.where(here, scores, 0)) / jnp.maximum(jnp.sum(here), 1)
    return jnp.where(here, scores - jax.lax.stop_gradient(mean), scores)


def unless_nan(structure: Any, scores: Any) -> Any:
    """A structure, of NaN where any of its scores is."""
    # Not by a factor: XLA takes a product with an indicator for a choice.
    nan = any_nan(scores)
    return jax.tree.map(lambda v: jnp.where(nan, jnp.nan, v), structure)
