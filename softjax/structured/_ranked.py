"""Lists of the best structures."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, PyTree

from softjax_solvers.internal import exact_einsum

from ._semirings import ABSENT


class Ranked(NamedTuple):
    """List of the best structures, best first.

    - `values`: `k`, their scores; `ABSENT` where there are no more structures.
    - `structures`: a pytree of the shape of scores with a leading axis of k, of
        indicators.

    **Example:**

        >>> grid = sj.structured.GridPath()
        >>> ranked = grid.k_best(jnp.array([[0.0, 0.2], [0.1, 0.0]]), 3)
        >>> print(ranked.values > sj.structured.ABSENT / 2)
        [ True  True False]
    """

    values: Float[Array, "k"]
    structures: PyTree[Array]


def score_again(
    scores: PyTree[Array], structures: PyTree[Array], there: Bool[Array, "k"]
) -> Ranked:
    """A list with scores that are differentiable, at constant structures."""
    structures = jax.lax.stop_gradient(structures)
    terms = jax.tree.map(
        # What is in no structure may have any score.
        lambda v, s: jnp.sum(
            jnp.where(v == 0, jnp.where(jnp.isnan(s), s, 0), v * s),
            axis=tuple(range(1, v.ndim)),
        ),
        structures,
        scores,
    )
    values = sum(jax.tree.leaves(terms))
    return Ranked(jnp.where(there, values, ABSENT), structures)


def exists(ranked: Ranked) -> Bool[Array, "k"]:
    """A mask of the places of a list that have a structure; NaN is a score of one."""
    return ~(ranked.values <= ABSENT / 2)


def mix(
    p: Float[Array, "*rows m"], structures: PyTree[Float[Array, "m ..."]]
) -> PyTree[Float[Array, "*rows ..."]]:
    """Means of a list of structures."""

    def mean(v):
        flat = v.reshape(v.shape[0], -1)
        out = exact_einsum("...m,md->...d", p, flat)
        return out.reshape(*p.shape[:-1], *v.shape[1:])

    return jax.tree.map(mean, structures)


def is_complete(ranked: Ranked) -> Bool[Array, ""]:
    """Whether there are no other structures than those of a list."""
    return ~exists(ranked)[-1]
