"""What every axiswise operator does around its method: once, here."""

from __future__ import annotations

import dataclasses
import inspect
import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, TypedDict, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from softjax_solvers import Entropy, Regularizer

from ._devices import on_each_device
from ._dispatch import dispatch
from ._infinite import (
    Outer,
    find_infinite,
    put_indices,
    put_positions,
    put_values,
    stand_in,
)
from ._keywords import as_float, check_softness, parse_mode, parse_softness
from .methods import Level, Method, Relaxation, Sample, ValueMethod, get_method
from .methods.hard import Hard

VALUE, INDEX, POSITION, MASK = "value", "index", "position", "mask"


class Layout(NamedTuple):
    """How an array of shape `shape` is laid out as `*batch n`."""

    shape: tuple[int, ...]
    axes: tuple[int, ...]  # ascending
    flat: bool  # axis=None

    @property
    def size(self) -> int:
        return math.prod(self.shape[axis] for axis in self.axes)

    def split(self, x: Array) -> Float[Array, "*batch n"]:
        """Move the axes to the end and merge them, also where they have size 1."""
        x = jnp.moveaxis(x, self.axes, range(-len(self.axes), 0))
        batch = x.shape[: x.ndim - len(self.axes)]
        return x.reshape(*batch, math.prod(x.shape[len(batch) :]))

    def merge(self, x: Float[Array, "*batch n"]) -> Array:
        """The inverse of `split`."""
        sizes = (self.shape[axis] for axis in self.axes)
        x = x.reshape(*x.shape[:-1], *sizes)
        return jnp.moveaxis(x, range(-len(self.axes), 0), self.axes)

    def keep(self, x: Array) -> Array:
        """Put axes of size 1 back into `*batch *rest`, where the input had them."""
        return jnp.expand_dims(x, self.axes)

    def place(self, x: Array, axis: int) -> Array:
        """Bring axis `axis` of the output to where the input had the operated one."""
        return x if self.flat else jnp.moveaxis(x, axis, self.axes[0])


def layout_of(
    shape: tuple[int, ...], axis: Any, name: str, *, several: bool = False
) -> Layout:
    """Check `axis` as jax.numpy does; None stands for the flattened array."""
    ndim = len(shape)
    if axis is None:
        layout = Layout(shape, tuple(range(ndim)), True)
    else:
        allowed = "None, an integer or a tuple" if several else "None or an integer"
        parts = axis if isinstance(axis, tuple | list) and several else (axis,)
        normalized = []
        for part in parts:
            if isinstance(part, bool) or not isinstance(part, int | np.integer):
                raise TypeError(f"{name}: axis must be {allowed}, got {axis!r}.")
            if not -ndim <= part < ndim:
                raise ValueError(
                    f"{name}: axis={axis} is out of bounds for an array of shape "
                    f"{shape}; allowed are {-ndim} to {ndim - 1}."
                )
            normalized.append(int(part) % ndim)
        if len(set(normalized)) < len(normalized):
            raise ValueError(f"{name}: axis={axis} names an axis twice.")
        layout = Layout(shape, tuple(sorted(normalized)), False)
    return layout


def parse_axis(
    shape: tuple[int, ...], axis: Any, name: str, *, several: bool = False
) -> Layout:
    """`layout_of` for operators that need an entry to choose."""
    layout = layout_of(shape, axis, name, several=several)
    if layout.size == 0:
        raise ValueError(
            f"{name}: the axis must have at least one entry; axis={axis} of an array "
            f"of shape {shape} has none."
        )
    return layout


def split_parameter(
    value: Array, layout: Layout, operator: str, name: str
) -> Float[Array, "*#batch 1"]:
    """A parameter with one value for each row, or for several."""
    shape = value.shape
    ndim = len(layout.shape)
    padded = value.reshape((1,) * (ndim - value.ndim) + shape)
    fits = padded.ndim == ndim and all(
        size == 1 or (size == full and axis not in layout.axes)
        for axis, (size, full) in enumerate(
            zip(padded.shape, layout.shape, strict=False)
        )
    )
    if not fits:
        raise ValueError(
            f"{operator}: {name} of shape {shape} must broadcast against the input of "
            f"shape {layout.shape}, with size 1 along the operated axis."
        )
    return layout.split(padded) if ndim else value.reshape(1)


