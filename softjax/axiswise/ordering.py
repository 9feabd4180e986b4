"""Orders and ranks: sorted values, their soft permutation, and the first k of them."""

from __future__ import annotations

import dataclasses
from typing import Any, Unpack

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from softjax_solvers.internal import permute

from .._keywords import as_array, parse_first, parse_integer
from .._layout import Layout, parse_axis, split_mask
from .._types import SoftIndex
from ..methods import Intervals, Sample, ValueMethod, get_method
from ._keywords import (
    AxisKeywords,
    IndexKeywords,
    ValueIndexKeywords,
    ValueKeywords,
    along_axis,
)
from ._operation import INDEX, POSITION, VALUE, Operation, ask
from ._run import call, run


def _first_k(sample: Sample, k: int) -> tuple[Intervals, bool]:
    return sample.cells(k), False


_ARGSORT = Operation("argsort", ask("argsort"), (INDEX,), by_units=True)
SORT = Operation("sort", ask("sort"), (VALUE,), by_units=True)
RANK = Operation("rank", ask("rank"), (POSITION,))
RANKING = Operation("ranking", ask("rank"), (POSITION,), first=0)
TOP_K = Operation(
    "top_k", ask("top_k"), (VALUE, INDEX), _first_k, absent=True, by_units=True
)

# What is compiled of each operator, with the results put where they belong.


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
    # Of weights, units of mass begin at the end that is first.
    backwards = backwards and keywords.get("weights") is None
    operation = operation if descending or backwards else operation.ascend()
    (out,), layout = run(operation, x, softness, axis, keywords)
    assert out is not None
    if backwards:
        out = _read_backwards(out, layout, keywords.get("where"))
    return layout.place(out, -1)


def _read_backwards(
    out: Float[Array, "*batch n"], layout: Layout, where: Any
) -> Float[Array, "*batch n"]:
    """Descending values as ascending ones, with what is behind the last behind it."""
    out = jnp.flip(out, -1)
    if where is None:
        return out
    n, place = out.shape[-1], jnp.arange(out.shape[-1])
    total = jnp.sum(split_mask(where, layout, "sort"), axis=-1, keepdims=True)
    out = permute(out, (place + (n - total)) % n)
    return jnp.where(place < total, out, jnp.inf)


def _positions(x, softness, *, operation, axis, keywords, descending):
    operation = operation if descending else operation.ascend()
    (out,), layout = run(operation, x, softness, axis, keywords)
    assert out is not None
    return layout.place(out, -1)


def _largest(x, softness, *, operation, axis, keywords, k):
    def check(layout: Layout, dtype: Any) -> tuple[int]:
        return (parse_first(k, layout.size, "top_k"),)

    (values, index), layout = run(operation, x, softness, axis, keywords, options=check)
    assert values is not None
    values = layout.place(values, -1)
    return values, None if index is None else layout.place(index, -2)


@along_axis("sort", _ARGSORT)
def argsort(
    x: Any,
    axis: int | None = -1,
    *,
    descending: bool = False,
    **keywords: Unpack[IndexKeywords],
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
    return call(_index, _ARGSORT, x, axis, keywords, descending=descending)


@along_axis("sort", SORT)
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
    return call(_sorted, SORT, x, axis, keywords, descending=descending)


_PARTITION = dataclasses.replace(SORT, name="partition")
_ARGPARTITION = dataclasses.replace(_ARGSORT, name="argpartition")


def _check_place(x: Any, kth: Any, axis: Any, name: str) -> None:
    size = parse_axis(np.shape(x), axis, name).size
    if not -size <= parse_integer(kth, f"{name}: kth") < size:
        raise ValueError(f"{name}: kth={kth} must be from {-size} to {size - 1}.")


@along_axis("sort", _PARTITION)
def partition(
    x: Any, kth: int, axis: int | None = -1, **keywords: Unpack[ValueKeywords]
) -> Float[Array, "..."]:
    """Soft `jax.numpy.partition`: [`softjax.sort`][], a partition at every place.

    **Arguments:**

    - `kth`: which place; it makes no difference. All smaller elements are in front of
        it and all larger ones behind, and it is left open in which order.

    **Example:**

        >>> print(sj.partition(jnp.array([0.7, 0.2, 1.0]), 1))
        [0.204 0.711 0.986]
    """
    x = as_array(x)
    _check_place(x, kth, axis, "partition")
    return call(_sorted, _PARTITION, x, axis, keywords, descending=False)


@along_axis("sort", _ARGPARTITION)
def argpartition(
    x: Any, kth: int, axis: int | None = -1, **keywords: Unpack[IndexKeywords]
) -> SoftIndex:
    """Soft `jax.numpy.argpartition`: [`softjax.argsort`][].

    **Arguments:** as for [`softjax.partition`][].

    **Example:**

        >>> print(sj.argpartition(jnp.array([0.7, 0.2, 1.0]), 1))
        [[0.007 0.993 0.   ]
         [0.946 0.006 0.047]
         [0.047 0.    0.952]]
    """
    x = as_array(x)
    _check_place(x, kth, axis, "argpartition")
    return call(_index, _ARGPARTITION, x, axis, keywords, descending=False)


@along_axis("rank", RANK)
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

    **Returns:** an array of the shape of x, with values in [1, n] but for masks and
    weights. The hard rank of equal elements is the average of theirs, as in
    `scipy.stats.rankdata`.

    **Example:**

        >>> x = jnp.array([0.2, 1.0, 0.7])
        >>> print(sj.rank(x))
        [2.993 1.048 1.959]
        >>> print(sj.rank(x, mode="hard", descending=False))
        [1. 3. 2.]
    """
    return call(_positions, RANK, x, axis, keywords, descending=descending)


@along_axis("rank", RANKING)
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
    return call(_positions, RANKING, x, axis, keywords, descending=descending)


@along_axis("top_k", TOP_K)
def top_k(
    x: Any, k: int, axis: int = -1, **keywords: Unpack[ValueIndexKeywords]
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
    return call(_largest, TOP_K, x, axis, keywords, k=k)
