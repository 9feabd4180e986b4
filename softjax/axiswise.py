"""Operators along an axis: soft indices, order statistics and ranks.

All of them take the keywords in `softjax.AxisKeywords`; those that return values also
take `gated_grad`. What they mean is said there, once. Infinite elements take the first
or the last places, which equal ones share, and leave the others as they are; their
derivatives are 0. A row with NaN is NaN.
"""

from __future__ import annotations

import dataclasses
from typing import Any, Unpack

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ._axis import (
    INDEX,
    POSITION,
    VALUE,
    AxisKeywords,
    Layout,
    Operation,
    ValueKeywords,
    at_centre,
    call,
    run,
    with_keywords,
)
from ._keywords import check_levels
from ._types import SoftIndex
from .methods import Level, ValueMethod, get_method


def _first(n: int, _: Any) -> tuple[Level, bool]:
    return Level(np.zeros(1, int)), True


def _first_k(n: int, k: int) -> tuple[Level, bool]:
    return Level(np.arange(k)), False


def _at_level(n: int, level: Level) -> tuple[Level, bool]:
    return level, False


_ARGMAX = Operation(
    "argmax", lambda m, s, r, _: (m.argmax(s, r),), (INDEX,), _first, absent=True
)
_MAX = Operation(
    "max", lambda m, s, r, _: (m.max(s, r),), (VALUE,), _first, absent=True
)
_ARGMIN = _ARGMAX.ascend("argmin")
_MIN = _MAX.ascend("min")
_ARGSORT = Operation("argsort", lambda m, s, r, _: (m.argsort(s, r),), (INDEX,))
_SORT = Operation("sort", lambda m, s, r, _: (m.sort(s, r),), (VALUE,))
_RANK = Operation("rank", lambda m, s, r, _: (m.rank(s, r),), (POSITION,))
_RANKING = Operation(
    "ranking", lambda m, s, r, _: (m.rank(s, r) - 1,), (POSITION,), first=0
)
_TOP_K = Operation(
    "top_k", lambda m, s, r, k: m.top_k(s, r, k), (VALUE, INDEX), _first_k, absent=True
)
_ARGQUANTILE = Operation(
    "argquantile",
    lambda m, s, r, q: (m.argquantile(s, r, q),),
    (INDEX,),
    _at_level,
    method="neuralsort",
)
_QUANTILE = Operation(
    "quantile",
    lambda m, s, r, q: (m.quantile(s, r, q),),
    (VALUE,),
    _at_level,
    method="neuralsort",
)
_ARGPERCENTILE = dataclasses.replace(_ARGQUANTILE, name="argpercentile")
_PERCENTILE = dataclasses.replace(_QUANTILE, name="percentile")
_ARGMEDIAN = Operation(
    "argmedian",
    lambda m, s, r, _: (m.argmedian(s, r),),
    (INDEX,),
    at_centre,
    method="neuralsort",
)
_MEDIAN = Operation(
    "median",
    lambda m, s, r, _: (m.median(s, r),),
    (VALUE,),
    at_centre,
    method="neuralsort",
)


# What is compiled of each operator, with the results put where they belong.


def _reduce(x, softness, *, operation, axis, keywords, keepdims, several):
    (out,), layout = run(operation, x, softness, axis, keywords, several=several)
    assert out is not None
    return layout.keep(out) if keepdims else out


def _index(x, softness, *, operation, axis, keywords, descending):
    operation = operation if descending else operation.ascend()
    (out,), layout = run(operation, x, softness, axis, keywords)
    assert out is not None
    return layout.place(out, -2)


def _sorted(x, softness, *, operation, axis, keywords, descending):
    # Formulations without a soft argsort to agree with need not treat x and -x alike;
    # ascending values are the descending ones, read backwards.
    method = get_method(keywords.get("method", operation.method))
    backwards = isinstance(method, ValueMethod) and not descending
    operation = operation if descending or backwards else operation.ascend()
    (out,), layout = run(operation, x, softness, axis, keywords)
    assert out is not None
    return layout.place(jnp.flip(out, -1) if backwards else out, -1)


def _positions(x, softness, *, operation, axis, keywords, descending):
    operation = operation if descending else operation.ascend()
    (out,), layout = run(operation, x, softness, axis, keywords)
    assert out is not None
    return layout.place(out, -1)


