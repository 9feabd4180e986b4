from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from .._chunks import map_chunks
from .._numerics import derivative, distance, inexact
from .._problem import JointExpectation, Problem, ScalarDualProblem, per_row
from .._regularizer import Regularizer
from .._scans import fill_masked, laplace_sums
from .local_rows import LocalRows
from .simplex import SimplexProjection

_SHORT = 64
"""Up to this length, dense rows are faster than what matters of them."""


class SortedDistanceProjection(ScalarDualProblem, JointExpectation):
    """Simplex projections of `-|queries_i - support_j|`, one for each query.

    The rows of SoftSort (Prillo and Eisenschlos, 2020). Row i is
    `y_i = phi(-|queries_i - support| / softness - theta_i)` with sum 1, and the dual
    theta has shape `*batch m`. The dense rows are never formed for an expectation. With
    the entropy it takes O(n) time and memory: y @ values is a quotient that the dual
    cancels from, so that it does not depend on what solved for it. With a sparse
    regularizer and the support itself as queries, rows are windows of neighbours.
    Otherwise it takes chunks of rows.

    **Arguments:**

    - `queries`: `*batch m`, or None for the support itself.
    - `support`: `*batch n`, ascending along the last axis.
    - `softness`: positive, a scalar or an array that broadcasts against `*batch 1`.
    - `where`: optional mask `*batch n` over the support.

    **Example:**

        >>> support = jnp.array([0.2, 0.7, 1.0])
        >>> problem = sj.solvers.SortedDistanceProjection(None, support, 0.1)
        >>> found = sj.solvers.solve(problem, "smooth")
        >>> print(found.expectation(support))
        [0.204 0.711 0.986]
    """

    queries: Float[Array, "*batch m"] | None
    support: Float[Array, "*batch n"]
    softness: Float[Array, "*#batch 1"]
    where: Bool[Array, "*batch n"] | None

    def __init__(
        self,
        queries: Array | None,
        support: Array,
        softness: Array | float,
        where: Array | None = None,
    ):
        self.support = inexact(support)
        self.queries = None if queries is None else inexact(queries)
        self.softness = per_row(softness, self.support, "softness")
        if where is not None:
            where = jnp.broadcast_to(where, self.support.shape)
        self.where = where

    @property
    def points(self) -> Float[Array, "*batch m"]:
        return self.support if self.queries is None else self.queries

    def rows(self, queries: Float[Array, "*batch c"]) -> SimplexProjection:
        """The dense rows of some queries, as one problem of shape `*batch c n`."""
        z = -distance(queries[..., None], self.support[..., None, :])
        where = None if self.where is None else self.where[..., None, :]
        return SimplexProjection(z, self.softness[..., None], where)

    def map_rows(self, fn, *arrays: Array):
        """`fn(rows, *arrays)` in chunks over the axis m, the last one of `arrays`.

        `fn` returns a pytree of arrays with trailing axis m.
        """
        queries = self.points
        moved = [jnp.moveaxis(a, -1, 0) for a in (queries, *arrays)]

        def chunk(moved):
            queries, *rest = [jnp.moveaxis(a, 0, -1) for a in moved]
            out = fn(self.rows(queries), *rest)
            return [jnp.moveaxis(a, -1, 0) for a in out]

        out = map_chunks(chunk, moved, row_size=self.support.size)
        return [jnp.moveaxis(a, 0, -1) for a in out]

    def _kernel_sums(self, *weights: Array) -> Array:
        """Sums of `exp(scores_ij) weights_j`, with the scores of `rows`."""
        support = self.support
        stacked = jnp.stack([jnp.broadcast_to(w, support.shape) for w in weights])
        if self.where is None:
            return laplace_sums(support, self.softness, stacked, self.queries)
        stacked = jnp.where(self.where, stacked, 0)
        filled = fill_masked(support, self.where)
        return laplace_sums(filled, self.softness, stacked, self.points)

    def exponential_dual(self) -> Float[Array, "*batch m"]:
        """theta where the link is exp, without forming the rows."""
        return jnp.log(self._kernel_sums(jnp.ones((), self.support.dtype))[0])

    def local(self, regularizer: Regularizer) -> LocalRows | None:
        """The rows as windows of neighbours.

        None where there is not one for each element, or all of it matters.
        """
        if self.queries is not None or self.support.shape[-1] <= _SHORT:
            return None
        if not regularizer.reaches_zero():
            return None
        return LocalRows(self.support, self.softness, self.where)

    def optimality(
        self, dual: Float[Array, "*batch m"], regularizer: Regularizer
    ) -> Float[Array, "*batch m"]:
        if regularizer.exponential:
            (total,) = self._kernel_sums(jnp.ones((), self.support.dtype))
            return jnp.exp(-dual) * total - 1
        if (local := self.local(regularizer)) is not None:
            return local.total(dual, regularizer) - 1
        (out,) = self.map_rows(lambda rows, d: [rows.optimality(d, regularizer)], dual)
        return out

    def equation(self, dual: Float[Array, "*batch m"], regularizer: Regularizer):
        if regularizer.exponential or (local := self.local(regularizer)) is None:
            return super().equation(dual, regularizer)
        total, slope = local.total_and_slope(dual, regularizer)
        residual, factor = derivative(
            lambda x: regularizer.contrast(x, jnp.ones_like(x)), total
        )
        return residual, factor * slope

    def rounding(self, regularizer: Regularizer) -> float:
        if self.local(regularizer) is None:
            return super().rounding(regularizer)
        return 64  # the terms of a window are added up one by one

    def guess(self, regularizer: Regularizer) -> Float[Array, "*batch m"]:
        if (local := self.local(regularizer)) is not None:
            return local.guess(regularizer)
        return super().guess(regularizer)

    def bracket(self, regularizer: Regularizer):
        if (local := self.local(regularizer)) is not None:
            return local.bracket(regularizer)
        lower, upper = self.map_rows(lambda rows: rows.bracket(regularizer))
        return lower, upper

    def flat(self) -> SimplexProjection:
        return self.rows(self.points).flat()

    def primal(
        self, dual: Float[Array, "*batch m"], regularizer: Regularizer
    ) -> Float[Array, "*batch m n"]:
        return self.rows(self.points).primal(dual, regularizer)

    def expectation(
        self,
        dual: Float[Array, "*batch m"],
        regularizer: Regularizer,
        values: Float[Array, "*#batch n"],
    ) -> Float[Array, "*batch m"]:
        if regularizer.exponential:
            total, weighted = self._kernel_sums(jnp.ones_like(self.support), values)
            return weighted / total
        values = jnp.broadcast_to(values, self.support.shape)
        if (local := self.local(regularizer)) is not None:
            return local.mean(dual, regularizer, values)
        values = values[..., None, :]
        (out,) = self.map_rows(
            lambda rows, d: [rows.expectation(d, regularizer, values)], dual
        )
        return out

    def solved_expectation(
        self,
        regularizer: Regularizer,
        values: Float[Array, "*#batch n"],
        find_dual: Callable[[Problem, Regularizer], Array],
    ) -> Float[Array, "*batch m"]:
        if regularizer.exponential:
            return self.expectation(jnp.zeros(()), regularizer, values)
        if self.local(regularizer) is None:
            return super().solved_expectation(regularizer, values, find_dual)
        values = jnp.broadcast_to(values, self.support.shape)
        return self.joint_expectation(regularizer, values, find_dual)

    def expectation_and_tangent(
        self,
        dual: Float[Array, "*batch n"],
        regularizer: Regularizer,
        values: Float[Array, "*batch n"],
        problem_move: "SortedDistanceProjection",
        regularizer_move: Any,
        values_move: Float[Array, "*batch n"] | None,
    ) -> tuple[Float[Array, "*batch n"], Float[Array, "*batch n"]]:
        local = self.local(regularizer)
        assert local is not None
        move = LocalRows(problem_move.support, problem_move.softness, None)
        return local.mean_and_tangent(
            dual, regularizer, values, move, regularizer_move, values_move
        )
