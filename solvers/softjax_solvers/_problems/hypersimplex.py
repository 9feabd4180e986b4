from __future__ import annotations

from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from .._core.groups import Groups, Rows
from .._core.readout import Means, Primal
from .._core.regularizer import Regularizer
from .._core.rows import (
    as_mask,
    check_candidates,
    of_rows,
    parse_weights,
    per_row,
    softness_per_row,
)
from .._kernels.arrays import inexact, safe_divide, safe_multiply
from .._kernels.derivatives import replace_value, tangent_of
from .by_primal import means_and_tangent
from .candidates import Candidates
from .shapes import check_fits
from .steep import settle, tangent_of_solution, within_rounding


class Hypersimplex(Candidates):
    """A projection onto the hypersimplex, with links that are clipped at 1."""

    z: Float[Array, "*batch n"]
    softness: Float[Array, "*#batch 1"]
    where: Bool[Array, "*batch n"] | None
    weights: Float[Array, "*#batch #n"] | None
    groups: Groups
    k: Float[Array, "*#batch m"]
    # The smallest z of the hard mask. Measured from it, what lies between 0 and 1 has
    # scores of order 1, without cancellation, however far away the largest z is.
    threshold: Float[Array, "*batch #n"]

    @property
    def mask(self) -> Bool[Array, "*batch n"]:
        return as_mask(self.where, self.z)

    def _sum(self, x: Array) -> Float[Array, "*#groups"]:
        """The sum over all copies of what is 0 where masked."""
        return self.groups.sum(x if self.weights is None else self.weights * x)

    @property
    def _count(self) -> Float[Array, "*#groups"]:
        """The number of copies of all candidates."""
        if self.weights is not None:
            weights = jnp.broadcast_to(self.weights, self.z.shape)
            return self.groups.sum(self.masked(weights))
        if self.where is None and self.groups.are_rows:
            return jnp.full((1,) * (self.z.ndim - 1), self.z.shape[-1], self.k.dtype)
        return self.groups.sum(self.mask).astype(self.k.dtype)

    @property
    def _some(self) -> Float[Array, "*#groups"]:
        """The number of copies, or 1 where there are none."""
        count = self._count
        return jnp.where(count > 0, count, 1)

    @property
    def _number(self) -> Float[Array, "*#groups"]:
        """k of each group."""
        return self.groups.of_parameter(self.k)

    @property
    def _decided(self) -> Bool[Array, "*#groups"]:
        """Whether there is only one y to choose from, and no dual."""
        return (self._number <= 0) | (self._number >= self._count)

    @property
    def _target(self) -> Float[Array, "*groups"]:
        # Where y is decided, any sum that has a dual will do.
        count = self._some
        target = jnp.where(self._decided, count / 2, self._number)
        batch = self.z.shape[:-1]
        groups = () if self.groups.are_rows else target.shape[-1:]
        return jnp.broadcast_to(target, (*batch, *groups))

    @property
    def apart(self) -> Float[Array, "*batch n"]:
        """`z - threshold`, 0 where masked."""
        return self.masked(self.z - self.threshold)

    def objective(
        self, y: Float[Array, "*batch n"], regularizer: Regularizer
    ) -> Float[Array, "*batch"]:
        terms = safe_multiply(self.apart, y) - self.softness * regularizer.value(y)
        return self.groups.sum(self.weighted(terms), self.mask)

    def _clipped(
        self, dual: Float[Array, "*batch"], regularizer: Regularizer
    ) -> Float[Array, "*batch n"]:
        """`min(phi(scores - theta), 1)`, 0 where masked."""
        t = self.scores - self.groups.spread(dual)
        top = jax.lax.stop_gradient(regularizer.gradient(jnp.ones((), t.dtype)))
        full = t > top
        # Far above, the link may overflow.
        y = jnp.where(full, 1, regularizer.link(jnp.where(full, top, t)))
        return y if self.where is None else jnp.where(self.where, y, 0)

    def _excess(
        self, y: Float[Array, "*batch n"]
    ) -> tuple[Float[Array, "*batch n"], Float[Array, "*groups"]]:
        """Distances of entries from the nearer of 0 and 1, and `sum y - k`.

        The entries near 1 are counted, which is exact, and only what they lack is
        summed: the rounding of a sum of thousands of them would drown the others.
        """
        high = y > 1 / 2
        rest = y - high
        missing = self._target - self._sum(high)
        return rest, self._sum(rest) - missing

    def optimality(
        self, dual: Float[Array, "*batch"], regularizer: Regularizer
    ) -> Float[Array, "*batch"]:
        rest, excess = self._excess(self._clipped(dual, regularizer))
        # Relative to what is summed and rounded, except where that vanishes.
        size = self._sum(jnp.abs(rest))
        scale = jax.lax.stop_gradient(jnp.maximum(size, jnp.minimum(self._target, 1)))
        return excess / scale

    def bracket(
        self, regularizer: Regularizer
    ) -> tuple[Float[Array, "*batch"], Float[Array, "*batch"]]:
        scores, target = self.scores, self._target
        count = self._some

        def number(those: Array) -> Array:
            return self._sum(those & self.mask).astype(target.dtype)

        # The score of the last entry of the hard mask is 0. With theta at its largest,
        # those above it are 1, and all the others are as large as it is. With theta at
        # its smallest, nothing is larger than it, and those below are 0; or, which is
        # the better bound if r'(1) is infinite, not even the next is smaller.
        above, upto = number(scores > 0), number(scores >= 0)
        below = self.mask & (scores < 0)
        if self.weights is not None:
            below &= self.weights > 0
        following = self.groups.max(jnp.where(below, scores, -jnp.inf))
        if self.weights is None:
            more, upto = upto + 1, jnp.maximum(upto, 1)
        else:
            more = upto + number(scores == self.groups.spread(following))
        levels = jnp.stack(
            [
                jnp.clip((target - above) / (count - above), 0, 1),
                jnp.minimum(target / upto, 1),
                jnp.minimum(target / more, 1),
                jnp.zeros_like(target),
            ]
        )
        upper, lower, other, edge = -regularizer.gradient(levels)
        lower = jnp.maximum(lower, following + other)
        # Below a gap that is wide enough, the mask is hard, and any theta from `edge`
        # to `lower` is optimal: one inside, away from kinks. The gap may overflow.
        edge = jnp.maximum(following + edge, lower - 2)
        hard = (upto == target) & (edge < lower)
        inside = edge + (lower - edge) / 2
        lower, upper = jnp.where(hard, inside, jnp.stack([lower, upper]))
        return lower, upper

    def one_row_each(self) -> Hypersimplex:
        groups: Any = self.groups
        where = groups.as_rows() & of_rows(self.mask)
        weights = None
        if self.weights is not None:
            weights = of_rows(jnp.broadcast_to(self.weights, self.z.shape))
        apart = (self.z - self.threshold)[..., None, :]
        z = jnp.broadcast_to(apart, (*self.z.shape[:-1], *where.shape[-2:]))
        parts = self.softness[..., None], where, weights, Rows(), self.k[..., None]
        return Hypersimplex(z, *parts, jnp.zeros(1, z.dtype))

    def residual(self, dual: Array, regularizer: Regularizer) -> Float[Array, "*batch"]:
        return self.unless_alone(jnp.abs(self.optimality(dual, regularizer)))

    def unless_alone(self, residual: Float[Array, "*batch"]) -> Float[Array, "*batch"]:
        """0 where there are no candidates."""
        return jnp.where(self._count == 0, 0, residual)

    def decide(self, y: Float[Array, "*batch n"]) -> Float[Array, "*batch n"]:
        """y where there is one to choose."""
        decided, some = map(self.groups.spread, (self._decided, self._number > 0))
        return jnp.where(decided, self.mask & some, y)

    def primal(
        self, dual: Float[Array, "*batch"], regularizer: Regularizer
    ) -> Float[Array, "*batch n"]:
        y = self._clipped(dual, regularizer)
        # The rounding left in the dual is taken from all in proportion to what
        # separates them from 0 or 1, which they thus do not cross.
        rest, excess = self._excess(y)
        size = jnp.abs(rest)
        share = self.groups.spread(safe_divide(excess, self._sum(size)))
        rounded = jnp.minimum(y - jnp.clip(share, -1, 1) * size, 1)
        return self.decide(replace_value(y, rounded))

    def means(
        self,
        dual: Float[Array, "*batch"],
        regularizer: Regularizer,
        values: Float[Array, "*#batch n"],
    ) -> Float[Array, "*batch"]:
        y = self.primal(dual, regularizer)
        return self.groups.sum(y * self.weighted(values))


