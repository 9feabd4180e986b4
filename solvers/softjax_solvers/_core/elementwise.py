"""Methods that act on each number of an array, as those of a regularizer do."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

ELEMENTWISE = frozenset(
    {
        *("link", "slope", "log_link", "gradient", "conjugate", "value"),
        *("sigmoid", "log_sigmoid", "softplus"),
    }
)
"""Names of such methods of a regularizer."""


def elementwise(name: str, method: Callable) -> Callable:
    """A method that says so where it has not one result for each number.

    Results are in the type of the argument: loops are of one type, and parameters may
    be of another.
    """

    @functools.wraps(method)
    def call(self: Any, x: Any) -> Any:
        # A Python number would take the type of parameters.
        x = jnp.asarray(x, jnp.result_type(x))
        y = method(self, x)
        if not isinstance(y, jax.Array | np.ndarray | np.generic | int | float):
            raise TypeError(
                f"{type(self).__name__}.{name} must return an array, got {y!r}."
            )
        if jnp.shape(y) != x.shape:
            raise ValueError(
                f"{type(self).__name__}.{name} must return an array of the shape of "
                f"its argument, {x.shape}, got {jnp.shape(y)}."
            )
        return jnp.asarray(y, x.dtype) if jnp.issubdtype(x.dtype, jnp.floating) else y

    return call
