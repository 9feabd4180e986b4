"""Control flow and calls: branches are mixed, loops carry soft values."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax.extend.core import JaxprEqn, Literal

from .. import _jaxprs
from .._context import Context, Unsupported
from .._forms import Form, cast, common_forms, joined, mix, settle
from .._values import Count, Known, Real, Value, is_float, new_key
from .arithmetic import SMOOTH, real
from .named import rule_of
from .structure import STRUCTURE, chances, stacked

_CALLS = {
    **dict.fromkeys(("jit", "pjit", "remat2", "remat", "checkpoint"), "jaxpr"),
    **dict.fromkeys(("closed_call", "core_call", "custom_jvp_call"), "call_jaxpr"),
    **dict.fromkeys(("custom_vjp_call", "custom_vjp_call_jaxpr"), "call_jaxpr"),
    "custom_vmap_call": "call",
    "composite": "jaxpr",
}
"""Primitive -> the parameter that has what it calls."""


_CHECKPOINTS = ("remat2", "remat", "checkpoint")


def _call(context: Context, eqn: JaxprEqn, operands: Sequence[Value]) -> Any:
    name = eqn.primitive.name
    inner: Any = eqn.params.get(_CALLS[name])
    if inner is None:
        raise Unsupported("a call without a jaxpr")
    named = rule_of(inner)
    out = None if named is None else named(context, eqn, operands)
    if out is not None:
        return out
    floats = all(isinstance(value, Known | Real) for value in operands)
    if floats and (_jaxprs.is_smooth_function(inner) or _is_smooth(inner)):
        # With its own rule of differentiation.
        return real(eqn, operands)
    within = context.inside(eqn, inner)
    if name in _CHECKPOINTS:
        return _checkpointed(within, eqn, inner, operands)
    return context.evaluate(within, inner, operands)


def _expanded(context: Context, eqn: JaxprEqn, operands: Sequence[Value]) -> Any:
    """Results of a function that JAX 0.12 keeps whole, such as `flatnonzero`."""
    given = [jax.ShapeDtypeStruct(value.shape, value.dtype) for value in operands]
    inner = jax.make_jaxpr(eqn.params["_prim"].expand)(*given)
    return context.evaluate(context.inside(eqn, inner), inner, operands)


def _checkpointed(
    context: Context, eqn: JaxprEqn, inner: Any, operands: Sequence[Value]
) -> list[Value]:
    def body(values: list[Value]) -> list[Value]:
        return [v.with_key(None) for v in context.evaluate(context, inner, values)]

    params = {k: eqn.params[k] for k in ("policy", "prevent_cse") if k in eqn.params}
    out = jax.checkpoint(body, **params)([value.with_key(None) for value in operands])
    return [value.with_key(new_key()) for value in out]


def _is_smooth(jaxpr: Any) -> bool:
    smooth_ones = {*SMOOTH, *STRUCTURE, *_CALLS} - {"select_n"}
    return smooth_ones.issuperset(_jaxprs.primitives(jaxpr))


def _cond(context: Context, eqn: JaxprEqn, operands: Sequence[Value]) -> list[Value]:
    which, *operands = operands
    branches = eqn.params["branches"]

    def run(branch: Any, values: Sequence[Value]) -> list[Value]:
        within = context.inside(eqn, branch)
        return context.evaluate(within, branch, values)

    if isinstance(which, Known):
        return _chosen(which, [lambda v, b=b: run(b, v) for b in branches], operands)
    context.noted(eqn, "branches mixed")
    weights = chances(which, len(branches), ())
    outs = []
    for branch, weight in zip(branches, weights, strict=True):
        given = operands
        if context.derivatives and not _SINGULAR.isdisjoint(_jaxprs.primitives(branch)):
            within = context._replace(derivatives=False).inside(eqn, branch)
            found = context.evaluate(within, branch, operands)
            given = _still_unless(_all_finite(found) | (weight > 0.5), operands)
        outs.append(run(branch, given))
    return [mix(weights, values) for values in zip(*outs, strict=True)]


_SINGULAR = {"acos", "acosh", "asin", "atanh", "cbrt", "digamma", "div", "erf_inv"}
_SINGULAR |= {"lgamma", "log", "log1p", "pow", "rsqrt", "sqrt"}
"""Primitives whose derivatives are not finite everywhere.

