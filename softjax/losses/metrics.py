"""Correlations of ranks and robust means, made of soft operators."""

from __future__ import annotations

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from .. import axiswise
from ..axiswise._operation import VALUE, Operation
from ..axiswise._run import call, run
from ..methods import Intervals, Method, Relaxation, Sample, SoftSort
from ._rows import parse_rows


def spearman(
    x: Any, y: Any, axis: int = -1, *, weights: Any = None, **keywords: Any
) -> Array:
    """Spearman's correlation of soft ranks of x with the ranks of y.

    Pearson's correlation `cov(r, s) / (std r std s)` of the soft ranks r of x and the
    ranks s of y, where equal elements have the mean of theirs. 0 if either is constant.

    **Arguments:**

    - `x`, `y`: of equal shape; gradients are those in x.
    - `axis`: the axis along which to rank.
    - `weights`: how often pairs count, nonnegative, broadcasts to `x`; None for once.
        Ranks and moments are those of all copies.
    - `keywords`: those of [`softjax.rank`][]; `where` masks both x and y.

    **Returns:** values in [-1, 1], of the shape of `x` without the axis; 0 where
    nothing is.

    **Example:**

        >>> x, y = jnp.array([0.2, 1.0, 0.7]), jnp.array([1.0, 3.0, 2.0])
        >>> print(f"{sj.losses.spearman(x, y):.3f} {sj.losses.spearman(x, -y):.3f}")
        0.999 -0.999

    ??? cite

        Spearman, 1904; Blondel, Teboul, Berthet and Djolonga, "Fast differentiable
        sorting and ranking", ICML 2020.
    """
    rows = parse_rows("spearman", axis, keywords, weights=weights, x=x, y=y)
    (x, y), where, weights = rows.arrays, rows.where, rows.weights
    given: dict[str, Any] = dict(axis=-1, where=where, weights=weights)
    soft = axiswise.rank(x, **rows.keywords | given)
    hard = axiswise.rank(jax.lax.stop_gradient(y), mode="hard", **given)
    ranks = soft, hard.astype(soft.dtype)
    if weights is None:
        centred = (r - jnp.mean(r, -1, keepdims=True, where=where) for r in ranks)
    else:
        total = jnp.sum(weights, axis=-1, keepdims=True)
        total = jnp.where(total > 0, total, 1)
        means = (jnp.sum(weights * r, -1, keepdims=True) / total for r in ranks)
        centred = (r - mean for r, mean in zip(ranks, means, strict=True))
    soft, hard = centred
    if where is not None:
        soft, hard = (jnp.where(where, r, 0) for r in (soft, hard))

    def product(a, b):
        terms = a * b if weights is None else weights * a * b
        return jnp.sum(terms, axis=-1)

    square = product(soft, soft) * product(hard, hard)
    varies = square > 0
    norm = jnp.sqrt(jnp.where(varies, square, 1))
    return rows.finish(jnp.where(varies, product(soft, hard) / norm, 0))


def _kept(sample: Sample, drop: Float[Array, "2"]) -> tuple[Intervals, bool]:
    """The interval of mass that is left when shares are dropped on either side."""
    last, first = jnp.split(jnp.floor(sample.total * drop + 1e-6), 2, axis=-1)
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


def trimmed_mean(
    x: Any,
    proportion: float | tuple[float, float],
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
        and the largest; they sum to less than 1. The numbers are rounded down.
    - `axis`: the axis along which to sort.
    - `weights`: how often elements count, nonnegative, broadcasts to `x`; None for
        once. n is their sum W, and the mean that over the mass from `floor(l W)` to
        `W - floor(u W)`. Only by `"softsort"` and `mode="hard"`.
    - `keywords`: those of [`softjax.sort`][].

    **Returns:** an array of the shape of x without the axis; NaN where nothing is, as a
    mean has it.

    **Example:**

        >>> x = jnp.array([0.2, 1.0, 0.7, 90.0])
        >>> print(f"{sj.losses.trimmed_mean(x, 0.25):.3f} {jnp.mean(x):.3f}")
        0.848 22.975

    ??? cite

        Rousseeuw, "Least median of squares regression", JASA 79 (1984).
    """
    rows = parse_rows("trimmed_mean", axis, keywords, weights=weights, x=x)
    (x,) = rows.arrays
    n = x.shape[-1]
    pair = proportion if isinstance(proportion, tuple) else (proportion, proportion)
    if weights is not None:
        if min(pair) < 0 or sum(pair) >= 1:
            raise ValueError(
                f"trimmed_mean: proportion={proportion} must be nonnegative and leave "
                "something."
            )
        given = rows.keywords | dict(weights=rows.weights)
        drop = tuple(float(share) for share in pair)
        out = call(_weighted_trimmed_mean, _TRIMMED_MEAN, x, -1, given, drop=drop)
        return rows.finish(out, jnp.nan)
    # By the number of elements, whose product with a share float32 would round.
    drop = np.array([[int(share * m + 1e-9) for m in range(n + 1)] for share in pair])
    counts = np.arange(n + 1)
    possible = counts[1:] if rows.present is not None else counts[n:]
    lower, upper = drop[:, possible]
    if min(pair) < 0 or np.any(lower + upper >= possible):
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
