"""Comparisons: of floats by soft steps, of integers by their distributions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import JaxprEqn, Literal, Var
from jaxtyping import Array

from ... import comparison
from .. import _jaxprs
from .._context import Context, Keep, Unsupported
from .._values import (
    Chance,
    Count,
    Dist,
    Known,
    Real,
    Value,
    concrete,
    constant,
    is_bool,
    is_float,
    is_integral,
    new_key,
)
from .arithmetic import event, of_one_variable, pointwise
from .extrema import peak

_SOFT: dict[str, Any] = {
    "ge": comparison.greater_equal,
    "gt": comparison.greater,
    "le": comparison.less_equal,
    "lt": comparison.less,
    "le_to": comparison.less_equal,
    "lt_to": comparison.less,
}

_MIDDLE = {"ge": -0.5, "gt": 0.5, "le": 0.5, "lt": -0.5}
"""The point between integers where a comparison with 0 changes."""


def _compare(context: Context, eqn: JaxprEqn, operands: Sequence[Value]) -> Value:
    x, y = operands
    if not is_float(x.dtype):
        return _integers(context, eqn, operands)
    if any(isinstance(value, Dist) for value in operands):
        out = pointwise(eqn, operands)
        if out is not None:
            return out
    name = eqn.primitive.name.replace("eq_to", "eq")
    whole = [value for value in operands if is_integral(value)]
    counted = any(not isinstance(value, Known) for value in whole)
    if len(whole) == 2 or (counted and name in ("eq", "ne")):
        return _counts(context, eqn, operands)
    if any(_is_infinite(value) for value in operands):
        raise Keep("comparison with infinity")
    if name in ("eq", "ne"):
        return _equality(context, eqn, operands)
    context.softened(eqn, "comparison", "soft step")
    keywords = context.keywords("comparison")
    p = _SOFT[name](x.mean(), y.mean(), **keywords)
    return Chance(p, *_named_floats(context, eqn))


def _named_floats(context: Context, eqn: JaxprEqn) -> tuple[Any, bool]:
    """The event `a > b` that this is, by its operands, and whether it is not that."""
    a, b = (_name(context, atom) for atom in eqn.invars)
    less = eqn.primitive.name.startswith("l")
    # `b < a` is the same event: one of both orders is that of the name.
    return (context.scope, frozenset((a, b))), less != (hash(a) < hash(b))


_EVENTS = {
    "eq": ("==", False),
    "ge": (">=", False),
    "gt": (">", False),
    "le": (">", True),
    "lt": (">=", True),
    "ne": ("==", True),
}
"""Comparison of integers -> what it asks for, and whether it asks for the opposite."""


def _named_counts(context: Context, eqn: JaxprEqn) -> tuple[Any, bool]:
    sign, negated = _EVENTS[eqn.primitive.name.removesuffix("_to")]
    names = (_name(context, atom) for atom in eqn.invars)
    return (context.scope, sign, *names), negated


def _name(context: Context, atom: Any) -> Any:
    """Name of an array, equal only for equal ones: one that is read twice has one."""
    if isinstance(atom, Literal):
        return np.asarray(atom.val).tolist() if np.ndim(atom.val) == 0 else id(atom)
    source = context.maker(atom)
    if source is None or source.primitive.name not in _READ:
        return atom
    kind = source.primitive.name, str(source.params)
    return kind, _name(context, source.invars[0])


def _is_infinite(value: Value) -> bool:
    numbers = concrete(value)
    return numbers is not None and not np.isfinite(numbers).any()


def _integers(context: Context, eqn: JaxprEqn, operands: Sequence[Value]) -> Value:
    x, y = operands
    logical = is_bool(x.dtype) and eqn.primitive.name in ("eq", "ne")
    if logical and not of_one_variable(operands):
        p, q = x.mean(), y.mean()
        differ = p * (1 - q) + (1 - p) * q
        for soft, other in (operands, operands[::-1]):
            number = constant(other)
            if number is not None:  # correlations with other events are kept
                same = bool(number) == (eqn.primitive.name == "eq")
                found = event(soft)
                if same:
                    return found
                return Chance(1 - found.p, found.key, not found.negated)
        return Chance(differ if eqn.primitive.name == "ne" else 1 - differ, new_key())
    if not any(isinstance(value, Count) for value in operands):
        out = pointwise(eqn, operands)
        if out is not None:
            return out
    return _counts(context, eqn, operands)


def count_is_not_zero(context: Context, eqn: JaxprEqn, x: Value) -> Value:
    """Whether an integer is not 0, as a conversion to a Boolean asks."""
    context.softened(eqn, "count", "soft step between integers")
    same = _is_zero(x.mean(), context)
    return Chance(1 - same, new_key())


def _is_zero(difference: Array, context: Context) -> Array:
    keywords = context.keywords("count")
    return comparison.isclose(difference, 0.0, rtol=0.0, atol=0.5, **keywords)


def _counts(context: Context, eqn: JaxprEqn, operands: Sequence[Value]) -> Value:
    """Soft steps half-way between integers. Those are equal to no other number."""
    context.softened(eqn, "count", "soft step between integers")
    keywords = context.keywords("count")
    difference = operands[0].mean() - operands[1].mean()
    name = eqn.primitive.name.removesuffix("_to")
    if name in ("eq", "ne"):
        same = _is_zero(difference, context)
        for value in operands:
            if not is_integral(value):
                number = jax.lax.stop_gradient(value.mean())
                same = jnp.where(number == jnp.round(number), same, 0)
        p = same if name == "eq" else 1 - same
    else:
        p = _SOFT[name](difference, _MIDDLE[name], **keywords)
    return Chance(p, *_named_counts(context, eqn))


def _equality(context: Context, eqn: JaxprEqn, operands: Sequence[Value]) -> Value:
    """Equality of floats is hard, except with the maximum of what is compared."""
    a, b = eqn.invars
    if a is b:
        raise Keep("x != x asks for NaN")
    found = _with_extremum(context, eqn, operands)
    if found is not None:
        p = found if eqn.primitive.name == "eq" else 1 - found
        return Chance(p, new_key())
    if all(isinstance(value, Real) for value in operands):
        raise Unsupported("equality of floats")
    raise Keep("equality of a float with a constant")


_PASSED = {"broadcast_in_dim", "reshape", "squeeze", "expand_dims", "copy"}
_READ = _PASSED | {"rev", "slice", "transpose"}


def _with_extremum(context: Context, eqn: JaxprEqn, operands: Sequence[Value]) -> Any:
    """The probability that `x == max(x)` or `x == clip(x)`, or None for others."""
    for i in (0, 1):
        source = context.maker(eqn.invars[1 - i])
        while source is not None and source.primitive.name in _PASSED:
            source = context.maker(source.invars[0])
        if source is None:
            continue
        atoms, x = list(source.invars), operands[i].mean()
        if eqn.invars[i] not in [a for a in atoms if isinstance(a, Var)]:
            continue
        found = peak(context, source, x)
        if found is not None:
            context.softened(eqn, "argmax", "where the extremum is")
            return found
        sides = _bounds(context, source, eqn.invars[i])
        if sides:
            context.softened(eqn, "comparison", "whether a bound is reached")
            keywords = context.keywords("comparison")
            p: Any = 1.0
            for bound, inside in sides:
                p = p * inside(x, bound.mean(), **keywords)
            return p
    return None


def _bounds(context: Context, source: JaxprEqn, x: Any) -> list[tuple[Value, Any]]:
    """Bounds of a clipping of x, and what holds inside of each."""
    above, below = comparison.greater_equal, comparison.less_equal
    name = source.primitive.name
    if "jaxpr" in source.params and _jaxprs.is_from_jax(source.params["jaxpr"]):
        name = source.params.get("name", name)
    read = context.read
    atoms = source.invars
    if name in ("max", "min") and len(atoms) == 2:
        (other,) = [a for a in atoms if a is not x] or [x]
        return [(read(other), above if name == "max" else below)]
    if name == "clamp" and atoms[1] is x:
        return [(read(atoms[0]), above), (read(atoms[2]), below)]
    if name == "clip" and atoms[0] is x and len(atoms) == 3:
        return [(read(atoms[1]), above), (read(atoms[2]), below)]
    return []


def _is_finite(context: Context, eqn: JaxprEqn, operands: Sequence[Value]) -> Value:
    (value,) = operands
    if not isinstance(value, Real):
        return Known(jnp.ones(value.shape, bool))
    context.kept(eqn, "whether a float is finite")
    return Known(jnp.isfinite(jax.lax.stop_gradient(value.array)))


COMPARISONS = {
    **dict.fromkeys(("eq", "ne", "eq_to", *_SOFT), _compare),
    "is_finite": _is_finite,
}
