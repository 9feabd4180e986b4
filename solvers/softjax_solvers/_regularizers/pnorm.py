from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from .._core.regularizer import Regularizer, _two_point, antiderivative
from .._core.structure import General, Structure
from .._kernels.arrays import inexact, is_traced


def parse_number(
    x, name: str, allowed: Callable[[float], bool], words: str
) -> float | Array:
    """Parameter of a regularizer: an inexact JAX array, or a `float` of other numbers.

    **Raises:** `ValueError` if it is known and not `allowed`, which `words` describe,
    or is no scalar; `TypeError` if it is no real number.
    """
    if isinstance(x, jax.Array | np.ndarray) and x.shape != ():
        raise ValueError(f"{name} must be a scalar, got shape {x.shape}.")
    if isinstance(x, jax.Array):
        if not is_traced(x) and not allowed(float(x)):
            raise ValueError(f"{name} must be {words}, got {float(x)}.")
        return inexact(x)
    if isinstance(x, bool) or not isinstance(x, int | float | np.number | np.ndarray):
        raise TypeError(f"{name} must be a real number, got {type(x).__name__}.")
    if not allowed(float(x)):
        raise ValueError(f"{name} must be {words}, got {x}.")
    return float(x)


def positive_power(base: Array, exponent: float | Array) -> Array:
    """Power `max(base, 0) ** exponent` and its derivatives, for a positive exponent."""
    # Not by `jnp.maximum`, whose derivative at 0 is 1/2 where `slope` says 0; and not
    # by `base > 0`, which would turn NaN into 0.
    clipped = base <= 0
    if isinstance(exponent, int):
        return jax.lax.integer_pow(jnp.where(clipped, 0, base), exponent)
    # Powers of 0 have infinite or undefined derivatives that must not be formed.
    return jnp.where(clipped, 0, jnp.where(clipped, 1, base) ** exponent)


class PNorm(Regularizer):
    """The p-norm regularizer `r(y) = y^p / p` for `1 < p <= 2`.

    The link is `phi(t) = max(t, 0)^(q - 1)` with `1/p + 1/q = 1`. Projections are
    sparse, and for integer q they are q - 2 times continuously differentiable.

    **Arguments:**

    - `p`: the exponent. A JAX array is a parameter that can be traced and
        differentiated; a Python number may take a closed form.

    **Example:**

        >>> x = jnp.array([0.2, 1.0, 0.7])
        >>> print(sj.argmax(x, mode=sj.solvers.PNorm(1.5), softness=0.5))
        [0.    0.884 0.116]
        >>> def largest(p):
        ...     return sj.argmax(x, mode=sj.solvers.PNorm(p), softness=0.5)[1]
        ...
        >>> print(f"{jax.grad(largest)(jnp.array(1.5)):.3f}")
        -0.309
    """

    p: float | Float[Array, ""]

    def __init__(self, p: float | Array):
        self.p = parse_number(
            p, "PNorm: p", lambda p: 1 < p <= 2, "above 1 and at most 2"
        )

    @property
    def _m(self) -> float | Array:
        """Exponent q - 1 of the link, an `int` where it is known to be one."""
        m = 1 / (self.p - 1)
        if isinstance(m, float) and abs(m - round(m)) < 1e-9 * m:
            return round(m)
        return m

    def _has_exponent(self, m: int) -> bool:
        """Whether the exponent of the link is known to be m."""
        return isinstance(self._m, int) and self._m == m

    def link(self, t: Float[Array, "..."]) -> Float[Array, "..."]:
        return positive_power(t, self._m)

    def structure(self) -> Structure:
        unbounded = True
        if not is_traced(self):
            power = float(self.p) - 1
            unbounded = 2.0 ** (20 * power) > 1 + 2.0 ** (10 * power)
        return General(sparse=True, unbounded=unbounded, linear=self._has_exponent(1))

    def slope(self, t: Float[Array, "..."]) -> Float[Array, "..."]:
        if self._has_exponent(1):
            return (t > 0).astype(t.dtype)
        return self._m * positive_power(t, self._m - 1)

    def log_link(self, t: Float[Array, "..."]) -> Float[Array, "..."]:
        outside = t <= 0
        log_t = jnp.log(jnp.where(outside, 1, t))
        return jnp.where(outside, -jnp.inf, self._m * log_t)

    def gradient(self, y: Float[Array, "..."]) -> Float[Array, "..."]:
        return positive_power(y, self.p - 1)

    def conjugate(self, t: Float[Array, "..."]) -> Float[Array, "..."]:
        return positive_power(t, self._m + 1) / (self._m + 1)

    def value(self, y: Float[Array, "..."]) -> Float[Array, "..."]:
        return positive_power(y, self.p) / self.p

    def sigmoid(self, t: Float[Array, "..."]) -> Float[Array, "..."]:
        if self._has_exponent(1):
            return jnp.clip((1 + t) / 2, 0, 1)
        if self._has_exponent(2):
            # sqrt(y) and sqrt(1 - y) differ by t, and their squares add up to 1.
            # Not by `< 1`, which would turn NaN into 0.
            inside = ~(jnp.abs(t) >= 1)
            safe = jnp.where(inside, t, 0)
            root = (safe + jnp.sqrt(2 - safe * safe)) / 2
            return jnp.where(inside, root * root, (t > 0).astype(t.dtype))
        if self._has_exponent(3):
            return _cubic_sigmoid(t)
        return _two_point(t, self)

    def softplus(self, t: Float[Array, "..."]) -> Float[Array, "..."]:
        return antiderivative(
            t, self, integral=_integrate_sigmoid, integrand=_call_sigmoid
        )

    def transition_scale(self) -> Float[Array, ""]:
        return jnp.asarray(5.0)

    def contrast(
        self, total: Float[Array, "..."], target: Float[Array, "..."]
    ) -> Float[Array, "..."]:
        # Relative, so that rounding counts the same whatever the target.
        return positive_power(total / target, self.p - 1) - 1

    def simplex_dual(
        self,
    ) -> Callable[[Float[Array, "*batch n"], Bool[Array, "*batch n"]], Array] | None:
        if self._has_exponent(1):
            return _linear_threshold
        if self._has_exponent(2):
            return _quadratic_threshold
        return None


