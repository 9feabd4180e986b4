from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from .._numerics import inexact, safe_divide
from .._problem import (
    MaximizationProblem,
    ScalarDualProblem,
    as_mask,
    check_candidates,
    flatten_batch,
    per_row,
)
from .._regularizer import Regularizer


class SimplexProjection(ScalarDualProblem, MaximizationProblem):
    """`argmax_{y in simplex} <z, y> - softness R(y)`, along the last axis.

    The solution is `y = phi(scores - theta)`, with `scores = (z - max z) / softness`
    and the dual theta, of shape `*batch`, such that `sum y = 1`. Derivatives of theta
    are those at a fixed shift `max z`, which y does not depend on.

    **Arguments:**

    - `z`: `*batch n`.
    - `softness`: positive, a scalar or an array that broadcasts against `*batch 1`.
    - `where`: optional mask `*batch n`; y is 0 outside of it.

    **Example:**

        >>> problem = sj.solvers.SimplexProjection(jnp.array([0.2, 1.0, 0.7]), 0.5)
        >>> print(sj.solvers.solve(problem, "c0").value)
        [0.  0.8 0.2]
    """

    z: Float[Array, "*batch n"]
    softness: Float[Array, "*#batch 1"]
    where: Bool[Array, "*batch n"] | None

    def __init__(self, z: Array, softness: Array | float, where: Array | None = None):
        self.z = inexact(z)
        check_candidates(self.z, "SimplexProjection")
        self.softness = per_row(softness, self.z, "softness")
        if where is not None:
            where = jnp.broadcast_to(where, self.z.shape)
        self.where = where

    @property
    def mask(self) -> Bool[Array, "*batch n"]:
        return as_mask(self.where, self.z)

    @property
    def scores(self) -> Float[Array, "*batch n"]:
        """`(z - max z) / softness`, 0 where masked.

        y does not depend on the shift, which may thus count as a constant.
        """
        z = self.z
        if self.where is None:
            return (z - jax.lax.stop_gradient(z).max(-1, keepdims=True)) / self.softness
        top = jnp.max(
            jax.lax.stop_gradient(z),
            axis=-1,
            keepdims=True,
            initial=-jnp.inf,
            where=self.where,
        )
        return jnp.where(self.where, z - top, 0) / self.softness

    def _unnormalized(self, dual: Array, regularizer: Regularizer) -> Array:
        y = regularizer.link(self.scores - dual[..., None])
        return y if self.where is None else jnp.where(self.where, y, 0)

    def optimality(
        self, dual: Float[Array, "*batch"], regularizer: Regularizer
    ) -> Float[Array, "*batch"]:
        return jnp.sum(self._unnormalized(dual, regularizer), axis=-1) - 1

    def objective(
        self, y: Float[Array, "*batch n"], regularizer: Regularizer
    ) -> Float[Array, "*batch"]:
        terms = self.scores * y - regularizer.value(y)
        return self.softness[..., 0] * jnp.sum(terms, axis=-1, where=self.mask)

    def bracket(
        self, regularizer: Regularizer
    ) -> tuple[Float[Array, "*batch"], Float[Array, "*batch"]]:
        scores = self.scores
        if self.where is None:
            count = jnp.full(scores.shape[:-1], scores.shape[-1], scores.dtype)
        else:
            count = jnp.sum(self.where, axis=-1).astype(scores.dtype)
        return threshold_bracket(regularizer, jnp.min(scores, axis=-1), count)

    def flat(self) -> "SimplexProjection":
        return flatten_batch(self, self.z.shape[:-1])

    def residual(self, dual: Array, regularizer: Regularizer) -> Float[Array, "*batch"]:
        alone = jnp.sum(self.mask, axis=-1) <= 1
        residual = jnp.abs(self.optimality(dual, regularizer))
        return jnp.where(alone, 0, residual)

    def primal(
        self, dual: Float[Array, "*batch"], regularizer: Regularizer
    ) -> Float[Array, "*batch n"]:
        if self.z.shape[-1] == 1:
            return jnp.ones_like(self.z)
        y = self._unnormalized(dual, regularizer)
        # Dividing by the sum removes the rounding left in the dual.
        return safe_divide(y, jnp.sum(y, axis=-1, keepdims=True))

    def expectation(
        self,
        dual: Float[Array, "*batch"],
        regularizer: Regularizer,
        values: Float[Array, "*#batch n"],
    ) -> Float[Array, "*batch"]:
        if self.z.shape[-1] == 1:
            return jnp.broadcast_to(values, self.z.shape)[..., 0]
        y = self._unnormalized(dual, regularizer)
        if self.where is not None:
            values = jnp.where(self.where, values, 0)
        return safe_divide(jnp.sum(y * values, axis=-1), jnp.sum(y, axis=-1))


def threshold_bracket(
    regularizer: Regularizer, lowest: Float[Array, "..."], count: Float[Array, "..."]
) -> tuple[Float[Array, "..."], Float[Array, "..."]]:
    """Bounds on theta in `sum_i phi(scores_i - theta) = 1`.

    For so many scores, the largest of which is 0.
    """
    # The largest y lies between 1/n and 1, and the smallest is at most 1/n.
    one = jnp.ones((), lowest.dtype)
    uniform = regularizer.gradient(one / jnp.maximum(count, 1))
    lower = jnp.maximum(-regularizer.gradient(one), lowest - uniform)
    upper = -uniform
    # A single candidate has y = 1 at any dual, also where r'(1) is infinite.
    alone = (count <= 1) & ~jnp.isfinite(upper)
    anywhere = -regularizer.gradient(one / 2)
    return jnp.where(alone, anywhere, lower), jnp.where(alone, anywhere, upper)
