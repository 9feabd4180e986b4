"""Marking what `soften` leaves alone."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TypeVar

import jax

HARD_SCOPE = "softjax_keep_hard"
"""Name of the scope around what the user wants to keep hard."""

_Function = TypeVar("_Function", bound=Callable)


def keep_hard(fn: _Function) -> _Function:
    """Experimental mark: a function that [`softjax.soften`][] leaves as it is.

    Anywhere else the function is unchanged. Inside of a softened one, its Booleans and
    integers are hard, and floats have the derivatives that it gives them.

    **Raises:** `TypeError` if it is no function.

    **Example:**

        >>> def price(x):
        ...     taxed = sj.keep_hard(lambda x: x > 1.0)(x)
        ...     return jnp.where(taxed, 0.8 * x, x) + jnp.where(x > 0.5, 0.1, 0.0)
        ...
        >>> print(sj.soften(price)(jnp.array([0.5, 1.5])))
        [0.55 1.3 ]
    """
    if not callable(fn):
        raise TypeError(f"keep_hard: fn must be a function, got {fn!r}.")

    @functools.wraps(fn)
    def wrapped(*args, **kwargs):
        with jax.named_scope(HARD_SCOPE):
            return fn(*args, **kwargs)

    return wrapped  # pyright: ignore[reportReturnType]
