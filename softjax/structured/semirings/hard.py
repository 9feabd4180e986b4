from __future__ import annotations

import jax.numpy as jnp
from jaxtyping import Array, Float

from .._danskin import attach, no_term
from ._plain import Plain, first_largest


class Hard(Plain):
    """Semiring of maxima and sums, `max_i x_i`: the value of the best structure.

    The derivative of a maximum is 1 for the first of the largest candidates. So the
    gradient of a recursion is a single best structure, also where some are equal.

    **Example:**

        >>> import softjax.structured as st
        >>> chain = st.Chain()
        >>> scores = jnp.array([[0.0, 1.0], [0.5, 0.2]]), jnp.zeros((1, 2, 2))
        >>> print(chain.recursion(scores, st.Hard()))
        1.5
    """

    def max(self, state: Float[Array, "..."], axis: int = 0) -> Float[Array, "..."]:
        x = jnp.moveaxis(state, axis, 0)
        chosen = first_largest(x)
        largest = jnp.sum(jnp.where(chosen != 0, x, 0), axis=0)
        return attach(largest, chosen, x, (), term=no_term)