class AxisKeywords(TypedDict, total=False):
    """The keywords that all axiswise operators share.

    - `softness`: how far from hard, in the unit of the input: `op(c x, softness=c tau)`
        is `c op(x, softness=tau)` for values, and the same index, rank or mask. A
        positive number, or an array that broadcasts against the input with size 1 along
        the axis. Default 0.1.
    - `mode`: the regularizer, a name or an instance; `"hard"` for the hard operator.
        See `softjax.solvers.get_regularizer`. Default `"smooth"`.
    - `method`: the formulation, a name or an instance; see `softjax.methods`.
    - `solver`: the algorithm; None for the best known. See `softjax.solvers.solve`.
    - `standardize`: whether to compare z-scores, squashed by a sigmoid, in place of
        the input itself, so that softness does not depend on its scale. Default False.

    **Example:**

        >>> keywords: sj.AxisKeywords = dict(mode="c0", softness=0.5)
        >>> print(sj.argmax(jnp.array([0.2, 1.0, 0.7]), **keywords))
        [0.  0.8 0.2]
    """

    softness: Any
    mode: str | Regularizer
    method: str | Method
    solver: Any
    standardize: bool


class ValueKeywords(AxisKeywords, total=False):
    """The keywords of axiswise operators that return values.

    - `gated_grad`: if False, no gradient of a value flows through the soft index, only
        through the values that it averages; a returned index keeps its own. Default
        True.

    **Example:**

        >>> x = jnp.array([0.2, 1.0, 0.7])
        >>> for gated_grad in (True, False):
        ...     print(jax.grad(lambda x: sj.max(x, gated_grad=gated_grad))(x))
        ...
        [-0.002  1.09  -0.088]
        [0.    0.952 0.047]
    """

    gated_grad: bool


def all_places(n: int, options: Any) -> tuple[Level, bool]:
    return Level(np.arange(n)), False


