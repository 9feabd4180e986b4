from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from ..._core.problem import Problem
from ..._core.regularizer import Regularizer
from ..._kernels.neighbours import half_width
from ..._kernels.numerics import distance, inexact
from ..._kernels.scans import fill_masked, laplace_sums
from ..simplex import SimplexProjection
from .rows import SortedRows, dual_of_sums, parse_rows
from .windows import LocalRows

_SHORT = 64
"""Up to this length, dense rows are faster than what matters of them."""


class SortedDistanceProjection(SortedRows):
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
    - `where`: optional mask `*batch n` over the support. In place of a masked element
        is the unmasked one before it, or the first one.
    - `filled`: whether the support is known to have that already.

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
        *,
        filled: bool = False,
    ):
        self.queries = None if queries is None else inexact(queries)
        support, self.softness, self.where = parse_rows(support, softness, where)
        if self.where is not None and not filled:
            support = fill_masked(support, self.where)
        self.support = support

    @property
    def points(self) -> Float[Array, "*batch m"]:
        return self.support if self.queries is None else self.queries

    def rows(self, queries: Float[Array, "*batch c"]) -> SimplexProjection:
        """The dense rows of some queries, as one problem of shape `*batch c n`."""
        z = -distance(queries[..., None], self.support[..., None, :])
        where = None if self.where is None else self.where[..., None, :]
        # A point of the support is at no distance from itself.
        largest = jnp.zeros(1, z.dtype) if self.queries is None else None
        return SimplexProjection(z, self.softness[..., None], where, largest)

    def _kernel_sums(
        self, regularizer: Regularizer, *weights: Array
    ) -> tuple[Float[Array, "*batch m"], ...]:
        """Sums of `exp(rate scores_ij) weights_j`, with the scores of `rows`."""
        support = self.support
        weights = tuple(jnp.broadcast_to(w, support.shape) for w in weights)
        if self.where is not None:
            weights = tuple(jnp.where(self.where, w, 0) for w in weights)
        rate: Any = regularizer.rate()
        softness = self.softness / rate
        return laplace_sums(support, softness, weights, self.queries)

    def exponential_dual(self, regularizer: Regularizer) -> Float[Array, "*batch m"]:
        (total,) = self._kernel_sums(regularizer, jnp.ones((), self.support.dtype))
        return dual_of_sums(total, regularizer)

    def local(self, regularizer: Regularizer) -> LocalRows | None:
        if self.queries is not None or self.support.shape[-1] <= _SHORT:
            return None
        if regularizer.steep() or not regularizer.reaches_zero():
            return None
        return _DistanceRows(self.support, self.softness, self.where)

    def optimality(
        self, dual: Float[Array, "*batch m"], regularizer: Regularizer
    ) -> Float[Array, "*batch m"]:
        if regularizer.rate() is None:
            return super().optimality(dual, regularizer)
        (total,) = self._kernel_sums(regularizer, jnp.ones((), self.support.dtype))
        return regularizer.link(-dual) * total - 1

    def expectation(
        self,
        dual: Float[Array, "*batch m"],
        regularizer: Regularizer,
        values: Float[Array, "*#batch n"],
    ) -> Float[Array, "*batch m"]:
        if regularizer.rate() is None:
            return super().expectation(dual, regularizer, values)
        total, weighted = self._kernel_sums(
            regularizer, jnp.ones_like(self.support), values
        )
        return weighted / total

    def solved_expectation(
        self,
        regularizer: Regularizer,
        values: Float[Array, "*#batch n"],
        find_dual: Callable[[Problem, Regularizer], Array],
    ) -> Float[Array, "*batch m"]:
        if regularizer.rate() is None:
            return super().solved_expectation(regularizer, values, find_dual)
        return self.expectation(jnp.zeros(()), regularizer, values)


class _DistanceRows(LocalRows):
    """Gaps are distances."""

    growth: ClassVar[int] = 1

    support: Float[Array, "*batch n"]
    softness: Float[Array, "*#batch 1"]
    where: Bool[Array, "*batch n"] | None

    def moving(self):
        return self.support, self.support

    def still(self):
        return None, None

    @property
    def extend(self):
        return None

    @staticmethod
    def gap(centre, other, lag):
        (place, _), (there, _) = centre, other
        return distance(place, there)

    def width(self, reach: Float[Array, "*batch n"]) -> Int[Array, ""]:
        return half_width(self.support, reach)

    def farthest(self) -> Float[Array, "*batch n"]:
        s = self.support
        return jnp.maximum(s - s[..., :1], s[..., -1:] - s)
