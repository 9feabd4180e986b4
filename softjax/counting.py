"""Counts of what is below, between and equal: sums of soft steps.

They share the keywords of elementwise operators, `softness` and `mode`; H is
[`softjax.heaviside`][]. A soft count is the mean of a soft index: where an element
belongs among n sorted ones is a distribution over n + 1 positions, and how many of them
are below it is the mean of that.
"""

from __future__ import annotations

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from softjax_solvers import Regularizer
from softjax_solvers.internal import exact_einsum, is_traced

from ._defaults import reads_defaults
from ._dispatch import dispatch
from ._edges import (
    counts_below,
    least_length,
    parse_bins,
    positions,
    to_common,
    total_positions,
    transition_of,
)
from ._keywords import (
    as_array,
    as_float,
    check_softness,
    parse_flag,
    parse_index,
    parse_mode,
)
from ._types import SoftIndex
from .selection import take


def _check_edges(edges: Array, name: str, argument: str) -> None:
    if edges.ndim != 1:
        raise ValueError(
            f"{name}: {argument} must have one axis, got shape {edges.shape}."
        )


def _place(softness, a, v, *, name, mode, right, as_index, decreasing_too):
    regularizer = parse_mode(mode).regularizer
    # Edges are parameters: they decide about the type only of integers, and of numbers
    # of Python's.
    known = jnp.asarray(as_array(v, "v"))
    typed = jnp.issubdtype(known.dtype, jnp.floating) and not known.weak_type
    (x, *_), dtype = to_common(**(dict(v=v) if typed else dict(v=v, a=a)))
    edges = as_float(a, "a")[0].astype(x.dtype)
    _check_edges(edges, name, "bins" if decreasing_too else "a")
    if regularizer is None:
        # Of their own types, in which integers beyond 2**24 differ.
        if decreasing_too and edges.size:
            place = jnp.digitize(v, a, not right)
        else:
            place = jnp.searchsorted(a, v, side="right" if right else "left")
        if as_index:
            return jax.nn.one_hot(place, edges.size + 1, dtype=dtype)
        return place.astype(dtype)
    if decreasing_too and edges.size:
        sign = jnp.where(edges[-1] >= edges[0], 1, -1).astype(edges.dtype)
        edges, x = sign * edges, sign * x
    transition = transition_of(softness, regularizer, x.shape, x.dtype)
    if as_index:
        index = positions(transition, x.ravel(), edges)
        return index.reshape(*x.shape, edges.size + 1).astype(dtype)
    counts = counts_below(transition, x.ravel(), edges)
    return counts.reshape(x.shape).astype(dtype)


@reads_defaults("comparison")
def searchsorted(
    a: Any,
    v: Any,
    side: str = "left",
    sorter: Any = None,
    *,
    as_index: bool = False,
    softness: Any = 0.1,
    mode: str | Regularizer = "smooth",
) -> Float[Array, "..."]:
    """Soft `jax.numpy.searchsorted`: `sum_i H(v - a_i)`, how many are below v.

    **Arguments:**

    - `a`: n numbers in order. For counts, their order makes no difference.
    - `v`: numbers of any shape, against which softness broadcasts.
    - `side`: `"left"` or `"right"`, which makes a difference to the hard mode: at an
        element, a soft count is half way between both.
    - `sorter`: integers that sort `a`, or the soft index of [`softjax.argsort`][].
    - `as_index`: whether to return the position as a soft index, which
        [`softjax.take`][] and [`softjax.choose`][] accept, in place of its mean.

    **Returns:** an array of the shape of v. With `as_index`, it has a last axis over
    the n + 1 positions, `H(v - a_{j-1}) - H(v - a_j)`.

    **Example:**

        >>> edges = jnp.array([0.0, 1.0, 2.0])
        >>> x = jnp.array([-0.5, 0.9, 1.1])
        >>> print(sj.searchsorted(edges, x))
        [0.007 1.269 1.731]
        >>> print(sj.searchsorted(edges, x, mode="hard"))
        [0. 1. 2.]
        >>> print(sj.searchsorted(edges, x, as_index=True))
        [[0.993 0.007 0.    0.   ]
         [0.    0.731 0.269 0.   ]
         [0.    0.269 0.731 0.   ]]
    """
    if side not in ("left", "right"):
        raise ValueError(f"searchsorted: side must be 'left' or 'right', got {side!r}.")
    check_softness(softness)
    if sorter is not None:
        a = dispatch(_arranged, a, sorter)
    return dispatch(
        _place,
        *(softness, a, v),
        name="searchsorted",
        mode=mode,
        right=side == "right",
        as_index=parse_flag(as_index, "searchsorted: as_index"),
        decreasing_too=False,
    )


def _arranged(a, sorter):
    a, sorter = jnp.asarray(as_array(a, "a")), jnp.asarray(as_array(sorter, "sorter"))
    _check_edges(a, "searchsorted", "a")
    if jnp.issubdtype(sorter.dtype, jnp.integer):
        return a[sorter]
    if sorter.ndim != 2 or sorter.shape[-1] != a.size:
        raise ValueError(
            f"searchsorted: sorter of shape {sorter.shape} must be integers, or soft "
            f"indices with a last axis over the {a.size} elements of a."
        )
    return take(a, sorter)