def at_centre(n: int, options: Any) -> tuple[Level, bool]:
    """The position in the middle, or the mean of two."""
    upper, lower = np.full(1, n // 2), np.full(1, (n - 1) // 2)
    return Level(lower, upper, np.full(1, 0.5)), True


@dataclasses.dataclass(frozen=True, eq=False)
class Operation:
    """An axiswise operator, as what it asks of a method.

    **Attributes:**

    - `name`: of the operator, for messages.
    - `apply`: `(method, sample, relaxation, options) -> arrays of shape *batch ...`.
    - `outputs`: the kind of each of them: `VALUE` (in the unit of the input), `INDEX`
        (a soft index), `POSITION` (a rank) or `MASK` (soft booleans).
    - `places`: `(n, options) -> which positions the outputs stand for, and whether
        these are a single one, without an axis of its own`. Default: all n.
    - `ascending`: whether positions count from the smallest, so that the method sees
        minus the input.
    - `absent`: whether infinitely bad candidates (-inf for a maximum) are left out.
    - `method`: the default.
    - `first`: the position of the largest element.
    """

    name: str
    apply: Callable[..., tuple[Array | None, ...]]
    outputs: tuple[str, ...]
    places: Callable[[int, Any], tuple[Level, bool]] = all_places
    ascending: bool = False
    absent: bool = False
    method: str = "softsort"
    first: int = 1

    def ascend(self, name: str | None = None) -> "Operation":
        """The same, counting from the smallest."""
        return dataclasses.replace(self, name=name or self.name, ascending=True)

    def keywords(self) -> dict[str, Any]:
        """The common keywords and their defaults."""
        common = dict(
            softness=0.1,
            mode="smooth",
            method=self.method,
            solver=None,
            standardize=False,
        )
        return common | (dict(gated_grad=True) if VALUE in self.outputs else {})


_Function = TypeVar("_Function", bound=Callable)


def with_keywords(operation: Operation) -> Callable[[_Function], _Function]:
    """Show the common keywords and their defaults in a function's signature."""

    def decorate(fn: _Function) -> _Function:
        own = inspect.signature(fn)
        shown = [
            parameter
            for parameter in own.parameters.values()
            if parameter.kind is not inspect.Parameter.VAR_KEYWORD
        ]
        for name, default in operation.keywords().items():
            kind = inspect.Parameter.KEYWORD_ONLY
            shown.append(inspect.Parameter(name, kind, default=default))
        fn.__signature__ = own.replace(parameters=shown)  # pyright: ignore
        return fn

    return decorate


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
    softness = others.pop("softness", 0.1)
    check_softness(softness)
    return dispatch(
        body,
        *(x, softness, *parameters),
        operation=operation,
        axis=axis,
        keywords=others,
        **options,
    )


def run(
    operation: Operation,
    x: Any,
    softness: Any,
    axis: Any,
    keywords: Mapping[str, Any],
    *,
    several: bool = False,
    options: Callable[[Layout, Any], Any] | None = None,
) -> tuple[tuple[Array | None, ...], Layout]:
    """Check the keywords, lay out the input, and apply an operation along an axis.

    **Arguments:**

    - `keywords`: the common ones that were given, but for the softness.
    - `several`: whether `axis` may be a tuple.
    - `options`: makes the operation's options of the layout and the type of x.

    **Returns:** the outputs, laid out as `*batch ...`, and the layout.
    """
    name = operation.name
    defaults = operation.keywords()
    for keyword in keywords:
        if keyword not in defaults:
            raise TypeError(
                f"{name}() got an unexpected keyword argument {keyword!r}. Besides its "
                f"own arguments it takes {', '.join(defaults)}."
            )
    given = defaults | dict(keywords)
    x, out_dtype = as_float(x)
    layout = parse_axis(x.shape, axis, name, several=several)
    regularizer = parse_mode(given["mode"]).regularizer
    method, solver = get_method(given["method"]), given["solver"]
    softness = parse_softness(softness, x.dtype)
    softness = split_parameter(softness, layout, name, "softness")
    standardize = bool(given["standardize"])
    gated_grad = bool(given.get("gated_grad", True))
    if regularizer is None:
        method, regularizer, solver, standardize = Hard(), Entropy(), None, False
        gated_grad = True
    if not gated_grad and isinstance(method, ValueMethod):
        raise ValueError(
            f"{name}: gated_grad=False stops gradients through soft indices, and "
            f"method={given['method']!r} has none."
        )

    def by_rows(x, softness, options, regularizer, method, solver):
        if operation.ascending:
            x = -x
        relaxation = Relaxation(regularizer, softness, solver)
        if isinstance(method, Hard):
            return _run_hard(operation, method, x, relaxation, options)
        sample, bad, outer = _prepare(x, softness, operation, standardize)
        outputs = operation.apply(method, sample, relaxation, options)
        if not gated_grad:
            still = dataclasses.replace(
                sample,
                keys=jax.lax.stop_gradient(sample.keys),
                averaged=sample.values,
            )
            values = operation.apply(method, still, relaxation, options)
            # An index that is returned keeps its gradient.
            outputs = tuple(
                value if kind == VALUE else out
                for out, value, kind in zip(
                    outputs, values, operation.outputs, strict=True
                )
            )
        return tuple(
            None if out is None else _finish(out, kind, operation, options, bad, outer)
            for out, kind in zip(outputs, operation.outputs, strict=True)
        )

    outputs = on_each_device(
        by_rows,
        layout.split(x) if x.ndim else x.reshape(1),
        softness,
        options(layout, x.dtype) if options else None,
        *(regularizer, method, solver),
    )
    outputs = tuple(None if out is None else out.astype(out_dtype) for out in outputs)
    return outputs, layout


def _run_hard(
    operation: Operation,
    method: Hard,
    x: Float[Array, "*batch n"],
    relaxation: Relaxation,
    options: Any,
) -> tuple[Array | None, ...]:
    """The operation on x as it is, infinities included."""
    nan = jnp.isnan(x)
    sample, bad = Sample(jnp.where(nan, 0, x)), jnp.any(nan, axis=-1)
    outputs = operation.apply(method, sample, relaxation, options)
    return tuple(
        None if out is None else _sign(out, kind, operation, bad)
        for out, kind in zip(outputs, operation.outputs, strict=True)
    )


def _prepare(
    x: Float[Array, "*batch n"],
    softness: Array,
    operation: Operation,
    standardize: bool,
) -> tuple[Sample, Bool[Array, "*batch"], Outer]:
    """The sample; which rows have no answer; which elements are infinite."""
    outer, nan, reach = find_infinite(x)
    bad = nan | ~(softness > 0)
    x = jnp.where(outer.up | outer.down | bad, 0, x)
    # Rows without an answer are whole, and finite.
    outer = Outer(*(jnp.where(bad, jnp.zeros((), a.dtype), a) for a in outer))
    where, count = None, None
    if operation.absent:
        # Where all are absent, all are equally so.
        all_take_part = outer.below == x.shape[-1]
        where = ~outer.down | all_take_part
        count = x.shape[-1] - jnp.where(all_take_part, 0, outer.below)
    sample = Sample(x, None, where, count=count)
    if standardize:
        sample, reach = _standardize(sample, outer), jnp.ones_like(reach)
    low = not operation.absent
    keys, infinite = stand_in(sample.keys, outer, reach, softness, low=low)
    sample = dataclasses.replace(sample, keys=keys, infinite=infinite)
    return sample, bad[..., 0], outer


def _standardize(sample: Sample, outer: Outer) -> Sample:
    """Keys that are z-scores squashed into (0, 1), free of the input's scale."""
    x = sample.values
    finite = ~(outer.up | outer.down)
    count = jnp.maximum(x.shape[-1] - outer.above - outer.below, 1)

    def mean(x: Array) -> Array:
        return jnp.sum(jnp.where(finite, x, 0), axis=-1, keepdims=True) / count

    center = mean(x)
    variance = mean((x - center) ** 2)
    positive = variance > 0
    scale = jnp.where(positive, jnp.sqrt(jnp.where(positive, variance, 1)), 1)
    keys = jax.nn.sigmoid((x - center) / scale)
    return dataclasses.replace(
        sample, keys=keys, averaged=x, center=center, scale=scale
    )


def _finish(
    out: Array,
    kind: str,
    operation: Operation,
    options: Any,
    bad: Bool[Array, "*batch"],
    outer: Outer,
) -> Array:
    """The places of infinite elements, the sign of an ascending operation, and NaN."""
    out = _place_infinite(out, kind, operation, options, outer)
    return _sign(out, kind, operation, bad)


def _sign(
    out: Array, kind: str, operation: Operation, bad: Bool[Array, "*batch"]
) -> Array:
    """The sign of an ascending operation's values, and NaN in bad rows."""
    if operation.ascending and kind == VALUE:
        out = -out
    rest = out.ndim - bad.ndim
    return jnp.where(bad.reshape(*bad.shape, *(1,) * rest), jnp.nan, out)


def _place_infinite(
    out: Array, kind: str, operation: Operation, options: Any, outer: Outer
) -> Array:
    if kind == MASK:  # which has none: an element is in it or not
        return out
    if kind == POSITION:
        return put_positions(out, outer, operation.first)
    places, single = operation.places(outer.up.shape[-1], options)
    axis = outer.up.ndim - 1
    out = jnp.expand_dims(out, axis) if single else out
    out = (put_values if kind == VALUE else put_indices)(out, places, outer)
    return jnp.squeeze(out, axis) if single else out