def _largest(x, softness, *, operation, axis, keywords, k):
    def check(layout: Layout, dtype: Any) -> int:
        if isinstance(k, bool) or not isinstance(k, int | np.integer):
            raise TypeError(f"top_k: k must be an integer, got {k!r}.")
        if not 1 <= k <= layout.size:
            raise ValueError(
                f"top_k: k={k} must be from 1 to the size of the axis, {layout.size}."
            )
        return int(k)

    (values, index), layout = run(operation, x, softness, axis, keywords, options=check)
    assert values is not None
    values = layout.place(values, -1)
    return values, None if index is None else layout.place(index, -2)


def _reduction(
    operation: Operation,
    x: Any,
    axis: Any,
    keepdims: bool,
    keywords: Any,
    several: bool = False,
) -> Array:
    flags = dict(keepdims=bool(keepdims), several=several)
    return call(_reduce, operation, x, axis, keywords, **flags)


@with_keywords(_ARGMAX)
def argmax(
    x: Any,
    axis: int | None = None,
    *,
    keepdims: bool = False,
    **keywords: Unpack[AxisKeywords],
) -> SoftIndex:
    """Soft `jax.numpy.argmax`: where the largest element is, as a distribution.

    `argmax_{y in simplex} <x, y> - softness R(y)`; with the entropy, the softmax.
    Elements of -inf count as absent.

    **Returns:** a soft index, of the shape of `jnp.argmax` and a last axis of size n.

    **Example:**

        >>> x = jnp.array([0.2, 1.0, 0.7])
        >>> print(sj.argmax(x))
        [0.    0.952 0.047]
        >>> print(sj.argmax(x, mode="c0", softness=0.5))
        [0.  0.8 0.2]
    """
    return _reduction(_ARGMAX, x, axis, keepdims, keywords)


@with_keywords(_ARGMIN)
def argmin(
    x: Any,
    axis: int | None = None,
    *,
    keepdims: bool = False,
    **keywords: Unpack[AxisKeywords],
) -> SoftIndex:
    """Soft `jax.numpy.argmin`: the soft argmax of -x. Elements of inf are absent.

    **Returns:** a soft index, of the shape of `jnp.argmin` and a last axis of size n.

    **Example:**

        >>> print(sj.argmin(jnp.array([0.2, 1.0, 0.3])))
        [0.731 0.    0.269]
    """
    return _reduction(_ARGMIN, x, axis, keepdims, keywords)


@with_keywords(_MAX)
def max(
    x: Any,
    axis: int | tuple[int, ...] | None = None,
    *,
    keepdims: bool = False,
    **keywords: Unpack[ValueKeywords],
) -> Float[Array, "..."]:
    """Soft `jax.numpy.max`: the mean of x under its soft argmax.

    Elements of -inf count as absent. Never larger than the hard maximum.

    **Example:**

        >>> x = jnp.array([[0.2, 1.0, 0.7], [0.0, 0.5, 0.5]])
        >>> print(sj.max(x, axis=1))
        [0.986 0.498]
        >>> print(jax.grad(lambda x: sj.max(x))(x[0]))
        [-0.002  1.09  -0.088]
    """
    return _reduction(_MAX, x, axis, keepdims, keywords, several=True)


@with_keywords(_MIN)
def min(
    x: Any,
    axis: int | tuple[int, ...] | None = None,
    *,
    keepdims: bool = False,
    **keywords: Unpack[ValueKeywords],
) -> Float[Array, "..."]:
    """Soft `jax.numpy.min`: minus the soft maximum of -x.

    Elements of inf count as absent. Never smaller than the hard minimum.

    **Example:**

        >>> x = jnp.array([[0.2, 1.0, 0.7], [0.0, 0.5, 0.5]])
        >>> print(sj.min(x, axis=1))
        [0.204 0.007]
    """
    return _reduction(_MIN, x, axis, keepdims, keywords, several=True)


