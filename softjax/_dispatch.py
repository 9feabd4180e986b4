"""Calls outside `jax.jit`: a compiled program for each configuration of an operator."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from softjax_solvers.internal import known_mesh

from ._keywords import ARGUMENTS

# Numbers of NumPy's that are not floats are axes, counts and flags: constants.
_ARRAYS = (jax.Array, np.ndarray, np.inexact)


def dispatch(fn: Callable[..., Any], *arrays: Any, **options: Any) -> Any:
    """`fn(*arrays, **options)` as a single compiled program, kept for the next call.

    All that `fn` does, checks of types and shapes included, is done when it is traced.
    What it raises then, it raises at every call. What depends on the value of an array
    has to be checked before.

    **Arguments:**

    - `fn`: a function of a module: one that is made at each call has no program yet.
    - `arrays`: arguments of the program: arrays, numbers or what `jnp.asarray` takes.
        Python's numbers are passed as they are, which keeps their types weak.
    - `options`: pytrees, of which arrays are arguments of the program, and all else is
        a constant of it.
    """
    if any(x is None or isinstance(x, str) for x in arrays):
        return fn(*arrays, **options)  # which says that these are no arrays
    arrays = tuple(x if isinstance(x, ARGUMENTS) else jnp.asarray(x) for x in arrays)
    leaves, structure = jax.tree.flatten(options)
    fields, constants = [], []
    for leaf in leaves:
        # None is no leaf: where it stands among constants, an array does in the call.
        is_array = isinstance(leaf, _ARRAYS)
        constants.append(None if is_array else leaf)
        if is_array:
            fields.append(leaf)
    # True, 1 and 1.0 are equal, and not the same axis.
    key = fn, structure, tuple(constants), tuple(map(type, constants))
    try:
        program = _program(*key)
    except TypeError:  # A constant without a hash.
        program = _program.__wrapped__(*key)
    with known_mesh():
        return program(arrays, fields)


# Configurations are few. Regularizers may be made anew at each call, though, and their
# programs must not add up. Tracers are arrays: none gets into a key.
@functools.lru_cache(maxsize=4096)
def _program(
    fn: Callable[..., Any],
    structure: Any,
    constants: tuple[Any, ...],
    types: tuple[type, ...],
) -> Callable[..., Any]:
    def program(arrays, fields):
        given = iter(fields)
        leaves = [next(given) if leaf is None else leaf for leaf in constants]
        return fn(*arrays, **jax.tree.unflatten(structure, leaves))

    program.__name__ = fn.__name__.strip("_")
    return jax.jit(program)
