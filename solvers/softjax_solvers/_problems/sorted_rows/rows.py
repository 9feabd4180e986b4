from __future__ import annotations

import abc
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Shaped

from ..._core.problem import ScalarDualProblem
from ..._core.readout import ColumnMeans, LogPrimal, Means, Primal, Readout
from ..._core.regularizer import Regularizer
from ..._core.rows import of_rows, parse_weights, softness_per_row
from ..._core.solution import Search, Solution, evaluate_by
from ..._core.solver import Solver
from ..._kernels.arrays import inexact, safe_divide
from ..._kernels.chunks import map_chunks, sum_chunks
from ..simplex import Simplex, SimplexProjection


class SortedRows(ScalarDualProblem):
    """Simplex projections over sorted elements, of one row for each of some points.

    Row i is `y_i = phi(scores_i - theta_i)` with sum 1, and the dual theta has shape
    `*batch m`. Whatever solves a projection onto the simplex solves the rows, in chunks
    that keep memory linear. With some regularizers, rows are evaluated without ever
    being formed: by sums against a kernel, or as windows of neighbours.

    **Attributes:**

    - `support`: `*batch n`, ascending along the last axis.
    - `softness`: positive, `*#batch 1`.
    - `where`: optional mask `*batch n` over the support.
    - `weights`: optional numbers of copies, `*batch n`; y is that of one of them.

    **Example:**

        >>> support = jnp.array([0.2, 0.7, 1.0])
        >>> for problem in (
        ...     sj.solvers.SoftSortRows(None, support, 0.1),
        ...     sj.solvers.NeuralSortRows(None, support, 0.1),
        ... ):
        ...     print(sj.solvers.solve(problem, "c0").expectation(support))
        [0.2 0.7 1. ]
        [0.2 0.7 1. ]
    """

    support: eqx.AbstractVar[Float[Array, "*batch n"]]
    softness: eqx.AbstractVar[Float[Array, "*#batch 1"]]
    where: eqx.AbstractVar[Bool[Array, "*batch n"] | None]
    weights: eqx.AbstractVar[Float[Array, "*batch n"] | None]

    @property
    def dtype(self) -> jnp.dtype:
        return self.support.dtype

    @property
    @abc.abstractmethod
    def points(self) -> Float[Array, "*batch m"]:
        """The points that there are rows for."""

    @abc.abstractmethod
    def rows(self, points: Float[Array, "*batch c"]) -> SimplexProjection:
        """The dense rows of some points, as one problem of shape `*batch c n`."""

    def own_rows(self) -> Shaped[Array, "*batch m"] | None:
        """Counts of rows in column means: those of masked elements do not count."""
        return None

    def map_rows(
        self,
        fn: Callable[..., list[Array]],
        regularizer: Regularizer,
        *arrays: Array,
    ) -> list[Array]:
        """`fn(rows, *arrays)` in chunks over the axis m, the last one of `arrays`.

        `fn` returns arrays with trailing axis m.
        """
        moved = [jnp.moveaxis(a, -1, 0) for a in (self.points, *arrays)]

        def chunk(moved):
            points, *rest = [jnp.moveaxis(a, 0, -1) for a in moved]
            out = fn(self.rows(points).specialize(regularizer), *rest)
            return [jnp.moveaxis(a, -1, 0) for a in out]

        out = map_chunks(chunk, moved, row_size=self.support.size)
        return [jnp.moveaxis(a, 0, -1) for a in out]

    def all_rows(self, regularizer: Regularizer) -> Simplex:
        return self.rows(self.points).specialize(regularizer)

    def optimality(
        self, dual: Float[Array, "*batch m"], regularizer: Regularizer
    ) -> Float[Array, "*batch m"]:
        (out,) = self.map_rows(
            lambda rows, d: [rows.optimality(d, regularizer)], regularizer, dual
        )
        return out

    def bracket(
        self, regularizer: Regularizer
    ) -> tuple[Float[Array, "*batch m"], Float[Array, "*batch m"]]:
        lower, upper = self.map_rows(
            lambda rows: list(rows.bracket(regularizer)), regularizer
        )
        return lower, upper

    def flat(self) -> Simplex:
        return self.rows(self.points).flat()

    def default_solver(self, regularizer: Regularizer) -> str:
        exponential = regularizer.structure().rate is not None
        return "closed_form" if exponential else "newton"

    def accepted_by(self, solver: Solver[Any], regularizer: Regularizer) -> bool:
        # A row of the form that all have, whose scores are not what is asked for.
        where, weights = of_rows(self.where), of_rows(self.weights)
        parts = self.softness[..., None], where, None, weights
        row = SimplexProjection(self.support[..., None, :], *parts)
        return row.specialize(regularizer).accepted_by(solver, regularizer)

    def solved_by(self, solver: Solver[Any], regularizer: Regularizer) -> Solution:
        def solve(rows):
            found = rows.solved_by(solver, regularizer)
            out = (found.dual, found.steps, found.residual, found.converged)
            return [jnp.broadcast_to(x, rows.z.shape[:-1]) for x in out]

        return Solution(self, regularizer, *self.map_rows(solve, regularizer))

    def primal(
        self, dual: Float[Array, "*batch m"], regularizer: Regularizer
    ) -> Float[Array, "*batch m n"]:
        return self.all_rows(regularizer).primal(dual, regularizer)

    def log_primal(
        self, dual: Float[Array, "*batch m"], regularizer: Regularizer
    ) -> Float[Array, "*batch m n"]:
        return self.all_rows(regularizer).log_primal(dual, regularizer)

    def means(
        self,
        dual: Float[Array, "*batch m"],
        regularizer: Regularizer,
        values: Float[Array, "*#batch n"],
    ) -> Float[Array, "*batch m"]:
        values = values[..., None, :]
        (out,) = self.map_rows(
            lambda rows, d: [rows.means(d, regularizer, values)], regularizer, dual
        )
        return out

    def column_means(
        self,
        dual: Float[Array, "*batch m"],
        regularizer: Regularizer,
        values: Float[Array, "*#batch m"],
    ) -> Float[Array, "*batch n"]:
        return self.mean_columns(
            lambda rows, dual: rows.primal(dual, regularizer), regularizer, values, dual
        )

    def mean_columns(
        self,
        primal: Callable[..., Float[Array, "*batch c n"]],
        regularizer: Regularizer,
        values: Float[Array, "*#batch m"],
        *arrays: Float[Array, "*batch m"],
    ) -> Float[Array, "*batch n"]:
        """Column means in chunks over the axis m, of the `primal(rows, *arrays)`."""
        shape = (*self.support.shape[:-1], self.points.shape[-1])
        values = jnp.broadcast_to(values, shape)
        counts = jnp.ones_like(values)
        if (own := self.own_rows()) is not None:
            counts = own.astype(values.dtype)

        def columns(chunk):
            moved, included = chunk
            points, values, counts, *rest = (jnp.moveaxis(x, 0, -1) for x in moved)
            y = primal(self.rows(points).specialize(regularizer), *rest)
            y = y * (included * counts)[..., None]
            return jnp.sum(y * values[..., None], axis=-2), jnp.sum(y, axis=-2)

        moved = (self.points, values, counts, *arrays)
        moved = tuple(jnp.moveaxis(x, -1, 0) for x in moved)
        weighted, total = sum_chunks(columns, moved, row_size=self.support.size)
        return safe_divide(weighted, total)

    def evaluated_by(
        self,
        solver: Solver[Any],
        regularizer: Regularizer,
        readout: Readout,
        linear_solver: Any = None,
    ) -> Any:
        in_chunks = _IN_CHUNKS.get(type(readout))
        if in_chunks is None:
            return evaluate_by(
                Search(solver), self, regularizer, readout, linear_solver
            )

        def evaluate(rows, readout):
            return rows.evaluated_by(solver, regularizer, readout, linear_solver)

        return in_chunks(self, regularizer, readout, evaluate)


