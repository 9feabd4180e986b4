from __future__ import annotations

import jax.numpy as jnp
from jaxtyping import Array, Float

from .._core.regularizer import Regularizer


class LogBarrier(Regularizer):
    """The logarithmic barrier `r(y) = -log y`, with the link `phi(t) = -1 / t`, t < 0.

    Smooth and dense: what lies below the largest score gets a share that falls with the
    distance only, so that gradients do not vanish far out. For the same reason the
    integral of its sigmoid diverges, and there is a gated relu only.

    It is the regularizer of interior point methods; with it the projection onto the
    simplex is that of online portfolio selection.

    **Example:**

        >>> print(sj.argmax(jnp.array([0.2, 1.0, 0.7]), mode=sj.solvers.LogBarrier()))
        [0.105 0.672 0.223]

    ??? cite

        Nesterov and Nemirovskii, "Interior-point polynomial algorithms in convex
        programming", SIAM, 1994.
    """

    def link(self, t: Float[Array, "..."]) -> Float[Array, "..."]:
        # Not by `t < 0`, which would turn NaN into infinity.
        outside = t >= 0
        return jnp.where(outside, jnp.inf, -1 / jnp.where(outside, -1, t))

    def slope(self, t: Float[Array, "..."]) -> Float[Array, "..."]:
        return self.link(t) ** 2

    def log_link(self, t: Float[Array, "..."]) -> Float[Array, "..."]:
        outside = t >= 0
        return jnp.where(outside, jnp.inf, -jnp.log(-jnp.where(outside, -1, t)))

    def gradient(self, y: Float[Array, "..."]) -> Float[Array, "..."]:
        inside = y > 0
        return jnp.where(inside, -1 / jnp.where(inside, y, 1), -jnp.inf)

    def conjugate(self, t: Float[Array, "..."]) -> Float[Array, "..."]:
        outside = t >= 0
        return jnp.where(outside, jnp.inf, -1 - jnp.log(-jnp.where(outside, -1, t)))

    def value(self, y: Float[Array, "..."]) -> Float[Array, "..."]:
        """Barrier `-log y`; there is no constant that makes it vanish at 0."""
        return -jnp.log(y)

    def sigmoid(self, t: Float[Array, "..."]) -> Float[Array, "..."]:
        gap = jnp.where(t < 0, -t, t)
        smaller = 2 / (2 + gap + jnp.sqrt(gap * gap + 4))
        return jnp.where(t < 0, smaller, 1 - smaller)

    def softplus(self, t: Float[Array, "..."]) -> Float[Array, "..."]:
        raise ValueError(
            "The sigmoid of LogBarrier() decays like 1 / t, so that its integral, the "
            "soft relu, is infinite. Pass gated=True for x H(x) in its place."
        )

    def transition_scale(self) -> Float[Array, ""]:
        return jnp.asarray(1.0)
