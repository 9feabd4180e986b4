from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ..._kernels.arrays import pad_last
from ..._kernels.derivatives import distance
from ..._kernels.sorting import permute
from ..._kernels.total_variation import prox_total_variation
from ..simplex import SimplexProjection
from .reduced import ReducedProjection, lowered, parse_scores, parse_strength


class FusedSimplexProjection(ReducedProjection):
    """A projection onto the simplex in which neighbours are alike (fusedmax).

    `argmax_{y in simplex} <z, y> - softness (R(y) + strength sum_i |y_i - y_(i-1)|)`,
    along the last axis. The solution is constant on blocks of neighbours: that of
    [`softjax.solvers.SimplexProjection`][] of the scores `w = argmin |w - z|^2 / 2 +
    softness strength sum |w_i - w_(i-1)|`, with any regularizer. These are found by
    divide and conquer, exactly up to rounding.

    **Arguments:**

    - `z`: `*batch n`. One of -inf is the limit of low ones, which separate neighbours;
        in [`softjax.argmax`][], such an element is absent, as one that is masked.
    - `softness`: positive, a scalar or an array that broadcasts against `*batch 1`.
    - `strength`: nonnegative, of such a shape too.
    - `where`: optional mask `*batch n`; y is 0 outside of it, and what it leaves out
        separates no neighbours.

    **Raises:** `ValueError` for shapes that do not fit, or a negative strength.

    **Example:**

        >>> z = jnp.array([0.2, 1.0, 0.9, 0.1])
        >>> problem = sj.solvers.FusedSimplexProjection(z, 1.0, strength=0.1)
        >>> print(sj.solvers.solve(problem, "c0").value)
        [0.  0.5 0.5 0. ]
        >>> print(sj.solvers.solve(problem, "smooth").value)
        [0.186 0.323 0.323 0.168]

    ??? cite

        Niculae and Blondel, "A regularized framework for sparse and structured neural
        attention", NeurIPS 2017.
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
        strength = self.softness * self.strength
        known, none = lowered(self.known, 8 * strength)  # a score moves by up to 2
        scores = prox_total_variation(known, strength, self.mask)
        scores = jnp.where(none, -jnp.inf, scores)
        return SimplexProjection(scores, self.softness, self.where)

    def penalty(self, y: Float[Array, "*batch n"]) -> Float[Array, "*batch"]:
        place = jnp.where(self.mask, jnp.arange(y.shape[-1]), -1)
        last = pad_last(jax.lax.cummax(place, axis=place.ndim - 1), 1, -1, -1)
        pairs = self.mask & (last >= 0)
        steps = distance(y, permute(y, jnp.maximum(last, 0)))
        return self.strength[..., 0] * jnp.sum(steps, axis=-1, where=pairs)
