"""Formulations whose soft permutation matrix has independent rows."""

from __future__ import annotations

import abc

from jaxtyping import Array, Float

from ._intervals import Intervals
from ._method import IndexMethod, Relaxation
from ._sample import Sample

FEW = 8
"""The number of dense rows up to which they take less time than sums in O(n)."""


class RowMethod(IndexMethod):
    """An index method in which each row is a problem of its own.

    So an operator that needs a few rows solves just those. `rows` and `row_values`
    have to be defined, and read [`softjax.methods.Intervals`][] of mass 1, one a row:
    of whole units of mass, and for the median that in the middle, which is half of one
    unit and half of the next one where the number of elements is even.

    **Example:**

        >>> x = jnp.array([0.2, 1.0, 0.7])
        >>> sample = sj.methods.Sample(x)
        >>> relaxation = sj.methods.Relaxation(sj.solvers.Entropy(), jnp.array([0.1]))
        >>> print(sj.methods.SoftSort().rows(sample, relaxation, sample.cells(1)))
        [[0.    0.952 0.047]]
    """

    @abc.abstractmethod
    def rows(
        self,
        sample: Sample,
        relaxation: Relaxation,
        intervals: Intervals | None,
    ) -> Float[Array, "*batch m n"]:
        """Soft indices of intervals, None for all units of mass."""

    @abc.abstractmethod
    def row_values(
        self,
        sample: Sample,
        relaxation: Relaxation,
        intervals: Intervals | None,
    ) -> Float[Array, "*batch m"]:
        """Values of intervals, None for all units of mass."""

    def argsort(self, sample: Sample, relaxation: Relaxation) -> Float[Array, "..."]:
        return self.rows(sample, relaxation, None)

    def sort(self, sample: Sample, relaxation: Relaxation) -> Float[Array, "..."]:
        return self.row_values(sample, relaxation, None)

    def argmax(self, sample: Sample, relaxation: Relaxation) -> Float[Array, "..."]:
        return self.rows(sample, relaxation, sample.cells(1))[..., 0, :]

    def max(self, sample: Sample, relaxation: Relaxation) -> Float[Array, "..."]:
        return self.row_values(sample, relaxation, sample.cells(1))[..., 0]

    def top_k(
        self, sample: Sample, relaxation: Relaxation, k: int
    ) -> tuple[Float[Array, "..."], Float[Array, "..."] | None]:
        # The values do not pass through the indices: whoever drops those, under
        # `jax.jit`, does not pay for k x n of them.
        cells = sample.cells(k)
        return (
            self.row_values(sample, relaxation, cells),
            self.rows(sample, relaxation, cells),
        )

    def argquantile(
        self, sample: Sample, relaxation: Relaxation, intervals: Intervals
    ) -> Float[Array, "..."]:
        return relaxation.shares.mix(
            intervals, self.rows(sample, relaxation, intervals)
        )

    def quantile(
        self, sample: Sample, relaxation: Relaxation, intervals: Intervals
    ) -> Float[Array, "..."]:
        return intervals.mix(self.row_values(sample, relaxation, intervals))

    def argmedian(self, sample: Sample, relaxation: Relaxation) -> Float[Array, "..."]:
        return self.rows(sample, relaxation, sample.middle)[..., 0, :]

    def median(self, sample: Sample, relaxation: Relaxation) -> Float[Array, "..."]:
        return self.row_values(sample, relaxation, sample.middle)[..., 0]
