"""Kinks and steps of single numbers: absolute values, signs, rounding, clipping."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax.extend.core import JaxprEqn
from jaxtyping import Array

from ... import elementwise, rounding
from .. import _jaxprs
from .._context import Context
from .._settings import ELEMENTWISE
from .._signs import never_negative, of_known_sign
from .._values import (
    Count,
    Dist,
    Known,
    Real,
    Value,
    is_integral,
    new_key,
    of_mean,
)
from .arithmetic import integers, real


def _abs(context: Context, eqn: JaxprEqn, operands: Sequence[Value]) -> Any:
    (x,) = operands
    if not isinstance(x, Real):
        return integers(context, eqn, operands)
    if jnp.issubdtype(x.dtype, jnp.complexfloating):
        return real(eqn, operands)
    if never_negative(context, eqn.invars[0]):
        return x
    context.softened(eqn, "abs", "soft absolute value")
    return Real(elementwise.abs(x.array, **context.keywords("abs")), x.integral)


def _sign(context: Context, eqn: JaxprEqn, operands: Sequence[Value]) -> Any:
    (x,) = operands
    if not isinstance(x, Real):
        return integers(context, eqn, operands)
    if of_known_sign(context, eqn.invars[0]):
        return Known(jnp.sign(jax.lax.stop_gradient(x.array)), integral=True)
    context.softened(eqn, "sign", "soft sign")
    above = elementwise.sign(x.array, **context.keywords("sign")) / 2
    probs = jnp.stack([0.5 - above, 0.5 + above], axis=-1)
    return Dist(probs, None, (-1, 1), x.dtype, new_key())


_STEPS: dict[str, Callable[..., Array]] = {
    "ceil": rounding.ceil,
    "floor": rounding.floor,
    "round": rounding.round,
    "trunc": rounding.trunc,
}


def _round(context: Context, eqn: JaxprEqn, operands: Sequence[Value]) -> Value:
    (x,) = operands
    if is_integral(x):
        return x
    name = eqn.primitive.name
    context.softened(eqn, "round", f"steps of {name}")
    return Real(_STEPS[name](x.mean(), **context.keywords("round")), integral=True)


def _rem(context: Context, eqn: JaxprEqn, operands: Sequence[Value]) -> Value:
    """The remainder of a division that rounds towards 0."""
    if not all(isinstance(value, Known | Real) for value in operands):
        return integers(context, eqn, operands)
    context.softened(eqn, "round", "steps of the quotient")
    x, y = (value.mean() for value in operands)
    return Real(x - y * quotient(context, x, y, "trunc"))


def quotient(context: Context, x: Array, y: Array, name: str) -> Array:
    """A whole quotient, with steps as wide as the softness in the unit of x."""
    y = jnp.where(y == 0, 1, y)
    keywords = context.keywords("round")
    keywords["softness"] = keywords["softness"] / jnp.abs(y)
    return _STEPS[name](x / y, **keywords)


_BOUNDS: dict[str, Callable[..., Array]] = {
    "max": lambda x, y, **keywords: elementwise.clip(x, y, None, **keywords),
    "min": lambda x, y, **keywords: elementwise.clip(x, None, y, **keywords),
    "clamp": lambda low, x, high, **keywords: elementwise.clip(
        x, low, high, **keywords
    ),
}


def _clip(context: Context, eqn: JaxprEqn, operands: Sequence[Value]) -> Any:
    name = eqn.primitive.name
    if any(isinstance(value, Count) for value in operands):
        # Means of integers: the hard bound of a mean is continuous in it.
        context.noted(eqn, "bound of a mean")
        dtype = _jaxprs.aval(eqn).dtype
        means = [value.mean() for value in operands]
        type = jnp.result_type(*means)
        (out,) = _jaxprs.bind(eqn, *(mean.astype(type) for mean in means))
        return of_mean(out, dtype)
    if not all(isinstance(value, Known | Real) for value in operands):
        return integers(context, eqn, operands)
    if all(map(is_integral, operands)):
        context.noted(eqn, "bound of a mean")
        (out,) = _jaxprs.bind(eqn, *(value.hard() for value in operands))
        return Real(out, integral=True)
    context.softened(eqn, "max", f"soft {name}")
    arrays = [value.mean() for value in operands]
    keywords = context.keywords("max", *ELEMENTWISE)
    return Real(_BOUNDS[name](*arrays, **keywords).astype(arrays[0].dtype))


STEPS = {
    "abs": _abs,
    "sign": _sign,
    **dict.fromkeys(("ceil", "floor", "round"), _round),
    "rem": _rem,
    **dict.fromkeys(_BOUNDS, _clip),
}
