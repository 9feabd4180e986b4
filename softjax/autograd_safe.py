"""Functions of jax.numpy whose derivatives are finite everywhere.

The value is that of jax.numpy wherever it is finite. At a singular point and outside
the domain the value is the one documented and all derivatives are 0, in forward and
reverse mode and to any order. NaN in gives NaN out.
"""

from __future__ import annotations

import functools
import math
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ._dispatch import dispatch
from ._keywords import as_float, parse_flag
from ._layout import layout_of
from ._transition import promote

# `where` alone is not enough: reverse mode multiplies the infinite derivative of the
# branch that was not taken by 0. So each function first sees a harmless argument.


def _evaluate(x, *, rule):
    x, dtype = as_float(x)
    return rule(x).astype(dtype)


def _sqrt(x: Array) -> Array:
    singular = x <= 0
    return jnp.where(singular, 0, jnp.sqrt(jnp.where(singular, 1, x)))


def _log(x: Array) -> Array:
    singular = x <= 0
    return jnp.where(singular, 0, jnp.log(jnp.where(singular, 1, x)))


def _arcsin(x: Array) -> Array:
    singular = jnp.abs(x) >= 1
    inner = jnp.arcsin(jnp.where(singular, 0, x))
    return jnp.where(singular, jnp.sign(x) * (math.pi / 2), inner)


def _arccos(x: Array) -> Array:
    singular = jnp.abs(x) >= 1
    inner = jnp.arccos(jnp.where(singular, 0, x))
    return jnp.where(singular, jnp.where(x > 0, 0, math.pi), inner)


def sqrt(x: Any) -> Float[Array, "..."]:
    """`jax.numpy.sqrt`, and 0 for x <= 0.

    **Example:**

        >>> x = jnp.array([0.0, 1.0, 4.0])
        >>> print(sj.sqrt(x))
        [0. 1. 2.]
        >>> print(jax.grad(lambda x: sj.sqrt(x).sum())(x))
        [0.   0.5  0.25]
    """
    return dispatch(_evaluate, x, rule=_sqrt)


def log(x: Any) -> Float[Array, "..."]:
    """`jax.numpy.log`, and 0 for x <= 0.

    **Example:**

        >>> x = jnp.array([0.0, 1.0, 2.0])
        >>> print(sj.log(x))
        [0.    0.    0.693]
        >>> print(jax.grad(lambda x: sj.log(x).sum())(x))
        [0.  1.  0.5]
    """
    return dispatch(_evaluate, x, rule=_log)


def arcsin(x: Any) -> Float[Array, "..."]:
    """`jax.numpy.arcsin` of x clipped to [-1, 1].

    **Example:**

        >>> x = jnp.array([-1.0, 0.0, 2.0])
        >>> print(sj.arcsin(x))
        [-1.571  0.     1.571]
        >>> print(jax.grad(lambda x: sj.arcsin(x).sum())(x))
        [0. 1. 0.]
    """
    return dispatch(_evaluate, x, rule=_arcsin)


def arccos(x: Any) -> Float[Array, "..."]:
    """`jax.numpy.arccos` of x clipped to [-1, 1].

    **Example:**

        >>> x = jnp.array([-1.0, 0.5, 2.0])
        >>> print(sj.arccos(x))
        [3.142 1.047 0.   ]
        >>> print(jax.grad(lambda x: sj.arccos(x).sum())(x))
        [ 0.    -1.155  0.   ]
    """
    return dispatch(_evaluate, x, rule=_arccos)


@jax.custom_jvp
def _quotient(x: Array, y: Array) -> Array:
    zero = y == 0
    return jnp.where(zero, 0, x / jnp.where(zero, 1, y))


@_quotient.defjvp
def _quotient_jvp(primals, tangents):
    # The textbook's x / y^2 would overflow for a small y, and then 0 * inf is NaN.
    (x, y), (x_dot, y_dot) = primals, tangents
    # An infinite quotient times a tangent of 0 would be, too.
    quotient = _quotient(x, y)
    slope = jnp.where(jnp.isinf(quotient), 0, quotient)
    return quotient, _quotient(x_dot - slope * y_dot, y)


def _div(x, y):
    raw, dtype = promote(x=x, y=y)
    x, y = jnp.broadcast_arrays(*(as_float(a.astype(dtype))[0] for a in raw.values()))
    lost = jnp.isnan(x) & (y == 0)
    return jnp.where(lost, x, _quotient(x, y)).astype(dtype)


def div(x: Any, y: Any) -> Float[Array, "..."]:
    """`jax.numpy.divide`, and 0 for y = 0.

    **Example:**

        >>> x, y = jnp.array([1.0, 1.0]), jnp.array([0.0, 2.0])
        >>> print(sj.div(x, y))
        [0.  0.5]
        >>> print(jax.grad(lambda x: sj.div(x, y).sum())(x))
        [0.  0.5]
    """
    return dispatch(_div, x, y)


@functools.partial(jax.custom_jvp, nondiff_argnums=(1,))
def _length(x: Array, axis: Any) -> Array:
    # In the unit of the largest element, squares neither over- nor underflow.
    unit = jnp.max(jnp.abs(x), axis=axis, keepdims=True, initial=0)
    unit = jnp.where((unit > 0) & jnp.isfinite(unit), unit, 1)
    return unit * jnp.sqrt(jnp.sum((x / unit) ** 2, axis=axis, keepdims=True))


@_length.defjvp
def _length_jvp(axis, primals, tangents):
    (x,), (x_dot,) = primals, tangents
    length = _length(x, axis)
    direction = _quotient(x, jnp.broadcast_to(length, x.shape))
    direction = jnp.where(jnp.isinf(length), 0, direction)
    return length, jnp.sum(direction * x_dot, axis=axis, keepdims=True)


def _norm(x, *, ord, axis: Any, keepdims) -> Array:
    x, dtype = as_float(x)
    axes = layout_of(x.shape, axis, "norm", several=True).axes
    if not (ord is None or (ord == 2 and len(axes) == 1)):
        raise ValueError(
            f"norm: ord={ord!r} with axis={axis} of an array of shape {x.shape} is not "
            "supported. Allowed: ord=None, and ord=2 along a single axis."
        )
    out = _length(x, axes)
    return (out if keepdims else jnp.squeeze(out, axes)).astype(dtype)


def norm(
    x: Any,
    ord: int | None = None,
    axis: int | tuple[int, ...] | None = None,
    keepdims: bool = False,
) -> Float[Array, "..."]:
    """`jax.numpy.linalg.norm`, with derivative 0 at x = 0.

    **Arguments:**

    - `ord`: None or 2, the Euclidean norm (of a matrix, the Frobenius norm).
    - `axis`: one axis or several; None for all of them.

    **Raises:** `ValueError` for any other norm.

    **Example:**

        >>> x = jnp.array([[3.0, 4.0], [0.0, 0.0]])
        >>> print(sj.norm(x, axis=1))
        [5. 0.]
        >>> print(jax.grad(lambda x: sj.norm(x, axis=1).sum())(x))
        [[0.6 0.8]
         [0.  0. ]]
    """
    keepdims = parse_flag(keepdims, "norm: keepdims")
    return dispatch(_norm, x, ord=ord, axis=axis, keepdims=keepdims)
