from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from .._core.problem import MaximizationProblem, ScalarDualProblem
from .._core.readout import Means, Moves, Primal
from .._core.regularizer import Regularizer
from .._core.rows import as_mask, check_candidates, flatten_batch, per_row
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
        return self.masked(apart) / self.softness

    def masked(self, x: Float[Array, "*#batch n"]) -> Float[Array, "*#batch n"]:
        """`x`, 0 where masked."""
        return x if self.where is None else jnp.where(self.where, x, 0)

    def arguments(self, dual: Float[Array, "*batch"]) -> Float[Array, "*batch n"]:
        """Arguments of the link for numbers that y is in proportion to."""
        return self.scores - dual[..., None]

    def optimality(
        self, dual: Float[Array, "*batch"], regularizer: Regularizer
    ) -> Float[Array, "*batch"]:
        y = regularizer.link(self.scores - dual[..., None])
        return jnp.sum(y, axis=-1, where=self.where) - 1

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

    def flat(self) -> Simplex:
        return flatten_batch(self, self.z.shape[:-1])

    def default_solver(self, regularizer: Regularizer) -> str:
        # Beats the sorting of closed forms on a CPU, where there are any (measured by
        # `benchmarks/simplex_solvers.py`).
        return "newton"

    def closed_form(self, regularizer: Regularizer) -> Callable[[], Array] | None:
        dual = regularizer.simplex_dual()
        return None if dual is None else lambda: dual(self.scores, self.mask)

    def residual(self, dual: Array, regularizer: Regularizer) -> Float[Array, "*batch"]:
        return self.unless_alone(jnp.abs(self.optimality(dual, regularizer)))

    def unless_alone(self, residual: Float[Array, "*batch"]) -> Float[Array, "*batch"]:
        """0 for a single candidate, which is right with any dual."""
        return jnp.where(jnp.sum(self.mask, axis=-1) <= 1, 0, residual)

    def primal(
        self, dual: Float[Array, "*batch"], regularizer: Regularizer
    ) -> Float[Array, "*batch n"]:
        y = self.links(dual, regularizer)
        # Dividing by the sum removes the rounding left in the dual.
        return safe_divide(y, jnp.sum(y, axis=-1, keepdims=True))

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
        # The mask is applied to values, which rows share, rather than to y.
        values = self.masked(values)
        if self.where is None:
            total = jnp.sum(y, axis=-1)
        else:
            total = sum_of_products(y, self.masked(jnp.ones_like(values)))
        return safe_divide(sum_of_products(y, values), total)

    # The dual moves along. So the derivative is a sum of moves of the scores, each
    # times the slope of its entry and how far its value is from the mean under the
    # slopes: no more than one array of the size of the rows has to be kept.
    def means_and_tangent(
        self, solution: Solution, readout: Means, moves: Moves, linear_solver: None
    ) -> tuple[Float[Array, "*batch"], Float[Array, "*batch"]]:
        regularizer = solution.regularizer
        t, values = self.arguments(solution.dual), readout.values
        y, slope = derivative(regularizer.link, t)
        y, slope, values = (self.masked(x) for x in (y, slope, values))
        total = jnp.sum(y, axis=-1)
        mean = safe_divide(sum_of_products(y, values), total)
        center = safe_divide(sum_of_products(slope, values), jnp.sum(slope, axis=-1))
        apart = values - center[..., None]
        scores_move = tangent_of(lambda p: p.scores, (self,), (moves.problem,))
        terms = slope * apart * scores_move
        if jax.tree.leaves(moves.regularizer):
            terms = terms + apart * tangent_of(
                lambda r: r.link(t), (regularizer,), (moves.regularizer,)
            )
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

    fused: ClassVar = {Means: Simplex.means_and_tangent}

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

    def specialize(self, regularizer: Regularizer) -> Simplex:
        structure = regularizer.structure()
        if structure.rate is not None:
            form = _Softmax
        elif self.z.shape[-1] == 1:
            form = _Point
        elif structure.steep:
            form = _Steep
        else:
            return self
        return form(self.z, self.softness, self.where, self.largest)


class _Point(Simplex):
    """The simplex of a single candidate."""

    cancels: ClassVar = frozenset({Primal, Means})

    def primal(self, dual, regularizer):
        return jnp.ones_like(self.z)

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
        residual = self.unless_alone(jnp.abs(self.optimality(dual, regularizer)))
        return jnp.where(within_rounding(self, dual, regularizer), 0, residual)

    def primal(self, dual, regularizer):
        y = self.links(dual, regularizer)
        missing = 1 - jnp.sum(y, axis=-1, keepdims=True)
        t = self.arguments(dual)
        y = settle(y, t, missing, y > 0, self.mask, regularizer)
        return safe_divide(y, jnp.sum(y, axis=-1, keepdims=True))

    def means(self, dual, regularizer, values):
        return sum_of_products(self.primal(dual, regularizer), self.masked(values))

    def primal_and_tangent(self, solution, readout, moves, linear_solver):
        y = solution.value  # differentiated by this rule again
        scores = tangent_of(lambda p: p.scores, (self,), (moves.problem,))
        return y, tangent_of_solution(
            y, y > 0, solution.regularizer, scores, moves.regularizer, 0.0
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


def dual_of_sums(
    total: Float[Array, "*batch m"], regularizer: Regularizer
) -> Float[Array, "*batch m"]:
    """theta of an exponential link, from the sums of `exp(rate scores)`."""
    alone = regularizer.gradient(jnp.ones((), total.dtype))
    rate: Any = regularizer.structure().rate
    return jnp.log(total) / rate - alone
