from __future__ import annotations

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ..._kernels.sorting import largest
from ..simplex import SimplexProjection
from .reduced import ReducedProjection, parse_scores


class SparseSimplexProjection(ReducedProjection):
    """A projection onto the points of the simplex with at most k positive entries.

    `argmax <z, y> - softness R(y)` along the last axis: the
    [`softjax.solvers.SimplexProjection`][] of the k largest scores, with any
    regularizer; of equal ones, the first. So what can be in the solution is
    bounded in advance, also with the entropy. The set is not convex: where another
    entry enters, the solution jumps if the smallest of k had a positive one, and there
    is no derivative.

    **Arguments:**

    - `z`: `*batch n`.
    - `k`: an integer from 1 to n.
    - `softness`: positive, a scalar or an array that broadcasts against `*batch 1`.
    - `where`: optional mask `*batch n`; y is 0 outside of it.

    **Raises:** `ValueError` for a k out of range, or shapes that do not fit;
    `TypeError` if k is no integer.

    **Example:**

        >>> z = jnp.array([0.2, 1.0, 0.7, 0.9])
        >>> problem = sj.solvers.SparseSimplexProjection(z, 2, softness=0.5)
        >>> print(sj.solvers.solve(problem, "smooth").value)
        [0.   0.55 0.   0.45]

    ??? cite

        Kyrillidis, Becker, Cevher and Koch, "Sparse projections onto the simplex", ICML
        2013.
    """

    k: int = eqx.field(static=True)

    def __init__(
        self,
        z: Array,
        k: int,
        softness: Array | float,
        where: Array | None = None,
    ):
        name = type(self).__name__
        self.z, self.softness, self.where = parse_scores(z, softness, where, name)
        if isinstance(k, bool) or not isinstance(k, int | np.integer):
            raise TypeError(f"{name}: k must be an integer, got {k!r}.")
        if not 1 <= k <= self.z.shape[-1]:
            raise ValueError(
                f"{name}: k must be from 1 to {self.z.shape[-1]}, got {int(k)}."
            )
        self.k = int(k)

    def reduced(self) -> SimplexProjection:
        _, places = largest(jnp.where(self.mask, self.z, -jnp.inf), self.k)

        def mark(row):
            return jnp.zeros(self.z.shape[-1], bool).at[row].set(True)

        chosen = jnp.vectorize(mark, signature="(k)->(n)")(places)
        return SimplexProjection(self.known, self.softness, chosen & self.mask)

    def penalty(self, y: Float[Array, "*batch n"]) -> Float[Array, "*batch"]:
        return jnp.zeros(y.shape[:-1], y.dtype)
