"""Tables of the functions of JAX that have surrogates, and some composed of others."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ._namespace import Surrogate


def _heaviside(x1, x2, **keywords):
    from ._api import heaviside

    step = heaviside(x1, **keywords)  # at 0 half done, whatever x2
    return jnp.broadcast_to(step, jnp.broadcast_shapes(step.shape, np.shape(x2)))


def _allclose(x, y, rtol=1e-05, atol=1e-08, equal_nan=False, **keywords):
    from ._api import all, isclose

    return all(isclose(x, y, rtol, atol, equal_nan, **keywords))


def _array_equal(x, y, equal_nan=False, **keywords):
    from ._api import all, equal

    if np.shape(x) != np.shape(y):
        return jnp.zeros(())
    alike = equal(x, y, **keywords)
    if equal_nan:
        alike = jnp.where(jnp.isnan(x) & jnp.isnan(y), 1, alike)
    return all(alike)


def _array_equiv(x, y, **keywords):
    from ._api import all, equal

    try:
        np.broadcast_shapes(np.shape(x), np.shape(y))
    except ValueError:
        return jnp.zeros(())
    return all(equal(x, y, **keywords))


def _ptp(x, axis=None, *, keepdims=False, **keywords):
    from ._api import max, min

    keywords["keepdims"] = keepdims
    return max(x, axis, **keywords) - min(x, axis, **keywords)


def _signbit(x, **keywords):
    from ._api import less

    return less(x, 0, **keywords)


def _floor_divide(x, y, **keywords):
    from ._api import floor

    return floor(jnp.divide(x, y), **keywords)


def _sort(operand, dimension=-1, num_keys=1, **keywords):
    from ._api import argsort, sort, take_along_axis

    if not isinstance(operand, list | tuple):
        return sort(operand, dimension, **keywords)
    if num_keys != 1:
        raise NotImplementedError(
            f"softjax.lax.sort: num_keys must be 1 for soft keys, got {num_keys}."
        )
    keys, *values = operand
    plain = {k: v for k, v in keywords.items() if k != "gated_grad"}
    index = argsort(keys, dimension, **plain)
    moved = (take_along_axis(x, index, dimension) for x in values)
    return sort(keys, dimension, **keywords), *moved


def _sort_key_val(keys, values, dimension=-1, **keywords):
    return _sort((keys, values), dimension, **keywords)


def _reduce_max(operand, axes, **keywords):
    from ._api import max

    return max(operand, tuple(axes), **keywords)


def _reduce_min(operand, axes, **keywords):
    from ._api import min

    return min(operand, tuple(axes), **keywords)


def _approx_min_k(operand, k, axis=-1, **keywords):
    from ._api import top_k

    values, index = top_k(-operand, k, axis, **keywords)
    return -values, index


def _select_n(which: Any, *cases: Any) -> Any:
    from ._api import choose, where

    if np.ndim(which) > np.ndim(cases[0]):
        return choose(which, cases)
    if len(cases) != 2:
        raise ValueError(
            f"softjax.lax.select_n: which of shape {np.shape(which)} must be a soft "
            f"index, with a last axis over the {len(cases)} cases."
        )
    return where(which, cases[1], cases[0])


_NOT_GIVEN = object()


def _cond(
    pred: Any,
    true_fun: Callable[..., Any],
    false_fun: Callable[..., Any],
    *operands,
    operand: Any = _NOT_GIVEN,
) -> Any:
    from ._api import where

    given = operands if operand is _NOT_GIVEN else (*operands, operand)
    one, other = true_fun(*given), false_fun(*given)
    return jax.tree.map(lambda x, y: where(pred, x, y), one, other)


def _switch(
    index: Any,
    branches: Sequence[Callable[..., Any]],
    *operands,
    operand: Any = _NOT_GIVEN,
) -> Any:
    from ._api import choose

    if not branches:
        raise ValueError("softjax.lax.switch: there must be at least one branch.")
    given = operands if operand is _NOT_GIVEN else (*operands, operand)
    outcomes = (branch(*given) for branch in branches)
    return jax.tree.map(lambda *choices: choose(index, choices), *outcomes)


def _names(names: str, decides: str, **options: Any) -> dict[str, Surrogate]:
    """Surrogates of the names of JAX, by the same names."""
    return {name: Surrogate(name, decides, **options) for name in names.split()}


_SELECT = dict(pred="condition", on_true="x", on_false="y")
_INDEX = dict(as_index=True)
_QUANTILES = dict(renamed=dict(method="quantile_method"))

NUMPY = {
    **_names("abs sign rint floor ceil trunc logical_not", "x"),
    **dict.fromkeys(("absolute", "fabs"), Surrogate("abs", "x")),
    **dict.fromkeys(("round", "around"), Surrogate("round", "a")),
    "heaviside": Surrogate(_heaviside, "x1", like="heaviside", hard_as_theirs=True),
    "clip": Surrogate("clip", "arr min max"),
    "maximum": Surrogate("maximum", "x y", reduce="max", accumulate="cummax"),
    "minimum": Surrogate("minimum", "x y", reduce="min", accumulate="cummin"),
    **_names("fmax fmin", "x1 x2"),
    "floor_divide": Surrogate(
        _floor_divide, "x1 x2", like="floor", hard_as_theirs=True
    ),
    # Comparison and logic
    **_names("greater greater_equal less less_equal equal not_equal", "x y"),
    "isclose": Surrogate("isclose", "a b"),
    "allclose": Surrogate(_allclose, "a b", like="isclose"),
    "array_equal": Surrogate(_array_equal, "a1 a2", like="equal", hard_as_theirs=True),
    "array_equiv": Surrogate(_array_equiv, "a1 a2", like="equal", hard_as_theirs=True),
    "signbit": Surrogate(_signbit, "x", like="less", hard_as_theirs=True),
    "logical_and": Surrogate("logical_and", "x y", reduce="all"),
    "logical_or": Surrogate("logical_or", "x y", reduce="any"),
    "logical_xor": Surrogate("logical_xor", "x y"),
    **_names("all any", "a"),
    # Along an axis
    **_names("argmax argmin max min argsort sort median", "a"),
    "amax": Surrogate("max", "a"),
    "amin": Surrogate("min", "a"),
    "ptp": Surrogate(_ptp, "a", like="max"),
    **_names("nanargmax nanargmin nanmax nanmin nanmedian", "a"),
    **_names("quantile percentile nanquantile nanpercentile", "a", **_QUANTILES),
    **_names("partition argpartition", "a"),
    # Counts
    **_names("searchsorted", "a v", preset=_INDEX),
    **_names("digitize", "x bins", preset=_INDEX),
    "histogram": Surrogate("histogram", "a"),
    "bincount": Surrogate("bincount", "x"),
    # Selection
    "where": Surrogate("where", "condition"),
    "select": Surrogate("select", "condlist"),
    "piecewise": Surrogate("piecewise", "condlist"),
    **_names("take take_along_axis", "indices"),
    "choose": Surrogate("choose", "a"),
}

LAX = {
    **_names("abs sign floor ceil", "x"),
    "round": Surrogate("round", "x", hard_as_theirs=True),
    "max": Surrogate("maximum", "x y"),
    "min": Surrogate("minimum", "x y"),
    "clamp": Surrogate("clip", "min x max"),
    "gt": Surrogate("greater", "x y"),
    "ge": Surrogate("greater_equal", "x y"),
    "lt": Surrogate("less", "x y"),
    "le": Surrogate("less_equal", "x y"),
    "eq": Surrogate("equal", "x y"),
    "ne": Surrogate("not_equal", "x y"),
    # Along an axis
    "argmax": Surrogate("argmax", "operand"),
    "argmin": Surrogate("argmin", "operand"),
    "sort": Surrogate(_sort, "operand", like="sort"),
    "sort_key_val": Surrogate(_sort_key_val, "keys", like="sort"),
    "reduce_max": Surrogate(_reduce_max, "operand", like="max"),
    "reduce_min": Surrogate(_reduce_min, "operand", like="min"),
    **_names("top_k cummax cummin", "operand"),
    "approx_max_k": Surrogate("top_k", "operand"),
    "approx_min_k": Surrogate(_approx_min_k, "operand", like="top_k"),
    # Selection
    "select": Surrogate("where", "pred", _SELECT),
    "select_n": Surrogate(_select_n, "which"),
    "cond": Surrogate(_cond, "pred"),
    "switch": Surrogate(_switch, "index"),
    "dynamic_index_in_dim": Surrogate("dynamic_index_in_dim", "index"),
    "dynamic_slice_in_dim": Surrogate("dynamic_slice_in_dim", "start_index"),
    "dynamic_slice": Surrogate("dynamic_slice", "start_indices"),
}

NN = {
    **_names("relu relu6 leaky_relu one_hot", "x"),
    **_names("hard_tanh hard_sigmoid hard_silu hard_swish", "x"),
}
