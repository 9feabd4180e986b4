"""The unit of a row: how far its elements are from each other."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from softjax_solvers import is_traced, permute

from ._sample import Ordered, Sample


def parse_scale(scale: Any, name: str) -> float | Array | None:
    """`scale` as a value method takes it.

    **Raises:** `ValueError` unless it is a positive and finite number, as far as its
    value is known; `TypeError` if it is no number.
    """
    number = isinstance(scale, int | float | np.number | np.ndarray | jax.Array)
    if scale is None or (
        number and not isinstance(scale, bool) and np.ndim(scale) == 0
    ):
        known = scale is not None and not is_traced(scale)
        if known and not 0 < float(scale) < float("inf"):
            raise ValueError(f"{name}: scale must be positive and finite, got {scale}.")
        return scale
    raise TypeError(f"{name}: scale must be None or a number, got {scale!r}.")


class Spread(NamedTuple):
    """Mean and standard deviation of a sorted row, over its finite elements.

    **Attributes:**

    - `middle`: the element in the middle, a constant. Differences from it are exact
        where elements are close, far from 0 and far from an outlier too.
    - `size`: the largest size of those, a constant: in units of it, no square over- or
        underflows.
    - `scale`: the standard deviation, or what stands in for it, in units of `size`.
    - `mean`: of the row.
    - `varies`: whether not all elements are equal. Else `size` and `scale` are 1.
    """

    middle: Float[Array, "*batch 1"]
    size: Float[Array, "*batch 1"]
    scale: Float[Array, "*batch 1"]
    mean: Float[Array, "*batch 1"]
    varies: Bool[Array | np.ndarray, "*#batch 1"]


def spread(
    sample: Sample, ordered: Ordered, scale: float | Array | None = None
) -> Spread:
    """The unit of a row: `scale` if it is given, 1 if the sample is standardized.

    Else it is the standard deviation.
    """
    x = -ordered.support
    count = jnp.asarray(sample.finite)
    inside = ordered.where
    if sample.infinite is not None:
        place = jnp.arange(x.shape[-1]) - sample.above
        inside = (place >= 0) & (place < count)
    known = jax.lax.stop_gradient(x)
    position = sample.above + sample.finite // 2
    if isinstance(position, np.ndarray):
        middle = known[..., position]
    else:
        middle = permute(known, jnp.minimum(position, x.shape[-1] - 1))

    def total(x: Array) -> Array:
        x = x if inside is None else jnp.where(inside, x, 0)
        return jnp.sum(x, axis=-1, keepdims=True)

    given = 1.0 if scale is None and sample.scale is not None else scale
    if given is not None:
        mean = middle + total(x - middle) / count
        one = jnp.ones_like(middle)
        unit = one * jnp.asarray(given, x.dtype)
        return Spread(middle, one, unit, mean, np.ones(1, bool))
    # Of equal elements these are exactly 0, which differences from a mean need not be.
    apart = x - middle
    apart = apart if inside is None else jnp.where(inside, apart, 0)
    size = jax.lax.stop_gradient(jnp.max(jnp.abs(apart), axis=-1, keepdims=True))
    varies = size > 0
    size = jnp.where(varies, size, 1)
    apart = apart / size
    mean = total(apart) / count
    variance = jnp.where(varies, total((apart - mean) ** 2) / count, 1)
    return Spread(middle, size, jnp.sqrt(variance), middle + size * mean, varies)
