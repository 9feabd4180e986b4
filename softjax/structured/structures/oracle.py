from __future__ import annotations

from collections.abc import Callable
from typing import Any

from jaxtyping import Array, PyTree

from .._structure import Structure
from ._checks import unless_nan


class Oracle(Structure):
    """Structures of which a function finds the best.

    `max_v <scores, v>` over the hull of whatever the function returns. It is never
    differentiated, so that it may be any algorithm: one in JAX, or one outside of it by
    [`jax.pure_callback`](https://docs.jax.dev/en/latest/external-callbacks.html). The
    k best are found only if it returns zeros and ones, and takes scores of both signs.

    **Arguments:**

    - `fn`: maps scores, a pytree of arrays, to the best structure, of their shapes. A
        function of a module, or an `equinox.Module` that can be called: what is made
        anew at each call is compiled anew.

    **Example:**

        >>> def largest_two(scores):
        ...     return jnp.zeros_like(scores).at[jax.lax.top_k(scores, 2)[1]].set(1.0)
        ...
        >>> st = sj.structured
        >>> scores = jnp.array([0.2, 1.0, 0.7, 0.1])
        >>> print(st.argmax(st.Oracle(largest_two), scores, softness=1.0))
        [0.2 1.  0.7 0.1]
    """

    fn: Callable[[Any], Any]

    def __check_init__(self) -> None:
        if not callable(self.fn):
            raise TypeError(
                "Oracle: fn must be a function from scores to a structure, got "
                f"{self.fn!r}."
            )

    def oracle(self, scores: PyTree[Array]) -> PyTree[Array]:
        return unless_nan(self.fn(scores), scores)
