"""Losses of decisions that are made on predictions."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from .._dispatch import dispatch
from .._keywords import as_float
from ..structured._semirings import ABSENT
from ..structured._structure import Structure


def spo_plus(
    costs: PyTree[Array], target_costs: PyTree[Array], structure: Structure
) -> Float[Array, ""]:
    """The SPO+ loss of predicted costs, a bound on what decisions by them lose.

    A decision w minimizes `<costs, w>` over the structures; `w*(c)` is the best for the
    costs c. The regret, `<c, w*(costs)> - <c, w*(c)>` for `c = target_costs`, is flat
    where it is not discontinuous. This is a convex bound on it, which is 0 where the
    costs are right:

        max_w <c - 2 costs, w> + 2 <costs, w*(c)> - <c, w*(c)>

    Its subgradient in the costs is `2 (w*(c) - w*(2 costs - c))`, by two calls of the
    oracle, which is never differentiated.

    **Arguments:**

    - `costs`: what is predicted, a pytree of arrays of the shapes of the structure's
        scores, which are minus the costs.
    - `target_costs`: the true costs, of the shapes of `costs`.
    - `structure`: a [`softjax.structured.Structure`][];
        `softjax.structured.Oracle(fn)` for a function that maximizes.

    **Returns:** a nonnegative scalar; batches by `jax.vmap`.

    **Raises:** `TypeError` if `structure` is none, `ValueError` if shapes don't fit.

    **Example:**

        >>> one = sj.structured.KSubset(1)
        >>> costs, target_costs = jnp.array([1.0, 2.0, 3.0]), jnp.array([2.0, 1.0, 3.0])
        >>> print(sj.losses.spo_plus(costs, target_costs, one))
        3.0
        >>> print(jax.grad(sj.losses.spo_plus)(costs, target_costs, one))
        [-2.  2.  0.]

    ??? cite

        Elmachtoub and Grigas, "Smart 'predict, then optimize'", Management Science 68
        (2022).
    """
    if not isinstance(structure, Structure):
        raise TypeError(
            "spo_plus: structure must be a softjax.structured.Structure, got "
            f"{structure!r}. softjax.structured.Oracle(fn) is one of a function."
        )
    return dispatch(
        _spo_plus, costs=costs, target_costs=target_costs, structure=structure
    )


def _spo_plus(*, costs: Any, target_costs: Any, structure: Structure) -> Array:
    predicted = jax.tree.map(lambda c: as_float(c, "spo_plus: costs")[0], costs)
    given = jax.tree.map(lambda c: as_float(c, "target_costs")[0], target_costs)
    dtype = jnp.result_type(*(as_float(c)[1] for c in jax.tree.leaves(costs)))
    shapes = [jax.tree.map(jnp.shape, tree) for tree in (predicted, given)]
    if shapes[0] != shapes[1]:
        raise ValueError(
            f"spo_plus: target_costs must have the shapes of costs, {shapes[0]}, got "
            f"{shapes[1]}."
        )
    structure.check(predicted)
    predicted = _finite(structure.kept(predicted))
    given = _finite(structure.kept(given))
    apart = jax.tree.map(lambda p, c: 2 * p - c, predicted, given)

    def decide(costs):
        scores = jax.tree.map(jnp.negative, jax.lax.stop_gradient(costs))
        return jax.lax.stop_gradient(structure.oracle(scores))

    best, other = decide(given), decide(apart)
    terms = jax.tree.map(lambda a, w, v: jnp.sum(a * (w - v)), apart, best, other)
    return jnp.asarray(sum(jax.tree.leaves(terms)), dtype)


def _finite(costs: PyTree[Array]) -> PyTree[Array]:
    """Costs of which those of what is forbidden have differences."""
    return jax.tree.map(lambda c: jnp.where(c > -ABSENT, -ABSENT, c), costs)
