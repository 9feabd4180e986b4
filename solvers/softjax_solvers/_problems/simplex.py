from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from .._core.problem import MaximizationProblem, ScalarDualProblem
from .._core.readout import Means, Moves, Primal
from .._core.regularizer import Regularizer
from .._core.rows import (
    as_mask,
    check_candidates,
    flatten_batch,
    parse_weights,
    per_row,
)
from .._core.solution import Solution
from .._kernels.arrays import exact_einsum, inexact, safe_divide
from .._kernels.derivatives import derivative, tangent_of
from .by_primal import means_and_tangent
from .steep import settle, tangent_of_solution, within_rounding


class Simplex(ScalarDualProblem, MaximizationProblem):
    """A projection onto the simplex, whose solution is the links over their sum."""

    z: Float[Array, "*batch n"]
    softness: Float[Array, "*#batch 1"]
    where: Bool[Array, "*#batch #n"] | None
    largest: Float[Array, "*#batch 1"] | None
    weights: Float[Array, "*#batch #n"] | None

    @property
    def mask(self) -> Bool[Array, "*batch n"]:
        """Candidates that count: those of positive weight."""
        mask = as_mask(self.where, self.z)
        mask = mask if self.weights is None else mask & (self.weights > 0)
        return jnp.broadcast_to(mask, self.z.shape)

    @property
    def scores(self) -> Float[Array, "*batch n"]:
        """`(z - max z) / softness`, 0 where masked.

        y does not depend on the shift, which may thus count as a constant.
        """
        z, largest = self.z, self.largest
        if largest is None:
            largest = self.largest_of(jax.lax.stop_gradient(z))
        apart = z - jax.lax.stop_gradient(largest)
        # A compiler may compute z twice, and round it differently: above the largest,
        # the link of something large over the softness might overflow.
        if self.weights is None:  # else see `_cut_off`
            apart = apart - jax.lax.stop_gradient(jnp.maximum(apart, 0))
        return self.masked(apart) / self.softness

    def largest_of(self, x: Float[Array, "*batch n"]) -> Float[Array, "*batch 1"]:
        """The largest of what counts."""
        if self.where is not None or self.weights is not None:
            x = jnp.where(self.mask, x, -jnp.inf)
        return x.max(axis=-1, keepdims=True)

    def masked(self, x: Float[Array, "*#batch n"]) -> Float[Array, "*#batch n"]:
        """`x`, 0 where masked."""
        return x if self.where is None else jnp.where(self.where, x, 0)

    def weighted(self, x: Float[Array, "*#batch n"]) -> Float[Array, "*#batch n"]:
        """`x` times the weights, 0 where masked."""
        return self.masked(x if self.weights is None else self.weights * x)

    @property
    def total(self) -> Float[Array, "*batch"]:
        """The sum of the weights."""
        return jnp.sum(self.weighted(jnp.ones_like(self.z)), axis=-1)

    def arguments(self, dual: Float[Array, "*batch"]) -> Float[Array, "*batch n"]:
        """Arguments of the link for numbers that y is in proportion to."""
        return self.scores - dual[..., None]

    def optimality(
        self, dual: Float[Array, "*batch"], regularizer: Regularizer
    ) -> Float[Array, "*batch"]:
        y = regularizer.link(self.scores - dual[..., None])
        y = y if self.weights is None else self.weights * y
        return jnp.sum(y, axis=-1, where=self.where) - 1

    def objective(
        self, y: Float[Array, "*batch n"], regularizer: Regularizer
    ) -> Float[Array, "*batch"]:
        if self.weights is None:
            terms = self.scores * y - regularizer.value(y)
        else:
            # From a shift that is that of all forms of the problem.
            largest = jax.lax.stop_gradient(self.largest_of(self.z))
            scores = (self.z - largest) / self.softness
            terms = self.weights * (scores * y - regularizer.value(y))
        return self.softness[..., 0] * jnp.sum(terms, axis=-1, where=self.mask)

    def bracket(
        self, regularizer: Regularizer
    ) -> tuple[Float[Array, "*batch"], Float[Array, "*batch"]]:
        scores = self.scores
        if self.weights is not None:
            here = jnp.where(self.mask, scores, jnp.inf)
            lowest = jnp.min(here, axis=-1)
            each = jnp.where(self.mask, self.weights, 0)
            return weighted_bracket(regularizer, here, lowest, each, self.total)
        if self.where is None:
            count = jnp.full(scores.shape[:-1], scores.shape[-1], scores.dtype)
        else:
            count = jnp.sum(self.mask, axis=-1).astype(scores.dtype)
        return threshold_bracket(regularizer, jnp.min(scores, axis=-1), count)

    def flat(self) -> Simplex:
        return flatten_batch(self, self.z.shape[:-1])

    def default_solver(self, regularizer: Regularizer) -> str:
        # Beats the sorting of closed forms on a CPU, where there are any (measured by
        # `benchmarks/simplex_solvers.py`).
        return "newton"

    def closed_form(self, regularizer: Regularizer) -> Callable[[], Array] | None:
        dual = regularizer.simplex_dual()
        if dual is None or self.weights is not None:
            return None
        return lambda: dual(self.scores, self.mask)

    def residual(self, dual: Array, regularizer: Regularizer) -> Float[Array, "*batch"]:
        residual = jnp.abs(self.optimality(dual, regularizer))
        return self.unless_decided(residual, regularizer)

    def unless_decided(
        self, residual: Float[Array, "*batch"], regularizer: Regularizer
    ) -> Float[Array, "*batch"]:
        """0 for a single candidate, or all in full, which are right with any dual."""
        decided = jnp.sum(self.mask, axis=-1) <= 1
        if self.weights is not None:
            decided = decided | all_in_full(regularizer, self.total)
        return jnp.where(decided, 0, residual)

    def primal(
        self, dual: Float[Array, "*batch"], regularizer: Regularizer
    ) -> Float[Array, "*batch n"]:
        y = self.links(dual, regularizer)
        # Dividing by the sum removes the rounding left in the dual.
        return safe_divide(y, jnp.sum(self.weighted(y), axis=-1, keepdims=True))

    def links(self, dual: Array, regularizer: Regularizer) -> Float[Array, "*batch n"]:
        """Numbers that y is in proportion to, 0 where masked."""
        return self.masked(regularizer.link(self.arguments(dual)))

    def means(
        self,
        dual: Float[Array, "*batch"],
        regularizer: Regularizer,
        values: Float[Array, "*#batch n"],
    ) -> Float[Array, "*batch"]:
        y = regularizer.link(self.arguments(dual))
        # Mask and weights are applied to values, which rows share, rather than to y.
        if self.where is None and self.weights is None:
            total = jnp.sum(y, axis=-1)
        else:
            total = sum_of_products(y, self.weighted(jnp.ones_like(values)))
        return safe_divide(sum_of_products(y, self.weighted(values)), total)

    # The dual moves along. So the derivative is a sum of moves of the scores, each
    # times the slope of its entry and how far its value is from the mean under the
    # slopes: no more than one array of the size of the rows has to be kept.
    def means_and_tangent(
        self, solution: Solution, readout: Means, moves: Moves, linear_solver: None
    ) -> tuple[Float[Array, "*batch"], Float[Array, "*batch"]]:
        regularizer = solution.regularizer
        t, values = self.arguments(solution.dual), readout.values
        copy, slope = derivative(regularizer.link, t)
        y, slope = self.weighted(copy), self.weighted(slope)
        values = self.masked(values)
        total, steepness = jnp.sum(y, axis=-1), jnp.sum(slope, axis=-1)
        mean = safe_divide(sum_of_products(y, values), total)
        center = safe_divide(sum_of_products(slope, values), steepness)
        if self.weights is not None:  # where no dual moves y, its sum does
            center = jnp.where(steepness == 0, mean, center)
        apart = values - center[..., None]
        scores_move = tangent_of(lambda p: p.scores, (self,), (moves.problem,))
        terms = slope * apart * scores_move
        if jax.tree.leaves(moves.regularizer):
            terms = terms + self.weighted(apart) * tangent_of(
                lambda r: r.link(t), (regularizer,), (moves.regularizer,)
            )
        if moves.problem.weights is not None:
            terms = terms + copy * apart * moves.problem.weights
        move = jnp.sum(terms, axis=-1, where=self.where)
        values_move = moves.readout.values
        if values_move is not None:
            move = move + sum_of_products(y, self.masked(values_move))
        return mean, safe_divide(move, total)


