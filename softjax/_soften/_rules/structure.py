"""Entries that move or change their type, and `select_n`: none is computed with."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import JaxprEqn
from jaxtyping import Array

from ... import rounding
from .. import _jaxprs
from .._context import Context, Keep, Unsupported
from .._forms import joined, mix
from .._values import (
    Chance,
    Count,
    Dist,
    Known,
    Real,
    Stack,
    Value,
    constant,
    from_chance,
    is_bool,
    is_float,
    is_integral,
    new_key,
    of_mean,
)
from .arithmetic import of_one_variable, pointwise, tidy
from .comparisons import count_is_not_zero

_NAMES = """
broadcast_in_dim reshape squeeze expand_dims transpose rev slice copy copy_p device_put
sharding_constraint optimization_barrier pvary reshard tile name
"""
MOVES = frozenset(_NAMES.split())
"""Primitives that move entries."""


def _move(context: Context, eqn: JaxprEqn, operands: Sequence[Value]) -> Value:
    (value,) = operands

    def move(array: Array) -> Array:
        (out,) = _jaxprs.bind(eqn, array)
        return out

    return value.rearranged(move, _tag(eqn))


def _split(context: Context, eqn: JaxprEqn, operands: Sequence[Value]) -> list[Value]:
    (value,) = operands
    return [
        value.rearranged(lambda a, i=i: _jaxprs.bind(eqn, a)[i], f"{_tag(eqn)} {i}")
        for i in range(len(eqn.outvars))
    ]


def _stack(context: Context, eqn: JaxprEqn, operands: Sequence[Value]) -> Value:
    axis = eqn.params["axis"]
    return _each(joined(operands), partial(jnp.stack, axis=axis))


def _tag(eqn: JaxprEqn) -> str:
    return f"{eqn.primitive.name} {eqn.params}"


def _convert(context: Context, eqn: JaxprEqn, operands: Sequence[Value]) -> Value:
    (value,) = operands
    old, new = value.dtype, _jaxprs.aval(eqn).dtype
    if isinstance(value, Dist):
        out = pointwise(eqn, operands)
        assert out is not None
        return out
    if is_float(new):
        if isinstance(value, Real):
            (out,) = _jaxprs.bind(eqn, value.array)
            return Real(out, value.integral)
        return Real(value.mean().astype(new), integral=True)
    if isinstance(value, Chance):
        return from_chance(value, new)
    if is_bool(new):
        if is_integral(value):
            return count_is_not_zero(context, eqn, value)
        raise Unsupported("whether a float is 0")
    if jnp.issubdtype(old, jnp.complexfloating):
        raise Unsupported("of a complex number")
    if isinstance(value, Count):
        return Count(value.number, new, value.key)
    if is_integral(value):
        return Count(value.mean(), new, new_key())
    context.softened(eqn, "round", "steps of trunc")
    whole = rounding.trunc(value.mean(), **context.keywords("round"))
    return Count(whole, new, new_key())


def _concatenate(context: Context, eqn: JaxprEqn, operands: Sequence[Value]) -> Value:
    axis = eqn.params["dimension"]
    ndim = len(operands[0].shape)
    dtype = operands[0].dtype
    soft = not is_float(dtype) and not is_bool(dtype)
    if soft and axis == ndim - 1 and all(v.shape[-1] == 1 for v in operands):
        return Stack(tuple(operands), new_key())
    return _concatenated(operands, axis)


def _concatenated(values: Sequence[Value], axis: int) -> Value:
    return _each(joined(values), partial(jnp.concatenate, axis=axis))


def as_numbers(values: Sequence[Value], points: bool) -> list[Value]:
    """Operands as numbers that are computed with, rather than components of indices.

    `points`: whether signs are wanted by their points, where nothing else is a float.
    """
    values = [_unstacked(value) for value in values]
    if points and not any(isinstance(value, Real) for value in values):
        return values
    return [_without_points(value) for value in values]


def _unstacked(value: Value) -> Value:
    if not isinstance(value, Stack):
        return value
    return _concatenated(value.parts, -1).with_key(value.key)


def _without_points(value: Value) -> Value:
    return tidy(value) if isinstance(value, Dist) else value


def _each(values: Sequence[Any], join: Any) -> Value:
    """Values of one form, combined by a function of their arrays."""
    first = values[0]
    if isinstance(first, Known):
        return Known(join([v.array for v in values]))
    if isinstance(first, Dist):
        return _each_dist(values, join)
    whole = all(map(is_integral, values))
    return of_mean(join([v.mean() for v in values]), first.dtype, whole)


def _each_dist(values: Sequence[Any], join: Any) -> Value:
    first = values[0]
    # Points stand on the last axis.
    each = jax.vmap(lambda *arrays: join(arrays), in_axes=-1, out_axes=-1)
    probs = each(*(v.probs for v in values))
    if first.common is not None:
        return Dist(probs, None, first.common, first.type, new_key())
    support = each(*(v.all_points() for v in values))
    return Dist(probs, support, None, first.type, new_key())


def stacked(values: Sequence[Value]) -> Value:
    """Values of one form along a new first axis."""
    return _each(values, jnp.stack)


def _pad(context: Context, eqn: JaxprEqn, operands: Sequence[Value]) -> Value:
    values: Sequence[Any] = joined(operands)

    def join(arrays: Sequence[Array]) -> Array:
        (out,) = _jaxprs.bind(eqn, *arrays)
        return out

    return _each(values, join)


def _select(context: Context, eqn: JaxprEqn, operands: Sequence[Value]) -> Value:
    which, *cases = operands
    if isinstance(which, Known):
        if all(isinstance(case, Known | Real) for case in cases):
            (out,) = _jaxprs.bind(eqn, which.array, *(c.hard() for c in cases))
            whole = all(map(is_integral, cases))
            return Real(out, whole) if is_float(out.dtype) else Known(out)
        values: Sequence[Any] = joined(cases)

        def join(arrays: Sequence[Array]) -> Array:
            condition = jnp.broadcast_to(which.array, arrays[0].shape)
            return jax.lax.select_n(condition, *arrays)

        return _each(values, join)
    operand = _operand_of_branch(context, eqn)
    if operand is not None:
        return operand
    dtype = cases[0].dtype
    if not is_float(dtype) and of_one_variable(operands):
        out = pointwise(eqn, operands)
        if out is not None:
            return out
    if len(cases) == 2 and is_float(dtype):
        masked = _masked(which, cases)
        if masked is not None:
            return masked
    return mix(chances(which, len(cases), cases[0].shape), cases)


def _operand_of_branch(context: Context, eqn: JaxprEqn) -> Value | None:
    """The operand x of one of several branches, or None for any other selection.

    `jax.vmap` makes it `select_n(index == i, stop_gradient(x), x)`, so that derivatives
    of a branch that is not taken can't be NaN. What the branches return is mixed, and
    so are their derivatives, which would have the share of the branch twice.
    """
    flag, *cases = eqn.invars
    source = context.maker(flag)
    while source is not None and source.primitive.name == "broadcast_in_dim":
        source = context.maker(source.invars[0])
    if len(cases) != 2 or source is None or source.primitive.name != "eq":
        return None
    index: Any = source.invars[0].aval
    if not jnp.issubdtype(index.dtype, jnp.integer):
        return None
    stopped, x = cases
    stop = context.maker(stopped)
    if stop is not None and stop.primitive.name == "stop_gradient":
        stopped = stop.invars[0]
    return context.read(x) if stopped is x else None


_HUGE = 1e8
"""Numbers beyond stand for infinity, as in masks of attention: -1e9, or the least."""


def _masked(which: Value, cases: Sequence[Value]) -> Value | None:
    """`x + log p` for x with probability p, and -inf without: what exp makes p exp(x).

    The logarithm of `p exp(x) + (1 - p) exp(c)`, for a constant c that is as good as
    infinite; None where neither case is one, or both are.
    """
    p = which.mean()
    numbers = [constant(case) for case in cases]
    huge = [number is not None and abs(number) >= _HUGE for number in numbers]
    if sum(huge) != 1:
        return None
    place = huge.index(True)
    number, x = numbers[place], cases[1 - place].mean()
    sign = -np.sign(number).astype(x.dtype)
    share = p if place == 0 else 1 - p
    seen = share > jnp.finfo(share.dtype).tiny
    logarithm = jnp.log(jnp.where(seen, share, 1)).astype(x.dtype)
    return Real(jnp.where(seen, x + sign * logarithm, number))


def chances(which: Value, count: int, shape: tuple[int, ...]) -> list[Array]:
    """Probabilities of each of `count` cases."""
    if is_bool(which.dtype):
        p = jnp.broadcast_to(which.mean(), shape)
        return [1 - p, p]
    if isinstance(which, Count):
        # Hat functions: linear interpolation between neighbouring cases.
        place = jnp.clip(which.number, 0, count - 1)
        weights = [jnp.maximum(0, 1 - jnp.abs(place - i)) for i in range(count)]
    elif isinstance(which, Dist):
        points = jnp.clip(which.all_points(), 0, count - 1)
        weights = [
            jnp.sum(jnp.where(points == i, which.probs, 0), -1) for i in range(count)
        ]
    else:
        raise Unsupported("of several indices")
    return [jnp.broadcast_to(w, shape) for w in weights]


def _print(context: Context, eqn: JaxprEqn, operands: Sequence[Value]) -> Any:
    raise Keep("prints what the hard program would")


def _stop_gradient(context: Context, eqn: JaxprEqn, operands: Sequence[Value]) -> Any:
    (value,) = operands
    # Only floats have a derivative to stop.
    if not is_float(value.dtype):
        return value
    return Known(jax.lax.stop_gradient(value.hard()))


STRUCTURE = {
    **dict.fromkeys(MOVES, _move),
    "concatenate": _concatenate,
    "convert_element_type": _convert,
    "debug_callback": _print,
    "debug_print": _print,
    "pad": _pad,
    "select_n": _select,
    "split": _split,
    "stack": _stack,
    "unstack": _split,
    "stop_gradient": _stop_gradient,
}
