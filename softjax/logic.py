"""Logic on soft Booleans: probabilities of events that are taken to be independent.

Booleans count as the probabilities 0 and 1, and integers as the Booleans that they are
in jax.numpy, true but for 0. `use_geometric_mean=True` puts the geometric mean of
probabilities in place of their product, so that a conjunction does not shrink with the
number of its terms.
"""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
from jaxtyping import Array

from ._dispatch import dispatch
from ._keywords import as_array, as_float, parse_flag
from ._layout import layout_of, split_mask
from ._transition import promote
from ._types import SoftBool

_LEAST = 1e-10
"""Least probability in a geometric mean, whose gradient at 0 would be infinite."""


def _and(x: Array, y: Array, geometric: bool) -> Array:
    return jnp.sqrt(_lift(x) * _lift(y)) if geometric else x * y


def _or(x: Array, y: Array, geometric: bool) -> Array:
    if geometric:
        return 1 - _and(1 - x, 1 - y, geometric)
    return x + (1 - x) * y  # as by De Morgan, keeping small probabilities


def _xor(x: Array, y: Array, geometric: bool) -> Array:
    return _or(_and(x, 1 - y, geometric), _and(1 - x, y, geometric), geometric)


def _product(
    x: Array, axis: Any, where: Any, keepdims: bool, geometric: bool, name: str
) -> Array:
    layout = layout_of(x.shape, axis, name, several=True)
    axis, count = layout.axes, max(layout.size, 1)
    if where is not None:
        mask = layout.merge(split_mask(where, layout, name))
        x = jnp.where(mask.reshape(x.shape), x, 1)
        count = jnp.maximum(jnp.sum(mask, axis=axis, keepdims=keepdims), 1)
    if not geometric:
        return jnp.prod(x, axis=axis, keepdims=keepdims)
    return jnp.exp(jnp.sum(jnp.log(_lift(x)), axis=axis, keepdims=keepdims) / count)


def _all(x: Array, axis: Any, where: Any, keepdims: bool, geometric: bool) -> Array:
    return _product(x, axis, where, keepdims, geometric, "all")


def _any(x: Array, axis: Any, where: Any, keepdims: bool, geometric: bool) -> Array:
    return 1 - _product(1 - x, axis, where, keepdims, geometric, "any")


def _lift(p: Array) -> Array:
    """Probabilities in [0, 1], mapped to (0, 1]."""
    p = jnp.where(p < 0, 0, p)  # by a unit of rounding
    return p + _LEAST * (1 - p)


def as_probability(p: Any, name: str = "x") -> tuple[Array, Any]:
    """A soft Boolean in the type to compute in, and the type to return.

    Whole numbers but 0 are true, as in jax.numpy.

    **Raises:** `TypeError` for complex numbers and for what is no array of numbers.
    """
    wide, dtype = as_float(p, name)
    if not jnp.issubdtype(jnp.result_type(p), jnp.floating):
        wide = (wide != 0).astype(wide.dtype)
    return wide, dtype


def _evaluate(x, y, *, rule: Any, geometric: bool) -> SoftBool:
    raw, dtype = promote(x=x, y=y)
    wide = jnp.promote_types(dtype, jnp.float32)
    x, y = (as_probability(p)[0].astype(wide) for p in raw.values())
    return rule(x, y, geometric).astype(dtype)


def _pair(rule: Any, x: Any, y: Any, geometric: bool) -> SoftBool:
    geometric = parse_flag(geometric, "use_geometric_mean")
    return dispatch(_evaluate, x, y, rule=rule, geometric=geometric)


def _reduce(x, *, rule: Any, axis: Any, where: Any, **flags: bool) -> SoftBool:
    p, dtype = as_probability(x)
    return rule(p, axis, where, **flags).astype(dtype)


def _along(
    rule: Any, x: Any, axis: Any, where: Any, keepdims: bool, geometric: bool
) -> SoftBool:
    flags = dict(
        keepdims=parse_flag(keepdims, "keepdims"),
        geometric=parse_flag(geometric, "use_geometric_mean"),
    )
    where = None if where is None else as_array(where, "where")
    return dispatch(_reduce, x, rule=rule, axis=axis, where=where, **flags)


def _not(x):
    p, dtype = as_probability(x)
    return (1 - p).astype(dtype)


def logical_not(x: Any) -> SoftBool:
    """Soft `jax.numpy.logical_not`: `1 - x`.

    **Example:**

        >>> print(sj.logical_not(jnp.array([0.0, 0.3, 1.0])))
        [1.  0.7 0. ]
    """
    return dispatch(_not, x)


def logical_and(x: Any, y: Any, *, use_geometric_mean: bool = False) -> SoftBool:
    """Soft `jax.numpy.logical_and`: `x y`, or `sqrt(x y)` with `use_geometric_mean`.

    **Example:**

        >>> p, q = jnp.array([0.0, 0.5, 1.0]), jnp.array([0.9, 0.5, 0.9])
        >>> print(sj.logical_and(p, q))
        [0.   0.25 0.9 ]
        >>> print(sj.logical_and(p, q, use_geometric_mean=True))
        [0.    0.5   0.949]
    """
    return _pair(_and, x, y, use_geometric_mean)


def logical_or(x: Any, y: Any, *, use_geometric_mean: bool = False) -> SoftBool:
    """Soft `jax.numpy.logical_or`: `not (not x and not y)`.

    **Example:**

        >>> p, q = jnp.array([0.0, 0.5, 1.0]), jnp.array([0.9, 0.5, 0.9])
        >>> print(sj.logical_or(p, q))
        [0.9  0.75 1.  ]
    """
    return _pair(_or, x, y, use_geometric_mean)


def logical_xor(x: Any, y: Any, *, use_geometric_mean: bool = False) -> SoftBool:
    """Soft `jax.numpy.logical_xor`: `(x and not y) or (not x and y)`.

    **Example:**

        >>> p, q = jnp.array([0.0, 0.5, 1.0]), jnp.array([0.9, 0.5, 1.0])
        >>> print(sj.logical_xor(p, q))
        [0.9   0.438 0.   ]
    """
    return _pair(_xor, x, y, use_geometric_mean)


def all(
    x: Any,
    axis: int | tuple[int, ...] | None = None,
    *,
    keepdims: bool = False,
    where: Any = None,
    use_geometric_mean: bool = False,
) -> SoftBool:
    """Soft `jax.numpy.all`: the product, or the geometric mean, along axes.

    **Arguments:**

    - `where`: which entries there are, a Boolean array that broadcasts to x; None for
        all of them.

    **Example:**

        >>> p = jnp.array([[0.9, 0.9, 0.9], [1.0, 1.0, 0.0]])
        >>> print(sj.all(p, axis=1))
        [0.729 0.   ]
        >>> print(sj.all(p, axis=1, use_geometric_mean=True))
        [0.9 0. ]
    """
    return _along(_all, x, axis, where, keepdims, use_geometric_mean)


def any(
    x: Any,
    axis: int | tuple[int, ...] | None = None,
    *,
    keepdims: bool = False,
    where: Any = None,
    use_geometric_mean: bool = False,
) -> SoftBool:
    """Soft `jax.numpy.any`: `1 - all(1 - x)`.

    **Arguments:**

    - `where`: as for [`softjax.all`][].

    **Example:**

        >>> p = jnp.array([[0.1, 0.1, 0.1], [1.0, 0.0, 0.0]])
        >>> print(sj.any(p, axis=1))
        [0.271 1.   ]
    """
    return _along(_any, x, axis, where, keepdims, use_geometric_mean)
