"""Soft values, which stand for arrays of a hard program.

A float stays a float. A Boolean becomes the probability that it is true, an integer
either a distribution over integers or, where that would grow without bound, its mean.
What does not depend on the floats that a program is given is known: it stays as it is.
"""

from __future__ import annotations

import abc
import itertools
from collections.abc import Callable, Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from softjax_solvers.internal import is_traced

Rearrangement = Callable[[Array], Array]

_keys = itertools.count()


def new_key() -> Any:
    """A name for a random variable: soft values of equal keys are functions of it."""
    return next(_keys)


class Value(eqx.Module):
    """The interface of soft values."""

    @property
    @abc.abstractmethod
    def shape(self) -> tuple[int, ...]:
        """Shape of the array that this stands for."""

    @property
    @abc.abstractmethod
    def dtype(self) -> Any:
        """Type of the array that this stands for."""

    @abc.abstractmethod
    def mean(self) -> Array:
        """The expected value, a float where this is soft."""

    @abc.abstractmethod
    def hard(self) -> Array:
        """The likeliest array, of the shape and type of the hard program's."""

    @abc.abstractmethod
    def rearranged(self, move: Rearrangement, tag: Any) -> Value:
        """The value with its entries moved by a function that looks at none.

        **Arguments:**

        - `move`: of an array.
        - `tag`: what stays equal only for equal `move`.
        """

    def with_key(self, key: Any) -> Value:
        """The value as a function of another random variable; None: of none known."""
        return self


class Known(Value):
    """An array that does not depend on the floats given, or has been kept hard.

    `integral`: floats that are sure to be whole numbers, though they may be traced.
    """

    array: Any
    integral: bool = eqx.field(static=True, default=False)

    @property
    def shape(self) -> tuple[int, ...]:
        return np.shape(self.array)

    @property
    def dtype(self) -> Any:
        return jnp.result_type(self.array)

    def mean(self) -> Array:
        array = jnp.asarray(self.array)
        if jnp.issubdtype(array.dtype, jnp.inexact):
            return array
        return array.astype(float_type())

    def hard(self) -> Any:
        return self.array

    def rearranged(self, move: Rearrangement, tag: Any) -> Value:
        return Known(move(self.array), self.integral)


class Real(Value):
    """Floats. `integral`: the hard program's are whole numbers."""

    array: Array
    integral: bool = eqx.field(static=True, default=False)

    @property
    def shape(self) -> tuple[int, ...]:
        return self.array.shape

    @property
    def dtype(self) -> Any:
        return self.array.dtype

    def mean(self) -> Array:
        return self.array

    def hard(self) -> Array:
        return self.array

    def rearranged(self, move: Rearrangement, tag: Any) -> Value:
        return Real(move(self.array), self.integral)


class Chance(Value):
    """Booleans, by the probabilities p that they are true.

    `negated`: this is "not" of the event that `key` names.
    """

    p: Float[Array, "..."]
    key: Any = eqx.field(static=True, default=None)
    negated: bool = eqx.field(static=True, default=False)

    @property
    def shape(self) -> tuple[int, ...]:
        return self.p.shape

    @property
    def dtype(self) -> Any:
        return jnp.dtype(bool)

    def mean(self) -> Array:
        return self.p

    def hard(self) -> Array:
        return self.p > 0.5

    def rearranged(self, move: Rearrangement, tag: Any) -> Value:
        key = None if self.key is None else (self.key, tag)
        return Chance(move(self.p), key, self.negated)

    def with_key(self, key: Any) -> Value:
        return Chance(self.p, key)


class Count(Value):
    """Integers, by their means: sums of Booleans, rounded numbers."""

    number: Float[Array, "..."]
    type: Any = eqx.field(static=True)
    key: Any = eqx.field(static=True, default=None)

    @property
    def shape(self) -> tuple[int, ...]:
        return self.number.shape

    @property
    def dtype(self) -> Any:
        return self.type

    def mean(self) -> Array:
        return self.number

    def hard(self) -> Array:
        return jnp.round(self.number).astype(self.type)

    def rearranged(self, move: Rearrangement, tag: Any) -> Value:
        key = None if self.key is None else (self.key, tag)
        return Count(move(self.number), self.type, key)

    def with_key(self, key: Any) -> Value:
        return Count(self.number, self.type, key)


class Dist(Value):
    """Integers or Booleans, each by a distribution over K points: indices.

    Signs of floats are, too.

    `common`: points that all entries share, known when the program is traced; None
    where they are in `support`, of the shape of `probs`.
    """

    probs: Float[Array, "*shape k"]
    support: Array | None
    common: tuple | None = eqx.field(static=True)
    type: Any = eqx.field(static=True)
    key: Any = eqx.field(static=True, default=None)

    @property
    def shape(self) -> tuple[int, ...]:
        return self.probs.shape[:-1]

    @property
    def dtype(self) -> Any:
        return self.type

    @property
    def size(self) -> int:
        return self.probs.shape[-1]

    def points(self) -> Any:
        """The points, `K` or `*shape K`."""
        return self.support if self.common is None else np.array(self.common, self.type)

    def all_points(self) -> Array:
        """The points, `*shape K`."""
        return jnp.broadcast_to(self.points(), self.probs.shape)

    def mean(self) -> Array:
        return jnp.sum(self.probs * jnp.asarray(self.points(), self.probs.dtype), -1)

    def hard(self) -> Array:
        if is_bool(self.type):
            return self.mean() > 0.5
        best = jnp.argmax(self.probs, axis=-1, keepdims=True)
        return jnp.take_along_axis(self.all_points(), best, axis=-1)[..., 0]

    def rearranged(self, move: Rearrangement, tag: Any) -> Value:
        each = jax.vmap(move, in_axes=-1, out_axes=-1)
        support = None if self.support is None else each(self.support)
        key = None if self.key is None else (self.key, tag)
        return Dist(each(self.probs), support, self.common, self.type, key)

    def with_key(self, key: Any) -> Value:
        return Dist(self.probs, self.support, self.common, self.type, key)


