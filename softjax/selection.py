"""Selection by soft Booleans and soft indices: expected values.

A soft index is a distribution over the n positions of an axis, on the last axis of its
array. A position of probability 0 does not contribute, whatever stands there, so that
one-hot indices select exactly what integers would, beside infinities too.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from softjax_solvers.internal import anywhere

from ._dispatch import dispatch
from ._keywords import as_float, broadcast_shape, float_type, parse_flag, parse_index
from ._layout import parse_axis
from ._transition import promote
from ._types import SoftBool, SoftIndex
from .logic import as_probability


def _weigh(weights: Array, values: Array) -> Array:
    # Finite values keep their term, for the gradient with respect to the weights.
    left_out = (weights == 0) & ~jnp.isfinite(values)
    return weights.astype(values.dtype) * jnp.where(left_out, 0, values)


def mix(p: SoftBool, x: Array, y: Array) -> Array:
    """`p x + (1 - p) y`."""
    return _weigh(p, x) + _weigh(1 - p, y)


def promote_outcomes(
    chances: Sequence[Any], **outcomes: Any
) -> tuple[dict[str, Array], Any]:
    """`promote` of outcomes; chances decide about the type of Python's numbers.

    In jax.numpy such are weakly typed: a mask of them has the type of what it masks.
    """
    raw, dtype = promote(**outcomes)
    if all(x.weak_type for x in raw.values()):
        dtype = float_type(jnp.result_type(*raw.values(), *chances))
    return raw, dtype


def _expect(weights: Float[Array, "... n"], values: Float[Array, "... n"]) -> Array:
    """The sum of weights times values along the last axis, with broadcasting."""
    weights, values = (
        x.reshape((1,) * (max(weights.ndim, values.ndim) - x.ndim) + x.shape)
        for x in (weights, values)
    )
    return jnp.sum(_weigh(weights, values), axis=-1)


def _take(weights: Float[Array, "*m n"], values: Array, axis: int) -> Array:
    """The sum of weights times values along an axis, in place of which come `*m`."""

    def product(weights, values, precision):
        return jnp.tensordot(weights, values, ((-1,), (axis,)), precision=precision)

    def infinite(weights, values):
        used = (weights != 0).astype(values.dtype)
        out = jnp.zeros((), values.dtype)
        for kind in (jnp.inf, -jnp.inf, jnp.nan):
            found = jnp.isnan(values) if kind is jnp.nan else values == kind
            met = product(used, found.astype(values.dtype), None) > 0
            # A Python number would bring float64 here, where there are 64 bits.
            out = out + jnp.where(met, kind, 0).astype(out.dtype)
        return out

    weights = weights.astype(values.dtype)
    finite = jnp.isfinite(values)
    # Accelerators round the factors of a product unless told not to.
    out = product(weights, jnp.where(finite, values, 0), jax.lax.Precision.HIGHEST)
    out = out + jax.lax.cond(
        anywhere(~finite),
        infinite,
        lambda *_: jnp.zeros_like(out),
        *jax.lax.stop_gradient((weights, values)),
    )
    new = range(weights.ndim - 1)
    return jnp.moveaxis(out, new, [axis + i for i in new])


def _parse_operand(
    operand: Any, axis: Any, name: str, argument: str
) -> tuple[Array, int, Any]:
    """The array to select from, flat for axis=None; the axis; the type to return."""
    values, dtype = as_float(operand, argument)
    layout = parse_axis(values.shape, axis, name)
    if layout.flat:
        return values.ravel(), 0, dtype
    return values, layout.axes[0], dtype


def _parse_index(index: Any, size: int, name: str, argument: str) -> Array:
    weights, _ = as_float(index, argument)
    if weights.ndim == 0 or weights.shape[-1] != size:
        raise ValueError(
            f"{name}: {argument} of shape {weights.shape} must be a soft index, with a "
            f"last axis over the {size} positions to select from."
        )
    return weights


def _where(condition, x, y):
    p, _ = as_probability(condition, "condition")
    raw, dtype = promote_outcomes((condition,), x=x, y=y)
    broadcast_shape(condition=p.shape, **{name: a.shape for name, a in raw.items()})
    x, y = (as_float(a.astype(dtype))[0] for a in raw.values())
    return mix(p, x, y).astype(dtype)


def where(condition: SoftBool, x: Any, y: Any) -> Float[Array, "..."]:
    """Soft `jax.numpy.where`: `p x + (1 - p) y` with `p = condition`.

    The expected value of x where an event of probability p happens, and y where not.

    **Example:**

        >>> x = jnp.array([-1.0, 0.05, 1.0])
        >>> print(sj.where(sj.greater(x, 0.0), x, 0.0))
        [-0.     0.031  1.   ]
    """
    return dispatch(_where, condition, x, y)


def _take_axis(a, indices, *, axis):
    values, axis, dtype = _parse_operand(a, axis, "take", "a")
    weights = _parse_index(indices, values.shape[axis], "take", "indices")
    return _take(weights, values, axis).astype(dtype)


def take(a: Any, indices: SoftIndex, axis: int | None = None) -> Float[Array, "..."]:
    """Soft `jax.numpy.take`: the mean of `a` along an axis under each distribution.

    **Arguments:**

    - `indices`: soft indices `*m n` over the n positions of `a` along `axis`.
    - `axis`: None selects from the flattened array.

    **Returns:** an array of the shape of `a` with the axes `*m` in place of `axis`.

    **Example:**

        >>> a = jnp.array([10.0, 20.0, 30.0])
        >>> print(sj.take(a, jnp.array([[0.5, 0.5, 0.0], [0.0, 0.0, 1.0]])))
        [15. 30.]
    """
    return dispatch(_take_axis, a, indices, axis=axis)


def _take_along(arr, indices, *, axis):
    name = "take_along_axis"
    values, axis, dtype = _parse_operand(arr, axis, name, "arr")
    weights = _parse_index(indices, values.shape[axis], name, "indices")
    along = jnp.expand_dims(jnp.moveaxis(values, axis, -1), axis)
    if weights.ndim != along.ndim or not _broadcast(weights.shape, along.shape):
        raise ValueError(
            f"{name}: indices of shape {weights.shape} must have the axes of the array "
            f"of shape {values.shape}, equal or 1 except for axis {axis}, and one more "
            f"of size {values.shape[axis]} at the end."
        )
    return _expect(weights, along).astype(dtype)


def take_along_axis(
    arr: Any, indices: SoftIndex, axis: int | None = -1
) -> Float[Array, "..."]:
    """Soft `jax.numpy.take_along_axis`: `out[.., j, ..] = sum_i arr[.., i, ..] p_i`.

    Here p is the distribution `indices[.., j, .., :]`.

    **Arguments:**

    - `indices`: of the shape that integer indices would have, and a last axis of size
        n, that of `arr` along `axis`. The other axes broadcast against those of `arr`.
    - `axis`: None selects from the flattened array.

    **Returns:** an array of the shape of `indices` without its last axis, broadcast.

    **Example:**

        >>> x = jnp.array([0.2, 1.0, 0.7])
        >>> print(sj.take_along_axis(x, sj.argsort(x)))
        [0.204 0.711 0.986]
        >>> print(sj.take_along_axis(x, sj.argsort(x, mode="hard")))
        [0.2 0.7 1. ]
    """
    return dispatch(_take_along, arr, indices, axis=axis)


def _broadcast(*shapes: tuple[int, ...]) -> bool:
    try:
        jnp.broadcast_shapes(*shapes)
    except ValueError:
        return False
    return True


def _choose_from(a, *choices):
    named = {f"choices[{i}]": x for i, x in enumerate(choices)}
    as_float(a, "a")
    raw, dtype = promote_outcomes((a,), **named)
    parts = jnp.broadcast_arrays(*(x.astype(dtype) for x in raw.values()))
    return _choose(a, jnp.stack(parts))


def _choose(a, choices):
    values, dtype = as_float(choices, "choices")
    if values.ndim == 0:
        raise ValueError("choose: choices must be a sequence of arrays, got a scalar.")
    weights = _parse_index(a, values.shape[0], "choose", "a")
    values = jnp.moveaxis(values, 0, -1)
    if not _broadcast(weights.shape, values.shape):
        raise ValueError(
            f"choose: the shape {weights.shape[:-1]} of a, without its last axis, must "
            f"broadcast against the shape {values.shape[:-1]} of the choices."
        )
    return _expect(weights, values).astype(dtype)


def choose(a: SoftIndex, choices: Any) -> Float[Array, "..."]:
    """Soft `jax.numpy.choose`: the mean of n arrays under a distribution over them.

    **Arguments:**

    - `a`: soft indices `*shape n`.
    - `choices`: n arrays, or an array with a leading axis of size n; each broadcasts
        against `*shape`.

    **Example:**

        >>> p = jnp.array([0.25, 0.75])
        >>> print(sj.choose(p, [jnp.array([0.0, 1.0]), jnp.array([4.0, 5.0])]))
        [3. 4.]
    """
    if isinstance(choices, Sequence) and not isinstance(choices, str):
        if not choices:
            raise ValueError("choose: choices must hold at least one array, got none.")
        return dispatch(_choose_from, a, *choices)
    return dispatch(_choose, a, choices)


def _index_in_dim(operand, index, *, axis, keepdims):
    name = "dynamic_index_in_dim"
    values, axis, dtype = _parse_operand(operand, axis, name, "operand")
    weights = _parse_start(index, values.shape[axis], name, "index")
    return _take(weights[None] if keepdims else weights, values, axis).astype(dtype)


def dynamic_index_in_dim(
    operand: Any, index: SoftIndex, axis: int = 0, keepdims: bool = True
) -> Float[Array, "..."]:
    """Soft `jax.lax.dynamic_index_in_dim`: the mean along an axis under `index`.

    **Arguments:**

    - `index`: one soft index, of shape `n`.
    - `keepdims`: whether the axis stays, with size 1.

    **Example:**

        >>> a = jnp.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])
        >>> print(sj.dynamic_index_in_dim(a, jnp.array([0.5, 0.5, 0.0])))
        [[2. 3.]]
    """
    axis = parse_index(axis, "dynamic_index_in_dim: axis")
    keepdims = parse_flag(keepdims, "dynamic_index_in_dim: keepdims")
    return dispatch(_index_in_dim, operand, index, axis=axis, keepdims=keepdims)


def _slice_in_dim(operand, start_index, *, axis, length):
    name = "dynamic_slice_in_dim"
    values, axis, dtype = _parse_operand(operand, axis, name, "operand")
    size = values.shape[axis]
    start = _parse_start(start_index, size, name, "start_index")
    _check_length(length, size, name, "slice_size")
    return _slice(values, start, length, axis).astype(dtype)


def dynamic_slice_in_dim(
    operand: Any, start_index: SoftIndex, slice_size: int, axis: int = 0
) -> Float[Array, "..."]:
    """Soft `jax.lax.dynamic_slice_in_dim`: the mean of slices under their start.

    `out_k = sum_s P(start = s) operand_{s + k}`. As in `jax.lax`, a start beyond
    n - slice_size counts as n - slice_size.

    **Arguments:**

    - `start_index`: one soft index, of shape `n`.
    - `slice_size`: from 0 to n.

    **Example:**

        >>> a = jnp.array([1.0, 2.0, 3.0, 4.0])
        >>> print(sj.dynamic_slice_in_dim(a, jnp.array([0.5, 0.5, 0.0, 0.0]), 2))
        [1.5 2.5]
    """
    name = "dynamic_slice_in_dim"
    axis = parse_index(axis, f"{name}: axis")
    length = parse_index(slice_size, f"{name}: slice_size")
    return dispatch(_slice_in_dim, operand, start_index, axis=axis, length=length)


def dynamic_slice(
    operand: Any, start_indices: Sequence[SoftIndex], slice_sizes: Sequence[int]
) -> Float[Array, "..."]:
    """Soft `jax.lax.dynamic_slice`: [`softjax.dynamic_slice_in_dim`][] on every axis.

    The starts along different axes are taken to be independent.

    **Arguments:**

    - `start_indices`: one soft index for each axis, of shape `n` each.
    - `slice_sizes`: one size for each axis.

    **Example:**

        >>> a = jnp.arange(9.0).reshape(3, 3)
        >>> starts = jnp.array([0.0, 1.0, 0.0]), jnp.array([0.5, 0.5, 0.0])
        >>> print(sj.dynamic_slice(a, starts, (2, 2)))
        [[3.5 4.5]
         [6.5 7.5]]
    """
    name = "dynamic_slice"
    given = {"start_indices": start_indices, "slice_sizes": slice_sizes}
    for argument, entries in given.items():
        if not hasattr(entries, "__len__"):
            raise TypeError(f"{name}: {argument} must be a sequence, got {entries!r}.")
    lengths = tuple(
        parse_index(size, f"{name}: slice_sizes[{axis}]")
        for axis, size in enumerate(slice_sizes)
    )
    return dispatch(_slice_each, operand, *start_indices, lengths=lengths)


def _slice_each(operand, *starts, lengths):
    name = "dynamic_slice"
    values, dtype = as_float(operand, "operand")
    for argument, entries in {"start_indices": starts, "slice_sizes": lengths}.items():
        if len(entries) != values.ndim:
            raise ValueError(
                f"{name}: {argument} must have one entry for each of the "
                f"{values.ndim} axes of the operand, got {len(entries)}."
            )
    for axis, (size, length) in enumerate(zip(values.shape, lengths, strict=True)):
        start = _parse_start(starts[axis], size, name, f"start_indices[{axis}]")
        _check_length(length, size, name, f"slice_sizes[{axis}]")
        values = _slice(values, start, length, axis)
    return values.astype(dtype)


def _parse_start(index: Any, size: int, name: str, argument: str) -> Array:
    weights = _parse_index(index, size, name, argument)
    if weights.ndim != 1:
        raise ValueError(
            f"{name}: {argument} must be a single soft index, of shape ({size},), got "
            f"shape {weights.shape}. For several, use jax.vmap."
        )
    return weights


def _check_length(length: int, size: int, name: str, argument: str) -> None:
    if not 0 <= length <= size:
        raise ValueError(
            f"{name}: {argument}={length} must be from 0 to the axis size {size}."
        )


def _slice(values: Array, start: Float[Array, " n"], length: int, axis: int) -> Array:
    last = start.shape[0] - length
    start = jnp.append(start[:last], jnp.sum(start[last:]))
    # Position i comes k-th if the slice starts at i - k.
    origin = jnp.arange(values.shape[axis])[None] - jnp.arange(length)[:, None]
    possible = (origin >= 0) & (origin <= last)
    weights = jnp.where(possible, start[jnp.clip(origin, 0, last)], 0)
    return _take(weights, values, axis)
