"""Distributions of noise, with their densities, and scores perturbed by them.

A mean of what a function makes of perturbed scores is differentiated by the density of
these: the perturbed scores stay where they are, and their weights move.
"""

from __future__ import annotations

import abc
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key


class Noise(eqx.Module):
    """A distribution of mean 0 on the real line, with a density.

    `mirror` is meant to be overridden where the distribution is not symmetric.

    **Example:**

        >>> class Uniformish(sj.random.Noise):  # a power of which is nearly uniform
        ...     def sample(self, key, shape, dtype):
        ...         return 1.2 * jax.random.generalized_normal(key, 8, shape, dtype)
        ...     def log_density(self, x):
        ...         return -(jnp.abs(x / 1.2) ** 8)
        ...
        >>> fn = sj.random.perturb(jnp.round, jax.random.key(0), noise=Uniformish())
        >>> print(fn(jnp.array([0.2, 3.9])).shape)
        (2,)
    """

    @abc.abstractmethod
    def sample(
        self, key: Key[Array, ""], shape: tuple[int, ...], dtype: Any
    ) -> Float[Array, "..."]:
        """Independent numbers of this distribution."""

    @abc.abstractmethod
    def log_density(self, x: Float[Array, "..."]) -> Float[Array, "..."]:
        """The logarithm of the density up to a constant, differentiable."""

    def mirror(self, x: Float[Array, "..."]) -> Float[Array, "..."]:
        """Numbers of this distribution that are large where x is small: -x."""
        return -x


class Normal(Noise):
    """The normal distribution of variance 1.

    **Example:**

        >>> print(sj.random.Normal().log_density(jnp.array([-1.0, 0.0, 1.0])))
        [-0.5 -0.  -0.5]
    """

    def sample(
        self, key: Key[Array, ""], shape: tuple[int, ...], dtype: Any
    ) -> Float[Array, "..."]:
        return jax.random.normal(key, shape, dtype)

    def log_density(self, x: Float[Array, "..."]) -> Float[Array, "..."]:
        return -(x**2) / 2


class Gumbel(Noise):
    """Gumbel's distribution, less its mean.

    The best of independently perturbed numbers has the distribution of their softmax.

    **Example:**

        >>> print(sj.random.Gumbel().log_density(jnp.array([-1.0, 0.0, 1.0])))
        [-1.103 -1.139 -1.784]
    """

    def sample(
        self, key: Key[Array, ""], shape: tuple[int, ...], dtype: Any
    ) -> Float[Array, "..."]:
        return jax.random.gumbel(key, shape, dtype) - np.euler_gamma

    def log_density(self, x: Float[Array, "..."]) -> Float[Array, "..."]:
        x = x + np.euler_gamma
        return -x - jnp.exp(-x)

    def mirror(self, x: Float[Array, "..."]) -> Float[Array, "..."]:
        # The level exp(-t) becomes 1 - exp(-t), whose logarithm has two accurate forms.
        t = jnp.exp(-x - np.euler_gamma)
        small, large = t < np.log(2), t > 40
        near = -jnp.log(-jnp.expm1(-jnp.where(small, t, 1)))
        far = -jnp.log1p(-jnp.exp(-jnp.where(small | large, 1, t)))
        mirrored = -jnp.log(jnp.where(small, near, far))
        # There exp(-t) is its own logarithm to rounding, and soon underflows.
        return jnp.where(large, t, mirrored) - np.euler_gamma


class Laplace(Noise):
    """Laplace's distribution of scale 1, of variance 2, for first derivatives only.

    Its density has a kink, which a second derivative by samples would not see.

    **Raises:** `ValueError` where it is differentiated twice.

    **Example:**

        >>> print(sj.random.Laplace().log_density(jnp.array([-1.0, 0.0, 1.0])))
        [-1. -0. -1.]
    """

    def sample(
        self, key: Key[Array, ""], shape: tuple[int, ...], dtype: Any
    ) -> Float[Array, "..."]:
        return jax.random.laplace(key, shape, dtype)

    def log_density(self, x: Float[Array, "..."]) -> Float[Array, "..."]:
        return _minus_size(x)


@jax.custom_jvp
def _minus_size(x: Float[Array, "..."]) -> Float[Array, "..."]:
    return -jnp.abs(x)


@_minus_size.defjvp
def _minus_size_jvp(primals, tangents):
    return _minus_size(*primals), -_side(*primals) * tangents[0]


@jax.custom_jvp
def _side(x: Float[Array, "..."]) -> Float[Array, "..."]:
    return jnp.sign(x)


@_side.defjvp
def _side_jvp(primals, tangents):
    raise ValueError(
        "Second derivatives of an expectation under Laplace noise would be biased: its "
        "density has a kink. Use noise='normal', 'gumbel' or 'logistic'."
    )


class Logistic(Noise):
    """The logistic distribution of scale 1, of variance pi^2 / 3.

    **Example:**

        >>> print(sj.random.Logistic().log_density(jnp.array([-1.0, 0.0, 1.0])))
        [-1.627 -1.386 -1.627]
    """

    def sample(
        self, key: Key[Array, ""], shape: tuple[int, ...], dtype: Any
    ) -> Float[Array, "..."]:
        return jax.random.logistic(key, shape, dtype)

    def log_density(self, x: Float[Array, "..."]) -> Float[Array, "..."]:
        return -x - 2 * jax.nn.softplus(-x)


NOISES = {
    "normal": Normal,
    "gumbel": Gumbel,
    "laplace": Laplace,
    "logistic": Logistic,
}


def get_noise(noise: str | Noise, name: str) -> Noise:
    """A noise by its name, or itself.

    **Raises:** `ValueError` for an unknown name, `TypeError` for anything else.
    """
    allowed = f"{', '.join(map(repr, NOISES))} or a softjax.random.Noise"
    if isinstance(noise, str):
        if noise not in NOISES:
            raise ValueError(f"{name}: noise must be {allowed}, got {noise!r}.")
        return NOISES[noise]()
    if not isinstance(noise, Noise):
        raise TypeError(f"{name}: noise must be {allowed}, got {noise!r}.")
    return noise


def perturbed(
    noise: Noise,
    key: Key[Array, ""],
    x: Float[Array, "*shape"],
    sigma: Float[Array, "*#shape"],
    samples: int,
    antithetic: bool,
) -> tuple[Float[Array, "m *shape"], Float[Array, "m"]]:
    """Samples of `x + sigma Z`, which do not move, and their log-densities, which do.

    **Arguments:**

    - `antithetic`: whether the second half of the samples mirrors the first.
    """
    still, width = jax.lax.stop_gradient((x, sigma))
    count = samples // 2 if antithetic else samples
    z = noise.sample(key, (count, *x.shape), x.dtype)
    if antithetic:
        z = jnp.concatenate([z, noise.mirror(z)])
    z = jax.lax.stop_gradient(z)
    # (sample - x) / sigma without its rounding; infinite x stay what they are.
    finite = jnp.isfinite(x)
    moved = jnp.where(finite, still, 0) - jnp.where(finite, x, 0)
    logs = noise.log_density((width * z + moved) / sigma)
    logs = logs - jnp.broadcast_to(jnp.log(sigma), x.shape)
    return still + width * z, jnp.sum(logs, axis=tuple(range(1, logs.ndim)))