class HypersimplexProjection(Hypersimplex):
    """`argmax_y <z, y> - softness R(y)` over `0 <= y <= 1` with `sum y = k`.

    The vertices are the masks of k entries. The solution is
    `y = min(phi(scores - theta), 1)`, with `scores = (z - threshold) / softness` and
    the dual theta, of shape `*batch`, such that `sum y = k`. Derivatives of theta are
    those at a fixed `threshold`, which y does not depend on. Where an entry reaches 1,
    they jump, unless the link levels off there; where all entries are 0 or 1, they are
    0, in k too. An entry that alone is between them takes all of a change of k.

    With k = 1 it is the projection onto the simplex. With `weights` w, candidate j is
    w_j copies, and y_j that of one of them: sums are those of w y.

    **Arguments:**

    - `z`: `*batch n`.
    - `k`: from 0 to the number of candidates, a scalar or an array that broadcasts
        against `*batch 1`. It need not be an integer. Beyond these bounds, y is that of
        the nearest of them.
    - `softness`: positive, a scalar or an array that broadcasts against `*batch 1`.
    - `where`: optional mask `*batch n`; y is 0 outside of it.
    - `weights`: optional, nonnegative, of a shape that broadcasts against `*batch n`.
        Their sum is the largest k.

    **Example:**

        >>> z = jnp.array([0.2, 1.0, 0.7])
        >>> problem = sj.solvers.HypersimplexProjection(z, 2, 1.0)
        >>> print(sj.solvers.solve(problem, "c0").value)
        [0.25 1.   0.75]

    ??? cite

        Martins and Kreutzer, "Learning what's easy: fully differentiable neural
        easy-first taggers", EMNLP 2017, for the entropy; Sander, Puigcerver, Djolonga,
        Peyré and Blondel, "Fast, differentiable and sparse top-k: a convex analysis
        perspective", ICML 2023, for p-norms.
    """

    def __init__(
        self,
        z: Array,
        k: Array | float,
        softness: Array | float,
        where: Array | None = None,
        weights: Array | None = None,
    ):
        self.z = inexact(z)
        check_candidates(self.z, "HypersimplexProjection")
        self.k = per_row(k, self.z, "k")
        self.softness = softness_per_row(softness, self.z)
        if where is not None:
            where = jnp.asarray(where)
            check_fits("HypersimplexProjection", "where", where, "z", self.z)
            where = jnp.broadcast_to(where, self.z.shape)
        self.where = where
        self.weights = parse_weights(weights, self.z, where)
        self.groups = Rows()
        self.threshold = threshold_of(self)

    def specialize(self, regularizer: Regularizer) -> Hypersimplex:
        return specialized(self, regularizer)


