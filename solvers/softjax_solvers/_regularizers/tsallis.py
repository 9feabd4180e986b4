from __future__ import annotations

import math

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from .._core.regularizer import Regularizer, antiderivative
from .._core.structure import General, Structure
from .._kernels.arrays import inexact, is_traced
from .._kernels.roots import find_root
from .deformed import (
    deformed_exp,
    deformed_log,
    deformed_slope,
    log_deformed_exp,
    power_of_exp,
)
from .entropy import Entropy
from .pnorm import PNorm, parse_number, positive_power
from .transformed import Number, Transformed


class Tsallis(Transformed):
    """Negative Tsallis entropy, `r(y) = (y^a - y) / (a (a - 1))` for `a > 0`.

    At a = 1 it is its limit, Shannon's `y log y`. The link is
    `phi(t) = max((a - 1) t + 1 / a, 0)^(1 / (a - 1))`, in the limit `exp(t - 1)`. The
    projection onto the simplex is the a-entmax. It is a smooth function of a, through
    1, and of the scores it is

    - for a > 2 sparse and continuous: an entry leaves 0 with an infinite slope, and
        the derivative `diag(s) - s s^T / sum s` with `s = y^(2 - a)` is bounded by the
        other entries. Transport plans are found from dual numbers, in which entries of
        up to a few times `(16 (a - 1) eps)^(1 / (a - 1))`, with eps the rounding of
        the type, are no longer told from 0, and count as 0 in derivatives: in float32
        those of a few thousandths for a = 3, and of a few hundredths for a = 5;
    - for 1 < a <= 2 sparse, the sparsemax for a = 2, and as often continuously
        differentiable as there are integers from 1 up to, and without, `1 / (a - 1)`;
    - for a = 1 the softmax, dense and smooth;
    - for a < 1 dense and smooth, with tails that fall like `t^(-1 / (1 - a))`. The link
        has a pole: it and the conjugate are infinite from `t = 1 / (a (1 - a))` on. No
        entry of 1 or less comes near it, but a projection onto a permutahedron has to
        reach any number, and refuses a < 1. Towards a = 1 from above, its limit is not
        that of the entropy, which is taken in the logarithmic domain, and negative
        numbers are accurate to about 1 / (a - 1) times the rounding of the type.

    A linear term does not change a projection onto the simplex, so for 1 < a <= 2 it is
    that of `PNorm(a)` at 1 / (a - 1) times the softness, and for a = 1 that of
    `Entropy()`. Elementwise operators take the scale `max(5 (a - 1), 1)`, whose
    derivative in a jumps at 1.2.

    **Arguments:**

    - `alpha`: the exponent a. A JAX array is a parameter that can be traced and
        differentiated; a Python number may take a closed form.

    **Raises:** `ValueError` if `alpha` is known and not positive and finite, or is no
    scalar; `TypeError` if it is no real number.

    **Example:**

        >>> x = jnp.array([0.2, 1.0, 0.7])
        >>> for alpha in (0.5, 1.0, 1.5, 3.0):
        ...     print(sj.argmax(x, mode=sj.solvers.Tsallis(alpha), softness=0.5))
        ...
        [0.198 0.476 0.327]
        [0.115 0.571 0.313]
        [0.002 0.706 0.292]
        [0. 1. 0.]

    ??? cite

        Tsallis, "Possible generalization of Boltzmann-Gibbs statistics", Journal of
        Statistical Physics 52 (1988); Peters, Niculae and Martins, "Sparse
        sequence-to-sequence models", ACL 2019; Blondel, Martins and Niculae, "Learning
        with Fenchel-Young losses", JMLR 21 (2020).
    """

    alpha: float | Float[Array, ""]

    def __init__(self, alpha: float | Array):
        self.alpha = parse_number(
            alpha, "Tsallis: alpha", lambda a: 0 < a < math.inf, "positive and finite"
        )

    def parts(self) -> tuple[Regularizer, Number, Number]:
        a = self.alpha
        if isinstance(a, float) and a == 1:
            return Entropy(), 1.0, 1.0
        if isinstance(a, float) and a in _CLOSED:
            return PNorm(a), 1 / (a - 1), -1 / (a * (a - 1))
        return _DeformedEntropy(a), 1.0, 1 / a

    def transition_scale(self) -> Float[Array, ""]:
        # A p-norm, of which this is 1 / (a - 1) times one, has 5; the entropy has 1.
        return jnp.maximum(jnp.asarray(5 * (self.alpha - 1)), 1.0)


