from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

import jax.numpy as jnp
from jaxtyping import Array, Float

from softjax_solvers import ColumnMeans, Means, NeuralSortRows

from ._intervals import Intervals
from ._method import ALL_OPERATORS, Relaxation
from ._rows import FEW, RowMethod
from ._sample import Ordered, Sample


class NeuralSort(RowMethod):
    """Row i of argsort is the simplex projection of `((n + 1 - 2i) x - A) / softness`.

    Here `A_j = sum_l |x_j - x_l|`, and i = 1 is the row of the largest. In sorted
    order, a row falls off to either side of its own element. So with the entropy or a
    sparse regularizer, `sort` and `rank` take O(n w) time and O(n) memory, with w the
    number of neighbours that matter: of the order of the root of n, unless many
    elements lie within the softness of each other. Else they take chunks of rows. The
    median is the centre row, in which x has the coefficient 0.

    `rank` takes no weights: where these are not whole, no row of a unit of mass need
    have a part of an element.

    **Example:**

        >>> x = jnp.array([0.2, 1.0, 0.7])
        >>> print(sj.sort(x, method="neuralsort"))
        [0.203 0.711 0.986]
        >>> print(sj.rank(x, method="neuralsort"))
        [2.994 1.047 1.959]

    ??? cite

        Grover, Wang, Zweig and Ermon, "Stochastic optimization of sorting networks
        via continuous relaxations", ICLR 2019.
    """

    takes_weights: ClassVar[frozenset[str]] = ALL_OPERATORS - {"rank"}
    cuts_off: ClassVar[bool] = True
    in_logs: ClassVar[bool] = True

    def rows(
        self,
        sample: Sample,
        relaxation: Relaxation,
        intervals: Intervals | None,
    ) -> Float[Array, "*batch m n"]:
        ordered = sample.ordered()
        if sample.mass is not None:
            index = relaxation.primal(_at(sample, ordered, relaxation, intervals))
            mass = sample.mass[..., None, :]
            return relaxation.shares.times(ordered.unsort(index), mass)
        index = _evaluate(relaxation.primal, ordered, relaxation, intervals, "m,n")
        return ordered.unsort(index)

    def row_values(
        self,
        sample: Sample,
        relaxation: Relaxation,
        intervals: Intervals | None,
    ) -> Float[Array, "*batch m"]:
        ordered = sample.ordered()
        if sample.mass is not None:
            problem = _at(sample, ordered, relaxation, intervals)
            return relaxation.expectation(problem, ordered.values)
        return _evaluate(
            relaxation.expectation, ordered, relaxation, intervals, "m", ordered.values
        )

    def top_k(
        self, sample: Sample, relaxation: Relaxation, k: int
    ) -> tuple[Float[Array, "*batch k"], Float[Array, "*batch k n"] | None]:
        cells = sample.cells(k)
        if sample.mass is not None or k > FEW:
            values = self.row_values(sample, relaxation, cells)
            return values, self.rows(sample, relaxation, cells)
        # The scores of a few dense rows serve both.
        ordered = sample.ordered()
        parts = ordered.support, relaxation.softness, ordered.where
        problem = NeuralSortRows(jnp.asarray(cells.start, parts[0].dtype), *parts)
        readouts = Means(ordered.values[..., None, :]), relaxation.shares.readout
        rows = problem.rows(problem.points)
        values, index = relaxation.evaluate_all(rows, *readouts)
        return values, ordered.unsort(index)

    def rank(self, sample: Sample, relaxation: Relaxation) -> Float[Array, "*batch n"]:
        self.check_weights(sample, "rank")
        ordered = sample.ordered()
        parts = ordered.support, relaxation.softness, ordered.where
        problem = NeuralSortRows(None, *parts)
        # The columns of the matrix need not add up to 1.
        means = relaxation.evaluate(problem, ColumnMeans(problem.points + 1))
        return ordered.unsort(means)


def _at(
    sample: Sample,
    ordered: Ordered,
    relaxation: Relaxation,
    intervals: Intervals | None,
) -> NeuralSortRows:
    """The rows at the centres of intervals of mass."""
    cells = sample.cells(sample.size) if intervals is None else intervals
    positions = (jnp.asarray(cells.start) + cells.stop - 1) / 2
    parts = ordered.support, relaxation.softness, ordered.where
    return NeuralSortRows(positions, *parts, ordered.mass)


def _evaluate(
    read: Callable[..., Array],
    ordered: Ordered,
    relaxation: Relaxation,
    intervals: Intervals | None,
    shape: str,
    *values: Float[Array, "*batch n"],
) -> Float[Array, "*batch m ..."]:
    """A readout of the rows of intervals, which are those at their centres.

    **Arguments:**

    - `read`: called as `read(problem, *values)`.
    - `shape`: the names of the axes of what it returns.
    """

    def one(positions, support, softness, where, *values):
        return read(NeuralSortRows(positions, support, softness, where), *values)

    support, softness, where = ordered.support, relaxation.softness, ordered.where
    if intervals is None:
        return one(None, support, softness, where, *values)
    # The centre of the first unit of mass has the position 0.
    positions = jnp.asarray(intervals.start, support.dtype)
    if positions.ndim == 1:
        return one(positions, support, softness, where, *values)
    # The positions of one problem are the same for all of its rows.
    where = jnp.ones_like(support, bool) if where is None else where
    axes = ",".join(["(m),(n),(1),(n)", *["(n)"] * len(values)])
    by_rows = jnp.vectorize(one, signature=f"{axes}->({shape})")
    return by_rows(positions, support, softness, where, *values)