class SimplexProjection(Simplex):
    """`argmax_{y in simplex} <z, y> - softness R(y)`, along the last axis.

    The solution is `y = phi(scores - theta)`, with `scores = (z - max z) / softness`
    and the dual theta, of shape `*batch`, such that `sum y = 1`. Derivatives of theta
    are those at a fixed shift `max z`, which y does not depend on.

    With `weights` w, candidate j is w_j copies, and y_j that of one of them: sums are
    those of w y, `R(y) = sum_j w_j r(y_j)`, and the candidate has the share `w_j y_j`.

    **Arguments:**

    - `z`: `*batch n`.
    - `softness`: positive, a scalar or an array that broadcasts against `*batch 1`.
    - `where`: optional mask `*batch n`; y is 0 outside of it.
    - `largest`: optional, `max z` inside the mask, `*batch 1`, where it is known.
    - `weights`: optional, nonnegative, of a shape that broadcasts against `*batch n`.

    **Example:**

        >>> problem = sj.solvers.SimplexProjection(jnp.array([0.2, 1.0, 0.7]), 0.5)
        >>> print(sj.solvers.solve(problem, "c0").value)
        [0.  0.8 0.2]
    """

    fused: ClassVar = {Means: Simplex.means_and_tangent}

    def __init__(
        self,
        z: Array,
        softness: Array | float,
        where: Array | None = None,
        largest: Array | None = None,
        weights: Array | None = None,
    ):
        self.z = inexact(z)
        check_candidates(self.z, "SimplexProjection")
        self.softness = per_row(softness, self.z, "softness")
        if where is not None:
            where = jnp.asarray(where)
            jnp.broadcast_to(where, self.z.shape)  # or raise
        self.where = where  # as small as it is
        self.largest = None if largest is None else per_row(largest, self.z, "largest")
        self.weights = parse_weights(weights, self.z, where)

    def specialize(self, regularizer: Regularizer) -> Simplex:
        structure = regularizer.structure()
        if structure.rate is not None:
            form = _Softmax
        elif self.z.shape[-1] == 1:
            form = _Point
        elif structure.steep:
            form = _Steep
        elif self.weights is not None:
            form = _Weighted
        else:
            return self
        z, largest = self.z, self.largest
        if self.weights is not None:
            z, largest = _cut_off(self, regularizer)
        return form(z, self.softness, self.where, largest, self.weights)


