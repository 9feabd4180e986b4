"""Keys of random numbers, of the old and of the new style."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Key


def check_key(key: Any, name: str) -> None:
    """Check that `key` is a single key, of either style.

    **Raises:** `TypeError` if it is none, `ValueError` if there are several.
    """
    is_array = isinstance(key, jax.Array | np.ndarray)
    if is_array and jnp.issubdtype(key.dtype, jax.dtypes.prng_key):
        several = key.ndim > 0
    elif is_array and key.dtype == np.uint32 and key.ndim > 0:
        several = key.ndim > 1
    else:
        raise TypeError(f"{name}: key must be a key of jax.random, got {key!r}.")
    if several:
        raise ValueError(
            f"{name}: key must be a single key, got an array of shape {key.shape}. Use "
            "jax.vmap for several."
        )


def parse_key(key: Any, name: str) -> Key[Array, ""]:
    """`key` in the new style.

    **Raises:** as `check_key` does.
    """
    check_key(key, name)
    if jnp.issubdtype(key.dtype, jax.dtypes.prng_key):
        return key
    return jax.random.wrap_key_data(jnp.asarray(key))
