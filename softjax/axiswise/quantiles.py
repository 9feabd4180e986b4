"""Quantiles and medians: elements in the order, or between two of them."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Any, Unpack

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from softjax_solvers import Regularizer, find_root
from softjax_solvers.internal import derivative, permute

from .._defaults import reads_defaults
from .._keywords import check_levels
from .._layout import Layout
from .._types import SoftIndex
from ..methods import Intervals, Method, Relaxation, Sample
from ..methods._intervals import QUANTILE_METHODS
from ..methods.hard import Hard
from ._keywords import IndexKeywords, ValueKeywords, along_axis
from ._operation import INDEX, VALUE, Operation, ask
from ._run import call, call_reduction, run


def _ask_at(function: str) -> Callable[..., Any]:
    """A question to a method about quantiles."""
    question = ask(function)

    def apply(
        method: Method,
        sample: Sample,
        relaxation: Relaxation,
        q: Array,
        quantile_method: str,
    ) -> Any:
        cells = sample.quantile_cells(q, quantile_method)
        points = cells.start is cells.stop
        if points and not method.reads_points:
            raise ValueError(
                f"{function}: quantile_method={quantile_method!r} of weights is the "
                f"element at a point, and method={type(method).__name__}() takes units "
                "of mass. Use 'softsort' or 'neuralsort', or another quantile_method."
            )
        return question(method, sample, relaxation, cells)

    return apply


def _at_levels(
    sample: Sample, q: Array, quantile_method: str
) -> tuple[Intervals, bool]:
    return sample.quantile_cells(q, quantile_method), False


def _at_centre(sample: Sample) -> tuple[Intervals, bool]:
    return sample.median_cells(), True


def _at_half(sample: Sample) -> tuple[Intervals, bool]:
    """The median's two cells: those on either side of half of the mass."""
    if sample.mass is None:
        return sample.median_cells(), True
    half = sample.total / 2
    near = 4 * jnp.finfo(half.dtype).eps * sample.total
    ends = jnp.concatenate([half - near, half, half + near], axis=-1)
    return Intervals(ends[..., :2], ends[..., 1:], np.full(2, 0.5)), True


def _residual(m: Array, args: Any) -> Array:
    x, share, scale, regularizer = args
    steps = regularizer.sigmoid((x - m[..., None]) / scale)
    return jnp.sum(share * steps, axis=-1) - 1 / 2


def _hard_median(
    method: Method, sample: Sample, relaxation: Relaxation
) -> Float[Array, "*batch"]:
    """The middle of what has half of the mass on either side."""
    if sample.mass is None:
        return Hard().median(Sample(sample.keys, where=sample.where), relaxation)
    ordered = sample.ordered()
    after = ordered.ends[..., 1:]
    half = jnp.stack([after < sample.total / 2, after <= sample.total / 2])
    last = jnp.sum(after < sample.total, axis=-1)
    place = jnp.minimum(jnp.sum(half, axis=-1), last)
    return -jnp.mean(permute(ordered.support, jnp.moveaxis(place, 0, -1)), axis=-1)


def _root(
    method: Method, sample: Sample, relaxation: Relaxation
) -> Float[Array, "*batch"]:
    x, where = sample.keys, sample.where
    middle = _hard_median(method, sample, relaxation)
    regularizer = relaxation.regularizer
    scale = relaxation.softness * regularizer.transition_scale().astype(x.dtype)
    counts = jnp.ones_like(x) if where is None else where.astype(x.dtype)
    if sample.mass is not None:
        counts = sample.mass
        where = counts > 0
    args = (x, counts / sample.total, scale, regularizer)
    lower = jnp.min(x, axis=-1, initial=jnp.inf, where=where)
    upper = jnp.max(x, axis=-1, initial=-jnp.inf, where=where)
    root = find_root(_residual, args, lower, upper, middle)
    # Steps of bounded width may leave an interval of roots, all with slope 0. Its
    # midpoint is the hard median.
    _, slope = derivative(lambda m: _residual(m, args), root)
    return jnp.where(slope < 0, root, middle)


