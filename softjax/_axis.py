"""What every axiswise operator does around its method: once, here."""

from __future__ import annotations

import dataclasses
import inspect
import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, TypedDict, TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from softjax_solvers import Entropy, Regularizer, safe_divide

from ._devices import on_each_device
from ._keywords import as_float, parse_mode, parse_softness
from .methods import Method, Relaxation, Sample, ValueMethod, get_method
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

    - `softness`: how far from hard, in the unit of the input; a positive number, or an
        array that broadcasts against the input with size 1 along the axis. Default 0.1.
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

    - `gated_grad`: if False, no gradient flows through the soft index, only through
        the values that it averages. Default True.

    **Example:**

        >>> x = jnp.array([0.2, 1.0, 0.7])
        >>> for gated_grad in (True, False):
        ...     print(jax.grad(lambda x: sj.max(x, gated_grad=gated_grad))(x))
        ...
        [-0.002  1.09  -0.088]
        [0.    0.952 0.047]
    """

    gated_grad: bool


class Operation(NamedTuple):
    """An axiswise operator, as what it asks of a method.

    **Attributes:**

    - `name`: of the operator, for messages.
    - `apply`: `(method, sample, relaxation, options) -> arrays of shape *batch ...`.
    - `outputs`: the kind of each of them: `VALUE` (in the unit of the input), `INDEX`
        (a soft index), `POSITION` (a rank) or `MASK` (soft booleans).
    - `ascending`: whether positions count from the smallest, so that the method sees
        minus the input.
    - `absent`: whether infinitely bad candidates (-inf for a maximum) are left out.
    - `method`: the default.
    """

    name: str
    apply: Callable[..., tuple[Array | None, ...]]
    outputs: tuple[str, ...]
    ascending: bool = False
    absent: bool = False
    method: str = "softsort"

    def ascend(self, name: str | None = None) -> "Operation":
        """The same, counting from the smallest."""
        return self._replace(name=name or self.name, ascending=True)

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


def run(
    operation: Operation,
    x: Any,
    axis: Any,
    keywords: Mapping[str, Any],
    *,
    several: bool = False,
    options: Callable[[Layout, Any], Any] | None = None,
) -> tuple[tuple[Array | None, ...], Layout]:
    """Check the keywords, lay out the input, and apply an operation along an axis.

    **Arguments:**

    - `keywords`: the common ones that were given.
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
    softness = parse_softness(given["softness"], x.dtype)
    softness = split_parameter(softness, layout, name, "softness")
    standardize = bool(given["standardize"])
    gated_grad = bool(given.get("gated_grad", True))
    if not gated_grad and isinstance(method, ValueMethod):
        raise ValueError(
            f"{name}: gated_grad=False stops gradients through soft indices, and "
            f"method={given['method']!r} has none."
        )
    if regularizer is None:
        method, regularizer, solver, standardize = Hard(), Entropy(), None, False
    # No other than there is. But JAX says so to the rules of derivatives, and would not
    # find in its caches there what had been traced before without saying so.
    with jax.sharding.use_abstract_mesh(jax.sharding.get_abstract_mesh()):
        outputs = _run(
            operation,
            layout.split(x) if x.ndim else x.reshape(1),
            softness,
            options(layout, x.dtype) if options else None,
            regularizer,
            method,
            solver,
            standardize,
            gated_grad,
        )
    outputs = tuple(None if out is None else out.astype(out_dtype) for out in outputs)
    return outputs, layout


@eqx.filter_jit
def _run(
    operation: Operation,
    x: Float[Array, "*batch n"],
    softness: Float[Array, "*#batch 1"],
    options: Any,
    regularizer: Regularizer,
    method: Method,
    solver: Any,
    standardize: bool,
    gated_grad: bool,
) -> tuple[Array | None, ...]:
    def by_rows(x, softness, options, regularizer, method, solver):
        if operation.ascending:
            x = -x
        hard = isinstance(method, Hard)
        sample, bad, absent = _prepare(x, softness, operation.absent, hard)
        if standardize:
            sample = _standardize(sample)
        if not gated_grad:
            sample = dataclasses.replace(
                sample,
                keys=jax.lax.stop_gradient(sample.keys),
                averaged=sample.values,
            )
        relaxation = Relaxation(regularizer, softness, solver)
        outputs = operation.apply(method, sample, relaxation, options)
        return tuple(
            None if out is None else _finish(out, kind, operation, bad, absent)
            for out, kind in zip(outputs, operation.outputs, strict=True)
        )

    return on_each_device(by_rows, x, softness, options, regularizer, method, solver)


class Absent(NamedTuple):
    """Candidates that are left out, and how many of a row they are."""

    mask: Bool[Array, "*batch n"]
    count: Int[Array, "*batch 1"]


def _prepare(
    x: Float[Array, "*batch n"], softness: Array, leave_out: bool, hard: bool
) -> tuple[Sample, Bool[Array, "*batch"], Absent | None]:
    """The sample; which rows have no answer; which candidates are left out."""
    if hard:
        bad = jnp.isnan(x)
        return Sample(jnp.where(bad, 0, x)), jnp.any(bad, axis=-1), None
    # One sum counts those that are left out, and is NaN if another is not finite, as 0
    # times that is. A solve that never sees NaN cannot hang or raise.
    out = (x == -jnp.inf) & leave_out
    known = jax.lax.stop_gradient(x)
    total = jnp.sum(jnp.where(out, 1, 0 * known), axis=-1, keepdims=True)
    bad = jnp.isnan(total) | ~(softness > 0)
    x = jnp.where(out | bad, 0, x)
    if not leave_out:
        return Sample(x), bad[..., 0], None
    absent = Absent(out, jnp.where(bad, 0, total).astype(jnp.int32))
    # Where all are absent, all are equally so; and rows without an answer are whole.
    all_take_part = bad | (absent.count == x.shape[-1])
    present = x.shape[-1] - jnp.where(all_take_part, 0, absent.count)
    return Sample(x, None, ~out | all_take_part, count=present), bad[..., 0], absent


def _standardize(sample: Sample) -> Sample:
    """Keys that are z-scores squashed into (0, 1), free of the input's scale."""
    x = sample.values
    center = jnp.mean(x, axis=-1, keepdims=True, where=sample.where)
    variance = jnp.mean((x - center) ** 2, axis=-1, keepdims=True, where=sample.where)
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
    bad: Bool[Array, "*batch"],
    absent: Absent | None,
) -> Array:
    """Rows of absent candidates, the sign of an ascending operation, and NaN."""
    batch = bad.ndim
    rest = out.ndim - batch
    if absent is not None and kind != MASK:
        out = _fill_absent(out, kind, absent, batch)
    if operation.ascending and kind == VALUE:
        out = -out
    return jnp.where(bad.reshape(*bad.shape, *(1,) * rest), jnp.nan, out)


def _fill_absent(out: Array, kind: str, absent: Absent, batch: int) -> Array:
    """What lies beyond the candidates that are present: -inf, any of the absent."""
    present = absent.mask.shape[-1] - absent.count
    tail = 1 if kind == INDEX else 0
    if out.ndim - batch > tail:
        beyond = jnp.arange(out.shape[batch]) >= present
    else:
        beyond = present[..., 0] == 0
    if kind == VALUE:
        return jnp.where(beyond, -jnp.inf, out)
    share = safe_divide(absent.mask.astype(out.dtype), absent.count)
    if beyond.ndim > batch:
        share = share[..., None, :]
    return jnp.where(beyond[..., None], share, out)
