"""Correlations of ranks and robust means, made of soft operators."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from softjax_solvers.internal import safe_divide

from .. import axiswise
from .._keywords import got
from ..axiswise._operation import VALUE, Operation
from ..axiswise._run import call, run
from ..axiswise.ordering import RANK, SORT
from ..methods import Intervals, Method, Relaxation, Sample, SoftSort
from ._rows import known_numbers, parse_rows, relative


def _of_resolved_ranks(weights: Float[Array, "*batch n"]) -> Float[Array, "*batch n"]:
    """Weights whose sum is at least 1, and at most a number that can be squared.

    Of less than one copy in all, ranks would be 1/2 and a rest that is rounded away.
    """
    share, largest = relative(weights)
    count = jnp.sum(share, axis=-1, keepdims=True)
    total = largest * count  # infinite, maybe
    limit = math.sqrt(jnp.finfo(weights.dtype).max)
    kept = jnp.clip(jax.lax.stop_gradient(total), 1, limit)
    return jnp.where(kept == total, weights, safe_divide(share, count) * kept)


def _constant(x: Float[Array, "*batch n"], share: Float[Array, "*batch n"]) -> Array:
    """Where all that count are equal: soft ranks of them are only up to rounding."""
    one = jnp.take_along_axis(x, jnp.argmax(share, axis=-1, keepdims=True), axis=-1)
    return jnp.all((x == one) | (share == 0), axis=-1)


def _centred(
    ranks: Float[Array, "*batch n"], share: Float[Array, "*batch n"]
) -> Float[Array, "*batch n"]:
    """Ranks less their mean, in [-1, 1]: squares of large ones would overflow."""
    ranks = ranks - jnp.sum(share * ranks, axis=-1, keepdims=True)
    counted = jnp.where(share > 0, jnp.abs(jax.lax.stop_gradient(ranks)), 0)
    size = jnp.max(counted, axis=-1, keepdims=True)
    return ranks / jnp.where(size > 0, size, 1)


def spearman(
    x: Any, y: Any, axis: int = -1, *, weights: Any = None, **keywords: Any
) -> Array:
    """Spearman's correlation of soft ranks of x with the ranks of y.

    Pearson's correlation `cov(r, s) / (std r std s)` of the soft ranks r of x and the
    ranks s of y, where equal elements have the mean of theirs. 0 if either is constant,
    with a gradient of 0.

    **Arguments:**

    - `x`, `y`: of equal shape; gradients are those in x.
    - `axis`: the axis along which to rank.
    - `weights`: how often pairs count, nonnegative, broadcasts to `x`; None for once.
        Ranks and moments are those of all copies; less than one copy in all counts
        as one.
    - `keywords`: those of [`softjax.AxisKeywords`][]; `where` masks both x and y.

    **Returns:** values in [-1, 1], of the shape of `x` without the axis; 0 where
    nothing is, and NaN where x or y has one.

    **Example:**

        >>> x, y = jnp.array([0.2, 1.0, 0.7]), jnp.array([1.0, 3.0, 2.0])
        >>> print(f"{sj.losses.spearman(x, y):.3f} {sj.losses.spearman(x, -y):.3f}")
        0.999 -0.999

    ??? cite

        Spearman, 1904; Blondel, Teboul, Berthet and Djolonga, "Fast differentiable
        sorting and ranking", ICML 2020.
    """
    arrays: dict[str, Any] = dict(weights=weights, x=x, y=y)
    rows = parse_rows("spearman", axis, keywords, operation=RANK, **arrays)
    (x, y), weights, mass = rows.arrays, rows.weights, rows.mass
    if weights is not None:
        weights = _of_resolved_ranks(weights)
    given: dict[str, Any] = dict(axis=-1, where=rows.where, weights=weights)
    soft = axiswise.rank(x, **rows.keywords | given)
    hard = axiswise.rank(jax.lax.stop_gradient(y), mode="hard", **given)
    share, _ = relative(jnp.ones_like(x) if mass is None else mass)
    share = safe_divide(share, jnp.sum(share, axis=-1, keepdims=True))
    soft, hard = (_centred(r.astype(soft.dtype), share) for r in (soft, hard))

    def product(a, b):
        return jnp.sum(share * a * b, axis=-1)

    flat = _constant(x, share) | _constant(y, share)
    norm = 1.0
    for ranks in (soft, hard):
        square = product(ranks, ranks)
        flat = flat | (square == 0)
        norm = norm * jnp.sqrt(jnp.where(flat, 1, square))
    return rows.finish(jnp.where(flat, 0, product(soft, hard) / norm))


def _kept(sample: Sample, drop: Float[Array, "2"]) -> tuple[Intervals, bool]:
    """The interval of mass that is left when shares are dropped on either side."""
    # Products that are whole may be rounded down.
    share = drop * (1 + jnp.finfo(drop.dtype).eps)
    last, first = jnp.split(jnp.floor(sample.total * share + 1e-6), 2, axis=-1)
    return Intervals(first, sample.total - last), True


def _hard_mean_of_kept(
    method: Method, sample: Sample, relaxation: Relaxation, drop: Float[Array, "2"]
) -> Float[Array, "*batch"]:
    return method.quantile(sample, relaxation, _kept(sample, drop)[0])[..., 0]


def _mean_of_kept(
    method: Method, sample: Sample, relaxation: Relaxation, drop: Float[Array, "2"]
) -> Float[Array, "*batch"]:
    if not isinstance(method, SoftSort):
        raise ValueError(
            f"trimmed_mean: with weights, method={type(method).__name__}() is not "
            "possible. Use method='softsort' or mode='hard'."
        )
    return _hard_mean_of_kept(method, sample, relaxation, drop)


_TRIMMED_MEAN = Operation(
    "trimmed_mean",
    _mean_of_kept,
    (VALUE,),
    _kept,
    of_nothing=math.nan,
    hard=_hard_mean_of_kept,
    by_units=True,
)


def _weighted_trimmed_mean(x, softness, *, operation, axis, keywords, drop):
    def options(layout, dtype):
        return (jnp.asarray(drop, dtype),)

    (out,), _ = run(operation, x, softness, axis, keywords, options=options)
    return out


def _parse_proportion(proportion: Any) -> tuple[float, float]:
    """The shares to drop of the smallest and of the largest.

    **Raises:** `TypeError` if they are traced or no numbers; `ValueError` if they are
    not one or two from 0 on and below 1.
    """
    wanted = "trimmed_mean: proportion must be a number, or a pair of them"
    shares = known_numbers(proportion, wanted)
    if shares.shape not in ((), (2,)):
        raise ValueError(f"{wanted}, {got(proportion)}")
    if not np.all((shares >= 0) & (shares < 1)):  # NaN too
        raise ValueError(
            f"trimmed_mean: proportion={proportion} must be nonnegative and leave "
            "something."
        )
    lower, upper = np.broadcast_to(shares.astype(float), 2).tolist()
    return lower, upper


def trimmed_mean(
    x: Any,
    proportion: float | Sequence[float],
    axis: int = -1,
    *,
    weights: Any = None,
    **keywords: Any,
) -> Array:
    """The mean of what is left when the smallest and the largest are dropped.

    `mean_{l <= i < n - u} s_i` of the soft sorted values s, with l and u the numbers to
    drop on both sides, as `scipy.stats.trim_mean` does. With `proportion=(0, p)` of
    squared residuals it is the loss of least trimmed squares.

    **Arguments:**

    - `x`: any shape.
    - `proportion`: the share to drop on each side, or a pair of shares of the smallest
        and the largest; they sum to less than 1. The numbers are rounded down. They
        have to be known: under `jax.jit` pass them by `static_argnames`.
    - `axis`: the axis along which to sort.
    - `weights`: how often elements count, nonnegative, broadcasts to `x`; None for
        once. n is their sum W, and the mean that over the mass from `floor(l W)` to
        `W - floor(u W)`. Only by `"softsort"` and `mode="hard"`.
    - `keywords`: those of [`softjax.ValueKeywords`][].

    **Returns:** an array of the shape of x without the axis; NaN where nothing is, as a
    mean has it.

    **Raises:** `TypeError` if shares are traced or no numbers; `ValueError` if they are
    negative or NaN, leave nothing, or are more than two.

    **Example:**

        >>> x = jnp.array([0.2, 1.0, 0.7, 90.0])
        >>> print(f"{sj.losses.trimmed_mean(x, 0.25):.3f} {jnp.mean(x):.3f}")
        0.848 22.975

    ??? cite

        Rousseeuw, "Least median of squares regression", JASA 79 (1984).
    """
    pair = _parse_proportion(proportion)
    arrays: dict[str, Any] = dict(weights=weights, x=x)
    rows = parse_rows("trimmed_mean", axis, keywords, operation=SORT, **arrays)
    (x,) = rows.arrays
    n = x.shape[-1]
    if weights is not None:
        if sum(pair) >= 1:
            raise ValueError(
                f"trimmed_mean: proportion={proportion} must be nonnegative and leave "
                "something."
            )
        given = rows.keywords | dict(weights=rows.weights)
        out = call(_weighted_trimmed_mean, _TRIMMED_MEAN, x, -1, given, drop=pair)
        return rows.finish(out, jnp.nan)
    # By the number of elements, whose product with a share float32 would round.
    drop = np.array([[int(share * m + 1e-9) for m in range(n + 1)] for share in pair])
    counts = np.arange(n + 1)
    possible = counts[1:] if rows.present is not None else counts[n:]
    lower, upper = drop[:, possible]
    if np.any(lower + upper >= possible):
        raise ValueError(
            f"trimmed_mean: proportion={proportion} must be nonnegative and leave "
            f"something of {n} elements{'' if rows.present is None else ' or less'}."
        )
    ordered = axiswise.sort(x, axis=-1, **rows.keywords)
    if rows.present is None:
        return rows.finish(jnp.mean(ordered[..., lower[0] : n - upper[0]], axis=-1))
    first, last = jnp.asarray(drop)[:, rows.count]
    kept = (counts[:n] >= first) & (counts[:n] < rows.count - last)
    return rows.finish(jnp.mean(ordered, axis=-1, where=kept), jnp.nan)