class Stack(Value):
    """Components of multi-dimensional indices, joined along a last axis."""

    parts: tuple[Value, ...]
    key: Any = eqx.field(static=True, default=None)

    @property
    def shape(self) -> tuple[int, ...]:
        return (*self.parts[0].shape[:-1], len(self.parts))

    @property
    def dtype(self) -> Any:
        return self.parts[0].dtype

    def mean(self) -> Array:
        return jnp.concatenate([part.mean() for part in self.parts], axis=-1)

    def hard(self) -> Array:
        return jnp.concatenate([part.hard() for part in self.parts], axis=-1)

    def rearranged(self, move: Rearrangement, tag: Any) -> Value:
        return Count(self.mean(), self.dtype).rearranged(move, tag)

    def with_key(self, key: Any) -> Value:
        return Count(self.mean(), self.dtype, key)


def float_type() -> Any:
    return jnp.result_type(float)


def is_bool(dtype: Any) -> bool:
    return jnp.dtype(bool) == dtype


def is_float(dtype: Any) -> bool:
    return jnp.issubdtype(dtype, jnp.inexact)


def concrete(value: Value) -> np.ndarray | None:
    """The numbers of a known array where they are known now; None elsewhere."""
    if not isinstance(value, Known) or is_traced(value.array):
        return None
    if isinstance(value.array, jax.ShapeDtypeStruct):
        return None
    if jnp.issubdtype(value.dtype, jax.dtypes.extended):
        return None
    return np.asarray(value.array)


def constant(value: Value) -> Any:
    """The number that all entries of a known array are, where it is known now."""
    numbers = concrete(value)
    if numbers is None or numbers.size == 0:
        return None
    first = numbers.flat[0]
    return first if (numbers == first).all() else None


def is_integral(value: Value) -> bool:
    """Whether all entries are sure to be whole numbers."""
    if not is_float(value.dtype) or getattr(value, "integral", False):
        return True
    if isinstance(value, Dist):
        return value.common is not None and all(map(_is_whole, value.common))
    numbers = concrete(value)
    if numbers is None or np.iscomplexobj(numbers):
        return False
    return all(map(_is_whole, np.unique(numbers)))


def _is_whole(number: Any) -> bool:
    return float(number).is_integer()


def of_mean(mean: Array, dtype: Any, integral: bool = False) -> Value:
    """Floats, or Booleans and integers by their means."""
    if is_float(dtype):
        return Real(mean.astype(dtype), integral)
    if is_bool(dtype):
        return Chance(mean, new_key())
    return Count(mean, dtype, new_key())


def chance(value: Value) -> Float[Array, "..."]:
    """The probability that a Boolean is true."""
    return value.mean()


def from_chance(value: Value, dtype: Any) -> Dist:
    """A Boolean as a distribution over 0 and 1, or False and True."""
    p = value.mean()
    key = None
    if isinstance(value, Chance) and value.key is not None:
        key = ("bool", value.key, value.negated)
    type = jnp.dtype(dtype)
    return Dist(jnp.stack([1 - p, p], axis=-1), None, (0, 1), type, key)


def hat(value: Count) -> Dist:
    """A mean m as the distribution over the two integers beside it whose mean is m."""
    below = jax.lax.stop_gradient(jnp.floor(value.number))
    part = value.number - below
    points = jnp.stack([below, below + 1], axis=-1).astype(value.type)
    key = new_key() if value.key is None else value.key
    return Dist(
        jnp.stack([1 - part, part], -1), points, None, jnp.dtype(value.type), key
    )


def as_dist(value: Value) -> Dist:
    """Any soft or known integer or Boolean as a distribution."""
    if isinstance(value, Dist):
        return value
    if isinstance(value, Chance):
        return from_chance(value, bool)
    if isinstance(value, Count):
        return hat(value)
    array = jnp.asarray(value.hard())
    probs = jnp.ones((*array.shape, 1), float_type())
    return Dist(probs, array[..., None], None, jnp.dtype(array.dtype), new_key())


def mixed(weights: Sequence[Array], values: Sequence[Array]) -> Array:
    """The sum of weights times values. What is not finite counts where its weight is 1.

    Where an alternative that is likely is finite, those that are not are left out, with
    their weights: a logarithm of a negative number behind a condition.
    """
    best = jnp.argmax(jnp.stack(jnp.broadcast_arrays(*weights)), axis=0)
    finite = [jnp.isfinite(v) for v in values]
    calm = _all_of(finite)
    soft: Any = 0
    hard: Any = 0
    for i, (w, v, ok) in enumerate(zip(weights, values, finite, strict=True)):
        soft = soft + w.astype(v.dtype) * jnp.where(ok, v, 0)
        hard = jnp.where(best == i, v, hard)
    return jnp.where(calm, soft, hard)


def _all_of(flags: Sequence[Array]) -> Array:
    return jnp.all(jnp.stack(jnp.broadcast_arrays(*flags)), axis=0)
