"""The program of a function, with soft values for its floats."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from softjax_solvers.internal import is_traced

from . import _jaxprs
from ._context import Context
from ._interpreter import evaluate, result
from ._record import Record
from ._settings import Settings
from ._values import Known, Real, Value, float_type, is_float


def _is_traced_argument(leaf: Any) -> bool:
    """Arrays and floats. Python's integers, flags and all else are constants."""
    return eqx.is_array(leaf) or isinstance(
        leaf, np.ndarray | np.generic | float | complex
    )


def run(fn: Callable, settings: Settings, args: tuple, kwargs: dict) -> Any:
    """Results of the softened function, and the record of how it was softened."""
    leaves, structure = jax.tree.flatten((args, kwargs))
    positions = [i for i, leaf in enumerate(leaves) if _is_traced_argument(leaf)]
    arrays = [leaves[i] for i in positions]

    def flat(*arrays: Any) -> Any:
        filled = list(leaves)
        for i, array in zip(positions, arrays, strict=True):
            filled[i] = array
        args, kwargs = jax.tree.unflatten(structure, filled)
        return fn(*args, **kwargs)

    functools.update_wrapper(flat, fn, updated=())
    del flat.__wrapped__
    # Outputs that are no arrays are passed by.
    others: list[Any] = []

    def arrays_only(*arrays: Any) -> Any:
        out = flat(*arrays)
        dynamic, static = eqx.partition(out, eqx.is_array_like)
        others.append(static)
        return dynamic

    closed, shapes = jax.make_jaxpr(arrays_only, return_shape=True)(*arrays)
    record = Record()
    context = Context(settings.completed(), record, evaluate)
    consts = [_closed_over(const) for const in _jaxprs.open_jaxpr(closed)[1]]
    # Once: where this is part of a program that is softened, all has been done.
    with jax.named_scope(_jaxprs.SOFT_SCOPE):
        values = evaluate(context, closed, [_given(a) for a in arrays], consts)
    floats = [a for a in arrays if jnp.issubdtype(jnp.result_type(a), jnp.floating)]
    dtype = jnp.result_type(*floats) if floats else float_type()
    results = [result(value, dtype) for value in values]
    dynamic = jax.tree.unflatten(jax.tree.structure(shapes), results)
    return eqx.combine(dynamic, others[-1]), record


def _given(array: Any) -> Value:
    if is_float(jnp.result_type(array)):
        return Real(jnp.asarray(array))
    return Known(array)


def _closed_over(const: Any) -> Value:
    """Floats that are traced may be differentiated: they are soft as arguments are."""
    return _given(const) if is_traced(const) else Known(const)
