"""Sorted values and ranks within segments, and the first k of each."""

from __future__ import annotations

from typing import Any, Unpack

from jaxtyping import Array, Float

from .._keywords import parse_integer
from ..axiswise.ordering import RANK, RANKING, SORT, TOP_K
from ._run import SegmentKeywords, call, over_segments, run


def _first_k(x, ids, softness, *, k, operation, **given):
    return run(operation, x, ids, softness, options=lambda *_: (k,), **given)


@over_segments("sort", SORT)
def sort(
    x: Any,
    segment_ids: Any,
    num_segments: int | None = None,
    *,
    descending: bool = False,
    indices_are_sorted: bool = False,
    **keywords: Unpack[SegmentKeywords],
) -> Float[Array, "n ..."]:
    """The soft sort of each segment, into the places that it has.

    The i-th place of a segment, of all rows that have its id, gets its i-th value:
    [`softjax.sort`][] of each segment alone. Takes O(n log n) time with the entropy.
    It takes no weights.

    **Arguments:**

    - `descending`: whether the largest comes first.
    - The others, and what is raised, are those of [`softjax.segment.max`][].

    **Returns:** an array of the shape of x; 0 for elements that belong to no segment,
    and infinite numbers behind the last of those that `where` leaves.

    **Example:**

        >>> x, ids = jnp.array([0.2, 0.5, 1.0, 0.3, 0.7]), jnp.array([0, 1, 0, 1, 0])
        >>> print(sj.segment.sort(x, ids, 2))
        [0.204 0.324 0.711 0.476 0.986]
    """
    parts = x, segment_ids, num_segments, indices_are_sorted, keywords
    return call(SORT, *parts, descending=descending)


@over_segments("rank", RANK)
def rank(
    x: Any,
    segment_ids: Any,
    num_segments: int | None = None,
    *,
    descending: bool = True,
    indices_are_sorted: bool = False,
    **keywords: Unpack[SegmentKeywords],
) -> Float[Array, "n ..."]:
    """Soft ranks within segments, counted from 1: [`softjax.rank`][] of each alone.

    Takes O(n log n) time with the entropy.

    **Arguments:**

    - `descending`: whether to count from the largest element, or from the smallest.
    - The others, and what is raised, are those of [`softjax.segment.max`][].

    **Returns:** an array of the shape of x; 0 for elements that belong to no segment.

    **Example:**

        >>> x, ids = jnp.array([0.2, 0.5, 1.0, 0.3, 0.7]), jnp.array([0, 1, 0, 1, 0])
        >>> print(sj.segment.rank(x, ids, 2))
        [2.993 1.119 1.048 1.881 1.959]
    """
    parts = x, segment_ids, num_segments, indices_are_sorted, keywords
    return call(RANK, *parts, descending=descending)


@over_segments("rank", RANKING)
def ranking(
    x: Any,
    segment_ids: Any,
    num_segments: int | None = None,
    *,
    descending: bool = True,
    indices_are_sorted: bool = False,
    **keywords: Unpack[SegmentKeywords],
) -> Float[Array, "n ..."]:
    """Soft ranks within segments, counted from 0: [`softjax.segment.rank`][] minus 1.

    For elements that belong to no segment it is 0, not -1.

    **Example:**

        >>> x, ids = jnp.array([0.2, 0.5, 1.0, 0.3, 0.7]), jnp.array([0, 1, 0, 1, 0])
        >>> print(sj.segment.ranking(x, ids, 2))
        [1.993 0.119 0.048 0.881 0.959]
    """
    parts = x, segment_ids, num_segments, indices_are_sorted, keywords
    return call(RANKING, *parts, descending=descending)


@over_segments("top_k", TOP_K)
def top_k(
    x: Any,
    segment_ids: Any,
    k: int,
    num_segments: int | None = None,
    *,
    indices_are_sorted: bool = False,
    **keywords: Unpack[SegmentKeywords],
) -> Float[Array, "num_segments k ..."]:
    """The k largest soft values of each segment, from the largest.

    Those of [`softjax.top_k`][], without soft indices: see
    [`softjax.segment.top_k_mask`][], or [`softjax.segment.pad`][].

    **Arguments:**

    - `k`: an integer of at least 1.
    - The others, and what is raised, are those of [`softjax.segment.max`][].

    **Returns:** an array `num_segments k ...`, with -inf beyond the last element.

    **Example:**

        >>> x, ids = jnp.array([0.2, 1.0, 0.7, 0.3, 0.5]), jnp.array([0, 0, 0, 1, 1])
        >>> print(sj.segment.top_k(x, ids, 2))
        [[0.986 0.711]
         [0.476 0.324]]
    """
    k = parse_integer(k, "segment.top_k: k")
    if k < 1:
        raise ValueError(f"segment.top_k: k={k} must be at least 1.")
    parts = x, segment_ids, num_segments, indices_are_sorted, keywords
    return call(TOP_K, *parts, body=_first_k, k=k)
