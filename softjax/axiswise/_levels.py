"""Levels of quantiles: which order statistics each mixes, and how."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array

from ..methods import Level

_INTERPOLATIONS = {
    "linear": lambda h: (jnp.floor(h), h - jnp.floor(h)),
    "lower": lambda h: (jnp.floor(h), None),
    "higher": lambda h: (jnp.ceil(h), None),
    "midpoint": lambda h: (jnp.floor(h), (h > jnp.floor(h)).astype(h.dtype) / 2),
    "nearest": lambda h: (jnp.round(h), None),
}
"""Interpolation -> at the real position h, the lower order statistic and the weight of
the one above, None where there is nothing to mix."""


def parse_levels(
    q: Array, full: Any, size: int, dtype: Any, how: str, name: str
) -> Level:
    """Levels in [0, full] of `size` elements, as positions from the largest.

    **Raises:** `ValueError` for an unknown way `how` to interpolate.
    """
    if how not in _INTERPOLATIONS:
        raise ValueError(
            f"{name}: quantile_method={how!r} is not known. Allowed: "
            f"{', '.join(map(repr, _INTERPOLATIONS))}."
        )
    last = size - 1
    h = q.ravel().astype(dtype) / full * last
    lower, weight = _INTERPOLATIONS[how](h)
    lower = jax.lax.stop_gradient(lower).astype(jnp.int32)
    # Methods count from the largest.
    if weight is None:
        return Level(last - lower)
    return Level(last - jnp.minimum(lower + 1, last), last - lower, 1 - weight)
