from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from .._core.regularizer import Regularizer
from .._core.structure import Exponential, Structure


class Entropy(Regularizer):
    """Negative Shannon entropy, `r(y) = y log y - y`, with the link `phi = exp`.

    Smooth and dense: the projection onto the simplex is the softmax.

    **Example:**

        >>> print(sj.argmax(jnp.array([0.2, 1.0, 0.7]), mode=sj.solvers.Entropy()))
        [0.    0.952 0.047]
    """

    def link(self, t: Float[Array, "..."]) -> Float[Array, "..."]:
        return jnp.exp(t)

    def structure(self) -> Structure:
        return Exponential(1.0)

    def slope(self, t: Float[Array, "..."]) -> Float[Array, "..."]:
        return jnp.exp(t)

    def log_link(self, t: Float[Array, "..."]) -> Float[Array, "..."]:
        return t

    def gradient(self, y: Float[Array, "..."]) -> Float[Array, "..."]:
        return jnp.log(y)

    def conjugate(self, t: Float[Array, "..."]) -> Float[Array, "..."]:
        return jnp.exp(t)

    def value(self, y: Float[Array, "..."]) -> Float[Array, "..."]:
        positive = y > 0
        safe = jnp.where(positive, y, 1)
        return jnp.where(positive, safe * jnp.log(safe) - safe, 0)

    def sigmoid(self, t: Float[Array, "..."]) -> Float[Array, "..."]:
        return jax.nn.sigmoid(t)

    def log_sigmoid(self, t: Float[Array, "..."]) -> Float[Array, "..."]:
        return jax.nn.log_sigmoid(t)

    def softplus(self, t: Float[Array, "..."]) -> Float[Array, "..."]:
        return jax.nn.softplus(t)

    def transition_scale(self) -> Float[Array, ""]:
        return jnp.asarray(1.0)

    def simplex_dual(
        self,
    ) -> Callable[[Float[Array, "*batch n"], Bool[Array, "*batch n"]], Array] | None:
        def log_sum_exp(scores, where):
            # The largest score is 0, so nothing over- or underflows.
            return jnp.log(jnp.sum(jnp.exp(scores), axis=-1, where=where))

        return log_sum_exp