@reads_defaults("comparison")
def digitize(
    x: Any,
    bins: Any,
    right: bool = False,
    *,
    as_index: bool = False,
    softness: Any = 0.1,
    mode: str | Regularizer = "smooth",
) -> Float[Array, "..."]:
    """Soft `jax.numpy.digitize`: `sum_j H(x - b_j)`, the number of the bin of x.

    **Arguments:**

    - `bins`: edges, which increase, or decrease: then those are counted that are above.
    - `right`: whether a bin contains its right edge, which makes a difference to the
        hard mode.
    - `as_index`: as for [`softjax.searchsorted`][].

    **Returns:** an array of the shape of x. With `as_index`, it has a last axis over
    the n + 1 bins.

    **Example:**

        >>> x, bins = jnp.array([-0.5, 0.9, 1.1]), jnp.array([0.0, 1.0])
        >>> print(sj.digitize(x, bins))
        [0.007 1.269 1.731]
        >>> levels = jnp.array([-1.0, 0.5, 2.0])
        >>> print(sj.take(levels, sj.digitize(x, bins, as_index=True)))
        [-0.99   0.903  1.597]
    """
    check_softness(softness)
    return dispatch(
        _place,
        *(softness, bins, x),
        name="digitize",
        mode=mode,
        right=not parse_flag(right, "digitize: right"),
        as_index=parse_flag(as_index, "digitize: as_index"),
        decreasing_too=True,
    )


def _histogram(softness, a, *, mode, bins, range, weights, density):
    given = dict(a=a) if weights is None else dict(a=a, weights=weights)
    (x, *rest), dtype = to_common(**given)
    for name, edges in dict(bins=bins, range=range).items():
        if np.ndim(edges) > 0:
            as_float(edges, name)
    if weights is not None and rest[0].shape != x.shape:
        raise ValueError(
            f"histogram: weights of shape {rest[0].shape} must have the shape "
            f"{x.shape} of a."
        )
    weights = rest[0].ravel() if rest else None
    regularizer = parse_mode(mode).regularizer
    if regularizer is None:
        found = jnp.histogram(x.ravel(), bins, range, weights, density)
        return tuple(part.astype(dtype) for part in found)
    edges = jnp.histogram_bin_edges(x, bins, range).astype(x.dtype)
    transition = transition_of(softness, regularizer, x.shape, x.dtype)
    weights = jnp.ones_like(x.ravel()) if weights is None else weights
    # From the smallest to the largest of x: nothing is outside.
    within = jnp.ndim(bins) == 0 and range is None
    inner = edges[1:-1] if within else edges
    counts = total_positions(transition, x.ravel(), weights, inner)
    counts = counts if within else counts[1:-1]
    if density:
        counts = counts / jnp.diff(edges) / jnp.sum(counts)
    return counts.astype(dtype), edges.astype(dtype)


@reads_defaults("comparison")
def histogram(
    a: Any,
    bins: Any = 10,
    range: Any = None,
    weights: Any = None,
    density: bool | None = None,
    *,
    softness: Any = 0.1,
    mode: str | Regularizer = "smooth",
) -> tuple[Float[Array, " n"], Float[Array, " n+1"]]:
    """Soft `jax.numpy.histogram`: `sum_i w_i (H(a_i - e_j) - H(a_i - e_{j+1}))`.

    **Arguments:**

    - `bins`: how many, of equal width, or their edges e in increasing order.
    - `range`: the first and the last edge, for a number of bins; None for the smallest
        and the largest of a. Then no element is outside, and counts sum to that of a.
    - `weights`: numbers of the shape of a, which can be differentiated.
    - `density`: whether to return the density of a probability.

    **Returns:** counts, and the edges of the bins; of no numbers, those from 0 to 1.

    **Raises:** `ValueError` if there is no bin, or known edges or a range decrease.

    **Example:**

        >>> x = jnp.array([0.1, 0.4, 0.6, 2.5])
        >>> counts, edges = sj.histogram(x, bins=jnp.array([0.0, 0.5, 1.0]))
        >>> print(counts)
        [1.693 0.997]
        >>> print(sj.histogram(x, bins=jnp.array([0.0, 0.5, 1.0]), mode="hard")[0])
        [2. 1.]
    """
    check_softness(softness)
    a = as_array(a, "a")
    bins, range = parse_bins(_option(bins), _option(range), np.size(a))
    return dispatch(
        _histogram,
        *(softness, a),
        mode=mode,
        density=density is not None and parse_flag(density, "histogram: density"),
        bins=bins,
        range=range,
        weights=_option(weights),
    )


def _option(x: Any) -> Any:
    """Sequences as arrays, which are arguments of a program and not constants."""
    if isinstance(x, list | tuple) and is_traced(x):
        return jnp.stack([jnp.asarray(part) for part in x])
    if x is None or isinstance(x, str) or np.ndim(x) == 0:
        return x
    return as_array(x)


