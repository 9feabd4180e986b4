"""Defaults in a context: what operators take for keywords that are not given."""

from __future__ import annotations

import contextlib
import contextvars
import functools
import inspect
import itertools
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple, TypeVar

import jax
import numpy as np

from softjax_solvers.internal import is_traced

from ._keywords import check_softness, is_hard, parse_mode
from .methods import ValueMethod, get_mask_method, get_method
from .straight_through import st

_Function = TypeVar("_Function", bound=Callable)

KINDS = (
    "elementwise",
    "comparison",
    "max",
    "sort",
    "rank",
    "quantile",
    "top_k",
    "structured",
)
"""Kinds of operators that may have defaults of their own."""


class _Token(NamedTuple):
    """Stands for a value without a hash, such as an array, in a key."""

    content: Any


def _token(value: Any) -> _Token:
    """Stand-in for a value in a key: equal for equal values, as far as they are known.

    Another one would be another program of the user's own at each entry.
    """
    leaves, structure = jax.tree.flatten(value)
    parts = tuple(map(_content, leaves))
    token = _Token((structure, parts))
    try:
        hash(token)
    except TypeError:
        return _Token(next(_numbers))
    return token


def _content(leaf: Any) -> Any:
    if is_traced(leaf):
        return next(_numbers)
    if not isinstance(leaf, jax.Array | np.ndarray):
        return type(leaf), leaf
    known = np.asarray(leaf)
    weak = isinstance(leaf, jax.Array) and leaf.weak_type
    return type(leaf), known.dtype, weak, known.shape, known.tobytes()


class Defaults(NamedTuple):
    """Content of a context, such that equal ones have equal programs.

    **Attributes:**

    - `entries`: kind (None for all), keyword, type and value of each default.
    """

    entries: tuple[tuple[str | None, str, type, Any], ...]

    def given(self, kind: str) -> dict[str, Any]:
        """The keywords for a kind of operator, which beat those for all."""
        found = {}
        for wanted in (None, kind):
            found |= {
                keyword: _of_token(value) if isinstance(value, _Token) else value
                for of, keyword, _, value in self.entries
                if of == wanted
            }
        return found


# Part of the key of all programs, the users' own too. What has no hash is kept apart:
# keys stay after a trace is over, and its tracers must not.
_context: Any = jax.make_user_context(None)
_values: contextvars.ContextVar[Mapping[_Token, Any] | None] = contextvars.ContextVar(
    "softjax_defaults", default=None
)
_numbers = itertools.count()


def defaults_of(kind: str) -> dict[str, Any]:
    """The keywords that the context has for a kind of operator, if there is one."""
    context = _context.value
    return {} if context is None else context.given(kind)


def _of_token(token: _Token) -> Any:
    return (_values.get() or {})[token]


def _is_method(value: Any) -> None:
    for get in (get_method, get_mask_method):
        with contextlib.suppress(ValueError, TypeError):
            get(value)
            return
    get_method(value)


def _is_flag(name: str) -> Callable[[Any], None]:
    def check(value: Any) -> None:
        if not isinstance(value, bool):
            raise TypeError(f"defaults: {name} must be True or False, got {value!r}.")

    return check


_CHECKS: dict[str, Callable[[Any], Any]] = {
    "softness": check_softness,
    "mode": parse_mode,
    "method": _is_method,
    "standardize": _is_flag("standardize"),
    "straight_through": _is_flag("straight_through"),
}


def _entries(kind: str | None, keywords: Mapping[str, Any]) -> dict[Any, Any]:
    for keyword, value in keywords.items():
        if keyword not in _CHECKS:
            allowed = ", ".join([*_CHECKS, *(() if kind else KINDS)])
            raise TypeError(f"defaults: {keyword!r} is not known. Allowed: {allowed}.")
        if (kind, keyword) == ("structured", "method"):
            # Here, as structures read defaults themselves.
            from .structured import get_method as get_structured_method

            get_structured_method(value)
        else:
            _CHECKS[keyword](value)
    return {(kind, keyword): value for keyword, value in keywords.items()}


