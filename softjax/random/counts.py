"""Draws of how often something happens, or of how long it takes."""

from __future__ import annotations

import math
from typing import Any, Unpack

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from softjax_solvers import Regularizer
from softjax_solvers.internal import is_traced, safe_log, sum_chunks

from .. import axiswise, comparison, rounding
from .._defaults import reads_defaults
from .._dispatch import dispatch
from .._keywords import as_array, as_float, check_nonnegative, check_softness
from ..axiswise._keywords import AxisKeywords, along_axis
from ..axiswise._operation import Operation, ask
from ._keys import check_key, parse_key
from ._run import (
    call,
    check_probabilities,
    parse_dtype,
    parse_shape,
    perturbed_scores,
)
from .coins import check_softness_shape, logit, toss

_MULTINOMIAL = Operation("multinomial", ask("argmax"), ())


def _parse_trials(name: str, n: Any) -> tuple[np.ndarray, int]:
    """The numbers of trials, and the largest of them, but at least one.

    **Raises:** `TypeError` if they are traced or no numbers, `ValueError` if one is
    negative or not finite.
    """
    if is_traced(n):
        raise TypeError(
            f"{name}: n must be nonnegative and known, for it decides how many trials "
            "there are, got a traced one. Use a number or an array of NumPy."
        )
    check_nonnegative(n, f"{name}: n")
    known = np.floor(np.asarray(n, np.float64))
    return known, int(known.max(initial=1))


def _sum_of_trials(
    key: Key[Array, ""],
    trial: Any,
    n: Float[Array, "*shape"],
    trials: int,
    row_size: int,
) -> Array:
    """The sum of the first n of independent trials, in chunks of them.

    **Arguments:**

    - `trial`: a function of a key.
    - `n`: broadcasts against what it returns.
    """
    impl = jax.random.key_impl(key)
    # Chunks are of numbers.
    keys = jax.random.key_data(jax.random.split(key, trials))

    def some(rows):
        (data, number), included = rows
        found = jax.vmap(trial)(jax.random.wrap_key_data(data, impl=impl))
        counted = (number.reshape(-1, *(1,) * n.ndim) < n).astype(found.dtype)
        counted *= included.reshape(-1, *(1,) * n.ndim).astype(found.dtype)
        return jnp.sum(counted * found, axis=0)

    numbers = jnp.arange(trials, dtype=keys.dtype)
    return sum_chunks(some, (keys, numbers), row_size=row_size)


def _binomial(key, softness, n, p, *, trials, shape, dtype, mode):
    name = "binomial"
    p, own = as_float(p, f"{name}: p")
    shape = parse_shape(name, shape, jnp.shape(n), p.shape)
    check_softness_shape(name, softness, shape)
    dtype = dtype or own
    n = jnp.broadcast_to(n, shape).astype(p.dtype)
    logits = logit(p)

    def trial(key):
        return toss(key, logits, shape, softness, mode)

    key = parse_key(key, name)
    return _sum_of_trials(key, trial, n, trials, math.prod(shape)).astype(dtype)


@reads_defaults("comparison")
def binomial(
    key: Any,
    n: Any,
    p: Any,
    shape: tuple[int, ...] | None = None,
    dtype: Any = None,
    *,
    softness: Any = 0.1,
    mode: str | Regularizer = "smooth",
) -> Float[Array, "..."]:
    """Soft `jax.random.binomial`: how many of n trials succeed.

    The sum of n independent draws by [`softjax.random.bernoulli`][]. Takes O(n) time.

    **Arguments:**

    - `key`: a key of `jax.random`, old or new style.
    - `n`: numbers of trials, which have to be known; rounded down.
    - `p`: in [0, 1]; at either end, its derivative is 0.
    - `shape`: of the draws: what n and p broadcast to. None for no more than that.
    - `dtype`: a float type; None for that of p.
    - `softness`, `mode`: as for [`softjax.random.bernoulli`][].

    **Returns:** values in [0, n].

    **Raises:** `TypeError` if n is traced.

    **Example:**

        >>> key, p = jax.random.key(0), jnp.array([0.1, 0.5, 0.9])
        >>> print(sj.random.binomial(key, 10, p, softness=0.5))
        [1.281 3.865 8.928]
        >>> print(sj.random.binomial(key, 10, p, mode="hard"))
        [1. 4. 9.]
        >>> print(jax.grad(lambda p: sj.random.binomial(key, 10, p).sum())(p))
        [37.322  0.586 27.517]
    """
    check_key(key, "binomial")
    check_softness(softness)
    check_probabilities("binomial", p)
    n, trials = _parse_trials("binomial", n)
    options = dict(shape=shape, dtype=parse_dtype("binomial", dtype), mode=mode)
    return dispatch(_binomial, key, softness, n, p, trials=trials, **options)


