"""Regularizers that belong to a symmetric sigmoid H, with the link `phi(t) = H(2t)`.

From H(t) + H(-t) = 1 it follows that theta = t/2 solves the two-point problem, so the
projection of [t, 0] onto the simplex is H(t) itself.
"""

from __future__ import annotations

import abc
import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from .._core.regularizer import Regularizer
from .._core.structure import General, Structure
from .._kernels.roots import find_root


class SymmetricRegularizer(Regularizer):
    """A regularizer of which the sigmoid and its integral are known."""

    @abc.abstractmethod
    def sigmoid(self, t: Float[Array, "..."]) -> Float[Array, "..."]:
        """H(t), with H(t) + H(-t) = 1."""

    @abc.abstractmethod
    def softplus(self, t: Float[Array, "..."]) -> Float[Array, "..."]:
        """The integral of H from -inf to t."""

    def link(self, t: Float[Array, "..."]) -> Float[Array, "..."]:
        return self.sigmoid(2 * t)

    def conjugate(self, t: Float[Array, "..."]) -> Float[Array, "..."]:
        return self.softplus(2 * t) / 2


def _symmetric(t: Array, step: Callable[[Array], Array]) -> Array:
    """Symmetric sigmoid `step((1 + t) / 2)`, with the argument clipped to [0, 1].

    It is evaluated on the half below 1/2, as rounding would lead beyond 1 on the other.
    """
    small = step(jnp.maximum((1 - jnp.abs(t)) / 2, 0))
    # At 0, the branch that goes with the derivative of `jnp.abs`, which is 1 there.
    return jnp.where(t < 0, small, 1 - small)


class Cubic(SymmetricRegularizer):
    """The cubic Hermite smoothstep as a sigmoid: `H(t) = 3 s^2 - 2 s^3`.

    Here `s = (1 + t) / 2`, clipped to [0, 1]. Once continuously differentiable.

    **Example:**

        >>> x = jnp.array([-0.5, -0.2, 0.0, 0.2])
        >>> print(sj.heaviside(x, mode=sj.solvers.Cubic()))
        [0.    0.216 0.5   0.784]
    """

    def gradient(self, y: Float[Array, "..."]) -> Float[Array, "..."]:
        return -jnp.sin(jnp.arcsin(jnp.clip(1 - 2 * y, -1, 1)) / 3)

    def sigmoid(self, t: Float[Array, "..."]) -> Float[Array, "..."]:
        return _symmetric(t, lambda s: s * s * (3 - 2 * s))

    def softplus(self, t: Float[Array, "..."]) -> Float[Array, "..."]:
        s = jnp.clip((1 + t) / 2, 0, 1)
        return s * s * s * (2 - s) + jnp.maximum(t - 1, 0)


class Quintic(SymmetricRegularizer):
    """The quintic Hermite smoothstep as a sigmoid: `H(t) = 6 s^5 - 15 s^4 + 10 s^3`.

    Here `s = (1 + t) / 2`, clipped to [0, 1]. Twice continuously differentiable.

    **Example:**

        >>> x = jnp.array([-0.5, -0.2, 0.0, 0.2])
        >>> print(sj.heaviside(x, mode=sj.solvers.Quintic()))
        [0.    0.163 0.5   0.837]
    """

    def gradient(self, y: Float[Array, "..."]) -> Float[Array, "..."]:
        inside = (y > 0) & (y < 1)
        half = jnp.full_like(y, 1 / 2)
        t = find_root(
            _quintic_residual, jnp.where(inside, y, half), -half, half, 0 * half
        )
        return jnp.where(inside, t, jnp.where(y > 0, half, -half))

    def structure(self) -> Structure:
        return General(sparse=True, unbounded=False)

    def sigmoid(self, t: Float[Array, "..."]) -> Float[Array, "..."]:
        return _symmetric(t, lambda s: s * s * s * (10 + s * (6 * s - 15)))

    def softplus(self, t: Float[Array, "..."]) -> Float[Array, "..."]:
        s = jnp.clip((1 + t) / 2, 0, 1)
        return s * s * s * s * (5 + s * (2 * s - 6)) + jnp.maximum(t - 1, 0)


def _quintic_residual(t: Array, y: Array) -> Array:
    return y - Quintic().link(t)


