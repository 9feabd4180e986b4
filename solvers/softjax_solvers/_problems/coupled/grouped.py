from __future__ import annotations

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from ..._core.groups import Segments
from ..._core.rows import parse_ids
from ..segments import SegmentedSimplexProjection
from ..simplex import SimplexProjection
from .reduced import ReducedProjection, nearest, parse_scores, parse_strength


class GroupedSimplexProjection(ReducedProjection):
    """A projection onto the simplex of few groups, by the largest entry of each.

    `argmax_{y in simplex} <z, y> - softness (R(y) + strength sum_g max_{i in g} y_i)`,
    along the last axis: the group lasso of the maximum norm. On [0, 1] the penalty is
    the tightest convex function below how many groups there are with an entry above 0.
    The largest entries of a group are equal: y is the
    [`softjax.solvers.SimplexProjection`][] of `w_i = min(z_i, top_g)`, with any
    regularizer, where the sum of what is cut off a group is `softness strength`.

    **Arguments:**

    - `z`, `softness`, `strength`, `where`: those of
        [`softjax.solvers.FusedSimplexProjection`][].
    - `groups`: the group of each entry, integers of shape `n`, from 0 to n - 1. Entries
        with others have no penalty.

    **Raises:** `ValueError` for shapes that do not fit, or a negative strength;
    `TypeError` for groups that are no integers.

    **Example:**

        >>> z, groups = jnp.array([0.9, 0.8, 0.7, 0.2]), jnp.array([0, 0, 1, 1])
        >>> problem = sj.solvers.GroupedSimplexProjection(z, 1.0, 0.5, groups)
        >>> print(sj.solvers.solve(problem, "c0").value)
        [0.45 0.45 0.05 0.05]

    ??? cite

        Zhao, Rocha and Yu, "The composite absolute penalties family for grouped and
        hierarchical variable selection", Annals of Statistics 37 (2009); Bach,
        "Structured sparsity-inducing norms through submodular functions", NIPS 2010.
    """

    strength: Float[Array, "*#batch 1"]
    groups: Int[Array, " n"]

    def __init__(
        self,
        z: Array,
        softness: Array | float,
        strength: Array | float,
        groups: Int[Array, " n"],
        where: Array | None = None,
    ):
        name = type(self).__name__
        self.z, self.softness, self.where = parse_scores(z, softness, where, name)
        self.strength = parse_strength(strength, self.z, name)
        self.groups = parse_ids(groups, self.z)

    @property
    def segments(self) -> Segments:
        return Segments(self.groups, self.z.shape[-1])

    @property
    def inside(self) -> Bool[Array, "*batch n"]:
        return self.mask & self.segments.inside & ~jnp.isneginf(self.z)

    def reduced(self) -> SimplexProjection:
        # What is cut off is so many times a projection onto the simplex.
        strength = self.softness * self.strength
        # A strength of 0 has the derivative of small ones, as what is next to no
        # softness has the shares that it has in the limit.
        least = float(jnp.finfo(strength.dtype).tiny) ** 0.5
        softness, count = jnp.maximum(strength, least), self.z.shape[-1]
        parts = self.groups, count, self.inside
        shares = SegmentedSimplexProjection(self.known, softness, *parts)
        cut = strength * nearest(shares)
        return SimplexProjection(self.known - cut, self.softness, self.where)

    def penalty(self, y: Float[Array, "*batch n"]) -> Float[Array, "*batch"]:
        largest = self.segments.max(jnp.where(self.inside, y, 0))
        # Groups without an entry have minus infinity.
        total = jnp.sum(largest, axis=-1, where=jnp.isfinite(largest))
        return self.strength[..., 0] * total
