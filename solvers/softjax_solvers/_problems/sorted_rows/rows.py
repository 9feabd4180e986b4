"""Simplex projections of functions of distances between sorted elements."""

from __future__ import annotations

import abc
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from ..._core.problem import JointExpectation, Problem, ScalarDualProblem, per_row
from ..._core.regularizer import Regularizer
from ..._kernels.chunks import map_chunks
from ..._kernels.numerics import derivative, inexact
from ..simplex import SimplexProjection
from .windows import LocalRows


class SortedRows(ScalarDualProblem, JointExpectation):
    """Simplex projections over sorted elements, of one row for each of some points.

    Row i is `y_i = phi(scores_i - theta_i)` with sum 1, and the dual theta has shape
    `*batch m`. The dense rows are never all formed at once for an expectation: either
    they are windows of neighbours, or they come in chunks.

    **Attributes:**

    - `support`: `*batch n`, ascending along the last axis.
    - `softness`: positive, `*#batch 1`.
    - `where`: optional mask `*batch n` over the support.

    **Example:**

        >>> support = jnp.array([0.2, 0.7, 1.0])
        >>> for problem in (
        ...     sj.solvers.SortedDistanceProjection(None, support, 0.1),
        ...     sj.solvers.SortedDeviationProjection(None, support, 0.1),
        ... ):
        ...     print(sj.solvers.solve(problem, "c0").expectation(support))
        [0.2 0.7 1. ]
        [0.2 0.7 1. ]
    """

    support: eqx.AbstractVar[Float[Array, "*batch n"]]
    softness: eqx.AbstractVar[Float[Array, "*#batch 1"]]
    where: eqx.AbstractVar[Bool[Array, "*batch n"] | None]

    @property
    @abc.abstractmethod
    def points(self) -> Float[Array, "*batch m"]:
        """What there are rows for."""

    @abc.abstractmethod
    def rows(self, points: Float[Array, "*batch c"]) -> SimplexProjection:
        """The dense rows of some points, as one problem of shape `*batch c n`."""

    @abc.abstractmethod
    def local(self, regularizer: Regularizer) -> LocalRows | None:
        """The rows as windows of neighbours.

        None where there is not one for each element, or all of it matters.
        """

    @abc.abstractmethod
    def exponential_dual(self, regularizer: Regularizer) -> Float[Array, "*batch m"]:
        """theta where the link is an exponential, without forming all rows at once."""

    def map_rows(self, fn, *arrays: Array):
        """`fn(rows, *arrays)` in chunks over the axis m, the last one of `arrays`.

        `fn` returns a pytree of arrays with trailing axis m.
        """
        moved = [jnp.moveaxis(a, -1, 0) for a in (self.points, *arrays)]

        def chunk(moved):
            points, *rest = [jnp.moveaxis(a, 0, -1) for a in moved]
            out = fn(self.rows(points), *rest)
            return [jnp.moveaxis(a, -1, 0) for a in out]

        out = map_chunks(chunk, moved, row_size=self.support.size)
        return [jnp.moveaxis(a, 0, -1) for a in out]

    def optimality(
        self, dual: Float[Array, "*batch m"], regularizer: Regularizer
    ) -> Float[Array, "*batch m"]:
        if (local := self.local(regularizer)) is not None:
            return local.total(dual, regularizer) - 1
        (out,) = self.map_rows(lambda rows, d: [rows.optimality(d, regularizer)], dual)
        return out

    def equation(self, dual: Float[Array, "*batch m"], regularizer: Regularizer):
        if (local := self.local(regularizer)) is None:
            return super().equation(dual, regularizer)
        total, slope = local.total_and_slope(dual, regularizer)
        residual, factor = derivative(
            lambda x: regularizer.contrast(x, jnp.ones_like(x)), total
        )
        return residual, factor * slope

    def rounding(self, regularizer: Regularizer) -> float:
        if self.local(regularizer) is None:
            return super().rounding(regularizer)
        return 32  # the terms of a window are added up one by one

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
        values = jnp.broadcast_to(values, self.support.shape)
        if (local := self.local(regularizer)) is not None:
            return local.means(dual, regularizer, values)
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
        if self.local(regularizer) is None:
            return super().solved_expectation(regularizer, values, find_dual)
        values = jnp.broadcast_to(values, self.support.shape)
        return self.joint_expectation(regularizer, values, find_dual)

    def expectation_and_tangent(
        self,
        dual: Float[Array, "*batch n"],
        regularizer: Regularizer,
        values: Float[Array, "*batch n"],
        problem_move: "SortedRows",
        regularizer_move: Any,
        values_move: Float[Array, "*batch n"] | None,
    ) -> tuple[Float[Array, "*batch n"], Float[Array, "*batch n"]]:
        local = self.local(regularizer)
        assert local is not None
        return local.means_and_tangent(
            dual, regularizer, values, problem_move, regularizer_move, values_move
        )


def dual_of_sums(
    total: Float[Array, "*batch m"], regularizer: Regularizer
) -> Float[Array, "*batch m"]:
    """theta of an exponential link, from the sums of `exp(rate scores)`."""
    alone = regularizer.gradient(jnp.ones((), total.dtype))
    rate: Any = regularizer.rate()
    return jnp.log(total) / rate - alone


def parse_rows(
    support: Array, softness: Array | float, where: Array | None
) -> tuple[Array, Array, Array | None]:
    """The attributes of `SortedRows` from what users pass."""
    support = inexact(support)
    if where is not None:
        where = jnp.broadcast_to(where, support.shape)
    return support, per_row(softness, support, "softness"), where