@contextlib.contextmanager
def defaults(**keywords: Any) -> Iterator[None]:
    """A context in which operators have other defaults.

    Operators read it where they are called, or traced. It is part of the key of
    compiled programs, also of those by `jax.jit` around operators, so that a function
    is compiled anew for other defaults and never runs with those of another context.

    An argument that is given beats a default for its kind of operator, which beats one
    for all; contexts inside of others change what they name. A method that an operator
    does not have, or a mode (`"hard"` for `sigmoidal`), leaves it its own.

    **Arguments:**

    - `softness`, `mode`, `method`, `standardize`: those of operators. Softness may be
        traced, if the context stands inside of the function that is: then it is
        differentiated, and changes without compilation.
    - `straight_through`: whether operators with a hard mode are their straight-through
        variants.
    - `elementwise`, `comparison`, `max`, `sort`, `rank`, `quantile`, `top_k`,
        `structured`: a dictionary of the above for one kind of operator: `sort` for
        sorts, partitions and their indices, `rank` for rank and ranking, `max` for
        max, min, cummax, cummin and their indices, `quantile` for medians and
        percentiles too, `top_k` for top_k and top_k_mask, `comparison` for counts too,
        `structured` for `softjax.structured`. Operators over segments, those that
        leave out NaN, and draws are of the kind of the operator that they apply.

    `softjax.soften` takes the softness and the mode that it is not given from here.
    Losses with a softness of their own keep it; others pass on what operators read.

    **Raises:** `TypeError` for a keyword that there is not, and what operators raise
    for a bad value.

    **Example:**

        >>> x = jnp.array([0.2, 1.0, 0.7])
        >>> with sj.defaults(mode="c0", sort=dict(softness=0.5)):
        ...     print(sj.argmax(x), sj.sort(x), sj.argmax(x, mode="smooth"))
        ...
        [0. 1. 0.] [0.2  0.76 0.94] [0.    0.952 0.047]
        >>> @jax.jit
        ... def anneal(x, softness):
        ...     with sj.defaults(softness=softness):
        ...         return sj.max(x)
        ...
        >>> for softness in (0.3, 0.01):
        ...     print(f"{anneal(x, softness):.3f}")
        ...
        0.885
        1.000
    """
    kinds = {name: keywords.pop(name) for name in KINDS if name in keywords}
    given = _entries(None, keywords)
    for kind, options in kinds.items():
        if not isinstance(options, Mapping):
            raise TypeError(
                f"defaults: {kind} must be a dictionary of defaults, got {options!r}."
            )
        given |= _entries(kind, options)
    outer = _context.value
    merged = {} if outer is None else {(k, n): v for k, n, _, v in outer.entries}
    apart = dict(_values.get() or {})
    for key, value in given.items():
        try:
            hash(value)
        except TypeError:
            token = _token(value)
            apart[token], value = value, token
        merged[key] = value
    order = sorted(merged.items(), key=lambda item: (item[0][0] or "", item[0][1]))
    entries = tuple((k, n, type(v), v) for (k, n), v in order)
    reset = _values.set(apart)
    try:
        with _context(Defaults(entries)):
            yield
    finally:
        _values.reset(reset)


def _has_mask_method(method: Any) -> bool:
    return _is_got(get_mask_method, method) is not None


def _has_method(method: Any) -> bool:
    return _is_got(get_method, method) is not None


def _has_index_method(method: Any) -> bool:
    found = _is_got(get_method, method)
    return found is not None and not isinstance(found, ValueMethod)


def _is_got(get: Callable[[Any], Any], method: Any) -> Any:
    try:
        return get(method)
    except (TypeError, ValueError):
        return None


HAS: dict[str, Callable[[Any], bool]] = {
    "values": _has_method,
    "indices": _has_index_method,
    "masks": _has_mask_method,
}


def reads_defaults(
    kind: str,
    *,
    methods: str | Callable[[Any], bool] = "values",
    hard: bool = True,
    variant: bool = True,
    keywords: Mapping[str, Any] | None = None,
) -> Callable[[_Function], _Function]:
    """Let an operator take what is not given from [`softjax.defaults`][].

    **Arguments:**

    - `kind`: one of `KINDS`.
    - `methods`: which methods the operator has, by a name in `HAS` or a function.
    - `hard`: whether it has a hard mode.
    - `variant`: whether it then has a straight-through variant.
    - `keywords`: names and defaults of those that it takes as `**keywords`, which its
        signature shows; None for no such.
    """
    fits = methods if callable(methods) else HAS[methods]

    def decorate(fn: _Function) -> _Function:
        if keywords is not None:
            _show(fn, keywords)
        names = {
            name
            for name, parameter in inspect.signature(fn).parameters.items()
            if parameter.kind is inspect.Parameter.KEYWORD_ONLY
        }

        def found(context: Defaults) -> tuple[dict[str, Any], bool]:
            """The keywords for it, and whether it is straight-through."""
            given = context.given(kind)
            through = given.pop("straight_through", False) and hard and variant
            if not fits(given.get("method")):
                given.pop("method", None)
            if is_hard(given.get("mode")) and not hard:
                given.pop("mode")
            return {
                name: value for name, value in given.items() if name in names
            }, through

        @functools.wraps(fn)
        def operator(*args: Any, **keywords: Any) -> Any:
            context = _context.value
            if context is None:
                return fn(*args, **keywords)
            given, through = found(context)
            # What it calls has been given everything.
            with _context(None):
                return (st(fn) if through else fn)(*args, **{**given, **keywords})

        operator.found = found  # pyright: ignore[reportAttributeAccessIssue]
        return operator  # pyright: ignore[reportReturnType]

    return decorate


def is_hard_by_default(operator: Any) -> bool:
    """Whether a context makes an operator hard, and no straight-through one."""
    context = _context.value
    if context is None:
        return False
    given, through = operator.found(context)
    return is_hard(given.get("mode")) and not through


def _show(fn: Callable[..., Any], keywords: Mapping[str, Any]) -> None:
    """Show keywords and their defaults in a function's signature."""
    own, variadic = inspect.signature(fn), inspect.Parameter.VAR_KEYWORD
    shown = [p for p in own.parameters.values() if p.kind is not variadic]
    for name, default in keywords.items():
        kind = inspect.Parameter.KEYWORD_ONLY
        shown.append(inspect.Parameter(name, kind, default=default))
    fn.__signature__ = own.replace(parameters=shown)  # pyright: ignore