def _bincount(softness, x, *, mode, weights, length):
    regularizer = parse_mode(mode).regularizer
    given = dict(x=x) if weights is None else dict(x=x, weights=weights)
    (values, *rest), dtype = to_common(**given)
    shape = values.shape if values.ndim == 1 else values.shape[:-1]
    weights = rest[0] if rest else jnp.ones(shape, values.dtype)
    if weights.shape != shape:
        raise ValueError(
            f"bincount: weights of shape {weights.shape} must have the shape {shape} "
            "of the numbers or indices that are counted."
        )
    if values.ndim != 1:
        flat = values.reshape(math.prod(shape), values.shape[-1])
        counts = exact_einsum("m,mn->n", weights.ravel(), flat)
        counts = jnp.concatenate([counts, jnp.zeros(length, counts.dtype)])[:length]
    elif regularizer is None or not jnp.issubdtype(jnp.result_type(x), jnp.floating):
        whole = jnp.asarray(x)
        if not jnp.issubdtype(whole.dtype, jnp.integer):
            whole = jnp.round(values).astype(jnp.int32)
        counts = jnp.bincount(whole, weights, length=length)
    else:
        transition = transition_of(softness, regularizer, shape, values.dtype)
        edges = jnp.arange(length, dtype=values.dtype) + 0.5
        counts = total_positions(transition, values, weights, edges)[:length]
    return counts.astype(dtype)


@reads_defaults("comparison")
def bincount(
    x: Any,
    weights: Any = None,
    minlength: int = 0,
    *,
    length: int | None = None,
    softness: Any = 0.1,
    mode: str | Regularizer = "smooth",
) -> Float[Array, " n"]:
    """Soft `jax.numpy.bincount`: how often each index occurs.

    Of soft indices, `sum_i w_i p_i`. Of numbers, soft ones too, `sum_i w_i
    (H(x_i - j + 1/2) - H(x_i - j - 1/2))`, where all below 0 count as 0.

    **Arguments:**

    - `x`: soft indices `*m n` of at least two axes, or numbers `m`. Integers are
        counted as they are.
    - `weights`: of shape `*m`, or None for 1.
    - `minlength`: the least length of the result. It is n for soft indices, and for
        numbers the largest of them, rounded, plus 1.
    - `length`: the length itself, which is needed for numbers that are traced. What is
        beyond is left out.

    **Raises:** `ValueError` if there is no length, and numbers are traced, or one of
    them is NaN, inf or above `2**31 - 2`.

    **Example:**

        >>> x = jnp.array([[0.2, 1.0, 0.7], [0.9, 0.1, 0.2]])
        >>> print(sj.bincount(sj.argmax(x, axis=1)))
        [0.999 0.953 0.048]
        >>> print(sj.bincount(jnp.array([0.0, 1.1, 1.9, 2.0]), softness=0.05))
        [1. 1. 2.]
    """
    check_softness(softness)
    x = as_array(x)
    if jnp.ndim(x) == 0:
        raise ValueError("bincount: x must have an axis, got a number.")
    numbers = jnp.ndim(x) == 1
    if length is None and numbers and is_traced(x):
        raise ValueError("bincount: length must be given for numbers that are traced.")
    size = np.shape(x)[-1]
    if length is None and numbers:
        size = least_length(np.asarray(x))
    size = max(size, parse_index(minlength, "bincount: minlength"))
    weights = None if weights is None else as_array(weights, "weights")
    length = size if length is None else parse_index(length, "bincount: length")
    options = dict(mode=mode, weights=weights, length=length)
    return dispatch(_bincount, softness, x, **options)


def _one_hot(x, *, num_classes, dtype, axis):
    as_float(x)
    x = jnp.asarray(x)
    if not jnp.issubdtype(x.dtype, jnp.floating):
        return jax.nn.one_hot(x, num_classes, dtype=dtype, axis=axis)
    if x.ndim == 0 or x.shape[-1] != num_classes:
        raise ValueError(
            f"one_hot: x of shape {x.shape} must be integers, or a soft index with a "
            f"last axis over the {num_classes} classes."
        )
    return jnp.moveaxis(x if dtype is None else x.astype(dtype), -1, axis)


def one_hot(
    x: Any, num_classes: int, *, dtype: Any = None, axis: int = -1
) -> SoftIndex:
    """`jax.nn.one_hot` of integers, and soft indices as they are.

    A soft index is the mean of the one-hot vectors of the integers that it may be.

    **Arguments:**

    - `axis`: where the axis of the classes comes to stand.

    **Example:**

        >>> print(sj.one_hot(jnp.array([2, 0]), 3))
        [[0. 0. 1.]
         [1. 0. 0.]]
        >>> print(sj.one_hot(sj.argmax(jnp.array([0.2, 1.0, 0.7])), 3))
        [0.    0.952 0.047]
    """
    count = parse_index(num_classes, "one_hot: num_classes")
    if count < 0:
        raise ValueError(f"one_hot: num_classes must not be negative, got {count}.")
    options = dict(num_classes=count, dtype=dtype, axis=axis)
    return dispatch(_one_hot, as_array(x), **options)
