"""The run of an axiswise operator: all that is done around its method."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from softjax_solvers import Entropy
from softjax_solvers.internal import on_each_device, pad_last

from .._dispatch import dispatch
from .._keywords import (
    as_array,
    as_float,
    check_softness,
    parse_flags,
    parse_mode,
    parse_parameter,
    parse_softness,
    with_defaults,
)
from .._layout import (
    Layout,
    layout_of,
    parse_axis,
    split_mask,
    split_parameter,
    split_weights,
)
from ..methods import Method, Relaxation, Sample, ValueMethod, get_method
from ..methods.hard import Hard
from ._infinite import SHARES
from ._logarithms import check_logs, floored_rows
from ._measure import check_measure
from ._operation import LOGS, MASK, POSITION, VALUE, Operation
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
    mode = keywords.get("mode")
    if operation.hard is not None or (isinstance(mode, str) and mode == "hard"):
        return None
    return get_method(keywords.get("method", operation.method))


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
    name = operation.name
    defaults = operation.keywords()
    given = with_defaults(keywords, defaults, name)
    x, out_dtype = as_float(x)
    lay_out = parse_axis if initial is None else layout_of
    layout = lay_out(x.shape, axis, name, several=several)
    regularizer = parse_mode(given["mode"]).regularizer
    method, solver = get_method(given["method"]), given["solver"]
    softness = parse_softness(softness, x.dtype)
    softness = split_parameter(softness, layout, name, "softness")
    where, weights = given["where"], given.get("weights")
    if where is not None:
        where = split_mask(where, layout, name)
    if weights is not None:
        weights = split_weights(weights, layout, name).astype(x.dtype)
    rows = layout.split(x) if x.ndim else x.reshape(1)
    if operation.skips_nan:
        numbers = ~jnp.isnan(rows)
        rows = jnp.where(numbers, rows, 0)
        where = numbers if where is None else where & numbers
    if initial is not None:
        rows = _with_initial(rows, initial, layout, name)
        where = None if where is None else pad_last(where, 0, 1, True)
        weights = None if weights is None else pad_last(weights, 0, 1, 1)
    standardize = given["standardize"]
    gated_grad = bool(given.get("gated_grad", True))
    hard = regularizer is None
    floor = None
    if given.get("return_log_probs", False):
        operation = operation.in_logs()
        floor = given["log_prob_eps"]
    if regularizer is None:
        operation = operation.hardened()
        method, regularizer, solver, standardize = Hard(), Entropy(), None, False
        gated_grad = True
    if not gated_grad and isinstance(method, ValueMethod):
        raise ValueError(
            f"{name}: gated_grad=False stops gradients through soft indices, and "
            f"method={given['method']!r} has none."
        )

    def by_rows(x, softness, where, weights, options, regularizer, method, solver):
        measure = Measure.of(where, weights)
        if where is not None:
            x = jnp.where(where, x, 0)
        if operation.ascending:
            x = -x
        relaxation = Relaxation(regularizer, softness, solver)
        if hard:
            return _run_hard(operation, method, x, measure, relaxation, options, floor)
        sample, bad, outer = prepare(
            x,
            softness,
            measure,
            operation,
            standardize=standardize,
            shares_equally=method.shares_equally,
        )
        if operation.hard is None:  # and so a method is asked
            method.check_weights(sample, operation.name)
        still = sample if gated_grad else without_gradient(sample)
        outputs = operation.answers(method, still, relaxation, options)
        if not gated_grad and set(operation.outputs) != {VALUE}:
            # An index that is returned keeps its gradient.
            moving = operation.answers(method, sample, relaxation, options)
            pairs = zip(operation.outputs, outputs, moving, strict=True)
            outputs = tuple(out if kind == VALUE else m for kind, out, m in pairs)

        def finish(out, kind):
            out = outer.put(out, kind, operation, sample, options)
            if kind == LOGS:
                out = floored_rows(out, floor, sample, operation.absent)
            return filled(out, kind, operation, sample, options, measure, bad)

        return operation.each(finish, outputs)

    outputs = on_each_device(
        by_rows,
        rows,
        softness,
        where,
        weights,
        options(layout, x.dtype) if options else (),
        *(regularizer, method, solver),
    )
    outputs = tuple(None if out is None else out.astype(out_dtype) for out in outputs)
    return outputs, layout


def _with_initial(
    rows: Float[Array, "*batch n"], initial: Any, layout: Layout, name: str
) -> Float[Array, "*batch m"]:
    """Rows with one more element at the end."""
    allowed = "a number or an array of them"
    initial = parse_parameter(initial, f"{name}: initial", allowed).astype(rows.dtype)
    initial = split_parameter(initial, layout, name, "initial")
    initial = jnp.broadcast_to(initial, (*rows.shape[:-1], 1))
    return jnp.concatenate([rows, initial], axis=-1)


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
    operation: Operation,
    method: Method,
    x: Float[Array, "*batch n"],
    measure: Measure | None,
    relaxation: Relaxation,
    options: tuple[Any, ...],
    floor: Any,
) -> tuple[Array | None, ...]:
    """The operation on x as it is, infinities included."""
    nan = jnp.isnan(x)
    x, bad = jnp.where(nan, 0, x), jnp.any(nan, axis=-1)
    sample = Sample(x)
    if measure is not None:
        mass = None
        if measure.mass is not None:
            mass = jnp.where(measure.bad, 1, measure.mass)
            bad = bad | measure.bad[..., 0]
        sample = Sample(x, where=measure.where, mass=mass)
    outputs = operation.answers(method, sample, relaxation, options)

    def finish(out, kind):
        if kind == LOGS:
            out = floored_rows(out, floor, sample, operation.absent)
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
    beyond = jnp.asarray(places.start) >= measure.total
    if places.share is not None:
        beyond = jnp.split(beyond, 2, axis=-1)[0]
    beyond = beyond | (measure.total == 0)
    beyond = beyond[..., 0] if single else beyond
    return jnp.where(beyond if kind == VALUE else beyond[..., None], fill, out)