class PseudoHuber(SymmetricRegularizer):
    """The sigmoid `H(t) = (1 + t / sqrt(t^2 + 1)) / 2`, with algebraic tails.

    Its integral is the soft relu that goes with the pseudo-Huber loss. Smooth and
    dense; `r(y) = -sqrt(y (1 - y)) / 2`.

    **Example:**

        >>> x = jnp.array([-0.5, -0.2, 0.0, 0.2])
        >>> print(sj.heaviside(x, mode=sj.solvers.PseudoHuber()))
        [0.01  0.053 0.5   0.947]
    """

    def gradient(self, y: Float[Array, "..."]) -> Float[Array, "..."]:
        inside = (y > 0) & (y < 1)
        safe = jnp.where(inside, y, 1 / 2)
        t = (2 * safe - 1) / (4 * jnp.sqrt(safe * (1 - safe)))
        return jnp.where(inside, t, jnp.where(y > 0, jnp.inf, -jnp.inf))

    def value(self, y: Float[Array, "..."]) -> Float[Array, "..."]:
        inside = (y > 0) & (y < 1)
        safe = jnp.where(inside, y, 1 / 2)
        return jnp.where(inside, -jnp.sqrt(safe * (1 - safe)) / 2, 0)

    def sigmoid(self, t: Float[Array, "..."]) -> Float[Array, "..."]:
        # Formed at -|t|, where the textbook formula would cancel.
        root = jnp.sqrt(t * t + 1)
        # A product, as second derivatives of one quotient have powers that overflow.
        small = (1 / (2 * root)) * (1 / (root + jnp.abs(t)))
        # At 0, the branch that goes with the derivative of `jnp.abs`, which is 1 there.
        return jnp.where(t < 0, small, 1 - small)

    def log_link(self, t: Float[Array, "..."]) -> Float[Array, "..."]:
        return self.log_sigmoid(2 * t)

    def log_sigmoid(self, t: Float[Array, "..."]) -> Float[Array, "..."]:
        # Each half where it is small or rounds to 1, so that second derivatives, of
        # high powers of t, do not overflow.
        low = jnp.where(t < 0, t, 0)
        root = jnp.sqrt(low * low + 1)
        logs = -jnp.log1p(low * low) / 2 - jnp.log(root - low) - math.log(2)
        most = 1 / math.sqrt(jnp.finfo(t.dtype).eps)
        high = jnp.where(t < 0, 0, jnp.where(t > most, most, t))
        root = jnp.sqrt(high * high + 1)
        rest = jnp.log1p(-1 / (2 * root * (root + high)))
        return jnp.where(t < 0, logs, rest)

    def softplus(self, t: Float[Array, "..."]) -> Float[Array, "..."]:
        small = 1 / (2 * (jnp.sqrt(t * t + 1) + jnp.abs(t)))
        return jnp.where(t < 0, small, t + small)

    def transition_scale(self) -> Float[Array, ""]:
        return jnp.asarray(1.0)


class BinaryEntropy(SymmetricRegularizer):
    """Negative entropy on [0, 1], `r(y) = y log y + (1 - y) log(1 - y)`.

    The link is the logistic function. Smooth and dense, and bounded by 1, as masks are:
    with it a top-k mask is the vector of the marginals of a Fermi gas, a logistic
    function of scores with a common threshold. Since it fits each entry into [0, 1] by
    itself, it suits problems over the simplex or the hypersimplex.

    **Example:**

        >>> x = jnp.array([0.2, 1.0, 0.7])
        >>> mode = sj.solvers.BinaryEntropy()
        >>> print(sj.top_k_mask(x, 2, mode=mode, method="hypersimplex"))
        [0.078 0.996 0.926]
    """

    def log_link(self, t: Float[Array, "..."]) -> Float[Array, "..."]:
        return jax.nn.log_sigmoid(t)

    def gradient(self, y: Float[Array, "..."]) -> Float[Array, "..."]:
        inside = (y > 0) & (y < 1)
        t = jax.scipy.special.logit(jnp.where(inside, y, 1 / 2))
        return jnp.where(inside, t, jnp.where(y > 0, jnp.inf, -jnp.inf))

    def value(self, y: Float[Array, "..."]) -> Float[Array, "..."]:
        inside = (y > 0) & (y < 1)
        y = jnp.where(inside, y, 1 / 2)
        return jnp.where(inside, y * jnp.log(y) + (1 - y) * jnp.log1p(-y), 0)

    def sigmoid(self, t: Float[Array, "..."]) -> Float[Array, "..."]:
        return jax.nn.sigmoid(t / 2)

    def log_sigmoid(self, t: Float[Array, "..."]) -> Float[Array, "..."]:
        return jax.nn.log_sigmoid(t / 2)

    def softplus(self, t: Float[Array, "..."]) -> Float[Array, "..."]:
        return 2 * jax.nn.softplus(t / 2)

    def transition_scale(self) -> Float[Array, ""]:
        return jnp.asarray(1.0)