def _multinomial(key, softness, n, p, *, trials, shape, dtype, keywords):
    name = "multinomial"
    p, own = as_float(p, f"{name}: p")
    if p.ndim == 0:
        raise ValueError(f"{name}: p must have an axis of outcomes, got a scalar.")
    full = *parse_shape(name, shape, jnp.shape(n), p.shape[:-1]), p.shape[-1]
    dtype = dtype or own
    keywords = dict(keywords)
    weights = keywords.pop("weights")
    logits = jnp.broadcast_to(safe_log(p), full)

    def trial(key):
        scores = perturbed_scores(name, key, logits, -1, None, weights).values
        return axiswise.argmax(scores, -1, softness=softness, **keywords)

    n = jnp.broadcast_to(n, full[:-1])[..., None].astype(p.dtype)
    key = parse_key(key, name)
    return _sum_of_trials(key, trial, n, trials, math.prod(full)).astype(dtype)


@along_axis("max", _MULTINOMIAL, "indices")
def multinomial(
    key: Any,
    n: Any,
    p: Any,
    *,
    shape: tuple[int, ...] | None = None,
    dtype: Any = None,
    **keywords: Unpack[AxisKeywords],
) -> Float[Array, "..."]:
    """Soft `jax.random.multinomial`: how often each of k outcomes is that of n trials.

    The sum of n independent draws by [`softjax.random.categorical`][]. Takes O(n) time.

    **Arguments:**

    - `key`: a key of `jax.random`, old or new style.
    - `n`: numbers of trials, which have to be known; rounded down. They broadcast
        against p without its last axis.
    - `p`: how likely outcomes are along the last axis, relative to their sum; where it
        is 0, its derivative is 0.
    - `shape`: of the counts, without the axis of outcomes, as JAX documents it;
        None for what n and p broadcast to.
    - `dtype`: a float type; None for that of p.
    - The others are those of `softjax.AxisKeywords`; `where` and `weights` broadcast to
        p, and probabilities are multiplied by `weights`.

    **Returns:** nonnegative values with sum n along the last axis.

    **Raises:** `TypeError` if n is traced.

    **Example:**

        >>> key, p = jax.random.key(0), jnp.array([0.1, 0.4, 0.5])
        >>> print(sj.random.multinomial(key, 10, p, softness=0.5))
        [1.314 2.901 5.784]
        >>> print(sj.random.multinomial(key, 10, p, mode="hard"))
        [1. 3. 6.]
    """
    p = as_array(p, "multinomial: p")
    check_probabilities("multinomial", p, total=True)
    n, trials = _parse_trials("multinomial", n)
    dtype = parse_dtype("multinomial", dtype)
    options: dict[str, Any] = dict(trials=trials, shape=shape, dtype=dtype)
    options |= dict(rows=(p, -1), keywords=keywords)
    return call(_multinomial, _MULTINOMIAL, key, n, p, **options)


_RADIUS = 5  # of the steps of a soft rounding


def _geometric(key, softness, p, *, shape, dtype, mode):
    name = "geometric"
    p, own = as_float(p, f"{name}: p")
    shape = parse_shape(name, shape, p.shape)
    check_softness_shape(name, softness, shape)
    time = jax.random.exponential(parse_key(key, name), shape, p.dtype)
    outside = (p <= 0) | (p >= 1)
    rate = -jnp.log1p(-jnp.where(outside, 0.5, p))
    edge = jnp.where(p <= 0, jnp.inf, 0)
    time = jnp.where(outside, edge, time / rate)
    options: dict[str, Any] = dict(softness=softness, mode=mode)
    count = 1 + rounding.round(time - 0.5, neighbor_radius=_RADIUS, **options)
    # Rounding has steps at 0 and below, where none are: what they lack of 1.
    below = time + jnp.arange(_RADIUS + 1).reshape(-1, *(1,) * time.ndim)
    count = count + jnp.sum(comparison.less(below, 0.0, **options), axis=0)
    return count.astype(dtype or own)


@reads_defaults("elementwise")
def geometric(
    key: Any,
    p: Any,
    shape: tuple[int, ...] | None = None,
    dtype: Any = None,
    *,
    softness: Any = 0.1,
    mode: str | Regularizer = "smooth",
) -> Float[Array, "..."]:
    """Soft `jax.random.geometric`: how many trials there are up to the first success.

    `1 + floor(E / -log(1 - p))` with independent exponential noise E; floor is a sum of
    soft steps [`softjax.heaviside`][] at 1, 2, 3, ... The hard one is a count from 1
    on, with the distribution of that of `jax.random`.

    **Arguments:**

    - `key`: a key of `jax.random`, old or new style.
    - `p`: in [0, 1]; where it is 0, inf is returned. At either end, its derivative is
        0.
    - `shape`: of the draws; None for that of p, which broadcasts to it.
    - `dtype`: a float type; None for that of p.
    - `softness`, `mode`: as for [`softjax.round`][]; softness is in the unit of counts,
        and broadcasts to the draws. At most 1 or so.

    **Returns:** values from 1 on.

    **Example:**

        >>> key, p = jax.random.key(1), jnp.array([0.1, 0.4, 0.9])
        >>> print(sj.random.geometric(key, p))
        [5.997 1.999 1.001]
        >>> print(sj.random.geometric(key, p, mode="hard"))
        [6. 2. 1.]
    """
    check_key(key, "geometric")
    check_softness(softness)
    check_probabilities("geometric", p)
    dtype = parse_dtype("geometric", dtype)
    options = dict(shape=shape, dtype=dtype, mode=mode)
    return dispatch(_geometric, key, softness, p, **options)
