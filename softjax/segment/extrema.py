"""The largest and the smallest element of each segment, and where they are."""

from __future__ import annotations

from typing import Any, Unpack

from jaxtyping import Array, Float

from ..axiswise.extrema import ARGMAX, ARGMIN, MAX, MIN
from ._run import SegmentIndexKeywords, SegmentKeywords, call, over_segments


@over_segments("max", MAX)
def max(
    x: Any,
    segment_ids: Any,
    num_segments: int | None = None,
    *,
    indices_are_sorted: bool = False,
    **keywords: Unpack[SegmentKeywords],
) -> Float[Array, "num_segments ..."]:
    """Soft `jax.ops.segment_max`: [`softjax.max`][] of the elements of each segment.

    Takes O(n) time with `"softsort"`.

    **Arguments:**

    - `x`: `n ...`; axes behind the first are independent of each other.
    - `segment_ids`: the segment of each row of x: integers of shape `n`. Where they are
        not from 0 to `num_segments - 1`, the row is left out.
    - `num_segments`: how many segments there are. None for one more than the largest of
        the ids, which may not be traced then.
    - `indices_are_sorted`: whether the ids are known to ascend.
    - The others are those of `softjax.segment.SegmentKeywords`.

    **Returns:** an array `num_segments ...`; -inf for segments without elements.

    **Raises:** `TypeError` or `ValueError` for ids, counts, masks or weights that do
    not fit, and for methods that there are not over segments.

    **Example:**

        >>> x, ids = jnp.array([0.2, 1.0, 0.7, 0.3, 0.5]), jnp.array([0, 0, 0, 2, 2])
        >>> print(sj.segment.max(x, ids, 3))
        [0.986  -inf 0.476]
    """
    return call(MAX, x, segment_ids, num_segments, indices_are_sorted, keywords)


@over_segments("max", MIN)
def min(
    x: Any,
    segment_ids: Any,
    num_segments: int | None = None,
    *,
    indices_are_sorted: bool = False,
    **keywords: Unpack[SegmentKeywords],
) -> Float[Array, "num_segments ..."]:
    """Soft `jax.ops.segment_min`: minus the soft maxima of -x.

    **Arguments, Raises:** as of [`softjax.segment.max`][].

    **Returns:** an array `num_segments ...`; inf for segments without elements.

    **Example:**

        >>> x, ids = jnp.array([0.2, 1.0, 0.7, 0.3, 0.5]), jnp.array([0, 0, 0, 2, 2])
        >>> print(sj.segment.min(x, ids, 3))
        [0.204   inf 0.324]
    """
    return call(MIN, x, segment_ids, num_segments, indices_are_sorted, keywords)


@over_segments("max", ARGMAX)
def argmax(
    x: Any,
    segment_ids: Any,
    num_segments: int | None = None,
    *,
    indices_are_sorted: bool = False,
    **keywords: Unpack[SegmentIndexKeywords],
) -> Float[Array, "n ..."]:
    """The share of each element in the soft argmax of its segment.

    With the entropy, the softmax over segments, as of the edges of a graph that meet in
    a node; with `mode="c0"`, the sparsemax. Takes O(n) time with `"softsort"`.

    **Arguments, Raises:** as of [`softjax.segment.max`][], and the keywords of
    `softjax.segment.SegmentIndexKeywords`.

    **Returns:** an array of the shape of x, with sum 1 over each segment; 0 for
    elements that belong to none.

    **Example:**

        >>> x, ids = jnp.array([0.2, 1.0, 0.7, 0.3, 0.5]), jnp.array([0, 0, 0, 2, 2])
        >>> print(sj.segment.argmax(x, ids, 3))
        [0.    0.952 0.047 0.119 0.881]
        >>> print(sj.segment.argmax(x, ids, 3, mode="c0", softness=0.5))
        [0.  0.8 0.2 0.3 0.7]
    """
    return call(ARGMAX, x, segment_ids, num_segments, indices_are_sorted, keywords)


@over_segments("max", ARGMIN)
def argmin(
    x: Any,
    segment_ids: Any,
    num_segments: int | None = None,
    *,
    indices_are_sorted: bool = False,
    **keywords: Unpack[SegmentIndexKeywords],
) -> Float[Array, "n ..."]:
    """The share of each element in the soft argmin of its segment.

    **Arguments, Returns, Raises:** as of [`softjax.segment.argmax`][].

    **Example:**

        >>> x, ids = jnp.array([0.2, 1.0, 0.7, 0.3, 0.5]), jnp.array([0, 0, 0, 2, 2])
        >>> print(sj.segment.argmin(x, ids, 3))
        [0.993 0.    0.007 0.881 0.119]
    """
    return call(ARGMIN, x, segment_ids, num_segments, indices_are_sorted, keywords)
