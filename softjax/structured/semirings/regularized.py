from __future__ import annotations

import jax.numpy as jnp
from jaxtyping import Array, Float

from softjax_solvers import Regularizer, get_regularizer

from ._plain import Plain
from ._policies import policy


class Regularized(Plain):
    """Semiring of regularized maxima, `max_y <x, y> - softness (R(y) - r(1))`.

    Over y in the simplex of candidates. The gradient of a recursion is the marginals:
    with the entropy, those of the Gibbs distribution `p(v) ~ exp(<scores, v> /
    softness)`; the value is its log-partition function. A single candidate passes
    unchanged, so that longer recursions are not favoured.

    **Arguments:**

    - `regularizer`: a [`softjax.solvers.Regularizer`][], or the name of a mode.
    - `softness`: positive, a scalar.

    **Example:**

        >>> import softjax.structured as st
        >>> chain = st.Chain()
        >>> scores = jnp.array([[0.0, 1.0], [0.5, 0.2]]), jnp.zeros((1, 2, 2))
        >>> soft = st.Regularized("smooth", 0.5)
        >>> print(jax.grad(chain.recursion)(scores, soft)[0])
        [[0.119 0.881]
         [0.646 0.354]]

    ??? cite

        Mensch and Blondel, "Differentiable dynamic programming for structured
        prediction and attention", ICML 2018.
    """

    regularizer: Regularizer
    softness: Float[Array, ""]

    def __init__(self, regularizer: str | Regularizer, softness: float | Array):
        self.regularizer = get_regularizer(regularizer)
        self.softness = jnp.asarray(softness)

    def max(self, state: Float[Array, "..."], axis: int = 0) -> Float[Array, "..."]:
        x = jnp.moveaxis(state, axis, 0)
        softness = self.softness.astype(x.dtype)
        value, _ = policy(self.regularizer, softness).maximum(x)
        return value
