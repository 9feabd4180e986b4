"""Functions of JAX whose meaning is lost in what they are made of.

Bits of floats have no derivatives; a loop of `searchsorted` would carry places by their
means; the two conditions of `heaviside` are one event. A rule returns None where the
function is evaluated as it is written.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax.extend.core import JaxprEqn
from jaxtyping import Array

from ... import comparison, elementwise
from .. import _jaxprs
from .._context import Context, Unsupported
from .._values import Chance, Known, Real, Value, as_dist, is_float, new_key
from .arithmetic import real
from .ordering import search_sorted
from .steps import quotient


def _floats(operands: Sequence[Value], eqn: JaxprEqn) -> list[Array] | None:
    """The operands in the type of the result, or None if some are soft integers."""
    dtype = _jaxprs.aval(eqn).dtype
    fits = all(isinstance(value, Known | Real) for value in operands)
    if not fits or not is_float(dtype):
        return None
    return [jnp.asarray(value.hard()).astype(dtype) for value in operands]


def _search_sorted(context: Context, eqn: JaxprEqn, operands: Sequence[Value]) -> Any:
    """Counts in one sorted array, or in one for each row, as made by `vmap`."""
    if len(operands) != 2:
        raise Unsupported("with a sorter")
    if not all(isinstance(value, Known | Real) for value in operands):
        raise Unsupported("of soft integers")
    dtype = jnp.result_type(*(value.dtype for value in operands))
    table, queries = (jnp.asarray(value.hard()).astype(dtype) for value in operands)
    if table.ndim == 1:
        return search_sorted(context, eqn, table, queries)
    if table.ndim == 2 and table.shape[0] != table.shape[1]:
        rows, shape = table.shape[0], _jaxprs.aval(eqn).shape
        if queries.shape[:1] == (rows,) and queries.shape == shape:
            return search_sorted(context, eqn, table, queries, batch=1)
        if shape == (rows, *queries.shape):
            queries = jnp.broadcast_to(queries, shape)
            return search_sorted(context, eqn, table, queries, batch=1)
    raise Unsupported("of several arrays, where their axis is not clear")


def _by_quotient(choose: Callable[[Array, Array, Array], list[Value]]) -> Callable:
    """The rule of what is made of x, y and `floor(x / y)`."""

    def rule(context: Context, eqn: JaxprEqn, operands: Sequence[Value]) -> Any:
        floats = _floats(operands, eqn)
        if floats is None:
            return None
        context.softened(eqn, "round", "steps of the quotient")
        x, y = floats
        return choose(x, y, quotient(context, x, y, "floor"))

    return rule


def _whole(x: Array, y: Array, floor: Array) -> Value:
    return Real(floor, integral=True)


def _rest(x: Array, y: Array, floor: Array) -> Value:
    return Real(x - y * floor)


def _is_close(context: Context, eqn: JaxprEqn, operands: Sequence[Value]) -> Any:
    """Distances are soft, and what is not finite is compared as it is."""
    if not all(isinstance(value, Known | Real) for value in operands):
        return None
    context.softened(eqn, "comparison", "soft distance")
    arrays = [jnp.asarray(value.hard()) for value in operands]
    x, y, *tolerances = arrays
    given = dict(zip(("rtol", "atol"), tolerances, strict=False))
    p = comparison.isclose(x, y, **given, **context.keywords("comparison"))
    (hard,) = _jaxprs.bind(eqn, *map(jax.lax.stop_gradient, arrays))
    finite = jnp.isfinite(x) & jnp.isfinite(y)
    return [Chance(jnp.where(finite, p, hard), new_key())]


def _split_exponent(context: Context, eqn: JaxprEqn, operands: Sequence[Value]) -> Any:
    raise Unsupported("exponents of floats")


def _heaviside(context: Context, eqn: JaxprEqn, operands: Sequence[Value]) -> Any:
    """A step, half done at 0 whatever the value is there."""
    if not isinstance(operands[0], Real) or operands[0].integral:
        return None
    context.softened(eqn, "comparison", "soft step")
    x = operands[0].array.astype(_jaxprs.aval(eqn).dtype)
    p = comparison.greater(x, 0, **context.keywords("comparison"))
    return [Real(jnp.broadcast_to(p, _jaxprs.aval(eqn).shape))]


def _sign_bit(context: Context, eqn: JaxprEqn, operands: Sequence[Value]) -> Any:
    """`x < 0`."""
    (x,) = operands
    if not isinstance(x, Real):
        return None
    context.softened(eqn, "comparison", "soft step")
    p = comparison.less(x.array, 0, **context.keywords("comparison"))
    return [Chance(p, new_key())]


def _copy_sign(context: Context, eqn: JaxprEqn, operands: Sequence[Value]) -> Any:
    """`abs(x) sign(y)`."""
    floats = _floats(operands, eqn)
    if floats is None:
        return None
    context.softened(eqn, "sign", "soft size and sign")
    x, y = floats
    if not isinstance(operands[0], Known):
        x = elementwise.abs(x, **context.keywords("abs"))
    if isinstance(operands[1], Known):
        return [Real(jnp.copysign(x, y))]
    return [Real(jnp.abs(x) * elementwise.sign(y, **context.keywords("sign")))]


def _load_exponent(context: Context, eqn: JaxprEqn, operands: Sequence[Value]) -> Any:
    """`x 2^k`, at the mean of the power where k is soft."""
    x, k = operands
    if isinstance(k, Known):
        return real(eqn, operands) if isinstance(x, Real) else None
    dist, dtype = as_dist(k), _jaxprs.aval(eqn).dtype
    powers = jnp.exp2(dist.all_points().astype(dtype))
    return [Real(x.mean() * jnp.sum(dist.probs.astype(dtype) * powers, axis=-1))]


_RULES: dict[str, Callable[..., Any]] = {
    "copysign": _copy_sign,
    "divmod": _by_quotient(lambda *parts: [_whole(*parts), _rest(*parts)]),
    "floor_divide": _by_quotient(lambda *parts: [_whole(*parts)]),
    "frexp": _split_exponent,
    "heaviside": _heaviside,
    "isclose": _is_close,
    "ldexp": _load_exponent,
    "remainder": _by_quotient(lambda *parts: [_rest(*parts)]),
    "searchsorted": _search_sorted,
    "signbit": _sign_bit,
}
"""Name of a function of JAX -> its rule."""


def rule_of(jaxpr: Any) -> Callable[..., Any] | None:
    """The rule of the function that a jaxpr was traced from, if it has one."""
    rule = _RULES.get(_jaxprs.source(jaxpr)[0])
    return rule if rule is not None and _jaxprs.is_from_jax(jaxpr) else None
