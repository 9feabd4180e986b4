"""Arithmetic: floats as they are, integers by their distributions or their means."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax.extend.core import JaxprEqn

from .. import _jaxprs
from .._constants import ELEMENTWISE
from .._context import Context, Unsupported
from .._forms import LARGEST
from .._values import (
    Chance,
    Count,
    Dist,
    Known,
    Real,
    Value,
    as_dist,
    constant,
    is_float,
    is_integral,
    new_key,
    of_mean,
)
from .._whole import LINEAR, makes_whole

_NAMES = """
acos acosh add add_any asin asinh atan atan2 atanh bessel_i0e bessel_i1e cbrt cholesky
cholesky_update complex conj conv_general_dilated copy copy_p cos cosh cumlogsumexp
cumprod cumsum custom_linear_solve device_put digamma div dot_general eig eigh erf
erf_inv erfc exp exp2 expm1 fft geqrf hessenberg householder_product igamma
igamma_grad_a igammac imag integer_pow lgamma linear_call log log1p log2 logistic lu
lu_pivots_to_permutation mul name neg one_minus_square optimization_barrier ormqr
polygamma polynomial pow psum pvary qr ragged_dot_general random_gamma real
reduce_precision reduce_prod reduce_sum reduce_window_sum
regularized_incomplete_beta rsqrt schur sharding_constraint sin sinh sqrt square sub svd
symmetric_product tan tanh triangular_solve tridiagonal tridiagonal_solve zeta
"""

_OF_BOTH = {"pow"}
"""Primitives that make floats of floats and integers, entry by entry."""

_UNCHANGED = {"copy", "copy_p", "name", "optimization_barrier"}
"""Primitives that return what they are given."""

_OF_INTEGERS = """
abs sign max min clamp rem div and or xor not shift_left shift_right_logical
shift_right_arithmetic population_count clz square integer_pow
"""
_INTEGERS = _OF_INTEGERS.split()


def smooth(context: Context, eqn: JaxprEqn, operands: Sequence[Value]) -> Any:
    """Functions smooth in floats, and sums and products of soft integers.

    **Raises:** `Unsupported` if a soft integer is no number that is computed with.
    """
    if all(isinstance(value, Known | Real) for value in operands):
        return real(eqn, operands)
    if eqn.primitive.name in _UNCHANGED:
        return list(operands)
    if not is_float(_jaxprs.aval(eqn).dtype):
        return integers(context, eqn, operands)
    if eqn.primitive.name in LINEAR:
        return _of_means(eqn, operands)
    out = pointwise(eqn, operands) if eqn.primitive.name in _OF_BOTH else None
    if out is None:
        raise Unsupported("of soft integers")
    return out


def real(eqn: JaxprEqn, operands: Sequence[Value]) -> list[Value]:
    whole = makes_whole(eqn, operands)
    return [
        Real(array, whole) if is_float(array.dtype) else Known(array)
        for array in _jaxprs.bind(eqn, *(value.hard() for value in operands))
    ]


def integers(context: Context, eqn: JaxprEqn, operands: Sequence[Value]) -> Value:
    """A function of integers or Booleans, at the points of their distributions.

    **Raises:** `Unsupported` if there are too many and it is not linear.
    """
    name = eqn.primitive.name
    linear = name in LINEAR
    counts = any(isinstance(value, Count) for value in operands)
    if len(eqn.outvars) == 1 and not (linear and counts) and _is_elementwise(eqn):
        out = pointwise(eqn, operands)
        if out is not None:
            return out
    if linear:
        return _of_means(eqn, operands)
    raise Unsupported("of too many integers at once")


def _is_elementwise(eqn: JaxprEqn) -> bool:
    elementwise = {*ELEMENTWISE, *_INTEGERS, "convert_element_type"}
    return eqn.primitive.name in elementwise


def _of_means(eqn: JaxprEqn, operands: Sequence[Value]) -> Value:
    means = [value.mean() for value in operands]
    dtype = jnp.result_type(*means)
    params = dict(eqn.params)
    if "preferred_element_type" in params:
        params["preferred_element_type"] = dtype
    out = eqn.primitive.bind(*(mean.astype(dtype) for mean in means), **params)
    (out,) = out if eqn.primitive.multiple_results else (out,)
    return of_mean(out, _jaxprs.aval(eqn).dtype)


def pointwise(eqn: JaxprEqn, operands: Sequence[Value]) -> Value | None:
    """An elementwise function, at each point of the joint distribution of operands.

    Distributions of one key are functions of the same random variable; others are
    independent. None where there are too many points.
    """
    soft = [as_dist(v) if not isinstance(v, Known) else None for v in operands]
    groups = by_variable(dist for dist in soft if dist is not None)
    if int(np.prod([dist.size for dist in groups.values()])) > LARGEST and (
        len(groups) > 1
    ):
        return None
    known = _at_constants(eqn, operands, soft, groups)
    if known is not None:
        return known
    shape = _jaxprs.aval(eqn).shape
    places, probs = joint(groups)
    probs = jnp.broadcast_to(probs, (*shape, probs.shape[-1]))
    size = probs.shape[-1]
    full = (*shape, size)
    arrays = []
    for value, dist in zip(operands, soft, strict=True):
        if dist is None:
            array = jnp.asarray(value.hard())[..., None]
        else:
            array = dist.all_points()[..., places[variable(dist)]]
        arrays.append(jnp.broadcast_to(array, full))
    (support,) = _jaxprs.bind(eqn, *arrays)
    key = _key_of_all(groups)
    return tidy(Dist(probs, support, None, jnp.dtype(support.dtype), key))


def _key_of_all(groups: dict[Any, Dist]) -> Any:
    """The key of a function of all: that of the one variable, or a new one."""
    first, *others = groups.values()
    return new_key() if others or first.key is None else first.key


def variable(dist: Dist) -> Any:
    """The random variable that a distribution is a function of."""
    return ("own", id(dist)) if dist.key is None else dist.key


def by_variable(dists: Iterable[Dist]) -> dict[Any, Dist]:
    """One of the distributions of each random variable."""
    groups: dict[Any, Dist] = {}
    for dist in dists:
        groups.setdefault(variable(dist), dist)
    return groups


def _at_constants(
    eqn: JaxprEqn,
    operands: Sequence[Value],
    soft: Sequence[Dist | None],
    groups: dict[Any, Dist],
) -> Value | None:
    """The result over points that are known now, or None."""
    function: Callable[..., Any] | None = ELEMENTWISE.get(eqn.primitive.name)
    if eqn.primitive.name == "convert_element_type":
        function = np.asarray
    shape, dtype = _jaxprs.aval(eqn).shape, jnp.dtype(_jaxprs.aval(eqn).dtype)
    same_shape = all(dist.shape == shape for dist in groups.values())
    if function is None or not same_shape:
        return None
    order, probs = joint(groups)
    points = []
    for value, dist in zip(operands, soft, strict=True):
        if dist is None:
            number = constant(value)
            if number is None:
                return None
            points.append(np.asarray(number, value.dtype))
        elif dist.common is None:
            return None
        else:
            points.append(np.asarray(dist.common, value.dtype)[order[variable(dist)]])
    with np.errstate(all="ignore"):
        found = np.asarray(function(*np.broadcast_arrays(*points)), dtype)
    if len(groups) == 1:
        key = _key_of_all(groups)
        return tidy(Dist(probs, None, tuple(found.tolist()), dtype, key))
    # Equal points of several variables are one.
    union, place = np.unique(found, return_inverse=True)
    merged = jnp.zeros((*shape, union.size), probs.dtype).at[..., place].add(probs)
    return tidy(Dist(merged, None, tuple(union.tolist()), dtype, new_key()))


def joint(groups: Mapping[Any, Dist]) -> tuple[dict[Any, np.ndarray], Any]:
    """The joint distribution of independent variables, over a product of index sets.

    **Returns:** the positions of each variable in the product, the last one fastest,
    and the probabilities.
    """
    first, *others = groups.values()
    sizes = (np.arange(dist.size) for dist in groups.values())
    grid = (axis.ravel() for axis in np.meshgrid(*sizes, indexing="ij"))
    probs: Any = first.probs
    for dist in others:
        probs = probs[..., :, None] * dist.probs[..., None, :]
        probs = probs.reshape(*probs.shape[:-2], -1)
    return dict(zip(groups, grid, strict=True)), probs


def of_one_variable(operands: Sequence[Value]) -> bool:
    """Whether all that is soft is a function of the same random variable."""
    soft = [value for value in operands if not isinstance(value, Known)]
    if not all(isinstance(value, Dist) for value in soft):
        return False
    keys = {getattr(value, "key", None) for value in soft}
    return len(keys) == 1 and None not in keys


def tidy(dist: Dist) -> Value:
    """A distribution, or its mean: only integers and Booleans have points."""
    if not is_float(dist.type):
        return dist
    return Real(dist.mean().astype(dist.type), is_integral(dist))


SMOOTH = frozenset(_NAMES.split())
"""Primitives that are smooth in floats, or do nothing to them."""

ARITHMETIC = dict.fromkeys(_INTEGERS, integers) | dict.fromkeys(SMOOTH, smooth)
"""Smooth primitives, and those of integers that have no other rule."""


def event(value: Value) -> Chance:
    """A Boolean by its probability, with its key where it has one."""
    if isinstance(value, Chance):
        return value
    return Chance(value.mean(), new_key())
