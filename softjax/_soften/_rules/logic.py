"""Logic: independent events, except for an event and itself or its opposite."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax.numpy as jnp
from jax.extend.core import JaxprEqn
from jaxtyping import Array

from .._context import Context
from .._values import Chance, Known, Value, is_bool, new_key
from .arithmetic import event, integers, of_one_variable


def _same(x: Chance, y: Chance) -> bool | None:
    """Whether two are one event, or one and its opposite; None if neither is known."""
    if x.key is None or x.key != y.key:
        return None
    return x.negated == y.negated


def _and(x: Chance, y: Chance) -> Chance:
    same = _same(x, y)
    if same is None:
        return Chance(x.p * y.p, new_key())
    return x if same else Chance(jnp.zeros_like(x.p), new_key())


def _or(x: Chance, y: Chance) -> Chance:
    same = _same(x, y)
    if same is None:
        return Chance(x.p + (1 - x.p) * y.p, new_key())
    return x if same else Chance(jnp.ones_like(x.p), new_key())


def _xor(x: Chance, y: Chance) -> Chance:
    same = _same(x, y)
    if same is None:
        return Chance(x.p * (1 - y.p) + (1 - x.p) * y.p, new_key())
    return Chance((jnp.zeros_like if same else jnp.ones_like)(x.p), new_key())


_PAIRS: dict[str, Callable[[Chance, Chance], Chance]] = {
    "and": _and,
    "or": _or,
    "xor": _xor,
}


def _pair(context: Context, eqn: JaxprEqn, operands: Sequence[Value]) -> Value:
    x, y = operands
    if not is_bool(x.dtype) or of_one_variable(operands):
        return integers(context, eqn, operands)
    return _PAIRS[eqn.primitive.name](_event(x), _event(y))


def _event(value: Value) -> Chance:
    if isinstance(value, Known):
        return Chance(value.mean())
    return event(value)


def _not(context: Context, eqn: JaxprEqn, operands: Sequence[Value]) -> Value:
    (x,) = operands
    if not is_bool(x.dtype) or of_one_variable(operands):
        return integers(context, eqn, operands)
    x = event(x)
    return Chance(1 - x.p, x.key, not x.negated)


def all_of(p: Array, axes: Any) -> Array:
    """The probability that all of independent events happen."""
    return jnp.prod(p, axis=axes)


def any_of(p: Array, axes: Any) -> Array:
    """The probability that one of them does, at least."""
    return 1 - jnp.prod(1 - p, axis=axes)


_REDUCTIONS: dict[str, Callable[[Array, Any], Array]] = {
    "reduce_and": all_of,
    "reduce_or": any_of,
    "reduce_xor": lambda p, axes: (1 - jnp.prod(1 - 2 * p, axis=axes)) / 2,
}


def _reduce(context: Context, eqn: JaxprEqn, operands: Sequence[Value]) -> Value:
    (x,) = operands
    if not is_bool(x.dtype):
        return integers(context, eqn, operands)
    reduction = _REDUCTIONS[eqn.primitive.name]
    return Chance(reduction(x.mean(), eqn.params["axes"]), new_key())


LOGIC = {
    **dict.fromkeys(_PAIRS, _pair),
    "not": _not,
    **dict.fromkeys(_REDUCTIONS, _reduce),
}
