"""The run of an operator over segments: all that is done around its method."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypedDict, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from softjax_solvers import Entropy, Regularizer
from softjax_solvers.internal import Segments, is_traced

from .._defaults import reads_defaults
from .._dispatch import dispatch
from .._keywords import (
    as_array,
    as_float,
    check_softness,
    parse_flag,
    parse_flags,
    parse_mode,
    parse_softness,
    with_defaults,
)
from ..axiswise._logarithms import check_logs
from ..axiswise._measure import check_total, check_weights, known_weights
from ..axiswise._operation import INDEX, Operation
from ..methods import Method, Relaxation, get_method
from ..methods.hard import Hard
from ._ids import check_ids, narrow_ids, parse_count
from ._methods import get_formulation, has
from ._results import Column, is_of_elements
from ._sample import Measure

_Function = TypeVar("_Function", bound=Callable)


class SegmentKeywords(TypedDict, total=False):
    """The keywords that all operators over segments share.

    - `softness`: as of `softjax.AxisKeywords`: a positive number, or an array that
        broadcasts against the axes of x behind the first. Default 0.1.
    - `mode`, `solver`: as of `softjax.AxisKeywords`.
    - `method`: `"softsort"` or `"neuralsort"`. For the others, and for soft indices
        between sorted elements, `softjax.segment.pad` makes rows of segments.
    - `where`: which elements there are: a Boolean array of the shape of x, or one
        number for each of its rows, `n`; None for all.
    - `weights`: how often elements count: nonnegative numbers of such a shape; None for
        once. Operators that can't take them raise `ValueError`.

    **Example:**

        >>> keywords: sj.segment.SegmentKeywords = dict(mode="c0", softness=0.5)
        >>> x, ids = jnp.array([0.2, 1.0, 0.7, 0.3]), jnp.array([0, 0, 0, 1])
        >>> print(sj.segment.argmax(x, ids, 2, **keywords))
        [0.  0.8 0.2 1. ]
    """

    softness: Any
    mode: str | Regularizer
    method: str | Method
    solver: Any
    where: Any
    weights: Any


class SegmentIndexKeywords(SegmentKeywords, total=False):
    """The keywords of operators over segments that return soft indices.

    - `return_log_probs`, `log_prob_eps`: as of `softjax.IndexKeywords`.

    **Example:**

        >>> x, ids = jnp.array([0.2, 1.0, 0.7, 0.3]), jnp.array([0, 0, 0, 1])
        >>> keywords = dict(softness=0.001, return_log_probs=True)
        >>> print(sj.segment.argmax(x, ids, 2, **keywords))
        [-800.    0. -300.    0.]
    """

    return_log_probs: bool
    log_prob_eps: Any


def keywords_of(operation: Operation) -> dict[str, Any]:
    """The common keywords of an operator over segments, and their defaults."""
    index = operation.outputs == (INDEX,)
    there = SegmentIndexKeywords if index else SegmentKeywords
    own = there.__annotations__
    return {name: x for name, x in operation.keywords().items() if name in own}


def over_segments(kind: str, operation: Operation) -> Callable[[_Function], _Function]:
    """An operator over segments, of the keywords and defaults that they have."""

    shown = keywords_of(operation)
    return reads_defaults(kind, methods=has(operation), keywords=shown)


def call(
    operation: Operation,
    x: Any,
    segment_ids: Any,
    num_segments: Any,
    indices_are_sorted: bool,
    keywords: Mapping[str, Any],
    *parameters: Any,
    body: Callable[..., Any] | None = None,
    **constants: Any,
) -> Array:
    """Check what depends on values, and call an operator's program.

    **Arguments:**

    - `keywords`: the common ones that were given.
    - `body`: what is compiled, called as `body(x, ids, softness, *parameters,
        operation=, count=, are_sorted=, keywords=, **constants)`. None for `run`, of
        which it is the first output.

    **Returns:** the results, with the axis of segments or elements first.
    """
    name = f"segment.{operation.name}"
    given = with_defaults(keywords, keywords_of(operation), name)
    parse_flags(constants, name)
    softness = given.pop("softness")
    check_softness(softness)
    check_logs(given, name)
    for key in ("where", "weights"):
        if given[key] is not None:
            given[key] = as_array(given[key], key)
    ids = as_array(segment_ids, "segment_ids")
    count = parse_count(ids, num_segments, name)
    if is_of_elements(operation):
        # Results of elements do not depend on how many segments are empty, and are read
        # from one at least.
        count = max(count, 1)
    _check_weights(operation, ids, count, given["weights"], given["where"])
    return dispatch(
        body or _first_output,
        *(as_array(x), ids, softness, *parameters),
        operation=operation,
        count=count,
        are_sorted=parse_flag(indices_are_sorted, f"{name}: indices_are_sorted"),
        keywords=given,
        **constants,
    )


def _check_weights(
    operation: Operation, ids: Any, count: int, weights: Any, where: Any
) -> None:
    """Check weights, and the mass of segments, as far as they are known."""
    if weights is None or is_traced((weights, where, ids)):
        return
    name = f"segment.{operation.name}"
    known, ids = known_weights(weights, name), np.asarray(ids)
    known = _counted(known, where)
    check_weights(known, name)
    if not operation.by_units or ids.shape != known.shape[:1]:
        return
    inside = (ids >= 0) & (ids < count)
    sums = np.zeros((2, count, *known.shape[1:]))
    for out, x in zip(sums, (known, known > 0), strict=True):
        np.add.at(out, ids[inside], x[inside])
    check_total(sums[0], sums[1], name)


def _counted(weights: np.ndarray, where: Any) -> np.ndarray:
    """Weights, 0 where a mask hides them; one of a row where it hides all of that."""
    if where is None:
        return weights
    mask = np.asarray(where)
    if 1 == mask.ndim < weights.ndim:
        mask = mask.reshape(-1, *(1,) * (weights.ndim - 1))
    if 1 == weights.ndim < mask.ndim:
        mask = mask.any(axis=tuple(range(1, mask.ndim)))
    try:
        return np.where(np.broadcast_to(mask, weights.shape), weights, 0)
    except ValueError:
        return weights  # which is said where the arrays are laid out


def _of_rows(value: Any, key: str, x: Array, name: str) -> Array:
    """An array of the shape of x, from one of that shape or one number for each row."""
    value = jnp.asarray(value)
    if value.shape == x.shape[:1]:
        value = value.reshape(-1, *(1,) * (x.ndim - 1))
    elif value.shape != x.shape:
        raise ValueError(
            f"{name}: {key} of shape {value.shape} must have the shape of x, "
            f"{x.shape}, or one number for each row, {x.shape[:1]}."
        )
    return jnp.broadcast_to(value, x.shape)


def _never_empty(x: Array, ids: Array, *more: Array | None) -> tuple[Any, ...]:
    """Arrays with a row of no segment, where they have none at all."""
    if len(ids):
        return x, ids, *more
    rows = (None if a is None else jnp.zeros((1, *a.shape[1:]), a.dtype) for a in more)
    return jnp.zeros((1, *x.shape[1:]), x.dtype), jnp.full(1, -1, ids.dtype), *rows


def _first_output(x, ids, softness, *, descending=True, operation, **given):
    return run(
        operation if descending else operation.ascend(), x, ids, softness, **given
    )


def run(
    operation: Operation,
    x: Any,
    ids: Any,
    softness: Any,
    *,
    count: int,
    are_sorted: bool,
    keywords: Mapping[str, Any],
    options: Callable[[int, Any], tuple[Any, ...]] | None = None,
) -> Array:
    """Check the keywords, and apply an operation to all segments of all columns.

    **Arguments:**

    - `options`: makes the operation's options of the number of segments and the type
        of x.

    **Returns:** the first output, with the axis of segments or elements first.
    """
    name = f"segment.{operation.name}"
    x, out_dtype = as_float(x)
    ids = jnp.asarray(ids)
    check_ids(ids, x.shape, name)
    ids = narrow_ids(ids, count)
    rest = x.shape[1:]
    softness = parse_softness(softness, x.dtype)
    try:
        softness = jnp.broadcast_to(softness, rest)
    except ValueError:
        raise ValueError(
            f"{name}: softness of shape {softness.shape} must broadcast against the "
            f"axes of x behind the first, {rest}."
        ) from None
    where, weights = keywords["where"], keywords["weights"]
    if where is not None:
        where = _of_rows(where, "where", x, name)
        if where.dtype != bool:
            raise TypeError(
                f"{name}: where must be Boolean, got type {where.dtype}; for numbers "
                "use weights=."
            )
    if weights is not None:
        weights = _of_rows(weights, "weights", x, name).astype(x.dtype)
    given = options(count, x.dtype) if options else ()
    nothing = len(ids) == 0 and is_of_elements(operation)
    x, ids, where, weights = _never_empty(x, ids, where, weights)
    segments = Segments(ids, count, are_sorted)
    regularizer = parse_mode(keywords["mode"]).regularizer
    method, solver = get_method(keywords["method"]), keywords["solver"]
    asks_method, hard = operation.hard is None, regularizer is None
    if keywords.get("return_log_probs", False):
        operation = operation.in_logs()
    if regularizer is None:
        operation = operation.hardened()
        method, regularizer, solver = Hard(), Entropy(), None
    formulation: Any = None
    if asks_method:
        formulation = get_formulation(method, operation, weights is not None)

    def column(x, softness, where, weights):
        x = -x if operation.ascending else x
        measure = Measure.of(x, segments, where, weights)
        softness = softness.reshape(1)
        if hard:
            sample, outer = measure.hard(), None
        else:
            sample, outer = measure.sample(softness, operation.absent)
            by_ratios = operation.first_only and formulation.shares_equally
            outer = outer._replace(by_ratios=by_ratios)
        relaxation = Relaxation(regularizer, softness, solver)
        floor = keywords.get("log_prob_eps", 0.0)
        parts = operation, given, segments, measure, sample, outer, floor
        outputs = operation.answers(formulation, sample, relaxation, given)
        out, *_ = operation.each(Column(*parts).finish, outputs)
        assert out is not None
        return out[:0] if nothing else out

    arrays = x, softness, where, weights
    if not rest:
        return column(*arrays).astype(out_dtype)
    flat = [
        None if a is None else a.reshape(*a.shape[: a.ndim - len(rest)], -1)
        for a in arrays
    ]
    axes = tuple(None if a is None else a.ndim - 1 for a in flat)
    by_columns = jax.vmap(column, axes, -1)
    if 0 in rest:  # which loops over columns can't be
        flat = [
            a if a is None else jnp.zeros((*a.shape[:-1], 1), a.dtype) for a in flat
        ]
        shape = jax.eval_shape(by_columns, *flat).shape
        return jnp.zeros((*shape[:-1], *rest), out_dtype)
    out = by_columns(*flat).astype(out_dtype)
    return out.reshape(*out.shape[:-1], *rest)
