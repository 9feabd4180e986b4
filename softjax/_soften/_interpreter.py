"""The interpreter: a hard program, evaluated on soft values, equation by equation.

Each equation has the rule of its primitive. Hard is evaluated what no given float
reaches, what reaches the outputs only through `stop_gradient`, what the user keeps
hard, and, by name, what there is no rule for.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax.extend.core import JaxprEqn, Literal

from ..straight_through import _swap
from . import _jaxprs
from ._constants import fold
from ._context import Context, Keep, Unsupported
from ._rules import RULES, TAKE_POINTS, TAKE_STACKS, as_numbers
from ._values import Chance, Count, Dist, Known, Real, Value, is_float, new_key


def evaluate(
    context: Context, jaxpr: Any, values: Sequence[Value], consts: Sequence[Value] = ()
) -> list[Value]:
    """The soft values that a jaxpr returns for soft operands."""
    opened, own = _jaxprs.open_jaxpr(jaxpr)
    consts = consts or [Known(const) for const in own]
    env = dict(zip(opened.constvars, consts, strict=True))
    env |= zip(opened.invars, values, strict=True)
    alive = _jaxprs.live(opened)

    def read(atom: Any) -> Value:
        return Known(atom.val) if isinstance(atom, Literal) else env[atom]

    context = context._replace(
        made_by=_jaxprs.producers(opened), read=read, scope=new_key()
    )

    for i, eqn in enumerate(opened.eqns):
        operands = [read(atom) for atom in eqn.invars]
        if i in alive:
            results = _apply(context, eqn, operands)
        else:
            arrays = _jaxprs.bind(eqn, *(value.hard() for value in operands))
            results = [Known(array) for array in arrays]
        env |= zip(eqn.outvars, results, strict=True)
    context.record.touched = False
    return [read(atom) for atom in opened.outvars]


def _apply(
    context: Context, eqn: JaxprEqn, operands: Sequence[Value]
) -> Sequence[Value]:
    name = eqn.primitive.name
    if all(isinstance(value, Known) for value in operands):
        return fold(eqn, operands)
    floats = all(isinstance(value, Known | Real) for value in operands)
    if floats and _jaxprs.is_softened(eqn):
        return evaluate_hard(eqn, operands)
    if _jaxprs.is_kept_hard(eqn):
        context.kept(eqn, "keep_hard")
        return evaluate_hard(eqn, operands)
    if name not in TAKE_STACKS:
        operands = as_numbers(operands, points=name in TAKE_POINTS)
    rule = RULES.get(name)
    context.record.touched = False
    try:
        if rule is None:
            raise Unsupported("no rule for this primitive")
        results = rule(context, eqn, operands)
    except Keep as reason:
        context.kept(eqn, str(reason))
        return evaluate_hard(eqn, operands)
    except Unsupported as reason:
        context.hard(eqn, str(reason))
        return evaluate_hard(eqn, operands)
    results = [results] if isinstance(results, Value) else list(results)
    if context.settings.straight_through == "per_op" and context.record.touched:
        arrays = _jaxprs.bind(eqn, *(value.hard() for value in operands))
        return [_straightened(*pair) for pair in zip(results, arrays, strict=True)]
    return results


def evaluate_hard(eqn: JaxprEqn, operands: Sequence[Value]) -> list[Value]:
    """The hard results: floats are still floats of the program, all else is known."""
    arrays = _jaxprs.bind(eqn, *(value.hard() for value in operands))
    return [Real(a) if is_float(a.dtype) else Known(a) for a in arrays]


def _straightened(value: Value, hard: Any) -> Value:
    """A soft value with the numbers of the hard one, and its own derivatives."""
    return _STRAIGHTENED.get(type(value), lambda value, hard: value)(value, hard)


def _points(value: Dist, hard: Any) -> Dist:
    place = jnp.equal(value.all_points(), jnp.asarray(hard)[..., None])
    # Points need not differ: the first of equal ones has all of their mass.
    first = place & (jnp.cumsum(place, axis=-1) == 1)
    probs = _swap(first.astype(value.probs.dtype), value.probs)
    return Dist(probs, value.support, value.common, value.type, value.key)


_STRAIGHTENED: Any = {
    Real: lambda value, hard: Real(_swap(hard, value.array), value.integral),
    Chance: lambda value, hard: Chance(
        _swap(hard.astype(value.p.dtype), value.p), value.key, value.negated
    ),
    Count: lambda value, hard: Count(
        _swap(hard.astype(value.number.dtype), value.number), value.type, value.key
    ),
    Dist: _points,
}


def result(value: Value, dtype: Any) -> jax.Array:
    """Results of a softened function: floats, and what is known as it is.

    `dtype`: the type of probabilities and means.
    """
    if isinstance(value, Known | Real):
        return value.hard()
    return value.mean().astype(value.dtype if is_float(value.dtype) else dtype)
