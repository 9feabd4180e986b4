from __future__ import annotations

import jax.numpy as jnp
from jaxtyping import Array, Float

from .._regularizer import Regularizer
from .pnorm import PNorm, parse_exponent


class Tsallis(Regularizer):
    """Negative Tsallis entropy, `r(y) = (y^a - y) / (a (a - 1))` for `1 < a <= 2`.

    The link is `phi(t) = max((a - 1) t + 1 / a, 0)^(1 / (a - 1))`. The projection onto
    the simplex is the a-entmax: sparsemax for a = 2, and the softmax as a goes to 1. A
    linear term does not change it, so it is that of `PNorm(a)` at 1 / (a - 1) times the
    softness.

    **Arguments:**

    - `alpha`: the exponent a, as `p` of [`softjax.solvers.PNorm`][].

    ??? cite

        Tsallis, "Possible generalization of Boltzmann-Gibbs statistics", Journal of
        Statistical Physics 52 (1988); Peters, Niculae and Martins, "Sparse
        sequence-to-sequence models", ACL 2019.
    """

    norm: PNorm

    def __init__(self, alpha: float | Array):
        self.norm = PNorm(parse_exponent(alpha, "Tsallis: alpha"))

    @property
    def alpha(self) -> float | Float[Array, ""]:
        return self.norm.p

    @property
    def _rate(self) -> float | Float[Array, ""]:
        return self.alpha - 1

    def _argument(self, t: Array) -> Array:
        return self._rate * t + 1 / self.alpha

    def link(self, t: Float[Array, "..."]) -> Float[Array, "..."]:
        return self.norm.link(self._argument(t))

    def slope(self, t: Float[Array, "..."]) -> Float[Array, "..."]:
        return self._rate * self.norm.slope(self._argument(t))

    def gradient(self, y: Float[Array, "..."]) -> Float[Array, "..."]:
        return (self.norm.gradient(y) - 1 / self.alpha) / self._rate

    def conjugate(self, t: Float[Array, "..."]) -> Float[Array, "..."]:
        return self.norm.conjugate(self._argument(t)) / self._rate

    def value(self, y: Float[Array, "..."]) -> Float[Array, "..."]:
        return (self.norm.value(y) - y / self.alpha) / self._rate

    def sigmoid(self, t: Float[Array, "..."]) -> Float[Array, "..."]:
        return self.norm.sigmoid(self._rate * t)

    def softplus(self, t: Float[Array, "..."]) -> Float[Array, "..."]:
        return self.norm.softplus(self._rate * t) / self._rate

    def transition_scale(self) -> Float[Array, ""]:
        return jnp.asarray(self.norm.transition_scale() * self._rate)

    def contrast(
        self, total: Float[Array, "..."], target: Float[Array, "..."]
    ) -> Float[Array, "..."]:
        return self.norm.contrast(total, target)

    def simplex_dual(self):
        dual = self.norm.simplex_dual()
        if dual is None:
            return None

        def shifted(scores, where):
            return (dual(self._rate * scores, where) + 1 / self.alpha) / self._rate

        return shifted
