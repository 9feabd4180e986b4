"""The run of an axiswise operator: all that is done around its method."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from softjax_solvers import Entropy, Regularizer
from softjax_solvers.internal import on_each_device, stop_gradient

from .._dispatch import dispatch
from .._keywords import (
    as_array,
    as_float,
    check_softness,
    is_hard,
    parse_flags,
    parse_mode,
    with_defaults,
)
from .._layout import Layout, layout_of, parse_axis
from ..methods import Method, Relaxation, Sample, ValueMethod, get_method
from ..methods._intervals import ROUNDING
from ..methods.hard import Hard
from ._infinite import SHARES
from ._logarithms import check_logs, floored_rows
from ._measure import check_measure
from ._operation import LOGS, MASK, POSITION, VALUE, Operation
from ._rows import split_rows
from ._sample import Measure, prepare, without_gradient


def call(
    body: Callable[..., Any],
    operation: Operation,
    x: Any,
    axis: Any,
    keywords: Mapping[str, Any],
    *parameters: Any,
    **options: Any,
) -> Any:
    """Check what depends on values, and call an operator's program.

    **Arguments:**

    - `body`: what is compiled, called as `body(x, softness, *parameters, operation=,
        axis=, keywords=, **options)`.
    - `keywords`: the common ones that were given.
    """
    others = dict(keywords)
    if others.get("where") is not None:
        others["where"] = as_array(others["where"])
    if others.get("weights") is not None:
        others["weights"] = as_array(others["weights"], "weights")
        measure = others["weights"], others.get("where")
        check_measure(operation, x, axis, *measure, _method_of(operation, others))
    softness = others.pop("softness", 0.1)
    check_softness(softness)
    check_logs(others, operation.name)
    parse_flags(others, operation.name)
    parse_flags(options, operation.name)
    return dispatch(
        body,
        *(x, softness, *parameters),
        operation=operation,
        axis=axis,
        keywords=others,
        **options,
    )


def _method_of(operation: Operation, keywords: Mapping[str, Any]) -> Method | None:
    """The method that answers; None where the mode is hard, or there is but one."""
    if operation.hard is not None or is_hard(keywords.get("mode")):
        return None
    return get_method(keywords.get("method", operation.method))


class _Asked(NamedTuple):
    """The operation that is asked of rows, and in which way.

    **Attributes:**

    - `operation`: the hard one where there is no regularizer, and with logarithms in
        the place of soft indices where these are returned.
    - `regularizer`, `method`, `solver`: those of the relaxation; None, that of hard
        operators, and None, in the hard mode.
    - `standardize`, `gated_grad`: the keywords, as far as they matter.
    - `floor`: under logarithms.
    """

    operation: Operation
    regularizer: Regularizer | None
    method: Method
    solver: Any
    standardize: bool
    gated_grad: bool
    floor: Any

    def relaxation(self, softness: Float[Array, "*#batch 1"]) -> Relaxation:
        regularizer = Entropy() if self.regularizer is None else self.regularizer
        return Relaxation(regularizer, softness, self.solver)


def run(
    operation: Operation,
    x: Any,
    softness: Any,
    axis: Any,
    keywords: Mapping[str, Any],
    *,
    several: bool = False,
    options: Callable[[Layout, Any], tuple[Any, ...]] | None = None,
    initial: Any = None,
) -> tuple[tuple[Array | None, ...], Layout]:
    """Check the keywords, lay out the input, and apply an operation along an axis.

    **Arguments:**

    - `keywords`: the common ones that were given, but for the softness.
    - `several`: whether `axis` may be a tuple.
    - `options`: makes the operation's options of the layout and the type of x.
    - `initial`: one more element of each row, which no mask hides; None for no such.
        Of operations whose outputs have no axis of elements.

    **Returns:** the outputs, laid out as `*batch ...`, and the layout.
    """
    given = with_defaults(keywords, operation.keywords(), operation.name)
    x, out_dtype = as_float(x)
    may_be_empty = operation.keeps_elements or initial is not None
    lay_out = layout_of if may_be_empty else parse_axis
    layout = lay_out(x.shape, axis, operation.name, several=several)
    asked = _parse(operation, given)
    rows = split_rows(operation, x, softness, given, layout, initial)
    more = options(layout, x.dtype) if options else ()
    apply = _of_nothing if rows.x.shape[-1] == 0 else _by_rows
    outputs = on_each_device(apply, *rows, more, asked)
    outputs = tuple(None if out is None else out.astype(out_dtype) for out in outputs)
    return outputs, layout


def _parse(operation: Operation, given: Mapping[str, Any]) -> _Asked:
    """The operation as the common keywords want it, all of which are given.

    **Raises:** `ValueError` for a mode or a method that is not known, or that has no
    index to stop gradients through; `TypeError` if it is neither name nor instance.
    """
    regularizer = parse_mode(given["mode"]).regularizer
    method, floor = get_method(given["method"]), None
    gated_grad = bool(given.get("gated_grad", True))
    if given.get("return_log_probs", False):
        operation, floor = operation.in_logs(), given["log_prob_eps"]
    if regularizer is None:
        return _Asked(operation.hardened(), None, Hard(), None, False, True, floor)
    if not gated_grad and isinstance(method, ValueMethod):
        raise ValueError(
            f"{operation.name}: gated_grad=False stops gradients through soft indices, "
            f"and method={given['method']!r} has none."
        )
    keywords = given["solver"], given["standardize"], gated_grad
    return _Asked(operation, regularizer, method, *keywords, floor)


def _by_rows(
    x: Float[Array, "*batch n"],
    softness: Float[Array, "*#batch 1"],
    where: Bool[Array, "*batch n"] | None,
    weights: Float[Array, "*batch n"] | None,
    options: tuple[Any, ...],
    asked: _Asked,
) -> tuple[Array | None, ...]:
    """The outputs of an operation on rows."""
    measure = Measure.of(where, weights)
    if where is not None:
        x = jnp.where(where, x, 0)
    if asked.operation.ascending:
        x = -x
    apply = _run_hard if asked.regularizer is None else _run_soft
    return apply(x, softness, measure, options, asked)


def _of_nothing(x: Float[Array, "*batch 0"], *others: Any) -> tuple[Array | None, ...]:
    """The outputs of an operation on rows without elements."""
    asked = others[-1]

    def empty(kind: str) -> Array:
        return jnp.zeros((*x.shape, 0) if kind in SHARES else x.shape, x.dtype)

    return tuple(map(empty, asked.operation.outputs))


def _run_soft(
    x: Float[Array, "*batch n"],
    softness: Float[Array, "*#batch 1"],
    measure: Measure | None,
    options: tuple[Any, ...],
    asked: _Asked,
) -> tuple[Array | None, ...]:
    """The operation on finite numbers, among which infinite ones are put back."""
    operation, method = asked.operation, asked.method
    sample, bad, outer = prepare(
        x,
        softness,
        measure,
        operation,
        standardize=asked.standardize,
        shares_equally=method.shares_equally,
    )
    if operation.hard is None:  # and so a method is asked
        method.check_weights(sample, operation.name)

    def finish(out, kind):
        out = outer.put(out, kind, operation, sample, options)
        if kind == LOGS:
            out = floored_rows(out, asked.floor, sample, operation.absent)
        return filled(out, kind, operation, sample, options, measure, bad)

    return operation.each(finish, _answers(sample, softness, options, asked))


def _answers(
    sample: Sample,
    softness: Float[Array, "*#batch 1"],
    options: tuple[Any, ...],
    asked: _Asked,
) -> tuple[Array | None, ...]:
    """Answers of the method, with the gradients that are asked for.

    Without a gate, values are means of what is averaged, and all that a soft index is
    made of is constant. An index that is returned keeps its gradient.
    """
    operation = asked.operation
    parts = asked.method, sample, asked.relaxation(softness), options
    if asked.gated_grad:
        return operation.answers(*parts)
    method, _, relaxation, options = stop_gradient(parts)
    still = without_gradient(sample)
    values = operation.answers(method, still, relaxation, options)
    if set(operation.outputs) == {VALUE}:
        return values
    moving = operation.answers(*parts)
    pairs = zip(operation.outputs, values, moving, strict=True)
    return tuple(value if kind == VALUE else out for kind, value, out in pairs)


def _reduced(
    x, softness, initial=None, *, operation, axis, keywords, keepdims, several
):
    (out,), layout = run(
        operation, x, softness, axis, keywords, several=several, initial=initial
    )
    assert out is not None
    return layout.keep(out) if keepdims else out


def call_reduction(
    operation: Operation,
    x: Any,
    axis: Any,
    keepdims: bool,
    keywords: Mapping[str, Any],
    *,
    several: bool = False,
    initial: Any = None,
) -> Array:
    """`call` for operators that leave no axis behind, but where `keepdims` says so."""
    flags = dict(keepdims=keepdims, several=several)
    parameters = () if initial is None else (initial,)
    return call(_reduced, operation, x, axis, keywords, *parameters, **flags)


def _run_hard(
    x: Float[Array, "*batch n"],
    softness: Float[Array, "*#batch 1"],
    measure: Measure | None,
    options: tuple[Any, ...],
    asked: _Asked,
) -> tuple[Array | None, ...]:
    """The operation on x as it is, infinities included."""
    operation = asked.operation
    nan = jnp.isnan(x)
    x, bad = jnp.where(nan, 0, x), jnp.any(nan, axis=-1)
    sample = Sample(x)
    if measure is not None:
        mass = None
        if measure.mass is not None:
            mass = jnp.where(measure.bad, 1, measure.mass)
            bad = bad | measure.bad[..., 0]
        sample = Sample(x, where=measure.where, mass=mass)
    relaxation = asked.relaxation(softness)
    outputs = operation.answers(asked.method, sample, relaxation, options)

    def finish(out, kind):
        if kind == LOGS:
            out = floored_rows(out, asked.floor, sample, operation.absent)
        return filled(out, kind, operation, sample, options, measure, bad)

    return operation.each(finish, outputs)


def filled(
    out: Array,
    kind: str,
    operation: Operation,
    sample: Sample,
    options: tuple[Any, ...],
    measure: Measure | None,
    bad: Bool[Array, "*batch"],
) -> Array:
    """Results with fills of masked ones, the sign of values, and NaN in bad rows."""
    if measure is not None:
        out = _fill(out, kind, operation, sample, options, measure)
    if operation.ascending and kind == VALUE:
        out = -out
    rest = out.ndim - bad.ndim
    return jnp.where(bad.reshape(*bad.shape, *(1,) * rest), jnp.nan, out)


def _fill(
    out: Array,
    kind: str,
    operation: Operation,
    sample: Sample,
    options: tuple[Any, ...],
    measure: Measure,
) -> Array:
    """Results where no element is: beyond the last, behind the mask, of empty rows."""
    if kind == POSITION:
        behind = jax.lax.stop_gradient(measure.total) + operation.first
        here = measure.given & (measure.total > 0)
        return jnp.where(here, out, behind.astype(out.dtype))
    if kind == MASK:
        # Whatever k is, it is that of all copies where there are none.
        out = jnp.where(measure.total > 0, out, 1)
        return jnp.where(measure.given, out, 0)
    places, single = operation.places(sample, *options)
    fill = operation.of_nothing if kind == VALUE else SHARES[kind].nothing
    start = jnp.asarray(places.start)
    if jnp.issubdtype(measure.total.dtype, jnp.inexact):
        # Sums of masses are rounded, and a unit with no more than that is none.
        rounding = ROUNDING * jnp.minimum(measure.total, 1)
        start = jnp.where(places.stop > start, start + rounding, start)
    beyond = start >= measure.total
    if places.share is not None:
        beyond = jnp.split(beyond, 2, axis=-1)[0]
    beyond = beyond | (measure.total == 0)
    beyond = beyond[..., 0] if single else beyond
    return jnp.where(beyond if kind == VALUE else beyond[..., None], fill, out)