_FAR = 80.0
"""How far above all that counts a score may be."""


def _cut_off(
    problem: SimplexProjection, regularizer: Regularizer
) -> tuple[Float[Array, "*batch n"], Float[Array, "*batch 1"]]:
    """Scores of candidates with weights, cut off far above the largest that counts.

    Only those of hardly any weight are so far above it, and their links might overflow.
    Returns the latter too.
    """
    z, softness = problem.z, problem.softness
    weights: Any = problem.weights
    known = jax.lax.stop_gradient(z)
    rate = regularizer.structure().rate
    if rate is not None:
        # The largest of `w exp(rate z / softness)`, however small a weight is, is 1.
        known = known + softness / rate * jnp.log(jnp.where(problem.mask, weights, 1))
        height = 0.95 * math.log(jnp.finfo(z.dtype).max) / rate
    else:
        height = jnp.asarray(_FAR, z.dtype)
        height = jnp.where(jnp.isfinite(regularizer.link(height)), height, 0)
    largest = problem.largest if rate is None else None
    if largest is None:
        largest = problem.largest_of(known)
    largest, height = jax.lax.stop_gradient((largest, height * softness))
    above = jax.lax.stop_gradient(jnp.maximum(z - (largest + height), 0))
    return z - above, largest


class _Weighted(Simplex):
    """A projection by any other link, of scores that are cut off."""

    fused: ClassVar = {Means: Simplex.means_and_tangent}


class _Point(Simplex):
    """The simplex of a single candidate."""

    cancels: ClassVar = frozenset({Primal, Means})

    def primal(self, dual, regularizer):
        ones = jnp.ones_like(self.z)
        return ones if self.weights is None else safe_divide(ones, self.weights)

    def means(self, dual, regularizer, values):
        return jnp.broadcast_to(values, self.z.shape)[..., 0]


class _Softmax(Simplex):
    """A projection by an exponential link.

    The dual only changes the sum of links, by which they are divided.
    """

    fused: ClassVar = {Means: Simplex.means_and_tangent}
    cancels: ClassVar = frozenset({Primal, Means})

    def arguments(self, dual):
        return self.scores

    def default_solver(self, regularizer):
        return "closed_form"

    def closed_form(self, regularizer):
        def dual():
            # The largest score is 0, so nothing over- or underflows.
            rate: Any = regularizer.structure().rate
            terms = jnp.exp(rate * self.scores)
            terms = terms if self.weights is None else self.weights * terms
            total = jnp.sum(terms, axis=-1, where=self.where)
            return dual_of_sums(total, regularizer)

        return dual


