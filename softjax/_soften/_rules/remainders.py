"""`jnp.remainder` and `jnp.floor_divide` of floats: soft floors of the quotient."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
from jax.extend.core import JaxprEqn
from jaxtyping import Array

from .. import _jaxprs
from .._context import Context
from .._values import Known, Real, Value, is_float
from .steps import soft_floor, soft_quotient


def _floats(operands: Sequence[Value], eqn: JaxprEqn) -> tuple[Array, Array] | None:
    fits = all(isinstance(value, Known | Real) for value in operands)
    if not fits or not is_float(_jaxprs.aval(eqn).dtype):
        return None
    dtype = _jaxprs.aval(eqn).dtype
    x, y = (jnp.asarray(value.hard()).astype(dtype) for value in operands)
    return x, y


def remainder(context: Context, eqn: JaxprEqn, operands: Sequence[Value]) -> Any:
    """`x - y floor(x / y)`."""
    floats = _floats(operands, eqn)
    if floats is None:
        return None
    context.softened(eqn, "round", "steps of the quotient")
    x, y = floats
    return [Real(x - y * soft_quotient(context, x, y, soft_floor))]


def floor_divide(context: Context, eqn: JaxprEqn, operands: Sequence[Value]) -> Any:
    """`floor(x / y)`."""
    floats = _floats(operands, eqn)
    if floats is None:
        return None
    context.softened(eqn, "round", "steps of the quotient")
    return [Real(soft_quotient(context, *floats, soft_floor), integral=True)]
