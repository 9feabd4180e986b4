from __future__ import annotations

from typing import ClassVar

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from softjax_solvers import Means, SimplexProjection, SoftSortRows
from softjax_solvers.internal import distance, largest, permute

from ._intervals import ROUNDING, Intervals
from ._method import ALL_OPERATORS, Relaxation
from ._rows import FEW, RowMethod
from ._sample import Ordered, Sample


class SoftSort(RowMethod):
    """Row i of argsort is the simplex projection of `-|s_i - x| / softness`.

    Here s is the sorted x. The first row is the projection of x / softness: with the
    entropy, the softmax. Values of `sort` and `rank` take O(n log n) time and O(n)
    memory with the entropy, and no more than O(n) memory with any regularizer.

    **Example:**

        >>> x = jnp.array([0.2, 1.0, 0.7])
        >>> print(sj.sort(x, method="softsort"))
        [0.204 0.711 0.986]
        >>> print(sj.rank(x, method="softsort"))
        [2.993 1.048 1.959]

    ??? cite

        Prillo and Eisenschlos, "SoftSort: a continuous relaxation for the argsort
        operator", ICML 2020.
    """

    takes_weights: ClassVar[frozenset[str]] = ALL_OPERATORS
    cuts_off: ClassVar[bool] = True
    in_logs: ClassVar[bool] = True
    shares_equally: ClassVar[bool] = True

    def rows(
        self,
        sample: Sample,
        relaxation: Relaxation,
        intervals: Intervals | None,
    ) -> Float[Array, "*batch m n"]:
        ordered = sample.ordered()
        support = ordered.support
        if sample.mass is not None:
            # Units of mass have the rows of elements, mixed.
            problem = _rows(sample, relaxation, support, among_keys=True)
            rows, shares = relaxation.primal(problem), relaxation.shares
            rows = shares.times(rows, sample.mass[..., None, :])
            return shares.means(ordered, intervals, rows)
        queries = support if intervals is None else intervals.take(support)
        problem = _rows(sample, relaxation, queries, among_keys=intervals is None)
        return relaxation.primal(problem)

    def row_values(
        self,
        sample: Sample,
        relaxation: Relaxation,
        intervals: Intervals | None,
    ) -> Float[Array, "*batch m"]:
        ordered = sample.ordered()
        if sample.mass is not None:
            values = relaxation.expectation(
                _sorted_rows(ordered, relaxation), ordered.values
            )
            if intervals is None:
                return ordered.cell_means(values)
            return ordered.means(intervals, values)
        queries = None
        if intervals is not None:
            queries = intervals.take(ordered.support)
            if queries.shape[-1] <= FEW:
                problem = _rows(sample, relaxation, queries)
                return relaxation.expectation(problem, sample.values[..., None, :])
        problem = SoftSortRows(
            queries, ordered.support, relaxation.softness, ordered.where, filled=True
        )
        return relaxation.expectation(problem, ordered.values)

    def top_k(
        self, sample: Sample, relaxation: Relaxation, k: int
    ) -> tuple[Float[Array, "*batch k"], Float[Array, "*batch k n"] | None]:
        if sample.mass is not None:
            cells = sample.cells(k)
            values = self.row_values(sample, relaxation, cells)
            return values, self.rows(sample, relaxation, cells)
        if k > FEW:
            # The values do not pass through the indices, which nobody may want. With
            # the entropy, all values take less time than some, of which it is not known
            # that they belong to elements.
            cells = sample.cells(k)
            if relaxation.regularizer.structure().rate is not None:
                values = self.sort(sample, relaxation)[..., :k]
            else:
                values = self.row_values(sample, relaxation, cells)
            return values, self.rows(sample, relaxation, cells)
        queries = -_largest_keys(sample, k)
        problem = _rows(sample, relaxation, queries, among_keys=True)
        readouts = Means(sample.values[..., None, :]), relaxation.shares.readout
        values, index = relaxation.evaluate_all(problem, *readouts)
        return values, index

    def rank(self, sample: Sample, relaxation: Relaxation) -> Float[Array, "*batch n"]:
        ordered = sample.ordered()
        problem = _sorted_rows(ordered, relaxation)
        return ordered.unsort(relaxation.expectation(problem, ordered.positions()))

    def argmax(
        self, sample: Sample, relaxation: Relaxation
    ) -> Float[Array, "*batch n"]:
        return _counted(
            relaxation.primal(_largest(sample, relaxation)), sample, relaxation
        )

    def max(self, sample: Sample, relaxation: Relaxation) -> Float[Array, "*batch"]:
        return relaxation.expectation(_largest(sample, relaxation), sample.values)

    # The median is the row at the middle of the unit of mass that is in the middle.

    def argmedian(
        self, sample: Sample, relaxation: Relaxation
    ) -> Float[Array, "*batch n"]:
        problem = _rows(sample, relaxation, _middle(sample, relaxation.softness))
        return _counted(relaxation.primal(problem)[..., 0, :], sample, relaxation)

    def median(self, sample: Sample, relaxation: Relaxation) -> Float[Array, "*batch"]:
        problem = _rows(sample, relaxation, _middle(sample, relaxation.softness))
        return relaxation.expectation(problem, sample.values[..., None, :])[..., 0]


