from __future__ import annotations

from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, PyTree

from ..._core.problem import MaximizationProblem
from ..._core.readout import Dual, Moves
from ..._core.regularizer import Regularizer
from ..._core.solution import Solution
from ..._kernels.arrays import (
    eps,
    exact_einsum,
    inexact,
    safe_divide,
    working_type,
)
from ..._kernels.derivatives import tangent_of
from ..simplex import SimplexProjection
from .reduced import parse_scores


class Pulled(NamedTuple):
    """The dual of a projection in a metric.

    **Attributes:**

    - `pull`: M y, `*batch n`.
    - `threshold`: the dual of the projection of what M y leaves, `*batch`.

    **Example:**

        >>> z = jnp.array([1.0, 0.9, 0.7])
        >>> problem = sj.solvers.MetricSimplexProjection(z, 0.5, jnp.eye(3))
        >>> print(sj.solvers.solve(problem, "c0").dual.pull)
        [0.467 0.367 0.167]
    """

    pull: Float[Array, "*batch n"]
    threshold: Float[Array, "*batch"]


class MetricSimplexProjection(MaximizationProblem):
    """A projection onto the simplex in a metric, in which entries know each other.

    `argmax_{y in simplex} <z, y> - softness (R(y) + <y, M y> / 2)` along the last axis.
    It is the [`softjax.solvers.SimplexProjection`][] of `z - softness M y`, with any
    regularizer: an equation for y, which Newton's method solves. With a positive entry
    of M, two candidates avoid each other; with a negative one, they come together, as
    in the Laplacian of a graph. The dual is the pair of M y and the threshold.

    **Arguments:**

    - `z`: `*batch n`.
    - `softness`: positive, a scalar or an array that broadcasts against `*batch 1`.
    - `metric`: M, symmetric and positive semidefinite: an operator of Lineax, or an
        array of a shape that broadcasts against `*batch n n`. It is formed as a matrix,
        and factorized in each step, in O(n^3). For `<y, N y> / 2` alone, take c at most
        the least eigenvalue of N, the regularizer `Scaled(PNorm(2), c)`, and M = N - c
        I.
    - `where`: optional mask `*batch n`; y is 0 outside of it.

    **Raises:** `ValueError` for shapes that do not fit.

    **Example:**

        >>> z = jnp.array([1.0, 0.9, 0.7])
        >>> alike = jnp.array([[1.0, 1.0, 0.0], [1.0, 1.0, 0.0], [0.0, 0.0, 1.0]])
        >>> problem = sj.solvers.MetricSimplexProjection(z, 0.5, alike)
        >>> print(sj.solvers.solve(problem, "c0").value)
        [0.457 0.257 0.286]
    """

    z: Float[Array, "*batch n"]
    softness: Float[Array, "*#batch 1"]
    metric: Float[Array, "*#batch n n"]
    where: Bool[Array, "*#batch #n"] | None

    def __init__(
        self,
        z: Array,
        softness: Array | float,
        metric: Any,
        where: Array | None = None,
    ):
        import lineax as lx

        name = type(self).__name__
        self.z, self.softness, self.where = parse_scores(z, softness, where, name)
        if isinstance(metric, lx.AbstractLinearOperator):
            metric = metric.as_matrix()
        metric = inexact(metric).astype(working_type(self.z.dtype))
        n = self.z.shape[-1]
        full = (*self.z.shape[:-1], n, n)
        try:
            fits = jnp.broadcast_shapes(metric.shape, full) == full
        except ValueError:
            fits = False
        if not fits or metric.shape[-2:] != (n, n):
            raise ValueError(
                f"{name}: metric must be of a shape that broadcasts against {full}, "
                f"got {metric.shape}."
            )
        self.metric = metric

    @property
    def dtype(self) -> jnp.dtype:
        return self.z.dtype

    def apply(self, y: Float[Array, "*batch n"]) -> Float[Array, "*batch n"]:
        """M y."""
        return exact_einsum("...ij,...j->...i", self.metric, y)

    def at(self, pull: Float[Array, "*batch n"]) -> SimplexProjection:
        """The projection that y is, given M y."""
        z = self.z if self.where is None else jnp.where(self.where, self.z, 0)
        return SimplexProjection(z - self.softness * pull, self.softness, self.where)

    def primal(self, dual: PyTree[Array], regularizer: Regularizer) -> Array:
        simplex = self.at(dual.pull).specialize(regularizer)
        return simplex.primal(dual.threshold, regularizer)

    def optimality(self, dual: PyTree[Array], regularizer: Regularizer) -> PyTree:
        pull = dual.pull - self.apply(self.primal(dual, regularizer))
        return Pulled(pull, self.at(dual.pull).optimality(dual.threshold, regularizer))

    def residual(
        self, dual: Pulled, regularizer: Regularizer
    ) -> Float[Array, "*batch"]:
        """The largest error of M y, relative to |M| y where that is above 1."""
        simplex = self.at(dual.pull).specialize(regularizer)
        y = simplex.primal(dual.threshold, regularizer)
        error = jnp.max(jnp.abs(dual.pull - self.apply(y)), axis=-1)
        rest = simplex.residual(dual.threshold, regularizer)
        return jnp.maximum(error / self.size(y), rest)

    def size(self, y: Float[Array, "*batch n"]) -> Float[Array, "*batch"]:
        """The size of the terms of M y, at least 1."""
        terms = exact_einsum("...ij,...j->...i", jnp.abs(self.metric), jnp.abs(y))
        return jnp.max(terms, axis=-1, initial=1)

    def objective(
        self, y: Float[Array, "*batch n"], regularizer: Regularizer
    ) -> Float[Array, "*batch"]:
        if self.where is not None:
            y = jnp.where(self.where, y, 0)
        simplex = SimplexProjection(self.z, self.softness, self.where)
        bent = jnp.sum(y * self.apply(y), axis=-1) / 2
        return simplex.objective(y, regularizer) - self.softness[..., 0] * bent

    def default_solver(self, regularizer: Regularizer) -> str:
        return "metric_newton"

    def slopes(
        self, dual: Pulled, regularizer: Regularizer
    ) -> Float[Array, "*batch n"]:
        """`1 / r''(y)`, 0 where y is."""
        simplex = self.at(dual.pull)
        slope = regularizer.slope(simplex.scores - dual.threshold[..., None])
        # Some links leave 0 with an infinite one.
        slope = jnp.minimum(slope, 1 / eps(slope))
        return jnp.broadcast_to(simplex.masked(slope), self.z.shape)

    def response(
        self, slope: Float[Array, "*batch n"], move: Float[Array, "*batch n"]
    ) -> tuple[Float[Array, "*batch n"], Float[Array, "*batch"]]:
        """How y moves, and the threshold, if it would move by `move` without M.

        With D = diag(slope), `(I + D M) dy = move - d dtheta`, of sum 0.
        """
        n = self.z.shape[-1]
        matrix = jnp.eye(n, dtype=slope.dtype) + slope[..., None] * self.metric
        # Apart, as a derivative is linear in the first alone.
        moved, shifted = (
            jnp.linalg.solve(matrix, x[..., None])[..., 0] for x in (move, slope)
        )
        totals = (jnp.sum(x, axis=-1) for x in (moved, shifted))
        threshold = safe_divide(*totals)
        return moved - threshold[..., None] * shifted, threshold

    def dual_and_tangent(
        self, solution: Solution, readout: Dual, moves: Moves, linear_solver: Any
    ) -> tuple[Pulled, Pulled]:
        regularizer, dual = solution.regularizer, Pulled(*solution.dual)

        def link(problem, regularizer):
            simplex = problem.at(dual.pull)
            y = regularizer.link(simplex.scores - dual.threshold[..., None])
            return jnp.broadcast_to(simplex.masked(y), problem.z.shape)

        y, slope = link(self, regularizer), self.slopes(dual, regularizer)
        explicit = moves.problem, moves.regularizer
        move = tangent_of(link, (self, regularizer), explicit)
        pull = tangent_of(lambda p: p.apply(y), (self,), (moves.problem,))
        move, threshold = self.response(slope, move - slope * pull)
        return dual, Pulled(pull + self.apply(move), threshold)

    fused: ClassVar = {Dual: dual_and_tangent}


def project(
    problem: MetricSimplexProjection, pull: Array, regularizer: Regularizer
) -> tuple[Pulled, Float[Array, "*batch n"]]:
    """The projection for a given M y: its dual, with that pull, and y."""
    from ..._core.registry import prepare  # which knows solvers, and these the problems

    simplex, solver = prepare(problem.at(pull), regularizer, None, None)
    found = solver.solve(simplex, regularizer)
    threshold = jax.lax.stop_gradient(found.dual)
    return Pulled(pull, threshold), simplex.primal(threshold, regularizer)
