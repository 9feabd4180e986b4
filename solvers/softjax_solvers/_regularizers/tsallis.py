from __future__ import annotations

from jaxtyping import Array, Float

from .._regularizer import Regularizer
from .combined import Scaled
from .pnorm import PNorm, parse_exponent


class Tsallis(Regularizer):
    """Negative Tsallis entropy, `r(y) = (y^a - y) / (a (a - 1))` for `1 < a <= 2`.

    The link is `phi(t) = max((a - 1) t + 1 / a, 0)^(1 / (a - 1))`. The projection onto
    the simplex is the a-entmax: sparsemax for a = 2, and the softmax as a goes to 1. A
    linear term does not change it, so it is that of `PNorm(a)` at 1 / (a - 1) times the
    softness.

    **Arguments:**

    - `alpha`: the exponent a, as `p` of [`softjax.solvers.PNorm`][].

    **Example:**

        >>> x = jnp.array([0.2, 1.0, 0.7])
        >>> print(sj.argmax(x, mode=sj.solvers.Tsallis(1.5), softness=0.5))
        [0.002 0.706 0.292]

    ??? cite

        Tsallis, "Possible generalization of Boltzmann-Gibbs statistics", Journal of
        Statistical Physics 52 (1988); Peters, Niculae and Martins, "Sparse
        sequence-to-sequence models", ACL 2019.
    """

    alpha: float | Float[Array, ""]

    def __init__(self, alpha: float | Array):
        self.alpha = parse_exponent(alpha, "Tsallis: alpha")

    # Up to a linear term, which shifts the link, a multiple of a p-norm.

    @property
    def _norm(self) -> Scaled:
        return Scaled(PNorm(self.alpha), 1 / (self.alpha - 1))

    @property
    def _shift(self) -> float | Float[Array, ""]:
        return 1 / (self.alpha * (self.alpha - 1))

    def link(self, t: Float[Array, "..."]) -> Float[Array, "..."]:
        return self._norm.link(t + self._shift)

    def linear(self) -> bool:
        return self._norm.linear()

    def slope(self, t: Float[Array, "..."]) -> Float[Array, "..."]:
        return self._norm.slope(t + self._shift)

    def gradient(self, y: Float[Array, "..."]) -> Float[Array, "..."]:
        return self._norm.gradient(y) - self._shift

    def conjugate(self, t: Float[Array, "..."]) -> Float[Array, "..."]:
        return self._norm.conjugate(t + self._shift)

    def value(self, y: Float[Array, "..."]) -> Float[Array, "..."]:
        return self._norm.value(y) - self._shift * y

    def sigmoid(self, t: Float[Array, "..."]) -> Float[Array, "..."]:
        return self._norm.sigmoid(t)

    def softplus(self, t: Float[Array, "..."]) -> Float[Array, "..."]:
        return self._norm.softplus(t)

    def transition_scale(self) -> Float[Array, ""]:
        return self._norm.transition_scale()

    def contrast(
        self, total: Float[Array, "..."], target: Float[Array, "..."]
    ) -> Float[Array, "..."]:
        return self._norm.contrast(total, target)

    def simplex_dual(self):
        dual = self._norm.simplex_dual()
        if dual is None:
            return None
        return lambda scores, where: dual(scores, where) + self._shift