class _Steep(Simplex):
    """A projection by a link that may be infinitely steep: see `steep`."""

    def residual_and_slope(self, dual, regularizer):
        def residual(dual):
            total = self.optimality(dual, regularizer) + 1
            return regularizer.contrast(total, jnp.ones_like(total))

        return derivative(residual, dual)

    def residual(self, dual, regularizer):
        residual = jnp.abs(self.optimality(dual, regularizer))
        residual = self.unless_decided(residual, regularizer)
        return jnp.where(within_rounding(self, dual, regularizer), 0, residual)

    def primal(self, dual, regularizer):
        y = self.links(dual, regularizer)
        missing = 1 - jnp.sum(self.weighted(y), axis=-1, keepdims=True)
        t = self.arguments(dual)
        y = settle(y, t, missing, y > 0, self.mask, regularizer, self.weights)
        return safe_divide(y, jnp.sum(self.weighted(y), axis=-1, keepdims=True))

    def means(self, dual, regularizer, values):
        return sum_of_products(self.primal(dual, regularizer), self.weighted(values))

    def primal_and_tangent(self, solution, readout, moves, linear_solver):
        y = solution.value  # differentiated by this rule again
        scores = tangent_of(lambda p: p.scores, (self,), (moves.problem,))
        return y, tangent_of_solution(
            y,
            y > 0,
            solution.regularizer,
            scores,
            moves.regularizer,
            0.0,
            self.weights,
            moves.problem.weights,
        )

    fused: ClassVar = {Primal: primal_and_tangent, Means: means_and_tangent}


@jax.custom_jvp
def sum_of_products(
    y: Float[Array, "*batch n"], values: Float[Array, "*#batch n"]
) -> Float[Array, "*batch"]:
    # Where rows share their values, a matrix product.
    return exact_einsum("...n,...n->...", y, values)


@sum_of_products.defjvp
def sum_of_products_jvp(primals, tangents):
    (y, values), (y_dot, values_dot) = primals, tangents
    # What comes back to y is an outer product, which need not be one of matrices.
    out_dot = jnp.sum(y_dot * values, axis=-1) + sum_of_products(y, values_dot)
    return sum_of_products(y, values), out_dot


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


def weighted_bracket(
    regularizer: Regularizer,
    scores: Float[Array, "*batch n"],
    lowest: Float[Array, "*batch"],
    weights: Float[Array, "*#batch n"],
    total: Float[Array, "*batch"],
) -> tuple[Float[Array, "*batch"], Float[Array, "*batch"]]:
    """Bounds on theta in `sum_j w_j phi(scores_j - theta) = 1`, with the sum of w.

    Of candidates with positive weight, the largest score is 0; others have that of inf.
    """
    # No share is above 1, which a candidate might reach alone; and no copy below the
    # mean of all copies where it is largest.
    alone = scores - _inverse(regularizer, weights)
    able = jnp.isfinite(scores) & ~all_in_full(regularizer, weights)
    alone = jnp.where(able, alone, -jnp.inf)
    uniform = _inverse(regularizer, total)
    lower = jnp.maximum(jnp.max(alone, axis=-1), lowest - uniform)
    upper = jnp.maximum(-uniform, lower)
    # Far below all scores, where the link has levelled off.
    full = all_in_full(regularizer, total)
    far = jnp.asarray(-_BEYOND, lowest.dtype)
    return jnp.where(full, far, lower), jnp.where(full, far, upper)


_BEYOND = 2.0**40
"""An argument for which a bounded link has levelled off."""


def all_in_full(
    regularizer: Regularizer, total: Float[Array, "..."]
) -> Bool[Array, "..."]:
    """Whether a bounded link cannot reach more than the sum of 1."""
    top = regularizer.link(jnp.asarray(_BEYOND, total.dtype))
    return jax.lax.stop_gradient(total * top) <= 1


def _inverse(
    regularizer: Regularizer, weights: Float[Array, "..."]
) -> Float[Array, "..."]:
    """`r'(1 / w)`, the largest number where it is not finite."""
    weights = jax.lax.stop_gradient(weights)
    info = jnp.finfo(weights.dtype)
    out = regularizer.gradient(1 / jnp.maximum(weights, 2 / info.max))
    return jnp.where(jnp.isfinite(out), out, info.max / 4)


def dual_of_sums(
    total: Float[Array, "*batch m"], regularizer: Regularizer
) -> Float[Array, "*batch m"]:
    """theta of an exponential link, from the sums of `exp(rate scores)`."""
    alone = regularizer.gradient(jnp.ones((), total.dtype))
    rate: Any = regularizer.structure().rate
    return jnp.log(total) / rate - alone