def _cubic_sigmoid(t: Float[Array, "..."]) -> Float[Array, "..."]:
    """Sigmoid of p = 4/3, whose link is cubic."""
    # cbrt(y) and cbrt(1 - y) are c - h and c + h, with h = |t| / 2 and the one real
    # root of c^3 + 3 h^2 c = 1/2 (Cardano; nothing cancels).
    inside = ~(jnp.abs(t) >= 1)
    distance = jnp.where(inside, jnp.where(t < 0, -t, t), 0)
    h = distance / 2
    square = h * h
    # By logarithms, as `jnp.cbrt` is no vector instruction.
    outer = jnp.exp(jnp.log(0.25 + jnp.sqrt(0.0625 + square * square * square)) / 3)
    root = outer - square / outer - h
    # Where y is small, it is so only after this step, from 1 - |t|, which is exact.
    rest = 1 - distance - root
    root = 1 - distance - root * root * root / (3 - rest * (3 - rest))
    y = jnp.where(inside, root * root * root, 0)
    return jnp.where(t < 0, y, 1 - y)


def _call_sigmoid(t, regularizer):
    return regularizer.sigmoid(t)


def _integrate_sigmoid(t: Array, regularizer: PNorm) -> Array:
    """Softplus: the integral of the sigmoid from -inf to t, in closed form."""
    # At -|t|, with y = sigmoid(-|t|) and d = 1 - (1 - y)^(1/m), a sum of two positive
    # terms: y^p / q + (d - (1 - (1 - d)^q) / q).
    m, p = regularizer._m, regularizer.p
    y = regularizer.sigmoid(-jnp.abs(t))
    log_rest = jnp.log1p(-y) / m
    d = -jnp.expm1(log_rest)
    if isinstance(m, int):
        # For integer q the second term factorizes, so nothing cancels.
        rest = jnp.exp(log_rest)
        terms = [(m - j) * jax.lax.integer_pow(rest, j) for j in range(m)]
        second = d * d * sum(terms) / (m + 1)
    else:
        second = jnp.maximum(d + jnp.expm1((m + 1) * log_rest) / (m + 1), 0)
    return jnp.maximum(t, 0) + positive_power(y, p) / (m + 1) + second


def _sorted_scores(
    scores: Float[Array, "*batch n"], where: Bool[Array, "*batch n"]
) -> tuple[Array, Array]:
    """Scores in descending order, and the sizes of the supports that end at each."""
    # A score of -1 or less carries no mass (theta >= -1), so clipping is exact, and it
    # keeps the sums of squares well scaled.
    descending = -jnp.sort(-jnp.where(where, jnp.maximum(scores, -1), -1), axis=-1)
    counts = jnp.arange(1, scores.shape[-1] + 1, dtype=scores.dtype)
    return descending, counts


def _pick_threshold(thetas: Array, descending: Array) -> Array:
    """Threshold of the largest k whose k-th score is above the threshold for k."""
    support = jnp.sum(descending > thetas, axis=-1, keepdims=True)
    return jnp.take_along_axis(thetas, jnp.maximum(support - 1, 0), axis=-1)[..., 0]


def _linear_threshold(scores: Array, where: Array) -> Array:
    """Threshold for p = 2, `(sum s_i - 1) / k` (Held, Wolfe and Crowder, 1974)."""
    descending, counts = _sorted_scores(scores, where)
    thetas = (jnp.cumsum(descending, axis=-1) - 1) / counts
    return _pick_threshold(thetas, descending)


def _quadratic_threshold(scores: Array, where: Array) -> Array:
    """Threshold for p = 3/2, `sum (s_i - theta)^2 = 1` (Peters et al., 2019)."""
    descending, counts = _sorted_scores(scores, where)
    mean = jnp.cumsum(descending, axis=-1) / counts
    square = jnp.cumsum(descending * descending, axis=-1) / counts
    spread = jnp.maximum(1 / counts - (square - mean * mean), 0)
    return _pick_threshold(mean - jnp.sqrt(spread), descending)
