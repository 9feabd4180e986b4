"""Expectations of any function under noise, which softens what has no surrogate."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PyTree

from softjax_solvers.internal import broadcasts

from .._keywords import ARGUMENTS, as_array, check_positive, float_type, parse_flag
from ._keys import parse_key
from ._noise import Noise, get_noise, perturbed


def perturb(
    fn: Callable[..., PyTree],
    key: Any,
    *,
    samples: int = 100,
    noise: str | Noise = "normal",
    sigma: Any = 0.1,
    antithetic: bool = False,
    return_std_error: bool = False,
) -> Callable[..., Any]:
    """Make a function the expectation of another one under noise.

    `E fn(x + sigma Z)`, of independent Z for all numbers in x: smooth in x, whatever
    `fn` is, and differentiable in x and sigma to any order. It softens what has no
    surrogate here: programs with branches, solvers, calls of code outside JAX.

    The mean over samples is an unbiased estimate, and so is each of its derivatives.
    They come from the density of `x + sigma Z`, so that `fn` is never differentiated in
    what is perturbed; its values are compared with the mean of the other samples. The
    error falls with the root of the number of samples, and grows with that of numbers
    in x: where an operator of this library or a structure fits, it is far more exact.

    **Arguments:**

    - `fn`: any function of arrays or pytrees of them that `jax.vmap` takes, which
        returns a pytree of arrays. Floats among positional arguments are perturbed; all
        else, and arguments by keyword, are passed on, integers of Python's as constants
        for which it is compiled. What it closes over and what is passed on is
        differentiated through `fn` itself.
    - `key`: a key of `jax.random`, old or new style. Each call has the same noise.
    - `samples`: how often `fn` is evaluated, all at once: at least 2.
    - `noise`: `"normal"`, `"gumbel"`, `"laplace"`, `"logistic"`, or a
        [`softjax.random.Noise`][]. Laplace's density has a kink, and so
        first derivatives only.
    - `sigma`: the scale of the noise: a positive number, or an array that broadcasts to
        all that is perturbed; may be traced and differentiated.
    - `antithetic`: whether half of the samples mirror the others: `-Z`, and for Gumbel
        noise that of the opposite level. An even number of samples, at least 4, then.
    - `return_std_error`: whether to return how uncertain the estimate is too.

    **Returns:** a function of the arguments of `fn`. It returns the estimate, of the
    structure of what `fn` returns, with integers and Booleans as floats; with
    `return_std_error`, a pair of it and its standard error, which has no derivative.

    **Raises:** `TypeError` or `ValueError` for arguments out of range; when it is
    called, `TypeError` if there is no float to perturb; `ValueError` for a second
    derivative under Laplace noise.

    **Example:**

        >>> def spend(x):  # counts what fits into a budget, in order of the prices
        ...     return jnp.sum(jnp.cumsum(jnp.sort(x)) < 1.0)
        ...
        >>> x = jnp.array([0.2, 0.5, 0.4, 0.9])
        >>> keywords = dict(samples=20_000, sigma=0.1, return_std_error=True)
        >>> soft = sj.random.perturb(spend, jax.random.key(0), **keywords)
        >>> mean, error = soft(x)
        >>> print(f"{spend(x)} {mean:.1f} {error:.3f}")
        2 2.3 0.003
        >>> print(jax.grad(lambda x: soft(x)[0])(x).round(0))
        [-2. -2. -2. -0.]

    ??? cite

        Berthet, Blondel, Teboul, Cuturi, Vert and Bach, "Learning with differentiable
        perturbed optimizers", NeurIPS 2020; Kool, van Hoof and Welling, "Buy 4
        REINFORCE samples, get a baseline for free!", 2019; Foerster et al., "DiCE: the
        infinitely differentiable Monte Carlo estimator", ICML 2018.
    """
    key = parse_key(key, "perturb")
    noise = get_noise(noise, "perturb")
    check_positive(sigma, "sigma")
    sigma = _as_array(as_array(sigma, "perturb: sigma"), float)
    antithetic = parse_flag(antithetic, "perturb: antithetic")
    return_std_error = parse_flag(return_std_error, "perturb: return_std_error")
    samples = _parse_samples(samples, antithetic)

    def estimate(key, sigma, noise, args, keywords):
        leaves, structure = jax.tree.flatten(args)
        floats = [i for i, leaf in enumerate(leaves) if _is_float(leaf)]
        if not floats:
            raise TypeError(
                "perturb: there is no float among the positional arguments to perturb."
            )
        # The same noise in each call is meant.
        keys = jax.random.split(jax.random.clone(key), len(floats))
        total = jnp.zeros(samples, jnp.float32)
        for i, own in zip(floats, keys, strict=True):
            x = leaves[i]
            wide = x.astype(jnp.promote_types(x.dtype, jnp.float32))
            if not broadcasts(x.shape, sigma.shape):
                raise ValueError(
                    f"perturb: sigma of shape {sigma.shape} must broadcast to what is "
                    f"perturbed, of shape {x.shape}."
                )
            scale = sigma.astype(wide.dtype)
            moved, logs = perturbed(noise, own, wide, scale, samples, antithetic)
            leaves[i] = moved.astype(x.dtype)
            total = total + logs
        axes = [0 if i in floats else None for i in range(len(leaves))]

        def call(leaves):
            return fn(*jax.tree.unflatten(structure, leaves), **keywords)

        values = jax.vmap(call, (axes,))(leaves)
        weights = jnp.exp(total - jax.lax.stop_gradient(total))
        means, errors = [], []
        values, outer = jax.tree.flatten(values)
        for value in values:
            mean, error = _mean(value, weights, antithetic)
            means.append(jnp.where(jnp.all(sigma > 0), mean, jnp.nan))
            errors.append(error)
        found = jax.tree.unflatten(outer, means)
        if return_std_error:
            return found, jax.tree.unflatten(outer, errors)
        return found

    compiled = eqx.filter_jit(estimate)

    def soft(*args: Any, **keywords: Any) -> Any:
        args, keywords = jax.tree.map(_as_array, (args, keywords))
        return compiled(key, sigma, noise, args, keywords)

    return soft


def _is_float(x: Any) -> bool:
    return eqx.is_array(x) and jnp.issubdtype(x.dtype, jnp.floating)


def _as_array(x: Any, dtype: Any = None) -> Any:
    """A number as an array, without an operation of JAX; anything else as it is.

    Integers of Python's are constants, unless a type is given.
    """
    if isinstance(x, jax.Array | np.ndarray) or not isinstance(x, ARGUMENTS):
        return x
    if isinstance(x, int) and dtype is None:
        return x
    x = np.asarray(x, dtype)
    return x.astype(jax.dtypes.canonicalize_dtype(x.dtype))


def _parse_samples(samples: Any, antithetic: bool) -> int:
    try:
        if isinstance(samples, bool):
            raise TypeError
        samples = operator.index(samples)
    except TypeError:
        raise TypeError(
            f"perturb: samples must be an integer, got {samples!r}."
        ) from None
    if samples < 2:
        raise ValueError(f"perturb: samples must be at least 2, got {samples}.")
    if antithetic and (samples % 2 or samples < 4):
        raise ValueError(
            "perturb: with antithetic=True, samples must be even and at least 4, got "
            f"{samples}."
        )
    return samples


def _mean(
    values: Array, weights: Float[Array, "m"], antithetic: bool
) -> tuple[Array, Array]:
    """The weighted mean of values along their first axis, and its standard error.

    Weights are 1, and have the derivatives of densities. Each multiplies how far a
    value is from the mean of those that are independent of it, whose expectation is
    that of the value itself: the mean of all derivatives is 0.
    """
    dtype = float_type(values.dtype)
    values = values.astype(jnp.promote_types(dtype, jnp.float32))
    groups, shape = 2 if antithetic else 1, values.shape[1:]
    mean = jnp.mean(values, axis=0)
    # What is not finite has no derivative, and its mean is what it is.
    finite = jnp.all(jnp.isfinite(values), axis=0)
    count = len(weights) // groups
    values = jnp.where(finite, values, 0).reshape(groups, count, *shape)
    weights = weights.astype(values.dtype).reshape(groups, count, *(1 for _ in shape))
    centers = jnp.mean(values, axis=0)
    apart = centers - jnp.mean(centers, axis=0)
    # Less the mean of all others: that of all, without its own part.
    others = centers - apart - apart / (count - 1)
    score = jnp.mean((weights - 1) * (values - others), axis=(0, 1))
    squares = jax.lax.stop_gradient(jnp.abs(apart) ** 2)
    variance = jnp.sum(squares, axis=0) / (count - 1)
    error = jnp.where(finite, jnp.sqrt(variance / count), jnp.nan)
    return (mean + score).astype(dtype), error.astype(jnp.finfo(dtype).dtype)
