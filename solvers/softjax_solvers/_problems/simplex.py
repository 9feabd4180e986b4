from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, PyTree

from .._core.groups import Groups, Rows
from .._core.problem import MaximizationProblem
from .._core.readout import LogPrimal, Means, Moves, Primal
from .._core.regularizer import Regularizer
from .._core.rows import (
    as_mask,
    check_candidates,
    of_rows,
    parse_weights,
    per_row,
    softness_per_row,
)
from .._core.solution import Solution
from .._kernels.arrays import inexact, safe_divide, safe_multiply
from .._kernels.derivatives import derivative, tangent_of
from .by_primal import means_and_tangent
from .candidates import Candidates
from .shapes import check_fits
from .steep import settle, tangent_of_solution, within_rounding
from .thresholds import (
    all_in_full,
    cut_off,
    dual_of_sums,
    threshold_bracket,
    weighted_bracket,
)

_FAR = 1e15  # distance, in units of softness, at which exponential links are 0


class Simplex(Candidates):
    """A projection onto the simplex, whose solution is the links over their sum."""

    z: Float[Array, "*batch n"]
    softness: Float[Array, "*#batch 1"]
    where: Bool[Array, "*#batch #n"] | None
    weights: Float[Array, "*#batch #n"] | None
    groups: Groups
    largest: Float[Array, "*#batch #n"] | None

    @property
    def mask(self) -> Bool[Array, "*batch n"]:
        """Candidates that count: those of positive weight."""
        mask = as_mask(self.where, self.z)
        mask = mask if self.weights is None else mask & (self.weights > 0)
        return jnp.broadcast_to(mask, self.z.shape)

    @property
    def apart(self) -> Float[Array, "*batch n"]:
        """`z - max z`, 0 where masked.

        y does not depend on the shift, which may thus count as a constant.
        """
        if self.largest is not None:
            return self.masked(self.z - jax.lax.stop_gradient(self.largest))
        apart = self.z - self.largest_of(jax.lax.stop_gradient(self.z))
        # A compiler may compute z twice, and round it differently: above the largest,
        # the link of something large over the softness might overflow.
        if self.weights is None:  # else see `cut_off`
            apart = apart - jax.lax.stop_gradient(jnp.maximum(apart, 0))
        return self.masked(apart)

    def largest_of(self, x: Float[Array, "*batch n"]) -> Float[Array, "*batch #n"]:
        """The largest of what counts in the group of each candidate."""
        if self.where is not None or self.weights is not None:
            x = jnp.where(self.mask, x, -jnp.inf)
        return self.groups.spread(self.groups.max(x))

    @property
    def total(self) -> Float[Array, "*batch"]:
        """The sum of the weights."""
        return self.groups.sum(self.weighted(jnp.ones_like(self.z)))

    def arguments(self, dual: Float[Array, "*batch"]) -> Float[Array, "*batch n"]:
        """Arguments of the link for numbers that y is in proportion to."""
        return self.scores - self.groups.spread(dual)

    def optimality(
        self, dual: Float[Array, "*batch"], regularizer: Regularizer
    ) -> Float[Array, "*batch"]:
        y = regularizer.link(self.scores - self.groups.spread(dual))
        y = y if self.weights is None else self.weights * y
        return self.groups.sum(y, self.where) - 1

    def objective(
        self, y: Float[Array, "*batch n"], regularizer: Regularizer
    ) -> Float[Array, "*batch"]:
        apart = self.apart
        if self.weights is not None:
            # From a shift that is that of all forms of the problem.
            apart = self.z - jax.lax.stop_gradient(self.largest_of(self.z))
        terms = safe_multiply(apart, y) - self.softness * regularizer.value(y)
        terms = terms if self.weights is None else self.weights * terms
        return self.groups.sum(terms, self.mask)

    def bracket(
        self, regularizer: Regularizer
    ) -> tuple[Float[Array, "*batch"], Float[Array, "*batch"]]:
        scores = self.scores
        if self.weights is not None:
            here = jnp.where(self.mask, scores, jnp.inf)
            each = jnp.where(self.mask, self.weights, 0)
            parts = here, self.groups.min(here), each, self.total, self.groups
            return weighted_bracket(regularizer, *parts)
        if self.where is None and self.groups.are_rows:
            count = jnp.full(scores.shape[:-1], scores.shape[-1], scores.dtype)
        else:
            count = self.groups.sum(self.mask).astype(scores.dtype)
        return threshold_bracket(regularizer, self.groups.min(scores), count)

    def one_row_each(self) -> Simplex:
        groups: Any = self.groups
        z, largest, weights = self.z, self.largest, None
        if largest is not None:
            z, largest = z - largest, jnp.zeros(1, z.dtype)
        if self.weights is not None:
            weights = of_rows(jnp.broadcast_to(self.weights, z.shape))
        where = groups.as_rows() & of_rows(self.mask)
        shape = (*z.shape[:-1], *where.shape[-2:])
        z = jnp.broadcast_to(z[..., None, :], shape)
        return Simplex(z, self.softness[..., None], where, weights, Rows(), largest)

    def default_solver(self, regularizer: Regularizer) -> str:
        # Beats closed forms, which sort, on a CPU (`benchmarks/simplex_solvers.py`).
        return "newton"

    def closed_form(self, regularizer: Regularizer) -> Callable[[], Array] | None:
        dual = regularizer.simplex_dual()
        if dual is None or self.weights is not None or not self.groups.are_rows:
            return None
        return lambda: dual(self.scores, self.mask)

    def residual(self, dual: Array, regularizer: Regularizer) -> Float[Array, "*batch"]:
        residual = jnp.abs(self.optimality(dual, regularizer))
        return self.unless_decided(residual, regularizer)

    def unless_decided(
        self, residual: Float[Array, "*batch"], regularizer: Regularizer
    ) -> Float[Array, "*batch"]:
        """0 for a single candidate, or all in full, which are right with any dual."""
        decided = self.groups.sum(self.mask) <= 1
        if self.weights is not None:
            decided = decided | all_in_full(regularizer, self.total)
        return jnp.where(decided, 0, residual)

    def primal(
        self, dual: Float[Array, "*batch"], regularizer: Regularizer
    ) -> Float[Array, "*batch n"]:
        # Dividing by the sum removes the rounding left in the dual.
        return self.over_sum(self.links(dual, regularizer), regularizer)

    def over_sum(self, y: Array, regularizer: Regularizer) -> Float[Array, "*batch n"]:
        """y, which is 0 where masked, over the sum of its group."""
        total = self.groups.sum(y if self.weights is None else self.counted(y))
        # A product, as one quotient a group is all that it takes.
        return self.groups.scale(y, self.over(total, regularizer))

    def over(self, total: Array, regularizer: Regularizer, x: Array | float = 1.0):
        """x over sums of links, and 0 where those are 0: of no candidate."""
        return safe_divide(x, total)

    def log_primal(self, dual: PyTree[Array], regularizer: Regularizer) -> Array:
        logs = regularizer.log_link(self.arguments(dual))
        total = self.groups.sum(self.counted(self.links(dual, regularizer)))
        logs = logs - self.groups.spread(jnp.log(jnp.where(total > 0, total, 1)))
        return jnp.where(as_mask(self.where, logs), logs, -jnp.inf)

    def links(self, dual: Array, regularizer: Regularizer) -> Float[Array, "*batch n"]:
        """Numbers that y is in proportion to, 0 where masked."""
        return self.masked(regularizer.link(self.arguments(dual)))

    def counted(self, links: Float[Array, "*batch n"]) -> Float[Array, "*batch n"]:
        """Links of `arguments`, or their slopes, times the weights; 0 where masked."""
        return self.weighted(links)

    def means(
        self,
        dual: Float[Array, "*batch"],
        regularizer: Regularizer,
        values: Float[Array, "*#batch n"],
    ) -> Float[Array, "*batch"]:
        y = regularizer.link(self.arguments(dual))
        groups = self.groups
        plain = self.where is None and self.weights is None
        if plain or values.shape == y.shape:
            y, values = self.counted(y), self.masked(values)
            total = groups.sum(y)
        else:
            # Mask and weights are applied to values, which rows share, and not to y.
            total = groups.dot(y, self.weighted(jnp.ones_like(values)))
            values = self.weighted(values)
        return self.over(total, regularizer, groups.dot(y, values))

    # The dual moves along. So the derivative is a sum of moves of the scores, each
    # times the slope of its entry and how far its value is from the mean under the
    # slopes: no more than one array of the size of the rows has to be kept.
    def means_and_tangent(
        self, solution: Solution, readout: Means, moves: Moves, linear_solver: None
    ) -> tuple[Float[Array, "*batch"], Float[Array, "*batch"]]:
        regularizer, groups = solution.regularizer, self.groups
        t, values = self.arguments(solution.dual), readout.values
        copy, slope = derivative(regularizer.link, t)
        y, slope = self.counted(copy), self.counted(slope)
        values = self.masked(values)
        total, steepness = groups.sum(y), groups.sum(slope)
        mean = safe_divide(groups.dot(y, values), total)
        center = safe_divide(groups.dot(slope, values), steepness)
        if self.weights is not None:  # where no dual moves y, its sum does
            center = jnp.where(steepness == 0, mean, center)
        apart = values - groups.spread(center)
        scores_move = tangent_of(lambda p: p.scores, (self,), (moves.problem,))
        terms = slope * apart * scores_move
        if jax.tree.leaves(moves.regularizer):
            terms = terms + self.weighted(apart) * tangent_of(
                lambda r: r.link(t), (regularizer,), (moves.regularizer,)
            )
        if moves.problem.weights is not None:
            terms = terms + copy * apart * moves.problem.weights
        move = groups.sum(terms, self.where)
        values_move = moves.readout.values
        if values_move is not None:
            move = move + groups.dot(y, self.masked(values_move))
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
        self.softness = softness_per_row(softness, self.z)
        if where is not None:
            where = jnp.asarray(where)
            check_fits("SimplexProjection", "where", where, "z", self.z)
        self.where = where  # as small as it is
        self.largest = None if largest is None else per_row(largest, self.z, "largest")
        self.weights = parse_weights(weights, self.z, where)
        self.groups = Rows()

    def specialize(self, regularizer: Regularizer) -> Simplex:
        return specialized(self, regularizer)


