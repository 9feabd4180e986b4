"""`softjax.soften`: the call, with its report and its check."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import jax

from ..straight_through import _combine, _frozen
from ._check import Check, compare
from ._record import Report, describe
from ._settings import parse_settings

_NONE: Mapping[str, Any] = {}


class _Soften(Protocol):
    """A function with two others beside it."""

    def __call__(
        self,
        fn: Callable,
        softness: Any = None,
        mode: Any = None,
        straight_through: bool | str = False,
        ops: Mapping[str, Any] = _NONE,
        on_unsupported: str = "warn",
    ) -> Callable: ...

    def report(self, fn: Callable, **keywords: Any) -> Callable[..., Report]: ...

    def check(self, fn: Callable, *args: Any, **keywords: Any) -> Check: ...


def _report(fn: Callable, **keywords: Any) -> Callable[..., Report]:
    """A report of what [`softjax.soften`][] softens: a function of the arguments.

    Nothing is computed: the program is traced and interpreted for its shapes.
    """
    fn, settings = _callable(fn), parse_settings(**keywords)

    def report(*args: Any, **kwargs: Any) -> Report:
        records = []

        def traced(args: tuple, kwargs: dict) -> Any:
            out, record = _run(fn, settings, args, kwargs)
            records.append(record)
            return out

        jax.make_jaxpr(lambda: traced(args, kwargs))()
        return Report(records[-1].entries)

    return report


def _check(fn: Callable, *args: Any, **keywords: Any) -> Check:
    """Value and gradient of a softened function beside those of the hard one."""

    def softened(softness: Any = None) -> Callable:
        given: dict[str, Any] = dict(keywords)
        if softness is not None:
            given["softness"] = softness
            # Kinds with a softness of their own would not go to 0.
            kinds = given.get("ops", {})
            ops = {
                kind: {k: v for k, v in own.items() if k != "softness"}
                for kind, own in kinds.items()
                if isinstance(own, Mapping)
            }
            given = given | {"ops": ops}
        given = given | {"on_unsupported": "ignore"}
        return soften(fn, **given)

    completed = parse_settings(**keywords).completed()
    softness = completed.keywords["comparison"]["softness"]
    return compare(fn, softened, softness, _report(fn, **keywords)(*args), args)


def _run(*args: Any) -> Any:
    # Most who import SoftJAX soften no program.
    from ._program import run

    return run(*args)


def _callable(fn: Any) -> Callable:
    if not callable(fn):
        raise TypeError(f"soften: fn must be a function, got {fn!r}.")
    return fn


def _beside(**functions: Callable) -> Callable[[Callable], _Soften]:
    def decorate(fn: Any) -> Any:
        vars(fn).update(functions)
        return fn

    return decorate


@_beside(report=_report, check=_check)
def soften(
    fn: Callable,
    softness: Any = None,
    mode: Any = None,
    straight_through: bool | str = False,
    ops: Mapping[str, Any] = _NONE,
    on_unsupported: str = "warn",
) -> Callable:
    """Experimental: a JAX function with its comparisons, indices and branches softened.

    The function is traced, and what it is made of is evaluated softly, library code
    included: comparisons give probabilities p, `where` and `cond` the mean
    `p x + (1 - p) y`, `argmax`, `argsort` and `top_k` distributions, and indexing with
    them the mean under these; maxima, rounding and sorting are SoftJAX's operators.
    Loops carry soft values. Only what depends on floats that are arguments, or closed
    over and traced, is softened: masks made of indices, counters and shapes stay.

    **Arguments:**

    - `fn`: a function of pytrees that JAX can trace. Python's integers and flags are
        constants of it.
    - `softness`, `mode`: of all operators, as everywhere in SoftJAX. Where they are not
        given, those of [`softjax.defaults`][] where the function is called or traced,
        or 0.1 and `"smooth"`.
    - `straight_through`: `True` or `"output"` for the value of `fn` itself with the
        derivative of the soft one; `"per_op"` for hard values of every operation with
        soft derivatives.
    - `ops`: kind of operation -> its softness, or a dict of keywords of its operators,
        such as `{"sort": 0.05, "comparison": dict(softness=0.1, mode="c1")}`;
        `dict(mode="hard")` leaves it alone. Kinds are finer than
        those of [`softjax.defaults`][]: `"abs"`, `"sign"`, `"round"`, `"comparison"`,
        `"count"` (comparisons of soft integers), `"max"` (of arrays and
        of pairs, and clipping), `"argmax"`, and `"sort"` (with `argsort` and `top_k`).
    - `on_unsupported`: `"warn"`, `"raise"` or `"ignore"`, about operations that depend
        on floats and stay hard, since there is no rule for them. Each is named with its
        place in the source.

    **Returns:** a function of the same arguments. Booleans and integers that became
    soft are returned as floats of the same shape: probabilities and means.

    **Raises:** `ValueError` for unknown kinds and keywords; `TypeError` if `fn` is no
    function; with `on_unsupported="raise"`, `NotImplementedError` when it is called.

    `soften.report(fn, **keywords)(*args)` is a table of the operations: primitive,
    place, outcome and how. `soften.check(fn, *args, **keywords)` compares values at a
    small softness, and gradients, with those of the hard function.

    Conditions of `while` loops, tests for equality and comparisons with infinity stay
    hard; see the [guide](../soften.md) for what else is lost. Events that are combined
    by logic are taken to be independent. As `jax.grad` does, it traces at every call:
    put `jax.jit` around.

    **Example:**

        >>> def discount(x):
        ...     return jnp.where(x > 1.0, 0.8 * x, x)
        ...
        >>> x = jnp.array([0.9, 1.1])
        >>> print(sj.soften(discount)(x))
        [0.852 0.939]
        >>> print(sj.soften(discount, straight_through=True)(x))
        [0.9  0.88]
        >>> print(sj.soften.report(discount)(x).entries[0].how)
        comparison: soft step, softness 0.1
    """
    settings = parse_settings(softness, mode, straight_through, ops, on_unsupported)
    fn = _callable(fn)

    def softened(*args: Any, **kwargs: Any) -> Any:
        out, record = _run(fn, settings, args, kwargs)
        if record.hard and settings.on_unsupported != "ignore":
            message = describe(record.hard)
            if settings.on_unsupported == "raise":
                raise NotImplementedError(message)
            warnings.warn(message, stacklevel=2)
        if settings.straight_through == "output":
            return _combine(fn(*_frozen(args), **_frozen(kwargs)), out)
        return out

    try:
        return functools.wraps(fn)(softened)
    except AttributeError:  # what has no name
        return softened
