"""Arguments of the functions of structures: parsed and checked once."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PyTree

from softjax_solvers import Regularizer
from softjax_solvers.internal import did_you_mean

from .._keywords import as_array, as_float, check_softness, parse_mode, parse_softness
from ._semirings import ABSENT
from ._structure import Structure
from .methods import StructuredMethod, get_method


class Given(eqx.Module):
    """A structure and its scores, and how it is to be made soft; None for hard."""

    structure: Structure
    scores: PyTree[Array]
    regularizer: Regularizer | None
    method: Any
    solver: Any
    softness: Any = None

    @property
    def arguments(self) -> tuple[Any, ...]:
        """Arguments of a method."""
        rest = self.softness, self.regularizer, self.solver
        return self.structure, self.scores, *rest

    def computed(self, softness: Any) -> tuple[Given, Any]:
        """These arguments in the type that is computed in, and the type of values."""
        pairs = [as_float(z, "scores") for z in jax.tree.leaves(self.scores)]
        dtype = jnp.result_type(*(z for z, _ in pairs))
        out = jnp.result_type(*(out for _, out in pairs))
        scores = jax.tree.map(lambda z: _finite(jnp.asarray(z, dtype)), self.scores)
        softness = parse_softness(softness, dtype)
        if softness.shape != ():
            raise ValueError(
                f"softness must be a scalar, got shape {softness.shape}; jax.vmap is "
                "for batches."
            )
        parts = self.regularizer, self.method, self.solver, softness
        return Given(self.structure, scores, *parts), out

    def like_scores(self, target: PyTree[Array]) -> PyTree[Array]:
        """A target in the type that is computed in.

        **Raises:** `ValueError` if it does not have the shapes of the scores.
        """
        wanted = jax.tree.map(jnp.shape, self.scores)
        have = jax.tree.map(jnp.shape, target)
        if wanted != have:
            raise ValueError(
                f"target must have the shapes of scores, {wanted}, got {have}."
            )
        return jax.tree.map(lambda t, z: jnp.asarray(t, z.dtype), target, self.scores)


def _finite(scores: Array) -> Array:
    """Scores of which -inf, and what is as far below, have differences."""
    return jnp.where(scores < ABSENT, ABSENT, scores)  # NaN passes


def parse(
    structure: Structure,
    scores: PyTree[Array],
    softness: Any,
    mode: str | Regularizer | None,
    method: str | StructuredMethod | None,
    solver: Any,
) -> Given:
    """Check what can be checked without running JAX.

    **Raises:** `TypeError` and `ValueError`, naming the argument.
    """
    if not isinstance(structure, Structure):
        raise TypeError(
            "structure must be a softjax.structured.Structure, got "
            f"{structure!r}.{did_you_mean(structure, Structure)}"
        )
    leaves, tree = jax.tree.flatten(scores)
    if not leaves:
        raise TypeError("scores must hold an array, got none.")
    arrays = [as_array(leaf, "scores") for leaf in leaves]
    arrays = [z if isinstance(z, jax.Array) else np.asarray(z) for z in arrays]
    scores = tree.unflatten(arrays)
    # Outside of the program, where lengths have values.
    structure.check(scores)
    check_softness(softness)
    regularizer = parse_mode(structure.default_mode() if mode is None else mode)[0]
    if regularizer is None:
        chosen = None if method is None else get_method(method)
    else:
        name = structure.default_method(regularizer) if method is None else method
        chosen = get_method(name)
        chosen.check(structure, regularizer, solver)
    return Given(structure, scores, regularizer, chosen, solver)
