"""The unit of a row: how far its elements are from each other."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from softjax_solvers.internal import is_traced

from ._sample import Ordered, Sample


def parse_scale(scale: Any, name: str) -> float | Array | None:
    """`scale` as a value method takes it.

    **Raises:** `ValueError` unless it is a positive and finite number, as far as its
    value is known; `TypeError` if it is no number.
    """
    if scale is None:
        return None
    numbers = int | float | np.number | np.ndarray | jax.Array
    if isinstance(scale, bool) or not isinstance(scale, numbers) or np.ndim(scale) != 0:
        raise TypeError(f"{name}: scale must be None or a number, got {scale!r}.")
    if not is_traced(scale) and not 0 < float(scale) < float("inf"):
        raise ValueError(f"{name}: scale must be positive and finite, got {scale}.")
    return scale if isinstance(scale, jax.Array) else float(scale)


class Spread(NamedTuple):
    """Mean and standard deviation of a sorted row, over its finite elements.

    **Attributes:**

    - `middle`: a constant, the element in the middle. Differences from it are exact
        where elements are close, far from 0 and far from an outlier too.
    - `size`: a constant that no such difference exceeds by much: in units of it, no
        square over- or underflows.
    - `scale`: the standard deviation, or what stands in for it, in units of `size`.
    - `mean`: of the row.
    - `varies`: whether not all elements are equal. Else `scale` is 1.
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
    x, count = -ordered.support, jnp.asarray(sample.finite)
    known = jax.lax.stop_gradient(x)
    middle = known[..., x.shape[-1] // 2, None]
    inside = ordered.where
    if sample.infinite is None:
        # The largest is first.
        reach = jnp.maximum(jnp.abs(known[..., :1]), jnp.abs(known[..., -1:]))
    else:
        reach = sample.infinite.reach
        finite = sample.infinite.finite(x)
        inside = finite if inside is None else finite & inside
        # Where most are infinite, another number will do.
        middle = jnp.clip(middle, -reach, reach)
    given = 1.0 if scale is None and sample.scale is not None else scale
    one = jnp.ones_like(middle)
    size = one if given is not None else jnp.where(reach > 0, reach, 1)
    apart = (x - middle) / size
    apart = apart if inside is None else jnp.where(inside, apart, 0)
    # Nothing cancels, as the mean is no further from the median than the standard
    # deviation.
    first = jnp.sum(apart, axis=-1, keepdims=True) / count
    mean = middle + size * first
    if given is not None:
        unit = one * jnp.asarray(given, x.dtype)
        return Spread(middle, size, unit, mean, np.ones(1, bool))
    # Differences of equal elements are exactly 0, and so is their variance.
    second = jnp.sum(apart * apart, axis=-1, keepdims=True) / count
    variance = second - first * first
    varies = variance > 0
    return Spread(middle, size, jnp.sqrt(jnp.where(varies, variance, 1)), mean, varies)
