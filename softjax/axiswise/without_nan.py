"""Reductions over the elements that are numbers, leaving out those that are NaN.

Each is that without `nan` in its name, with `where=~isnan(x)`. A row of NaN alone is
NaN, and its soft index 0 everywhere.
"""

from __future__ import annotations

from typing import Any, Unpack

from jaxtyping import Array, Float

from .._types import SoftIndex
from ._keywords import IndexKeywords, ValueKeywords, along_axis
from ._run import call_reduction
from .extrema import NANARGMAX, NANARGMIN, NANMAX, NANMIN
from .quantiles import NANMEDIAN, NANPERCENTILE, NANQUANTILE, at_levels


@along_axis("max", NANARGMAX)
def nanargmax(
    x: Any,
    axis: int | None = None,
    *,
    keepdims: bool = False,
    **keywords: Unpack[IndexKeywords],
) -> SoftIndex:
    """Soft `jax.numpy.nanargmax`: [`softjax.argmax`][] with `where=~isnan(x)`.

    Where all is NaN, all probabilities are 0.

    **Example:**

        >>> print(sj.nanargmax(jnp.array([0.2, jnp.nan, 0.3])))
        [0.269 0.    0.731]
    """
    return call_reduction(NANARGMAX, x, axis, keepdims, keywords)


@along_axis("max", NANARGMIN)
def nanargmin(
    x: Any,
    axis: int | None = None,
    *,
    keepdims: bool = False,
    **keywords: Unpack[IndexKeywords],
) -> SoftIndex:
    """Soft `jax.numpy.nanargmin`: [`softjax.argmin`][] with `where=~isnan(x)`.

    **Example:**

        >>> print(sj.nanargmin(jnp.array([0.2, jnp.nan, 0.3])))
        [0.731 0.    0.269]
    """
    return call_reduction(NANARGMIN, x, axis, keepdims, keywords)


@along_axis("max", NANMAX)
def nanmax(
    x: Any,
    axis: int | tuple[int, ...] | None = None,
    *,
    keepdims: bool = False,
    initial: Any = None,
    **keywords: Unpack[ValueKeywords],
) -> Float[Array, "..."]:
    """Soft `jax.numpy.nanmax`: [`softjax.max`][] with `where=~isnan(x)`.

    **Arguments:**

    - `initial`: one more element of each row, as for [`softjax.max`][].

    **Example:**

        >>> x = jnp.array([[0.2, 1.0, jnp.nan], [jnp.nan, jnp.nan, jnp.nan]])
        >>> print(sj.nanmax(x, axis=1))
        [ 1. nan]
        >>> print(sj.nanmax(x, axis=1, initial=0.0))
        [1. 0.]
    """
    return call_reduction(
        NANMAX, x, axis, keepdims, keywords, several=True, initial=initial
    )


@along_axis("max", NANMIN)
def nanmin(
    x: Any,
    axis: int | tuple[int, ...] | None = None,
    *,
    keepdims: bool = False,
    initial: Any = None,
    **keywords: Unpack[ValueKeywords],
) -> Float[Array, "..."]:
    """Soft `jax.numpy.nanmin`: [`softjax.min`][] with `where=~isnan(x)`.

    **Arguments:**

    - `initial`: one more element of each row, as for [`softjax.max`][].

    **Example:**

        >>> print(sj.nanmin(jnp.array([0.2, 1.0, jnp.nan])))
        0.2002683
    """
    return call_reduction(
        NANMIN, x, axis, keepdims, keywords, several=True, initial=initial
    )


@along_axis("quantile", NANMEDIAN)
def nanmedian(
    x: Any,
    axis: int | tuple[int, ...] | None = None,
    *,
    keepdims: bool = False,
    **keywords: Unpack[ValueKeywords],
) -> Float[Array, "..."]:
    """Soft `jax.numpy.nanmedian`: [`softjax.median`][] with `where=~isnan(x)`.

    **Example:**

        >>> x = jnp.array([[0.0, 1.0, 0.6, jnp.nan], [0.1, 0.2, jnp.nan, 9.0]])
        >>> print(sj.nanmedian(x, axis=1))
        [0.606 0.173]
    """
    return call_reduction(NANMEDIAN, x, axis, keepdims, keywords, several=True)


@along_axis("quantile", NANQUANTILE)
def nanquantile(
    x: Any,
    q: Any,
    axis: int | tuple[int, ...] | None = None,
    *,
    keepdims: bool = False,
    quantile_method: str = "linear",
    **keywords: Unpack[ValueKeywords],
) -> Float[Array, "..."]:
    """Soft `jax.numpy.nanquantile`: [`softjax.quantile`][] with `where=~isnan(x)`.

    **Arguments:** as for [`softjax.quantile`][].

    **Example:**

        >>> x = jnp.array([0.0, 1.0, jnp.nan, 0.6, 0.2])
        >>> print(sj.nanquantile(x, jnp.array([0.0, 0.5, 1.0])))
        [0.024 0.391 0.993]
    """
    return at_levels(NANQUANTILE, x, q, axis, keepdims, quantile_method, keywords)


@along_axis("quantile", NANPERCENTILE)
def nanpercentile(
    x: Any,
    q: Any,
    axis: int | tuple[int, ...] | None = None,
    *,
    keepdims: bool = False,
    quantile_method: str = "linear",
    **keywords: Unpack[ValueKeywords],
) -> Float[Array, "..."]:
    """Soft `jax.numpy.nanpercentile`: [`softjax.nanquantile`][] for q in [0, 100].

    **Example:**

        >>> x = jnp.array([0.0, 1.0, jnp.nan, 0.6, 0.2])
        >>> print(sj.nanpercentile(x, jnp.array([25, 75])))
        [0.143 0.698]
    """
    return at_levels(
        NANPERCENTILE, x, q, axis, keepdims, quantile_method, keywords, 100
    )