def threshold_of(problem: Hypersimplex) -> Float[Array, "*batch #n"]:
    """The smallest z of the hard mask, from all else that a problem has."""
    z, weights = problem.z.astype(problem.k.dtype), problem.weights
    candidates = jnp.where(problem.mask, z, -jnp.inf)
    if weights is not None:
        weights = jnp.broadcast_to(weights, candidates.shape)
    return problem.groups.kth_largest(candidates, weights, problem._target)


def specialized(problem: Hypersimplex, regularizer: Regularizer) -> Hypersimplex:
    if not regularizer.structure().steep:
        return problem
    parts = problem.softness, problem.where, problem.weights, problem.groups
    return _Steep(problem.z, *parts, problem.k, problem.threshold)


class _Steep(Hypersimplex):
    """A projection by a link that may be infinitely steep: see `steep`."""

    def residual(self, dual, regularizer):
        residual = self.unless_alone(jnp.abs(self.optimality(dual, regularizer)))
        return jnp.where(within_rounding(self, dual, regularizer), 0, residual)

    def primal(self, dual, regularizer):
        t = self.scores - self.groups.spread(dual)
        y = self._clipped(dual, regularizer)
        _, excess = self._excess(y)
        free = (y > 0) & (y < 1)
        counted = self.weights, self.groups
        y = settle(y, t, -excess, free, self.mask, regularizer, *counted)
        return self.decide(jnp.minimum(y, 1))

    def primal_and_tangent(self, solution, readout, moves, linear_solver):
        y = solution.value  # differentiated by this rule again
        scores, target = tangent_of(
            lambda p: (p.scores, p._target), (self,), (moves.problem,)
        )
        free = (y > 0) & (y < 1)
        weights = self.weights, moves.problem.weights, self.groups
        move = tangent_of_solution(
            y, free, solution.regularizer, scores, moves.regularizer, target, *weights
        )
        return y, jnp.where(self.groups.spread(self._decided), 0, move)

    fused: ClassVar = {Primal: primal_and_tangent, Means: means_and_tangent}
