"""Equations of known values: folded by NumPy where they make small integers.

The points of a distribution have to be known when a program is traced, so that loops
can carry it. JAX would stage even the constant 0 inside of a loop.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from jax.extend.core import JaxprEqn

from . import _jaxprs
from ._values import Known, Value, concrete, is_float
from ._whole import makes_whole

_LARGEST = 4096


def _broadcast(x, shape, broadcast_dimensions, **_):
    ones = [1] * len(shape)
    for size, axis in zip(np.shape(x), broadcast_dimensions, strict=True):
        ones[axis] = size
    return np.broadcast_to(np.reshape(x, ones), shape)


def _iota(dtype, shape, dimension, **_):
    ones = [1] * len(shape)
    ones[dimension] = -1
    return np.broadcast_to(np.arange(shape[dimension]).reshape(ones), shape)


def _quotient(x, y):
    return np.sign(x) * np.sign(y) * (np.abs(x) // np.abs(y))


def _select(which, *cases):
    return np.choose(np.asarray(which, int), cases)


ELEMENTWISE: dict[str, Callable[..., Any]] = {
    "abs": np.abs,
    "add": np.add,
    "and": np.bitwise_and,
    "clamp": lambda low, x, high: np.clip(x, low, high),
    "div": _quotient,
    "eq": np.equal,
    "ge": np.greater_equal,
    "gt": np.greater,
    "le": np.less_equal,
    "lt": np.less,
    "max": np.maximum,
    "min": np.minimum,
    "mul": np.multiply,
    "ne": np.not_equal,
    "neg": np.negative,
    "not": np.invert,
    "or": np.bitwise_or,
    "rem": np.fmod,
    "select_n": _select,
    "sign": np.sign,
    "sub": np.subtract,
}
"""Primitives that act on each entry -> the functions of NumPy."""

_FOLDED = ELEMENTWISE | {
    "broadcast_in_dim": _broadcast,
    "convert_element_type": lambda x, **_: x,
    "iota": _iota,
    "reshape": lambda x, new_sizes, **_: np.reshape(x, new_sizes),
    "squeeze": lambda x, dimensions, **_: np.squeeze(x, dimensions),
}

_EXACT = _FOLDED.keys() - ELEMENTWISE.keys()
"""Primitives that do not compute, of which floats are folded too."""


def _is_number(dtype: Any) -> bool:
    return getattr(dtype, "kind", "") in tuple("biuf")


def fold(eqn: JaxprEqn, operands: Sequence[Value]) -> list[Value]:
    """The known results of known operands."""
    name = eqn.primitive.name
    numbers = [concrete(value) for value in operands]
    aval = _jaxprs.aval(eqn)
    if name in _FOLDED and all(n is not None for n in numbers):
        small = np.prod(aval.shape, dtype=int) <= _LARGEST
        floats = is_float(aval.dtype)
        if small and _is_number(aval.dtype) and (not floats or name in _EXACT):
            params = {} if name in ELEMENTWISE else eqn.params
            with np.errstate(all="ignore"):
                folded = np.asarray(_FOLDED[name](*numbers, **params), aval.dtype)
            return [Known(folded)]
    whole = makes_whole(eqn, operands)
    arrays = _jaxprs.bind(eqn, *(value.hard() for value in operands))
    return [Known(array, whole) for array in arrays]