# Chunks of rows are evaluated by the rule for these rows, which can make more of it.


def _primal(problem: SortedRows, regularizer, readout, evaluate):
    return evaluate(problem.all_rows(regularizer), readout)


def _means(problem: SortedRows, regularizer, readout, evaluate):
    means = Means(readout.values[..., None, :])
    (out,) = problem.map_rows(lambda rows: [evaluate(rows, means)], regularizer)
    return out


def _column_means(problem: SortedRows, regularizer, readout, evaluate):
    return problem.mean_columns(
        lambda rows: evaluate(rows, Primal()), regularizer, readout.values
    )


_IN_CHUNKS: dict[type[Readout], Callable[..., Array]] = {
    Primal: _primal,
    LogPrimal: _primal,
    Means: _means,
    ColumnMeans: _column_means,
}


def parse_rows(
    support: Array,
    softness: Array | float,
    where: Array | None,
    weights: Array | None,
) -> tuple[Array, Array, Array | None, Array | None]:
    """The attributes of `SortedRows` from what users pass."""
    support = inexact(support)
    if where is not None:
        where = jnp.broadcast_to(where, support.shape)
    weights = parse_weights(weights, support, where)
    if weights is not None:
        weights = jnp.broadcast_to(weights, support.shape)
    return support, softness_per_row(softness, support), where, weights