_CLOSED = (2.0, 1.5, 4 / 3)
"""Exponents with closed forms of p-norms, where the linear term cancels few digits."""


class _DeformedEntropy(Regularizer):
    """Regularizer whose derivative is a deformed logarithm, and whose r(0) is 0.

    `r'(y) = (y^(a - 1) - 1) / (a - 1)`, which is `log y` for a = 1.
    """

    alpha: float | Float[Array, ""]

    def _powers(self, like: Array) -> tuple[Array, Array]:
        """Exponents a and a - 1, where the difference is rounded to the type last."""
        a = jnp.asarray(self.alpha, like.dtype)
        return a, jnp.asarray(self.alpha - 1, like.dtype)

    def link(self, t: Float[Array, "..."]) -> Float[Array, "..."]:
        t = inexact(t)
        return deformed_exp(t, self._powers(t)[1])

    def structure(self) -> Structure:
        traced = is_traced(self)
        return General(
            sparse=traced or float(self.alpha) > 1,
            unbounded=traced or float(self.alpha) >= 1,
            steep=traced or float(self.alpha) > 2,
        )

    def grounded(self) -> Regularizer:
        if is_traced(self):
            return _Grounded(self.alpha)
        return self if self.alpha <= 1 else _Power(self.alpha)

    def slope(self, t: Float[Array, "..."]) -> Float[Array, "..."]:
        t = inexact(t)
        return deformed_slope(t, self._powers(t)[1])

    def log_link(self, t: Float[Array, "..."]) -> Float[Array, "..."]:
        t = inexact(t)
        return log_deformed_exp(t, self._powers(t)[1])

    def gradient(self, y: Float[Array, "..."]) -> Float[Array, "..."]:
        y = inexact(y)
        return deformed_log(y, self._powers(y)[1])

    def conjugate(self, t: Float[Array, "..."]) -> Float[Array, "..."]:
        t = inexact(t)
        a, p = self._powers(t)
        return power_of_exp(t, p, a) / a

    def value(self, y: Float[Array, "..."]) -> Float[Array, "..."]:
        y = inexact(y)
        a, p = self._powers(y)
        return (_entropy_term(y, p) - y) / a

    def sigmoid(self, t: Float[Array, "..."]) -> Float[Array, "..."]:
        t = inexact(t)
        smaller = _smaller_of_two(jnp.where(t < 0, -t, t), self._powers(t)[1])
        return jnp.where(t < 0, smaller, 1 - smaller)

    def softplus(self, t: Float[Array, "..."]) -> Float[Array, "..."]:
        return antiderivative(
            inexact(t), self, integral=_integrate_sigmoid, integrand=_call_sigmoid
        )

    def contrast(
        self, total: Float[Array, "..."], target: Float[Array, "..."]
    ) -> Float[Array, "..."]:
        # Relative, so that rounding counts the same whatever the target.
        return deformed_log(total / target, self._powers(inexact(total))[1])


class _Power(Regularizer):
    """Power `r(y) = y^a / (a (a - 1))`, the Tsallis entropy of a > 1 from its edge."""

    alpha: float | Float[Array, ""]

    def link(self, t: Float[Array, "..."]) -> Float[Array, "..."]:
        p = self.alpha - 1
        return positive_power(p * inexact(t), 1 / p)

    def structure(self) -> Structure:
        return _DeformedEntropy(self.alpha).structure()

    def gradient(self, y: Float[Array, "..."]) -> Float[Array, "..."]:
        p = self.alpha - 1
        return positive_power(inexact(y), p) / p

    def value(self, y: Float[Array, "..."]) -> Float[Array, "..."]:
        a = self.alpha
        return positive_power(inexact(y), a) / (a * (a - 1))


