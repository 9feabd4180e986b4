"""Bringing soft values to one form, to be mixed, joined or carried by a loop."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from ._values import (
    Chance,
    Count,
    Dist,
    Known,
    Real,
    Value,
    as_dist,
    concrete,
    float_type,
    is_bool,
    is_float,
    is_integral,
    mixed,
    new_key,
    of_mean,
)

LARGEST = 256
"""Most points of a distribution that grows: beyond, its mean is carried on."""

_CONSTANTS = 64
"""Most different constants that are written as points of a distribution."""


def joined(values: Sequence[Value]) -> list[Value]:
    """The values in one form. Distributions share their points, or their number."""
    if all(isinstance(value, Known) for value in values):
        return list(values)
    dtype = values[0].dtype
    if is_float(dtype):
        integral = all(map(is_integral, values))
        return [Real(jnp.asarray(value.mean(), dtype), integral) for value in values]
    if is_bool(dtype):
        return [Chance(value.mean()) for value in values]
    kinds = Known, Dist
    if not all(isinstance(value, kinds) for value in values):
        return [Count(value.mean(), dtype) for value in values]
    return list(_same_points([_dist(value) for value in values]))


def _dist(value: Value) -> Dist:
    numbers = concrete(value)
    if numbers is None or np.unique(numbers).size > _CONSTANTS:
        return as_dist(value)
    return _one_hot(numbers, tuple(np.unique(numbers).tolist()), value.dtype)


def _one_hot(numbers: Any, points: tuple, dtype: Any) -> Dist:
    probs = jnp.asarray(numbers)[..., None] == np.array(points, dtype)
    return Dist(probs.astype(float_type()), None, points, dtype, new_key())


def _same_points(dists: Sequence[Dist]) -> Sequence[Dist]:
    if all(dist.common is not None for dist in dists):
        union = tuple(sorted({p for dist in dists for p in dist.common or ()}))
        return [over(dist, union) for dist in dists]
    size = max(dist.size for dist in dists)
    return [_padded(dist, size) for dist in dists]


def over(dist: Dist, points: tuple) -> Dist:
    """A distribution over more points."""
    if dist.common == points:
        return dist
    place = np.searchsorted(points, np.asarray(dist.common))
    shape = (*dist.shape, len(points))
    probs = jnp.zeros(shape, dist.probs.dtype).at[..., place].add(dist.probs)
    return Dist(probs, None, points, dist.type, dist.key)


def _padded(dist: Dist, size: int) -> Dist:
    """A distribution over points of its own, of which the last have probability 0."""
    width = [(0, 0)] * len(dist.shape) + [(0, size - dist.size)]
    support = jnp.pad(dist.all_points(), width, mode="edge")
    return Dist(jnp.pad(dist.probs, width), support, None, dist.type, None)


def mix(weights: Sequence[Array], values: Sequence[Value]) -> Value:
    """The mixture of alternatives, of probabilities `weights`."""
    values = joined(values)
    if all(isinstance(value, Known) for value in values):
        dtype = values[0].dtype
        if not is_float(dtype) and not is_bool(dtype):
            values = list(_same_points([_dist(value) for value in values]))
    if isinstance(values[0], Dist):
        return _mix_dists(weights, values)
    combine = mixed if is_float(values[0].dtype) else _sum
    means = combine(weights, [value.mean() for value in values])
    whole = all(isinstance(value, Real) and value.integral for value in values)
    return of_mean(means, values[0].dtype, whole)


def _sum(weights: Sequence[Array], arrays: Sequence[Array]) -> Array:
    return sum(  # pyright: ignore[reportReturnType]
        w.astype(a.dtype) * a for w, a in zip(weights, arrays, strict=True)
    )


def _mix_dists(weights: Sequence[Array], values: Sequence[Any]) -> Value:
    first = values[0]
    if first.common is not None:
        probs = _sum([w[..., None] for w in weights], [v.probs for v in values])
        return Dist(probs, None, first.common, first.type, new_key())
    if sum(value.size for value in values) > LARGEST:
        return Count(_sum(weights, [v.mean() for v in values]), first.type)
    probs = [
        w[..., None].astype(v.probs.dtype) * v.probs
        for w, v in zip(weights, values, strict=True)
    ]
    shape = jnp.broadcast_shapes(*(p.shape[:-1] for p in probs))
    probs = [jnp.broadcast_to(p, (*shape, p.shape[-1])) for p in probs]
    points = [jnp.broadcast_to(v.all_points(), (*shape, v.size)) for v in values]
    support = jnp.concatenate(points, axis=-1)
    return Dist(jnp.concatenate(probs, -1), support, None, first.type, new_key())


class Form(NamedTuple):
    """Kind of what a loop carries. `detail`: points, or whether floats are whole."""

    kind: type
    detail: Any = None


def form_of(value: Value) -> Form:
    if isinstance(value, Known):
        return Form(Known)
    if is_float(value.dtype):
        return Form(Real, is_integral(value))
    if is_bool(value.dtype):
        return Form(Chance)
    if isinstance(value, Dist) and value.common is not None:
        return Form(Dist, value.common)
    return Form(Count)


def _meet(values: Sequence[Value]) -> Form:
    """The form that all can be brought to."""
    forms = {form_of(value) for value in values}
    if len(forms) == 1:
        return forms.pop()
    if is_float(values[0].dtype):
        return Form(Real, all(map(is_integral, values)))
    if is_bool(values[0].dtype):
        return Form(Chance)
    union: set = set()
    for value in values:
        points = _points(value)
        if points is None:
            return Form(Count)
        union.update(points)
    return Form(Dist, tuple(sorted(union)))


def _points(value: Any) -> tuple | None:
    if isinstance(value, Dist):
        return value.common
    numbers = concrete(value)
    if numbers is None:
        return None
    return tuple(np.unique(numbers).tolist())


def _over_points(value: Value, form: Form) -> Value:
    if isinstance(value, Dist):
        return over(value, form.detail)
    return _one_hot(value.hard(), form.detail, value.dtype)


_CASTS: dict[type, Callable[[Any, Form], Value]] = {
    Known: lambda value, form: Known(jnp.asarray(value.array)),
    Real: lambda value, form: Real(jnp.asarray(value.mean(), value.dtype), form.detail),
    Chance: lambda value, form: Chance(value.mean()),
    Count: lambda value, form: Count(value.mean(), value.dtype),
    Dist: _over_points,
}


def cast(value: Value, form: Form) -> Value:
    """The value in a form, without a key: what passes the border of a loop."""
    return _CASTS[form.kind](value, form).with_key(None)


_ROUNDS = 3
"""Largest number of times that an integer in a loop may get more points."""


def settle(
    step: Callable[[list[Value]], Sequence[Value]], carry: Sequence[Value]
) -> list[Form]:
    """The forms in which `step` returns what it is given."""
    values = list(carry)
    for rounds in itertools.count():
        forms = [form_of(value) for value in values]
        start = [cast(value, form) for value, form in zip(values, forms, strict=True)]
        out = jax.eval_shape(lambda given: list(step(given)), start)
        met = [_meet(pair) for pair in zip(values, out, strict=True)]
        if met == forms:
            break
        if rounds >= _ROUNDS:
            pairs = zip(met, forms, strict=True)
            met = [Form(Count) if m != f and m.kind is Dist else m for m, f in pairs]
        values = [cast(value, form) for value, form in zip(values, met, strict=True)]
    return forms


def common_forms(alternatives: Sequence[Sequence[Value]]) -> list[Form]:
    """The form of each result that all branches can be brought to."""
    return [_meet(values) for values in zip(*alternatives, strict=True)]