@with_keywords(_ARGSORT)
def argsort(
    x: Any,
    axis: int | None = -1,
    *,
    descending: bool = False,
    **keywords: Unpack[AxisKeywords],
) -> SoftIndex:
    """Soft `jax.numpy.argsort`: a soft permutation matrix.

    **Returns:** a soft index, of the shape of `jnp.argsort` and a last axis of size n:
    row i is the distribution of where the i-th element in order stands.

    **Example:**

        >>> x = jnp.array([0.2, 1.0, 0.7])
        >>> print(sj.argsort(x))
        [[0.993 0.    0.007]
         [0.006 0.047 0.946]
         [0.    0.952 0.047]]
        >>> print(sj.argsort(x, mode="hard"))
        [[1. 0. 0.]
         [0. 0. 1.]
         [0. 1. 0.]]
    """
    return call(_index, _ARGSORT, x, axis, keywords, descending=bool(descending))


@with_keywords(_SORT)
def sort(
    x: Any,
    axis: int | None = -1,
    *,
    descending: bool = False,
    **keywords: Unpack[ValueKeywords],
) -> Float[Array, "..."]:
    """Soft `jax.numpy.sort`: the means of x under the rows of its soft argsort.

    **Example:**

        >>> x = jnp.array([0.2, 1.0, 0.7])
        >>> print(sj.sort(x))
        [0.204 0.711 0.986]
        >>> print(sj.sort(x, mode="c1", method="ot", softness=0.01, descending=True))
        [1.  0.7 0.2]
    """
    return call(_sorted, _SORT, x, axis, keywords, descending=bool(descending))


@with_keywords(_RANK)
def rank(
    x: Any,
    axis: int | None = -1,
    *,
    descending: bool = True,
    **keywords: Unpack[AxisKeywords],
) -> Float[Array, "..."]:
    """Soft ranks, counted from 1: the largest element has rank 1.

    **Arguments:**

    - `descending`: whether to count from the largest element, or from the smallest.

    **Returns:** an array of the shape of x, with values in [1, n]. The hard rank of
    equal elements is the average of theirs, as in `scipy.stats.rankdata`.

    **Example:**

        >>> x = jnp.array([0.2, 1.0, 0.7])
        >>> print(sj.rank(x))
        [2.993 1.048 1.959]
        >>> print(sj.rank(x, mode="hard", descending=False))
        [1. 3. 2.]
    """
    return call(_positions, _RANK, x, axis, keywords, descending=bool(descending))


@with_keywords(_RANKING)
def ranking(
    x: Any,
    axis: int | None = -1,
    *,
    descending: bool = True,
    **keywords: Unpack[AxisKeywords],
) -> Float[Array, "..."]:
    """Soft ranks, counted from 0: [`softjax.rank`][] minus 1.

    **Example:**

        >>> print(sj.ranking(jnp.array([0.2, 1.0, 0.7])))
        [1.993 0.048 0.959]
    """
    return call(_positions, _RANKING, x, axis, keywords, descending=bool(descending))


@with_keywords(_TOP_K)
def top_k(
    x: Any, k: int, axis: int = -1, **keywords: Unpack[ValueKeywords]
) -> tuple[Float[Array, "..."], SoftIndex | None]:
    """Soft `jax.lax.top_k`: the k largest elements, from the largest, and where.

    Elements of -inf count as absent; positions beyond the elements that are present
    have the value -inf.

    **Arguments:**

    - `k`: an integer from 1 to the size of the axis.

    **Returns:** the values, with size k along the axis, and their soft indices, with a
    last axis of size n; None for a method that has no soft indices.

    **Example:**

        >>> values, index = sj.top_k(jnp.array([0.2, 1.0, 0.7]), 2)
        >>> print(values)
        [0.986 0.711]
        >>> print(index)
        [[0.    0.952 0.047]
         [0.006 0.047 0.946]]
    """
    return call(_largest, _TOP_K, x, axis, keywords, k=k)


