"""Operators along the last axis, by the kind of their results."""

import jax.numpy as jnp
import numpy as np
from cases import METHODS

import softjax as sj

LEVELS = np.array([0.0, 0.3, 1.0])
# Of units of mass: values, and indices of them.
VALUES = {
    "sort": lambda x, **kw: sj.sort(x, **kw),
    "sort_descending": lambda x, **kw: sj.sort(x, descending=True, **kw),
    "top_k": lambda x, **kw: sj.top_k(x, 1, **kw)[0],
    "max": lambda x, **kw: sj.max(x, axis=-1, keepdims=True, **kw),
    "min": lambda x, **kw: sj.min(x, axis=-1, keepdims=True, **kw),
    "median": lambda x, **kw: sj.median(x, axis=-1, keepdims=True, **kw),
    "quantile": lambda x, **kw: jnp.moveaxis(
        sj.quantile(x, LEVELS, axis=-1, **kw), 0, -1
    ),
}
INDICES = {
    "argsort": lambda x, **kw: sj.argsort(x, **kw),
    "argmax": lambda x, **kw: sj.argmax(x, axis=-1, **kw)[..., None, :],
    "argmin": lambda x, **kw: sj.argmin(x, axis=-1, **kw)[..., None, :],
    "argmedian": lambda x, **kw: sj.argmedian(x, axis=-1, **kw)[..., None, :],
    "argquantile": lambda x, **kw: jnp.moveaxis(
        sj.argquantile(x, LEVELS, axis=-1, **kw), 0, -2
    ),
}
# Of elements.
POSITIONS = {
    "rank": lambda x, **kw: sj.rank(x, **kw),
    "ranking": lambda x, **kw: sj.ranking(x, descending=False, **kw),
}
ALL = VALUES | POSITIONS | INDICES


def operators(method: str) -> dict:
    """The operators that a method has."""
    value_only = method in METHODS and isinstance(
        sj.methods.get_method(method), sj.methods.ValueMethod
    )
    return VALUES | POSITIONS if value_only else ALL