class _Grounded(Regularizer):
    """A regularizer of a traced a: from its edge for a > 2, and else as it is."""

    alpha: float | Float[Array, ""]

    def _forms(self) -> tuple[Array, Regularizer, Regularizer]:
        """Whether a > 2, and the forms for that and for other exponents."""
        a = jnp.asarray(self.alpha)
        steep = a > 2
        # Each at an exponent that it is meant for, so that nothing overflows.
        above, below = jnp.where(steep, a, 3), jnp.where(steep, 2, a)
        return steep, _Power(above), _DeformedEntropy(below)

    def link(self, t: Float[Array, "..."]) -> Float[Array, "..."]:
        steep, power, entropy = self._forms()
        return jnp.where(steep, power.link(t), entropy.link(t))

    def structure(self) -> Structure:
        return _DeformedEntropy(self.alpha).structure()

    def gradient(self, y: Float[Array, "..."]) -> Float[Array, "..."]:
        steep, power, entropy = self._forms()
        return jnp.where(steep, power.gradient(y), entropy.gradient(y))

    def value(self, y: Float[Array, "..."]) -> Float[Array, "..."]:
        steep, power, entropy = self._forms()
        return jnp.where(steep, power.value(y), entropy.value(y))


def _two_point_residual(log_y, args):
    """Residual of `r'(1 - y) - r'(y) = gap`, relative to gaps above 1."""
    gap, p = args
    y = jnp.exp(log_y)
    apart = deformed_log(1 - y, p) - deformed_log(y, p)
    return (apart - gap) / jnp.maximum(jax.lax.stop_gradient(gap), 1)


def _smaller_of_two(gap: Float[Array, "..."], p: Array) -> Float[Array, "..."]:
    """Smaller entry y of a two-point projection, `r'(1 - y) - r'(y) = gap >= 0`, or 0.

    Solved for its logarithm, which is well conditioned for all p: the dual is not for
    large p, nor y for small p.
    """
    info = jnp.finfo(gap.dtype)
    lower = jnp.full_like(gap, jnp.log(info.tiny) / 2)
    upper = jnp.full_like(gap, -math.log(2))
    p = jnp.asarray(p, gap.dtype)
    # Beyond the gap of the smallest y, y is 0.
    inside = ~(gap >= -jax.lax.stop_gradient(deformed_log(jnp.exp(lower), p)))
    safe = jnp.where(inside, gap, 0)
    log_y = find_root(_two_point_residual, (safe, p), lower, upper, upper)
    y = jnp.where(inside, jnp.exp(log_y), 0)
    return jnp.where(jnp.isnan(gap), gap, y)


def _call_sigmoid(t, regularizer):
    return regularizer.sigmoid(t)


def _integrate_sigmoid(t: Array, regularizer: _DeformedEntropy) -> Array:
    """Softplus: the integral of the sigmoid from -inf to t, in closed form."""
    # The regularized maximum of [-|t|, 0], by Danskin's theorem, less r(0) + r(1).
    gap = jnp.abs(t)
    y = regularizer.sigmoid(-gap)
    a, p = regularizer._powers(t)
    # Without linear terms, r(1) is 0.
    terms = _entropy_term(y, p) + _entropy_term(1 - y, p)
    return jnp.maximum(t, 0) + jnp.maximum(-terms / a - gap * y, 0)


def _entropy_term(y: Array, p: Array) -> Array:
    """Product of y and its deformed logarithm, which is 0 at y = 0."""
    positive = y > 0
    safe = jnp.where(positive, y, 1)
    return jnp.where(positive, safe * deformed_log(safe, p), 0)
