"""The largest and the smallest element, and where they are."""

from __future__ import annotations

from typing import Any, Unpack

from jaxtyping import Array, Float

from .._types import SoftIndex
from ..methods import Intervals, Sample
from ._keywords import IndexKeywords, ValueKeywords, along_axis
from ._operation import INDEX, VALUE, Operation, ask
from ._run import call_reduction


def _first(sample: Sample) -> tuple[Intervals, bool]:
    return sample.cells(1), True


_OPTIONS: dict[str, Any] = dict(places=_first, absent=True, first_only=True)
ARGMAX = Operation("argmax", ask("argmax"), (INDEX,), **_OPTIONS)
MAX = Operation("max", ask("max"), (VALUE,), **_OPTIONS)
ARGMIN = ARGMAX.ascend("argmin")
MIN = MAX.ascend("min")
NANARGMAX = ARGMAX.without_nan("nanargmax")
NANMAX = MAX.without_nan("nanmax")
NANARGMIN = ARGMIN.without_nan("nanargmin")
NANMIN = MIN.without_nan("nanmin")


@along_axis("max", ARGMAX)
def argmax(
    x: Any,
    axis: int | None = None,
    *,
    keepdims: bool = False,
    **keywords: Unpack[IndexKeywords],
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
    return call_reduction(ARGMAX, x, axis, keepdims, keywords)


@along_axis("max", ARGMIN)
def argmin(
    x: Any,
    axis: int | None = None,
    *,
    keepdims: bool = False,
    **keywords: Unpack[IndexKeywords],
) -> SoftIndex:
    """Soft `jax.numpy.argmin`: the soft argmax of -x. Elements of inf are absent.

    **Returns:** a soft index, of the shape of `jnp.argmin` and a last axis of size n.

    **Example:**

        >>> print(sj.argmin(jnp.array([0.2, 1.0, 0.3])))
        [0.731 0.    0.269]
    """
    return call_reduction(ARGMIN, x, axis, keepdims, keywords)


@along_axis("max", MAX)
def max(
    x: Any,
    axis: int | tuple[int, ...] | None = None,
    *,
    keepdims: bool = False,
    initial: Any = None,
    **keywords: Unpack[ValueKeywords],
) -> Float[Array, "..."]:
    """Soft `jax.numpy.max`: the mean of x under its soft argmax.

    Elements of -inf count as absent. Never larger than the hard maximum.

    **Arguments:**

    - `initial`: one more element of each row, which no mask hides, or None: what the
        maximum of nothing is, also along axes of size 0. A number, or an array that
        broadcasts against x with size 1 along the axis; it can be differentiated.

    **Example:**

        >>> x = jnp.array([[0.2, 1.0, 0.7], [0.0, 0.5, 0.5]])
        >>> print(sj.max(x, axis=1))
        [0.986 0.498]
        >>> print(sj.max(x, axis=1, initial=0.8))
        [0.964 0.773]
        >>> print(sj.max(x, axis=1, initial=0.8, where=False))
        [0.8 0.8]
        >>> print(jax.grad(lambda x: sj.max(x))(x[0]))
        [-0.002  1.09  -0.088]
    """
    return call_reduction(
        MAX, x, axis, keepdims, keywords, several=True, initial=initial
    )


@along_axis("max", MIN)
def min(
    x: Any,
    axis: int | tuple[int, ...] | None = None,
    *,
    keepdims: bool = False,
    initial: Any = None,
    **keywords: Unpack[ValueKeywords],
) -> Float[Array, "..."]:
    """Soft `jax.numpy.min`: minus the soft maximum of -x.

    Elements of inf count as absent. Never smaller than the hard minimum.

    **Arguments:**

    - `initial`: one more element of each row, as for [`softjax.max`][].

    **Example:**

        >>> x = jnp.array([[0.2, 1.0, 0.7], [0.0, 0.5, 0.5]])
        >>> print(sj.min(x, axis=1))
        [0.204 0.007]
    """
    return call_reduction(
        MIN, x, axis, keepdims, keywords, several=True, initial=initial
    )
