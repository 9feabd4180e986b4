from __future__ import annotations

from jaxtyping import Array, Float

from softjax_solvers import ColumnMeans, NeuralSortRows

from ._method import Relaxation
from ._rows import RowMethod
from ._sample import Ordered, Sample


class NeuralSort(RowMethod):
    """Row i of argsort is the simplex projection of `((n + 1 - 2i) x - A) / softness`.

    Here `A_j = sum_l |x_j - x_l|`, and i = 1 is the row of the largest. In sorted
    order, a row falls off to either side of its own element. So with the entropy or a
    sparse regularizer, `sort` and `rank` take O(n w) time and O(n) memory, with w the
    number of neighbours that matter: of the order of the root of n, unless many
    elements lie within the softness of each other. Else they take chunks of rows. The
    median is the centre row, in which x has the coefficient 0.

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

    def rows(
        self,
        sample: Sample,
        relaxation: Relaxation,
        positions: Float[Array, " m"] | None,
    ) -> Float[Array, "*batch m n"]:
        ordered = sample.ordered()
        problem = _problem(ordered, relaxation, positions)
        return ordered.unsort(relaxation.primal(problem))

    def row_values(
        self,
        sample: Sample,
        relaxation: Relaxation,
        positions: Float[Array, " m"] | None,
    ) -> Float[Array, "*batch m"]:
        ordered = sample.ordered()
        problem = _problem(ordered, relaxation, positions)
        return relaxation.expectation(problem, ordered.values)

    def rank(self, sample: Sample, relaxation: Relaxation) -> Float[Array, "*batch n"]:
        ordered = sample.ordered()
        problem = _problem(ordered, relaxation)
        # The columns of the matrix need not add up to 1.
        means = relaxation.evaluate(problem, ColumnMeans(problem.points + 1))
        return ordered.unsort(means)


def _problem(
    ordered: Ordered,
    relaxation: Relaxation,
    positions: Float[Array, " m"] | None = None,
) -> NeuralSortRows:
    return NeuralSortRows(
        positions, ordered.support, relaxation.softness, ordered.where
    )