_OPTIONS: dict[str, Any] = dict(method="neuralsort", by_units=True)
_VALUE: dict[str, Any] = dict(outputs=(VALUE,), of_nothing=math.nan)
_ARGQUANTILE = Operation(
    "argquantile", _ask_at("argquantile"), (INDEX,), _at_levels, **_OPTIONS
)
QUANTILE = Operation(
    "quantile", _ask_at("quantile"), places=_at_levels, **_VALUE, **_OPTIONS
)
_ARGPERCENTILE = dataclasses.replace(_ARGQUANTILE, name="argpercentile")
_PERCENTILE = dataclasses.replace(QUANTILE, name="percentile")
NANQUANTILE = QUANTILE.without_nan("nanquantile")
NANPERCENTILE = _PERCENTILE.without_nan("nanpercentile")
_AT_POINTS = {
    operation: dataclasses.replace(operation, by_units=False)
    for operation in (
        *(_ARGQUANTILE, QUANTILE, _ARGPERCENTILE, _PERCENTILE),
        *(NANQUANTILE, NANPERCENTILE),
    )
}
_ARGMEDIAN = Operation("argmedian", ask("argmedian"), (INDEX,), _at_centre, **_OPTIONS)
MEDIAN = Operation("median", ask("median"), places=_at_centre, **_VALUE, **_OPTIONS)
NANMEDIAN = MEDIAN.without_nan("nanmedian")
_MEDIAN_NEWTON = Operation(
    "median_newton", _root, places=_at_half, hard=_hard_median, **_VALUE
)


def reading(operation: Operation, quantile_method: str) -> Operation:
    """A quantile by points where it is so defined: only ratios of weights matter."""
    return _AT_POINTS[operation] if quantile_method == "inverted_cdf" else operation


def check_quantile_method(name: str, quantile_method: str) -> None:
    """**Raises:** `ValueError` if it is not known."""
    if quantile_method not in QUANTILE_METHODS:
        raise ValueError(
            f"{name}: quantile_method={quantile_method!r} is not known. "
            f"Allowed: {', '.join(map(repr, QUANTILE_METHODS))}."
        )


def within_bounds(q: Float[Array, " m"]) -> Float[Array, " m"]:
    """Levels from 0 to 1, or the nearest of them: traced ones can not be refused."""
    return jnp.where(q < 0, 0, jnp.where(q > 1, 1, q))


def at_levels(
    operation: Operation,
    x: Any,
    q: Any,
    axis: Any,
    keepdims: bool,
    quantile_method: str,
    keywords: Any,
    full: int = 1,
) -> Array:
    check_levels(q, full, operation.name)
    operation = reading(operation, quantile_method)
    options = dict(keepdims=keepdims, quantile_method=quantile_method)
    return call(_quantile, operation, x, axis, keywords, q, full, **options)


def _quantile(
    x, softness, q, full, *, operation, axis, keywords, keepdims, quantile_method
):
    # The range is an argument: XLA would multiply by the inverse of a constant, whose
    # rounding moves levels that are those of elements.
    q = jnp.asarray(q)
    check_quantile_method(operation.name, quantile_method)

    def levels(layout: Layout, dtype: Any) -> tuple[Array, str]:
        return within_bounds(q.ravel().astype(dtype) / full), quantile_method

    indices = operation.outputs == (INDEX,)
    (out,), layout = run(
        operation, x, softness, axis, keywords, several=not indices, options=levels
    )
    assert out is not None
    out = jnp.moveaxis(out, -2 if indices else -1, 0)
    if keepdims:
        out = jnp.expand_dims(out, tuple(axis + 1 for axis in layout.axes))
    return out.reshape(q.shape + out.shape[1:])


@along_axis("quantile", _ARGQUANTILE)
def argquantile(
    x: Any,
    q: Any,
    axis: int | None = None,
    *,
    keepdims: bool = False,
    quantile_method: str = "linear",
    **keywords: Unpack[IndexKeywords],
) -> SoftIndex:
    """The soft index of a quantile: a mixture of two rows of the soft argsort.

    **Arguments:** as for [`softjax.quantile`][].

    **Returns:** a soft index of shape `q.shape + reduced shape + (n,)`.

    **Example:**

        >>> x = jnp.array([0.0, 1.0, 0.6, 0.2])
        >>> print(sj.argquantile(x, 0.5))
        [0.059 0.009 0.49  0.442]
        >>> print(sj.argquantile(x, 0.5, mode="hard"))
        [0.  0.  0.5 0.5]
    """
    return at_levels(_ARGQUANTILE, x, q, axis, keepdims, quantile_method, keywords)


@along_axis("quantile", QUANTILE)
def quantile(
    x: Any,
    q: Any,
    axis: int | tuple[int, ...] | None = None,
    *,
    keepdims: bool = False,
    quantile_method: str = "linear",
    **keywords: Unpack[ValueKeywords],
) -> Float[Array, "..."]:
    """Soft `jax.numpy.quantile`: the mean of x under its soft argquantile.

    **Arguments:**

    - `q`: levels in [0, 1], of any shape, possibly traced.
    - `quantile_method`: how to interpolate between two order statistics: `"linear"`,
        `"lower"`, `"higher"`, `"midpoint"`, `"nearest"` or `"inverted_cdf"`, as numpy's
        `method`. With weights, the last one is the element at which their sum reaches
        the level; to the others, they are numbers of copies.

    **Returns:** an array of shape `q.shape + reduced shape`.

    **Example:**

        >>> x = jnp.array([0.0, 1.0, 0.6, 0.2])
        >>> print(sj.quantile(x, jnp.array([0.0, 0.5, 1.0])))
        [0.024 0.391 0.993]
        >>> print(sj.quantile(x, jnp.array([0.0, 0.5, 1.0]), mode="hard"))
        [0.  0.4 1. ]
    """
    return at_levels(QUANTILE, x, q, axis, keepdims, quantile_method, keywords)