def _counted(
    index: Float[Array, "*batch n"], sample: Sample, relaxation: Relaxation
) -> Float[Array, "*batch n"]:
    """A soft index of all copies, of one for a single copy of each element."""
    mass = sample.mass
    return index if mass is None else relaxation.shares.times(index, mass)


def _middle(sample: Sample, softness: Array) -> Float[Array, "*batch 1"]:
    """Minus the mean over the unit of mass in the middle."""
    ordered = sample.ordered()
    support, infinite = ordered.support, sample.infinite
    if infinite is None:
        return ordered.means(sample.middle, support)
    # From anywhere beyond the finite ones, their rows are the same. On the way to an
    # infinite element, rounding would leave little of their differences.
    inside = infinite.finite(support)
    known = jax.lax.stop_gradient(support)
    low = jnp.min(jnp.where(inside, known, jnp.inf), axis=-1, keepdims=True)
    high = jnp.max(jnp.where(inside, known, -jnp.inf), axis=-1, keepdims=True)
    low, high = (jnp.where(jnp.isinf(end), 0, end) for end in (low, high))
    low, high = jax.lax.stop_gradient((low - softness, high + softness))
    sides = jnp.where(inside, 0, jnp.sign(support))
    side = ordered.means(sample.middle, sides)
    near = jnp.where(inside, support, jnp.clip(support, low, high))
    middle = ordered.means(sample.middle, near)
    middle = jnp.where(side > ROUNDING, high, middle)
    return jnp.where(side < -ROUNDING, low, middle)


def _sorted_rows(ordered: Ordered, relaxation: Relaxation) -> SoftSortRows:
    parts = ordered.support, relaxation.softness, ordered.where
    return SoftSortRows(None, *parts, filled=True, weights=ordered.mass)


def _largest_keys(sample: Sample, k: int) -> Float[Array, "*batch k"]:
    """The k largest; if there are not so many, the smallest fills the rest."""
    keys, where = sample.keys, sample.where
    if where is None:
        return largest(keys, k)[0]
    found, _ = largest(jnp.where(where, keys, -jnp.inf), k)
    count = jnp.asarray(sample.total)
    last = permute(jax.lax.stop_gradient(found), jnp.minimum(count, k) - 1)
    return jnp.where(jnp.arange(k) < count, found, last)


def _rows(
    sample: Sample,
    relaxation: Relaxation,
    queries: Float[Array, "*batch m"],
    among_keys: bool = False,
) -> SimplexProjection:
    z = -distance(queries[..., None], -sample.keys[..., None, :])
    where = None if sample.where is None else sample.where[..., None, :]
    # What is among the keys is at no distance from one of them.
    largest = jnp.zeros(1, z.dtype) if among_keys else None
    weights = None if sample.mass is None else sample.mass[..., None, :]
    return SimplexProjection(z, relaxation.softness[..., None], where, largest, weights)


def _largest(sample: Sample, relaxation: Relaxation) -> SimplexProjection:
    where = sample.where
    exponential = relaxation.regularizer.structure().rate is not None
    if sample.largest is not None and exponential and relaxation.shares.nothing == 0:
        where = None  # as keys that take no part are so far below that they have none
    parts = relaxation.softness, where, sample.largest, sample.mass
    return SimplexProjection(sample.keys, *parts)
