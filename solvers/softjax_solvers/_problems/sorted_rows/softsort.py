from __future__ import annotations

import abc
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from ..._core.precision import common_type
from ..._core.problem import ScalarDualProblem
from ..._core.readout import LogPrimal, Means, Primal
from ..._core.regularizer import Regularizer
from ..._core.rows import of_rows
from ..._kernels.arrays import inexact
from ..._kernels.derivatives import distance
from ..._kernels.neighbours import half_width
from ..._kernels.scans import fill_masked, laplace_sums
from ..simplex import SimplexProjection
from ..thresholds import dual_of_sums
from .rows import SortedRows, parse_rows
from .windows import WindowedRows, far_away

SHORT = 64
"""Up to this length, dense rows are faster than what matters of them."""


class KernelRows(SortedRows):
    """Rows whose scores are minus distances of sorted elements.

    **Attributes:**

    - `queries`: of rows; None for the elements themselves.
    - `starts`: the first elements of segments; None if there is but one.
    """

    queries: eqx.AbstractVar[Float[Array, "*batch m"] | None]

    @property
    def dtype(self) -> jnp.dtype:
        return common_type(self.support, self.queries)

    @property
    @abc.abstractmethod
    def starts(self) -> Bool[Array, "*batch n"] | None: ...


class SoftSortRows(KernelRows):
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
        is the unmasked one before it, or the first one. Rows of elements behind the
        last unmasked one have no meaning.
    - `filled`: whether the support is known to have that already.
    - `weights`: optional, nonnegative, `*batch n`: each element is so many copies.

    **Example:**

        >>> support = jnp.array([0.2, 0.7, 1.0])
        >>> problem = sj.solvers.SoftSortRows(None, support, 0.1)
        >>> found = sj.solvers.solve(problem, "smooth")
        >>> print(found.expectation(support))
        [0.204 0.711 0.986]
    """

    queries: Float[Array, "*batch m"] | None
    support: Float[Array, "*batch n"]
    softness: Float[Array, "*#batch 1"]
    where: Bool[Array, "*batch n"] | None
    weights: Float[Array, "*batch n"] | None

    def __init__(
        self,
        queries: Array | None,
        support: Array,
        softness: Array | float,
        where: Array | None = None,
        *,
        filled: bool = False,
        weights: Array | None = None,
    ):
        self.queries = None if queries is None else inexact(queries)
        parts = parse_rows(support, softness, where, weights)
        support, self.softness, self.where, self.weights = parts
        if self.where is not None and not filled:
            support = fill_masked(support, self.where)
        self.support = support

    @property
    def starts(self) -> None:
        return None

    @property
    def points(self) -> Float[Array, "*batch m"]:
        return self.support if self.queries is None else self.queries

    def rows(self, queries: Float[Array, "*batch c"]) -> SimplexProjection:
        """The dense rows of some queries, as one problem of shape `*batch c n`."""
        z = -distance(queries[..., None], self.support[..., None, :])
        where, weights = of_rows(self.where), of_rows(self.weights)
        # A point of the support is at no distance from itself.
        largest = jnp.zeros(1, z.dtype) if self.queries is None else None
        softness = self.softness[..., None]
        return SimplexProjection(z, softness, where, largest, weights)

    def specialize(self, regularizer: Regularizer) -> ScalarDualProblem:
        structure = regularizer.structure()
        if structure.rate is not None:
            return KernelSums(self)
        own = self.queries is None and self.support.shape[-1] > SHORT
        if own and structure.windowed:
            parts = self.support, self.softness, self.where, self.weights
            return _DistanceWindows(*parts)
        return self


class KernelSums(ScalarDualProblem):
    """Rows by an exponential link: sums against a kernel of distances, in O(n).

    The dual cancels from means, which are quotients of such sums.
    """

    cancels: ClassVar = frozenset({Primal, LogPrimal, Means})

    rows: KernelRows

    def sums(
        self, regularizer: Regularizer, *weights: Array
    ) -> tuple[Float[Array, "*batch m"], ...]:
        """Sums of `exp(rate scores_ij) weights_j`, with the scores of the rows."""
        rows, support = self.rows, self.rows.support
        weights = tuple(jnp.broadcast_to(w, support.shape) for w in weights)
        if rows.weights is not None:
            mass, _ = _relative(rows.weights)
            weights = tuple(mass * w for w in weights)
        if rows.where is not None:
            weights = tuple(jnp.where(rows.where, w, 0) for w in weights)
        rate: Any = regularizer.structure().rate
        softness = rows.softness / rate
        return laplace_sums(support, softness, weights, rows.queries, rows.starts)

    def total(self, regularizer: Regularizer) -> Float[Array, "*batch m"]:
        (total,) = self.sums(regularizer, jnp.ones((), self.rows.support.dtype))
        return total

    def optimality(self, dual, regularizer):
        total = self.total(regularizer)
        if self.rows.weights is not None:
            total = total * _relative(self.rows.weights)[1]
        return regularizer.link(-dual) * total - 1

    def closed_form(self, regularizer):
        def dual():
            rate: Any = regularizer.structure().rate
            theta = dual_of_sums(self.total(regularizer), regularizer)
            if self.rows.weights is None:
                return theta
            _, unit = _relative(self.rows.weights)
            return theta + jnp.log(unit) / rate

        return dual

    def default_solver(self, regularizer):
        return "closed_form"

    def means(self, dual, regularizer, values):
        ones = jnp.ones_like(self.rows.support)
        total, weighted = self.sums(regularizer, ones, values)
        return weighted / total

    def primal(self, dual, regularizer):
        return self.rows.primal(dual, regularizer)

    def log_primal(self, dual, regularizer):
        return self.rows.log_primal(dual, regularizer)

    def bracket(self, regularizer):
        return self.rows.bracket(regularizer)

    def flat(self):
        return self.rows.flat()

    def general(self):
        return self.rows


def _relative(
    weights: Float[Array, "*batch n"],
) -> tuple[Float[Array, "*batch n"], Float[Array, "*batch 1"]]:
    """Weights over the largest of a row, none of them 0, and that.

    What a sum has of an element without weight is rounding, but to the row of one that
    is far from all others.
    """
    largest = jnp.max(weights, axis=-1, keepdims=True)
    largest = jax.lax.stop_gradient(jnp.where(largest > 0, largest, 1))
    weights = weights / largest
    least = float(jnp.finfo(weights.dtype).tiny) ** 0.8
    missing = jnp.maximum(least - jax.lax.stop_gradient(weights), 0)
    return weights + missing, largest


class _DistanceWindows(WindowedRows):
    """Windows whose gaps are distances."""

    growth: ClassVar[int] = 1

    support: Float[Array, "*batch n"]
    softness: Float[Array, "*#batch 1"]
    where: Bool[Array, "*batch n"] | None
    weights: Float[Array, "*batch n"] | None

    @property
    def present(self):
        if self.where is None:
            return None
        # What is masked behind all others would be as near as the last of them.
        place = jnp.arange(self.where.shape[-1])
        last = jnp.max(jnp.where(self.where, place, -1), axis=-1, keepdims=True)
        return place <= last

    @property
    def _apart(self) -> Float[Array, "*batch n"]:
        return self.if_present(self.support, far_away(self.support.dtype))

    def moving(self):
        return self._apart, self._apart

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
        return half_width(self._apart, reach)

    def general(self) -> SoftSortRows:
        parts = self.support, self.softness, self.where
        return SoftSortRows(None, *parts, filled=True, weights=self.weights)

    def farthest(self) -> Float[Array, "*batch n"]:
        s = self.support
        return jnp.maximum(s - s[..., :1], s[..., -1:] - s)
