"""Functions that a problem holds."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PyTree

from .._kernels.derivatives import stop_gradient


class Oracle(eqx.Module):
    """A callable with its arrays apart, so that a problem is a pytree of arrays."""

    arrays: tuple[Array | None, ...]
    rest: tuple[Any, ...] = eqx.field(static=True)
    structure: Any = eqx.field(static=True)

    def __init__(self, oracle: Callable):
        if not callable(oracle):
            raise TypeError(f"oracle must be a callable, got {oracle!r}.")
        leaves, self.structure = jax.tree.flatten(oracle)
        are = [eqx.is_array(x) or isinstance(x, np.ndarray) for x in leaves]
        self.arrays = tuple(
            jnp.asarray(x) if is_array else None
            for x, is_array in zip(leaves, are, strict=True)
        )
        self.rest = tuple(
            None if is_array else x for x, is_array in zip(leaves, are, strict=True)
        )
        try:
            hash((self.rest, self.structure))
        except TypeError as error:
            raise TypeError(
                f"oracle must be hashable, up to arrays that it is a pytree of, got "
                f"{oracle!r}: {error}."
            ) from error

    def __call__(self, scores: PyTree[Array]) -> PyTree[Array]:
        pairs = zip(stop_gradient(self.arrays), self.rest, strict=True)
        leaves = [rest if array is None else array for array, rest in pairs]
        return jax.tree.unflatten(self.structure, leaves)(scores)