@along_axis("quantile", _ARGPERCENTILE)
def argpercentile(
    x: Any,
    q: Any,
    axis: int | None = None,
    *,
    keepdims: bool = False,
    quantile_method: str = "linear",
    **keywords: Unpack[IndexKeywords],
) -> SoftIndex:
    """[`softjax.argquantile`][] for q in [0, 100].

    **Example:**

        >>> x = jnp.array([0.0, 1.0, 0.6])
        >>> print(sj.argpercentile(x, 50))
        [0.002 0.018 0.98 ]
    """
    return at_levels(
        _ARGPERCENTILE, x, q, axis, keepdims, quantile_method, keywords, 100
    )


@along_axis("quantile", _PERCENTILE)
def percentile(
    x: Any,
    q: Any,
    axis: int | tuple[int, ...] | None = None,
    *,
    keepdims: bool = False,
    quantile_method: str = "linear",
    **keywords: Unpack[ValueKeywords],
) -> Float[Array, "..."]:
    """Soft `jax.numpy.percentile`: [`softjax.quantile`][] for q in [0, 100].

    **Example:**

        >>> x = jnp.array([0.0, 1.0, 0.6, 0.2])
        >>> print(sj.percentile(x, jnp.array([25, 75])))
        [0.143 0.698]
    """
    return at_levels(_PERCENTILE, x, q, axis, keepdims, quantile_method, keywords, 100)


@along_axis("quantile", _ARGMEDIAN)
def argmedian(
    x: Any,
    axis: int | None = None,
    *,
    keepdims: bool = False,
    **keywords: Unpack[IndexKeywords],
) -> SoftIndex:
    """The soft index of the median: the centre row of the method.

    Hard, an even number of elements has two medians, of weight 1/2 each.

    **Example:**

        >>> x = jnp.array([0.0, 1.0, 0.6])
        >>> print(sj.argmedian(x))
        [0.002 0.018 0.98 ]
        >>> print(sj.argmedian(x, mode="hard"))
        [0. 0. 1.]
    """
    return call_reduction(_ARGMEDIAN, x, axis, keepdims, keywords)


@along_axis("quantile", MEDIAN)
def median(
    x: Any,
    axis: int | tuple[int, ...] | None = None,
    *,
    keepdims: bool = False,
    **keywords: Unpack[ValueKeywords],
) -> Float[Array, "..."]:
    """Soft `jax.numpy.median`: the mean of x under its soft argmedian.

    Of an even number of elements, at finite softness, it is another number than the
    quantile at 1/2, which mixes two rows.

    **Example:**

        >>> x = jnp.array([[0.0, 1.0, 0.6], [0.1, 0.2, 9.0]])
        >>> print(sj.median(x, axis=1))
        [0.606 0.173]
    """
    return call_reduction(MEDIAN, x, axis, keepdims, keywords, several=True)


@reads_defaults("quantile")
def median_newton(
    x: Any,
    axis: int | tuple[int, ...] | None = None,
    *,
    keepdims: bool = False,
    softness: Any = 0.1,
    mode: str | Regularizer = "smooth",
    where: Any = None,
    weights: Any = None,
) -> Float[Array, "..."]:
    """The soft median m at which soft steps balance: `sum_i H(x_i - m) = n / 2`.

    H is [`softjax.heaviside`][]. Takes O(n) time a step of Newton's method, and no soft
    index. Where bounded steps leave an interval of roots, its midpoint is returned.
    `where` and `weights` are those of `softjax.AxisKeywords`; with weights w, it is
    `sum_i w_i H(x_i - m) = sum_i w_i / 2`.

    **Returns:** an array of the shape of `jnp.median`; NaN for rows without elements.

    **Example:**

        >>> x = jnp.array([[0.0, 1.0, 0.6], [0.1, 0.2, 9.0]])
        >>> print(sj.median_newton(x, axis=1))
        [0.594 0.266]
    """
    keywords = dict(softness=softness, mode=mode, where=where, weights=weights)
    return call_reduction(_MEDIAN_NEWTON, x, axis, keepdims, keywords, several=True)
