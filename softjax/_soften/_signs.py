"""Signs of variables, from their equations.

An absolute value of one that is never negative has no kink, and the sign of one that is
never negative for a smooth reason no jump.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from jax.extend.core import JaxprEqn, Literal, Var

from . import _jaxprs
from ._context import Context
from ._values import Known, Value, concrete

_POSITIVE = {"cosh", "exp", "exp2", "logistic"}
_NONNEGATIVE = {"abs", "sqrt", "square"}
_IF_FIRST_IS = {"broadcast_in_dim", "convert_element_type", "copy", "cummax", "cummin"}
_IF_FIRST_IS |= {"cumsum", "expand_dims", "pow", "reduce_max", "reduce_min"}
_IF_FIRST_IS |= {"reduce_sum", "reshape", "rev", "slice", "squeeze", "stop_gradient"}
_IF_FIRST_IS |= {"transpose"}
_IF_ALL_ARE = {"add", "add_any", "concatenate", "div", "max", "min", "mul"}
_CALLS = {"jit", "pjit"}


def never_negative(context: Context, atom: Any) -> bool:
    """Whether all entries are sure to be 0 or more, or NaN."""
    return _predicate(context, kinks=True)(atom)


def of_known_sign(context: Context, atom: Any) -> bool:
    """Whether entries are positive, or 0 whatever the floats are, or NaN, for sure."""
    return _predicate(context, kinks=False)(atom)


def _predicate(context: Context, kinks: bool) -> Callable[[Any], bool]:
    def is_given(atom: Any) -> bool:
        return _is_nonnegative(context.read(atom))

    def is_known(atom: Any) -> bool:
        return isinstance(context.read(atom), Known)

    return _follow(context.made_by or {}, is_given, is_known, kinks)


def _is_nonnegative(value: Value) -> bool:
    numbers = concrete(value)
    return numbers is not None and bool(np.all(numbers >= 0))


def _follow(
    made_by: Mapping[Var, JaxprEqn],
    is_given: Callable[[Any], bool],
    is_known: Callable[[Any], bool],
    kinks: bool,
) -> Callable[[Any], bool]:
    """A predicate of atoms of a jaxpr: whether all entries are sure to be nonnegative.

    `is_given` answers for variables that no equation has made, and `is_known` whether a
    variable depends on no float. `kinks`: whether they may be 0 for some floats only.
    """

    def follow(atom: Any) -> bool:
        if isinstance(atom, Literal):
            return _is_nonnegative(Known(atom.val))
        return of_variable(atom)

    @functools.cache
    def of_variable(atom: Var) -> bool:
        eqn = made_by.get(atom)
        if eqn is None:
            return is_given(atom)
        name = eqn.primitive.name
        even = name == "integer_pow" and eqn.params["y"] % 2 == 0
        if name in _POSITIVE or (kinks and (even or name in _NONNEGATIVE)):
            return True
        if name in _IF_FIRST_IS:
            return follow(eqn.invars[0])
        if name in _IF_ALL_ARE:
            return all(map(follow, eqn.invars))
        if name == "select_n":
            flag, *cases = eqn.invars
            return (kinks or is_known(flag)) and all(map(follow, cases))
        return name in _CALLS and is_called(eqn, atom)

    def is_called(eqn: JaxprEqn, atom: Any) -> bool:
        inner, consts = _jaxprs.open_jaxpr(eqn.params["jaxpr"])
        given = dict(zip(inner.invars, eqn.invars, strict=True))
        known = dict(zip(inner.constvars, map(Known, consts), strict=True))

        def is_given_inside(atom: Any) -> bool:
            return (
                follow(given[atom]) if atom in given else _is_nonnegative(known[atom])
            )

        def is_known_inside(atom: Any) -> bool:
            outer = given.get(atom)
            if outer is None:
                return atom in known
            return isinstance(outer, Literal) or is_known(outer)

        out = inner.outvars[eqn.outvars.index(atom)]
        made_inside = _jaxprs.producers(inner)
        return _follow(made_inside, is_given_inside, is_known_inside, kinks)(out)

    return follow