A branch that is not taken may stand where they are not, and reverse mode multiplies
them by the 0 that its result counts.
"""


def _all_finite(values: Sequence[Value]) -> Any:
    floats = [value.mean() for value in values if is_float(value.dtype)]
    return jnp.all(jnp.array([jnp.all(jnp.isfinite(array)) for array in floats]))


def _still_unless(flag: Any, values: Sequence[Value]) -> list[Value]:
    """The values, with derivatives where the flag is true."""

    def still(array: Any) -> Any:
        return jnp.where(flag, array, jax.lax.stop_gradient(array))

    return [v if isinstance(v, Known) else jax.tree.map(still, v) for v in values]


def _chosen(
    which: Known,
    branches: Sequence[Callable[[Sequence[Value]], list[Value]]],
    operands: Sequence[Value],
) -> list[Value]:
    """One branch, chosen by a number that no float given decides about."""
    given = [value.with_key(None) for value in operands]
    forms = common_forms(
        [jax.eval_shape(branch, given) for branch in branches],
    )

    def in_form(branch: Any) -> Any:
        def run(values: Sequence[Value]) -> list[Value]:
            outs = branch([value.with_key(new_key()) for value in values])
            return [cast(out, form) for out, form in zip(outs, forms, strict=True)]

        return run

    index = jnp.asarray(which.array)
    out = jax.lax.switch(index, [in_form(b) for b in branches], given)
    return [value.with_key(new_key()) for value in out]


def _named_anew(values: Sequence[Value]) -> list[Value]:
    return [value.with_key(new_key()) for value in values]


def _scan(context: Context, eqn: JaxprEqn, operands: Sequence[Value]) -> list[Value]:
    consts, carried = _jaxprs.scan_counts(eqn)
    inner = eqn.params["jaxpr"]
    within = context.inside(eqn, inner)
    fixed = list(operands[:consts])
    start = list(operands[consts : consts + carried])
    rows = [value.with_key(None) for value in operands[consts + carried :]]
    length = eqn.params["length"]
    if length == 0:
        return [*start, *real(eqn, operands)[carried:]]

    def body(carry: Sequence[Value], row: Sequence[Value]) -> list[Value]:
        given = [*fixed, *_named_anew(carry), *_named_anew(row)]
        return context.evaluate(within, inner, given)

    first = jax.eval_shape(
        lambda values: jax.tree.map(lambda array: array[0], values), rows
    )

    def step_of_one(carry: list[Value]) -> list[Value]:
        row = jax.tree.map(lambda a: jnp.zeros(a.shape, a.dtype), first)
        return body(carry, row)[:carried]

    forms = settle(step_of_one, start)

    if length <= _UNROLLED and _grows(start, forms):
        return _unrolled(body, start, rows, carried, length, eqn.params["reverse"])

    def step(carry: Any, row: Any) -> Any:
        out = body(carry, row)
        new = [cast(v, form) for v, form in zip(out[:carried], forms, strict=True)]
        return new, [_stackable(value) for value in out[carried:]]

    begin = [cast(value, form) for value, form in zip(start, forms, strict=True)]
    end, made = jax.lax.scan(
        step,
        begin,
        rows,
        length=length,
        reverse=eqn.params["reverse"],
        unroll=eqn.params["unroll"],
    )
    return _named_anew([*end, *made])


_UNROLLED = 8
"""Most steps of a loop that is written out, so that distributions may grow."""


def _grows(start: Sequence[Value], forms: Sequence[Form]) -> bool:
    """Whether an integer would have to be carried by its mean."""
    return any(
        form.kind is Count and not isinstance(value, Count)
        for value, form in zip(start, forms, strict=True)
    )


def _unrolled(
    body: Callable[[Sequence[Value], Sequence[Value]], list[Value]],
    carry: Sequence[Value],
    rows: Sequence[Value],
    carried: int,
    length: int,
    reverse: bool,
) -> list[Value]:
    steps = range(length)
    made = {}
    for i in reversed(steps) if reverse else steps:
        row = jax.tree.map(lambda array, i=i: array[i], rows)
        out = body(carry, row)
        carry, made[i] = out[:carried], out[carried:]
    columns = zip(*(made[i] for i in steps), strict=True)
    return [*carry, *(stacked(joined(column)) for column in columns)]


def _stackable(value: Value) -> Value:
    """Results of a step of a loop: arrays all of whose leaves have the same axes."""
    if isinstance(value, Known):
        return Known(jnp.asarray(value.array))
    return value.with_key(None)


def _while(context: Context, eqn: JaxprEqn, operands: Sequence[Value]) -> list[Value]:
    """A loop with a hard condition, and soft values inside."""
    conditions, bodies = eqn.params["cond_nconsts"], eqn.params["body_nconsts"]
    test, inner = eqn.params["cond_jaxpr"], eqn.params["body_jaxpr"]
    of_test = list(operands[:conditions])
    of_body = list(operands[conditions : conditions + bodies])
    start = list(operands[conditions + bodies :])
    within = context.inside(eqn, inner)

    def body(carry: Sequence[Value]) -> list[Value]:
        return context.evaluate(within, inner, [*of_body, *_named_anew(carry)])

    forms = settle(body, start)
    begin = [cast(value, form) for value, form in zip(start, forms, strict=True)]
    if _depends(context, test, [*of_test, *begin]):
        context.hard(eqn, "the condition stays hard")

    def goes_on(carry: Sequence[Value]) -> Any:
        arrays = [jax.lax.stop_gradient(v.hard()) for v in [*of_test, *carry]]
        (out,) = _jaxprs.run(test, arrays)
        return out

    def step(carry: Sequence[Value]) -> list[Value]:
        return [cast(v, form) for v, form in zip(body(carry), forms, strict=True)]

    return _named_anew(jax.lax.while_loop(goes_on, step, begin))


def _depends(context: Context, test: Any, values: Sequence[Value]) -> bool:
    """Whether a condition depends on what is not known."""
    opened, _ = _jaxprs.open_jaxpr(test)
    soft = {
        v
        for v, value in zip(opened.invars, values, strict=True)
        if not isinstance(value, Known)
    }
    for eqn in opened.eqns:
        if any(not isinstance(v, Literal) and v in soft for v in eqn.invars):
            soft |= set(eqn.outvars)
    return any(not isinstance(v, Literal) and v in soft for v in opened.outvars)


CONTROL = {
    **dict.fromkeys(_CALLS, _call),
    "call_hi_primitive": _expanded,
    "cond": _cond,
    "scan": _scan,
    "while": _while,
}
