from __future__ import annotations

import jax.numpy as jnp
from jaxtyping import Array, Float

from ..._kernels.sorting import permute, sort_with_permutation
from ..permutahedron import PermutahedronProjection
from ..simplex import SimplexProjection
from .reduced import ReducedProjection, lowered, nearest, parse_scores, parse_strength


class ClusteredSimplexProjection(ReducedProjection):
    """A projection onto the simplex in which entries form clusters (oscarmax).

    `argmax_{y in simplex} <z, y> - softness (R(y) + strength sum_{i<j} max(y_i, y_j))`,
    along the last axis. Entries of close scores are equal, wherever they are: y is the
    [`softjax.solvers.SimplexProjection`][] of z less its projection onto the
    permutahedron of `softness strength (n - 1, ..., 0)`, with any regularizer, by
    sorting and isotonic regression. The sum of absolute values, which OSCAR has
    besides, is 1.

    **Arguments, raises:** those of [`softjax.solvers.FusedSimplexProjection`][].

    **Example:**

        >>> z = jnp.array([0.9, 0.1, 0.7, 0.2])
        >>> problem = sj.solvers.ClusteredSimplexProjection(z, 1.0, strength=0.25)
        >>> print(sj.solvers.solve(problem, "c0").value)
        [0.325 0.175 0.325 0.175]

    ??? cite

        Niculae and Blondel, "A regularized framework for sparse and structured neural
        attention", NeurIPS 2017; Bondell and Reich, "Simultaneous regression shrinkage,
        variable selection, and supervised clustering of predictors with OSCAR",
        Biometrics 64 (2008).
    """

    strength: Float[Array, "*#batch 1"]

    def __init__(
        self,
        z: Array,
        softness: Array | float,
        strength: Array | float,
        where: Array | None = None,
    ):
        name = type(self).__name__
        self.z, self.softness, self.where = parse_scores(z, softness, where, name)
        self.strength = parse_strength(strength, self.z, name)

    def reduced(self) -> SimplexProjection:
        mask = self.mask
        count = jnp.cumsum(mask, axis=-1)
        smaller = (count[..., -1:] - count).astype(self.z.dtype)
        strength = self.softness * self.strength
        # A score moves by less than n times the strength.
        known, none = lowered(self.known, 2 * mask.shape[-1] * strength)
        above = PermutahedronProjection(known, strength * smaller, 1.0, mask)
        scores = jnp.where(none, -jnp.inf, known - nearest(above))
        return SimplexProjection(scores, self.softness, self.where)

    def penalty(self, y: Float[Array, "*batch n"]) -> Float[Array, "*batch"]:
        # Masked entries are 0, so that they come first; an entry is the largest of so
        # many pairs as there are before it.
        _, order = sort_with_permutation(jnp.where(self.mask, y, -1))
        here = permute(self.mask, order)
        before = jnp.cumsum(here, axis=-1) - 1
        terms = jnp.where(here, before * permute(y, order), 0)
        return self.strength[..., 0] * jnp.sum(terms, axis=-1)
