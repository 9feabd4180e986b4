from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from .._core.problem import (
    JointExpectation,
    MaximizationProblem,
    Problem,
    ScalarDualProblem,
    as_mask,
    check_candidates,
    flatten_batch,
    per_row,
)
from .._core.regularizer import Regularizer
from .._kernels.numerics import (
    derivative,
    exact_einsum,
    inexact,
    safe_divide,
    tangent_of,
)
from .steep import settle, solution, tangent_of_solution, within_rounding


class SimplexProjection(ScalarDualProblem, MaximizationProblem, JointExpectation):
    """`argmax_{y in simplex} <z, y> - softness R(y)`, along the last axis.

    The solution is `y = phi(scores - theta)`, with `scores = (z - max z) / softness`
    and the dual theta, of shape `*batch`, such that `sum y = 1`. Derivatives of theta
    are those at a fixed shift `max z`, which y does not depend on.

    **Arguments:**

    - `z`: `*batch n`.
    - `softness`: positive, a scalar or an array that broadcasts against `*batch 1`.
    - `where`: optional mask `*batch n`; y is 0 outside of it.
    - `largest`: optional, `max z` inside the mask, `*batch 1`, where it is known.

    **Example:**

        >>> problem = sj.solvers.SimplexProjection(jnp.array([0.2, 1.0, 0.7]), 0.5)
        >>> print(sj.solvers.solve(problem, "c0").value)
        [0.  0.8 0.2]
    """

    z: Float[Array, "*batch n"]
    softness: Float[Array, "*#batch 1"]
    where: Bool[Array, "*#batch #n"] | None
    largest: Float[Array, "*#batch 1"] | None

    def __init__(
        self,
        z: Array,
        softness: Array | float,
        where: Array | None = None,
        largest: Array | None = None,
    ):
        self.z = inexact(z)
        check_candidates(self.z, "SimplexProjection")
        self.softness = per_row(softness, self.z, "softness")
        if where is not None:
            where = jnp.asarray(where)
            jnp.broadcast_to(where, self.z.shape)  # or raise
        self.where = where  # as small as it is
        self.largest = None if largest is None else per_row(largest, self.z, "largest")

    @property
    def mask(self) -> Bool[Array, "*batch n"]:
        return jnp.broadcast_to(as_mask(self.where, self.z), self.z.shape)

    @property
    def scores(self) -> Float[Array, "*batch n"]:
        """`(z - max z) / softness`, 0 where masked.

        y does not depend on the shift, which may thus count as a constant.
        """
        z, largest = self.z, self.largest
        if largest is None:
            z = z if self.where is None else jnp.where(self.where, z, -jnp.inf)
            largest = jax.lax.stop_gradient(z).max(axis=-1, keepdims=True)
        apart = z - jax.lax.stop_gradient(largest)
        # A compiler may compute z twice, and round it differently: above the largest,
        # the link of something large over the softness might overflow.
        apart = apart - jax.lax.stop_gradient(jnp.maximum(apart, 0))
        if self.where is not None:
            apart = jnp.where(self.where, apart, 0)
        return apart / self.softness

    def optimality(
        self, dual: Float[Array, "*batch"], regularizer: Regularizer
    ) -> Float[Array, "*batch"]:
        y = regularizer.link(self.scores - dual[..., None])
        return jnp.sum(y, axis=-1, where=self.where) - 1

    def _arguments(self, dual: Array, regularizer: Regularizer) -> Array:
        """What the link is applied to for numbers that y is in proportion to."""
        # Of exponentials, the dual only changes the sum, by which y is divided. So
        # nothing has to find it.
        if regularizer.rate() is not None:
            return self.scores
        return self.scores - dual[..., None]

    def equation(
        self, dual: Float[Array, "*batch"], regularizer: Regularizer
    ) -> tuple[Float[Array, "*batch"], Float[Array, "*batch"]]:
        if not regularizer.steep():
            return super().equation(dual, regularizer)

        def residual(dual):
            total = self.optimality(dual, regularizer) + 1
            return regularizer.contrast(total, jnp.ones_like(total))

        return derivative(residual, dual)

    def _unnormalized(self, dual: Array, regularizer: Regularizer) -> Array:
        y = regularizer.link(self._arguments(dual, regularizer))
        return y if self.where is None else jnp.where(self.where, y, 0)

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
            count = jnp.sum(self.mask, axis=-1).astype(scores.dtype)
        return threshold_bracket(regularizer, jnp.min(scores, axis=-1), count)

    def flat(self) -> "SimplexProjection":
        return flatten_batch(self, self.z.shape[:-1])

    def residual(self, dual: Array, regularizer: Regularizer) -> Float[Array, "*batch"]:
        alone = jnp.sum(self.mask, axis=-1) <= 1
        residual = jnp.abs(self.optimality(dual, regularizer))
        if regularizer.steep():
            alone |= within_rounding(self, dual, regularizer)
        return jnp.where(alone, 0, residual)

    def primal(
        self, dual: Float[Array, "*batch"], regularizer: Regularizer
    ) -> Float[Array, "*batch n"]:
        if self.z.shape[-1] == 1:
            return jnp.ones_like(self.z)
        if regularizer.steep():
            return solution(self, dual, regularizer)
        y = self._unnormalized(dual, regularizer)
        # Dividing by the sum removes the rounding left in the dual.
        return safe_divide(y, jnp.sum(y, axis=-1, keepdims=True))

    def settled(
        self, dual: Float[Array, "*batch"], regularizer: Regularizer
    ) -> Float[Array, "*batch n"]:
        """`primal` of a link that may be steep: see `steep.settle`."""
        t, y = self.scores - dual[..., None], self._unnormalized(dual, regularizer)
        missing = 1 - jnp.sum(y, axis=-1, keepdims=True)
        y = settle(y, t, missing, y > 0, self.mask, regularizer)
        return safe_divide(y, jnp.sum(y, axis=-1, keepdims=True))

    def settled_tangent(
        self,
        y: Float[Array, "*batch n"],
        regularizer: Regularizer,
        problem_move: "SimplexProjection",
        regularizer_move: Any,
    ) -> Float[Array, "*batch n"]:
        """How `settled` moves with the problem and the regularizer."""
        scores = tangent_of(lambda p: p.scores, (self,), (problem_move,))
        return tangent_of_solution(y, y > 0, regularizer, scores, regularizer_move, 0.0)

    def expectation(
        self,
        dual: Float[Array, "*batch"],
        regularizer: Regularizer,
        values: Float[Array, "*#batch n"],
    ) -> Float[Array, "*batch"]:
        if self.z.shape[-1] == 1:
            return jnp.broadcast_to(values, self.z.shape)[..., 0]
        if regularizer.steep():
            if self.where is not None:
                values = jnp.where(self.where, values, 0)
            return _sum_of_products(solution(self, dual, regularizer), values)
        y = regularizer.link(self._arguments(dual, regularizer))
        if self.where is None:
            total = jnp.sum(y, axis=-1)
        else:
            # What rows share is masked, rather than y.
            values = jnp.where(self.where, values, 0)
            mask = jnp.where(self.where, jnp.ones_like(values), 0)
            total = _sum_of_products(y, mask)
        return safe_divide(_sum_of_products(y, values), total)

    def solved_expectation(
        self,
        regularizer: Regularizer,
        values: Float[Array, "*#batch n"],
        find_dual: Callable[[Problem, Regularizer], Array],
    ) -> Float[Array, "*batch"]:
        if self.z.shape[-1] == 1 or regularizer.steep():
            return super().solved_expectation(regularizer, values, find_dual)
        if regularizer.rate() is not None:
            # It makes no difference: see `_arguments`.
            find_dual = _no_dual
        return self.joint_expectation(regularizer, values, find_dual)

    # The dual moves along. So the derivative is a sum of moves of the scores, each
    # times the slope of its entry and how far its value is from the mean under the
    # slopes: no more than one array of the size of the rows has to be kept.
    def expectation_and_tangent(
        self,
        dual: Float[Array, "*batch"],
        regularizer: Regularizer,
        values: Float[Array, "*#batch n"],
        problem_move: "SimplexProjection",
        regularizer_move: Any,
        values_move: Float[Array, "*#batch n"] | None,
    ) -> tuple[Float[Array, "*batch"], Float[Array, "*batch"]]:
        t = self._arguments(dual, regularizer)
        y, slope = derivative(regularizer.link, t)
        if self.where is not None:
            y, slope, values = (jnp.where(self.where, x, 0) for x in (y, slope, values))
        total = jnp.sum(y, axis=-1)
        mean = safe_divide(_sum_of_products(y, values), total)
        center = safe_divide(_sum_of_products(slope, values), jnp.sum(slope, axis=-1))
        apart = values - center[..., None]
        moves = slope * apart * tangent_of(lambda p: p.scores, (self,), (problem_move,))
        if jax.tree.leaves(regularizer_move):
            moves = moves + apart * tangent_of(
                lambda r: r.link(t), (regularizer,), (regularizer_move,)
            )
        move = jnp.sum(moves, axis=-1, where=self.where)
        if values_move is not None:
            if self.where is not None:
                values_move = jnp.where(self.where, values_move, 0)
            move = move + _sum_of_products(y, values_move)
        return mean, safe_divide(move, total)


def _no_dual(problem: Problem, regularizer: Regularizer) -> Float[Array, ""]:
    return jnp.zeros(())


@jax.custom_jvp
def _sum_of_products(
    y: Float[Array, "*batch n"], values: Float[Array, "*#batch n"]
) -> Float[Array, "*batch"]:
    # Where rows share their values, a matrix product.
    return exact_einsum("...n,...n->...", y, values)


@_sum_of_products.defjvp
def _sum_of_products_jvp(primals, tangents):
    (y, values), (y_dot, values_dot) = primals, tangents
    # What comes back to y is an outer product, which need not be one of matrices.
    out_dot = jnp.sum(y_dot * values, axis=-1) + _sum_of_products(y, values_dot)
    return _sum_of_products(y, values), out_dot


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