@with_keywords(_ARGQUANTILE)
def argquantile(
    x: Any,
    q: Any,
    axis: int | None = None,
    *,
    keepdims: bool = False,
    quantile_method: str = "linear",
    **keywords: Unpack[AxisKeywords],
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
    return _at(_ARGQUANTILE, x, q, axis, keepdims, quantile_method, keywords)


@with_keywords(_QUANTILE)
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
        `"lower"`, `"higher"`, `"midpoint"` or `"nearest"`, as numpy's `method`.

    **Returns:** an array of shape `q.shape + reduced shape`.

    **Example:**

        >>> x = jnp.array([0.0, 1.0, 0.6, 0.2])
        >>> print(sj.quantile(x, jnp.array([0.0, 0.5, 1.0])))
        [0.024 0.391 0.993]
        >>> print(sj.quantile(x, jnp.array([0.0, 0.5, 1.0]), mode="hard"))
        [0.  0.4 1. ]
    """
    return _at(_QUANTILE, x, q, axis, keepdims, quantile_method, keywords)


@with_keywords(_ARGPERCENTILE)
def argpercentile(
    x: Any,
    q: Any,
    axis: int | None = None,
    *,
    keepdims: bool = False,
    quantile_method: str = "linear",
    **keywords: Unpack[AxisKeywords],
) -> SoftIndex:
    """[`softjax.argquantile`][] for q in [0, 100].

    **Example:**

        >>> x = jnp.array([0.0, 1.0, 0.6])
        >>> print(sj.argpercentile(x, 50))
        [0.002 0.018 0.98 ]
    """
    return _at(_ARGPERCENTILE, x, q, axis, keepdims, quantile_method, keywords, 100)


@with_keywords(_PERCENTILE)
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
    return _at(_PERCENTILE, x, q, axis, keepdims, quantile_method, keywords, 100)


_INTERPOLATIONS = {
    "linear": lambda h: (jnp.floor(h), h - jnp.floor(h)),
    "lower": lambda h: (jnp.floor(h), None),
    "higher": lambda h: (jnp.ceil(h), None),
    "midpoint": lambda h: (jnp.floor(h), (h > jnp.floor(h)).astype(h.dtype) / 2),
    "nearest": lambda h: (jnp.round(h), None),
}
"""Interpolation -> at the real position h, the lower order statistic and the weight of
the one above, None where there is nothing to mix."""


def _at(
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
    options = dict(keepdims=bool(keepdims), quantile_method=quantile_method)
    return call(_quantile, operation, x, axis, keywords, q, full, **options)


def _quantile(
    x, softness, q, full, *, operation, axis, keywords, keepdims, quantile_method
):
    if quantile_method not in _INTERPOLATIONS:
        raise ValueError(
            f"{operation.name}: quantile_method={quantile_method!r} is not known. "
            f"Allowed: {', '.join(map(repr, _INTERPOLATIONS))}."
        )
    levels = jnp.asarray(q)

    def level(layout: Layout, dtype: Any) -> Level:
        # The range is an argument: XLA would multiply by the inverse of a constant,
        # whose rounding moves levels that are those of elements.
        h = levels.ravel().astype(dtype) / full * (layout.size - 1)
        lower, weight = _INTERPOLATIONS[quantile_method](h)
        lower = jax.lax.stop_gradient(lower).astype(jnp.int32)
        # Methods count from the largest.
        last = layout.size - 1
        if weight is None:
            return Level(last - lower)
        return Level(last - jnp.minimum(lower + 1, last), last - lower, 1 - weight)

    indices = operation.outputs == (INDEX,)
    (out,), layout = run(
        operation, x, softness, axis, keywords, several=not indices, options=level
    )
    assert out is not None
    out = jnp.moveaxis(out, -2 if indices else -1, 0)
    if keepdims:
        out = jnp.expand_dims(out, tuple(axis + 1 for axis in layout.axes))
    return out.reshape(levels.shape + out.shape[1:])


@with_keywords(_ARGMEDIAN)
def argmedian(
    x: Any,
    axis: int | None = None,
    *,
    keepdims: bool = False,
    **keywords: Unpack[AxisKeywords],
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
    return _reduction(_ARGMEDIAN, x, axis, keepdims, keywords)


@with_keywords(_MEDIAN)
def median(
    x: Any,
    axis: int | tuple[int, ...] | None = None,
    *,
    keepdims: bool = False,
    **keywords: Unpack[ValueKeywords],
) -> Float[Array, "..."]:
    """Soft `jax.numpy.median`: the mean of x under its soft argmedian.

    At finite softness the centre row is not the quantile at 1/2, which mixes two rows.

    **Example:**

        >>> x = jnp.array([[0.0, 1.0, 0.6], [0.1, 0.2, 9.0]])
        >>> print(sj.median(x, axis=1))
        [0.606 0.173]
    """
    return _reduction(_MEDIAN, x, axis, keepdims, keywords, several=True)
