"""Reading and writing at soft places: expected values under their distributions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import JaxprEqn
from jaxtyping import Array

from ... import selection
from .. import _jaxprs
from .._context import Context, Unsupported
from .._forms import LARGEST
from .._values import (
    Dist,
    Known,
    Real,
    Stack,
    Value,
    as_dist,
    concrete,
    is_float,
    is_integral,
    new_key,
    of_mean,
)
from .arithmetic import by_variable, joint, variable


class Places:
    """The joint distribution of the components of indices.

    `probs` is `*batch K`, or None where all are known; `points` has `*batch K` for each
    component, or `*batch` where all are known; `key` names the random variable where
    there is but one.
    """

    def __init__(self, components: Sequence[Value]) -> None:
        dists = [as_dist(c) for c in components if not isinstance(c, Known)]
        groups = by_variable(dists)
        sizes = [dist.size for dist in groups.values()]
        if len(sizes) > 1 and int(np.prod(sizes)) > LARGEST**2:
            raise Unsupported("at too many places at once")
        self.key = dists[0].key if len(groups) == 1 else new_key()
        self.common = dists[0].common if len(components) == 1 else None
        order, probs = joint(groups)
        self.probs = probs
        self.size = probs.shape[-1]
        self.points = []
        remaining = iter(dists)
        for component in components:
            if isinstance(component, Known):
                points = jnp.asarray(component.array)[..., None]
            else:
                dist = next(remaining)
                points = dist.all_points()[..., order[variable(dist)]]
            shape = (*component.shape, self.size)
            self.points.append(jnp.broadcast_to(points, shape))


def _components(indices: Value) -> list[Value]:
    """The components along the last axis, each without it."""
    if isinstance(indices, Stack):
        parts: Sequence[Value] = indices.parts
        return [p.rearranged(lambda a: a[..., 0], "component 0") for p in parts]
    depth = indices.shape[-1]
    return [
        indices.rearranged(lambda a, i=i: a[..., i], f"component {i}")
        for i in range(depth)
    ]


def _expected(probs: Array, values: Array) -> Array:
    """Sum of probabilities times values over the last axis; 0 times infinity is 0."""
    values = jnp.where((probs == 0) & ~jnp.isfinite(values), 0, values)
    return jnp.sum(probs.astype(values.dtype) * values, axis=-1)


def _read(operand: Value, read: Callable[[Array], Array], places: Places, probs: Array):
    """The expected value of what `read` makes of an array: `*out K`, at each place."""
    if isinstance(operand, Known) and not is_float(operand.dtype):
        support = read(jnp.asarray(operand.array))
        probs = jnp.broadcast_to(probs, support.shape)
        return Dist(probs, support, None, jnp.dtype(operand.dtype), places.key)
    if isinstance(operand, Dist) and operand.common is not None:
        each = jax.vmap(
            lambda array: _expected(probs, read(array)), in_axes=-1, out_axes=-1
        )
        out = each(operand.probs)
        return Dist(out, None, operand.common, operand.type, new_key())
    out = _expected(probs, read(operand.mean()))
    return of_mean(out, operand.dtype, is_integral(operand))


def _tag(context: Context, eqn: JaxprEqn, places: Sequence[Value]) -> Any:
    """Name of a reading, equal only for the same one at the same known places."""
    numbers = [concrete(place) for place in places]
    if any(number is None for number in numbers):
        return eqn.primitive.name, context.scope, id(eqn)
    known = (np.asarray(number) for number in numbers)
    return str(eqn.params), *((n.shape, n.tobytes()) for n in known)


def _gather(context: Context, eqn: JaxprEqn, operands: Sequence[Value]) -> Value:
    operand, indices = operands

    if isinstance(indices, Known):

        def at_known(array: Array) -> Array:
            (out,) = _jaxprs.bind(eqn, array, indices.array)
            return out

        return operand.rearranged(at_known, _tag(context, eqn, [indices]))
    places = Places(_components(indices))
    numbers = eqn.params["dimension_numbers"]
    if _is_take(eqn, operand) and places.common is not None:
        return _take(eqn, operand, places)

    def read(array: Array) -> Array:
        def at(points: Array) -> Array:
            (out,) = _jaxprs.bind(eqn, array, points)
            return out

        points = jnp.stack(places.points, axis=-1)  # *batch K depth
        return jax.vmap(at, in_axes=-2, out_axes=-1)(points)

    probs = jnp.broadcast_to(places.probs, places.points[0].shape)
    probs = jnp.expand_dims(probs, tuple(numbers.offset_dims))
    return _read(operand, read, places, probs)


def _is_take(eqn: JaxprEqn, operand: Value) -> bool:
    """Whether this selects along one axis, of floats."""
    numbers, sizes = eqn.params["dimension_numbers"], eqn.params["slice_sizes"]
    axes = numbers.start_index_map
    return (
        len(axes) == 1
        and numbers.collapsed_slice_dims == axes
        and not numbers.operand_batching_dims
        and is_float(operand.dtype)
        and all(
            size == full or axis == axes[0]
            for axis, (size, full) in enumerate(zip(sizes, operand.shape, strict=True))
        )
    )


def _take(eqn: JaxprEqn, operand: Value, places: Places) -> Value:
    """A product of the matrix of probabilities with the operand along its axis."""
    numbers = eqn.params["dimension_numbers"]
    (axis,), offset = numbers.start_index_map, tuple(numbers.offset_dims)
    values, points = operand.mean(), jnp.asarray(places.common)
    n = values.shape[axis]
    if n == 0:
        raise Unsupported("from an empty axis")
    taken = jnp.take(jnp.moveaxis(values, axis, 0), jnp.clip(points, 0, n - 1), axis=0)
    if eqn.params["mode"] == jax.lax.GatherScatterMode.FILL_OR_DROP:
        fill = eqn.params["fill_value"]
        inside = ((points >= 0) & (points < n)).reshape(-1, *(1,) * (taken.ndim - 1))
        taken = jnp.where(inside, taken, jnp.nan if fill is None else fill)
    out = selection._take(places.probs, taken, 0)
    batch = places.probs.ndim - 1
    order = [i for i in range(out.ndim) if i not in offset]
    out = jnp.moveaxis(out, range(out.ndim), [*order[:batch], *offset])
    return Real(out.astype(operand.dtype), is_integral(operand))


def _slice(context: Context, eqn: JaxprEqn, operands: Sequence[Value]) -> Value:
    operand, *starts = operands

    def at(array: Array, *places: Any) -> Array:
        (out,) = _jaxprs.bind(eqn, array, *places)
        return out

    if all(isinstance(start, Known) for start in starts):
        known = [start.hard() for start in starts]
        return operand.rearranged(lambda a: at(a, *known), _tag(context, eqn, starts))
    places = Places(starts)

    def read(array: Array) -> Array:
        each = jax.vmap(lambda *points: at(array, *points), out_axes=-1)
        return each(*places.points)

    return _read(operand, read, places, places.probs)


def _update(context: Context, eqn: JaxprEqn, operands: Sequence[Value]) -> Value:
    """`dynamic_update_slice`: the mean over its starts."""
    operand, update, *starts = operands
    array, new = _means(operand, update)
    if all(isinstance(start, Known) for start in starts):
        (out,) = _jaxprs.bind(eqn, array, new, *(start.hard() for start in starts))
        return _written(out, eqn, (operand, update))
    places = Places(starts)

    def at(*points: Array) -> Array:
        (out,) = _jaxprs.bind(eqn, array, new, *points)
        return out

    out = _expected(places.probs, jax.vmap(at, out_axes=-1)(*places.points))
    return _written(out, eqn, (operand, update))


def _means(*values: Value) -> list[Array]:
    means = [value.mean() for value in values]
    dtype = jnp.result_type(*means)
    return [mean.astype(dtype) for mean in means]


def _written(out: Array, eqn: JaxprEqn, operands: Sequence[Value]) -> Value:
    return of_mean(out, _jaxprs.aval(eqn).dtype, all(map(is_integral, operands)))


_SCATTERS: dict[str, Callable[..., Array]] = {
    "scatter": jax.lax.scatter,
    "scatter-add": jax.lax.scatter_add,
    "scatter_add": jax.lax.scatter_add,
    "scatter-sub": jax.lax.scatter_sub,
    "scatter_sub": jax.lax.scatter_sub,
}


def _scatter(context: Context, eqn: JaxprEqn, operands: Sequence[Value]) -> Value:
    """Sums that are linear in what is added, and values that replace others.

    Where several are written to one place, the mean of them is.
    """
    operand, indices, updates = operands
    array, new = _means(operand, updates)
    name = eqn.primitive.name
    numbers = eqn.params["dimension_numbers"]
    mode = eqn.params["mode"]
    write = _SCATTERS[name]
    if isinstance(indices, Known):
        out = write(array, indices.array, new, numbers, mode=mode)
        return _written(out, eqn, (operand, updates))
    places = Places(_components(indices))
    window = tuple(numbers.update_window_dims)
    batch = places.points[0].shape[:-1]

    def add(start: Array, values: Array) -> Array:
        """Values times probabilities, added at all places, one after the other."""

        def step(total: Array, i: Any) -> tuple[Array, None]:
            points = jnp.stack([p[..., i] for p in places.points], axis=-1)
            p = jnp.broadcast_to(places.probs[..., i], batch)
            p = jnp.expand_dims(p, window).astype(values.dtype)
            total = jax.lax.scatter_add(total, points, p * values, numbers, mode=mode)
            return total, None

        return jax.lax.scan(step, start, jnp.arange(places.size))[0]

    if name != "scatter":
        sign = -1 if "sub" in name else 1
        return _written(add(array, sign * new), eqn, (operand, updates))
    share = add(jnp.zeros_like(array), jnp.ones_like(new))
    value = add(jnp.zeros_like(array), new) / jnp.maximum(share, 1)
    kept = 1 - jnp.minimum(share, 1)
    out = kept * jnp.where(kept == 0, 0, array) + value
    return _written(out, eqn, (operand, updates))


def _scatter_product(context: Context, eqn: JaxprEqn, operands: Sequence[Value]) -> Any:
    operand, indices, updates = operands
    if not isinstance(indices, Known):
        raise Unsupported("products at soft places")
    array, new = _means(operand, updates)
    numbers, mode = eqn.params["dimension_numbers"], eqn.params["mode"]
    unique = eqn.params["unique_indices"]
    out = jax.lax.scatter_mul(
        array, indices.array, new, numbers, unique_indices=unique, mode=mode
    )
    return _written(out, eqn, (operand, updates))


def _scatter_extremum(
    context: Context, eqn: JaxprEqn, operands: Sequence[Value]
) -> Value:
    raise Unsupported("extrema of groups; softjax.segment has soft ones")


INDEXING = {
    "gather": _gather,
    "dynamic_slice": _slice,
    "dynamic_update_slice": _update,
    **dict.fromkeys(_SCATTERS, _scatter),
    **dict.fromkeys(("scatter-mul", "scatter_mul"), _scatter_product),
    **dict.fromkeys(
        ("scatter-max", "scatter_max", "scatter-min", "scatter_min"), _scatter_extremum
    ),
}