def specialized(problem: Simplex, regularizer: Regularizer) -> Simplex:
    structure = regularizer.structure()
    if structure.rate is not None:
        form = _Softmax
    elif problem.z.shape[-1] == 1 and problem.groups.are_rows:
        form = _Point
    elif structure.steep:
        form = _Steep
    elif problem.weights is not None:
        form = _Weighted
    else:
        return problem
    z, largest = problem.z, problem.largest
    if problem.weights is not None:
        z, largest = cut_off(problem, regularizer)
    parts = problem.softness, problem.where, problem.weights, problem.groups
    return form(z, *parts, largest)


class _Weighted(Simplex):
    """A projection by any other link, of scores that are cut off."""

    fused: ClassVar = {Means: Simplex.means_and_tangent}


class _Point(Simplex):
    """The simplex of a single candidate."""

    cancels: ClassVar = frozenset({Primal, LogPrimal, Means})

    def primal(self, dual, regularizer):
        ones = jnp.ones_like(self.z)
        return ones if self.weights is None else safe_divide(ones, self.weights)

    log_primal = MaximizationProblem.log_primal

    def means(self, dual, regularizer, values):
        return jnp.broadcast_to(values, self.z.shape)[..., 0]


class _Softmax(Simplex):
    """A projection by an exponential link.

    The dual only changes the sum of links, by which they are divided.
    """

    fused: ClassVar = {Means: Simplex.means_and_tangent}
    cancels: ClassVar = frozenset({Primal, LogPrimal, Means})

    def arguments(self, dual):
        # So far below that links and slopes are 0, and need no mask of their own.
        scores = self.scores
        return scores if self.where is None else jnp.where(self.where, scores, -_FAR)

    def counted(self, links):
        return links if self.weights is None else self.weights * links

    def default_solver(self, regularizer):
        return "closed_form"

    def over(self, total, regularizer, x=1.0):
        if self.weights is not None:
            return safe_divide(x, total)
        # The largest score, if there is any, is 0. Without a comparison with 0, XLA
        # computes the sum in the kernel of the quotient.
        least = jax.lax.stop_gradient(regularizer.link(jnp.zeros((), total.dtype)))
        return x / jnp.maximum(total, jnp.maximum(least / 2, jnp.finfo(total).tiny))

    def closed_form(self, regularizer):
        def dual():
            # The largest score is 0, so nothing over- or underflows.
            rate: Any = regularizer.structure().rate
            terms = jnp.exp(rate * self.scores)
            terms = terms if self.weights is None else self.weights * terms
            total = self.groups.sum(terms, self.where)
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
        residual = Simplex.residual(self, dual, regularizer)
        return jnp.where(within_rounding(self, dual, regularizer), 0, residual)

    def primal(self, dual, regularizer):
        y = self.links(dual, regularizer)
        missing = 1 - self.groups.sum(self.weighted(y))
        t, counted = self.arguments(dual), (self.weights, self.groups)
        y = settle(y, t, missing, y > 0, self.mask, regularizer, *counted)
        return self.over_sum(y, regularizer)

    log_primal = MaximizationProblem.log_primal

    def means(self, dual, regularizer, values):
        y = self.primal(dual, regularizer)
        return self.groups.dot(y, self.weighted(values))

    def primal_and_tangent(self, solution, readout, moves, linear_solver):
        y = solution.value  # differentiated by this rule again
        scores = tangent_of(lambda p: p.scores, (self,), (moves.problem,))
        move = solution.regularizer, scores, moves.regularizer, None
        weights = self.weights, moves.problem.weights
        return y, tangent_of_solution(y, y > 0, *move, *weights, self.groups)

    fused: ClassVar = {Primal: primal_and_tangent, Means: means_and_tangent}
