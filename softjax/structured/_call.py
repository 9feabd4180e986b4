"""The run of a function of structures: checks, types and NaN around its body."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, PyTree

from softjax_solvers import Regularizer

from .._dispatch import dispatch
from .._keywords import as_float, check_softness, parse_mode, parse_softness
from ._structure import Structure


def call(
    body: Callable[..., Any],
    name: str,
    structure: Structure,
    scores: PyTree[Array],
    softness: Any,
    mode: str | Regularizer | None,
    **options: Any,
) -> Any:
    """Check what depends on values, and call a function's program.

    **Arguments:**

    - `body`: called as `body(structure, scores, softness, regularizer, **options)`,
        with scores in the type that is computed in, and None for the hard mode. It is
        a function of a module, and returns a pytree.
    """
    check_structure(name, structure)
    check_softness(softness)
    mode = structure.default_mode() if mode is None else mode
    return dispatch(
        _run,
        softness,
        body=body,
        name=name,
        structure=structure,
        scores=scores,
        mode=mode,
        options=options,
    )


def check_structure(name: str, structure: Any) -> None:
    """**Raises:** `TypeError` for what is no structure."""
    if not isinstance(structure, Structure):
        raise TypeError(
            f"{name}: structure must be a softjax.structured.Structure, got "
            f"{structure!r}. softjax.structured.Oracle(fn) is one of a function."
        )


def floats(scores: PyTree[Any], name: str) -> tuple[PyTree[Array], Any]:
    """Scores in the type that is computed in, and the type of the results."""
    leaves, treedef = jax.tree.flatten(scores, is_leaf=lambda leaf: leaf is None)
    pairs = [as_float(leaf, name) for leaf in leaves]
    types = [dtype for _, dtype in pairs]
    common = jnp.result_type(*(x.dtype for x, _ in pairs))
    return treedef.unflatten([x.astype(common) for x, _ in pairs]), jnp.result_type(*types)


def _run(softness, *, body, name, structure, scores, mode, options):
    regularizer = parse_mode(mode).regularizer
    scores, dtype = floats(scores, f"{name}: scores")
    structure.check(scores)
    leaves = jax.tree.leaves(scores)
    softness = parse_softness(softness, leaves[0].dtype)
    if softness.ndim:
        raise ValueError(
            f"{name}: softness must be a scalar, got shape {softness.shape}; jax.vmap "
            "is for batches."
        )
    out = body(structure, scores, softness, regularizer, **options)
    bad = jnp.any(jnp.stack([jnp.any(jnp.isnan(x)) for x in leaves]))

    def finish(x):
        if not jnp.issubdtype(x.dtype, jnp.inexact):
            return x
        return jnp.where(bad, jnp.nan, x).astype(dtype)

    return jax.tree.map(finish, out)
