"""Formulations whose soft permutation matrix has independent rows."""

from __future__ import annotations

import abc

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ._method import IndexMethod, Level, Relaxation, central
from ._sample import Sample


class RowMethod(IndexMethod):
    """An index method in which each row is a problem of its own.

    So an operator that needs a few rows solves just those. `rows` and `row_values`
    have to be defined; positions are real numbers from 0 (the largest) to n - 1, and
    what lies half way between two positions is the centre row of an even sample.

    **Example:**

        >>> x = jnp.array([0.2, 1.0, 0.7])
        >>> sample = sj.methods.Sample(x)
        >>> relaxation = sj.methods.Relaxation(sj.solvers.Entropy(), jnp.array([0.1]))
        >>> print(sj.methods.SoftSort().rows(sample, relaxation, jnp.array([0.0])))
        [[0.    0.952 0.047]]
    """

    @abc.abstractmethod
    def rows(
        self,
        sample: Sample,
        relaxation: Relaxation,
        positions: Float[Array, " m"] | None,
    ) -> Float[Array, "*batch m n"]:
        """Soft indices of some positions, None for all of them."""

    @abc.abstractmethod
    def row_values(
        self,
        sample: Sample,
        relaxation: Relaxation,
        positions: Float[Array, " m"] | None,
    ) -> Float[Array, "*batch m"]:
        """Values at some positions, None for all of them."""

    def argsort(self, sample: Sample, relaxation: Relaxation) -> Float[Array, "..."]:
        return self.rows(sample, relaxation, None)

    def sort(self, sample: Sample, relaxation: Relaxation) -> Float[Array, "..."]:
        return self.row_values(sample, relaxation, None)

    def argmax(self, sample: Sample, relaxation: Relaxation) -> Float[Array, "..."]:
        return self.rows(sample, relaxation, jnp.zeros(1))[..., 0, :]

    def max(self, sample: Sample, relaxation: Relaxation) -> Float[Array, "..."]:
        return self.row_values(sample, relaxation, jnp.zeros(1))[..., 0]

    def top_k(
        self, sample: Sample, relaxation: Relaxation, k: int
    ) -> tuple[Float[Array, "..."], Float[Array, "..."] | None]:
        # The values do not pass through the indices: whoever drops those, under
        # `jax.jit`, does not pay for k x n of them.
        positions = jnp.arange(k, dtype=sample.keys.dtype)
        return (
            self.row_values(sample, relaxation, positions),
            self.rows(sample, relaxation, positions),
        )

    def argquantile(
        self, sample: Sample, relaxation: Relaxation, level: Level
    ) -> Float[Array, "..."]:
        index = self.rows(sample, relaxation, _positions(level, sample))
        return _mix(level, index.swapaxes(-1, -2)).swapaxes(-1, -2)

    def quantile(
        self, sample: Sample, relaxation: Relaxation, level: Level
    ) -> Float[Array, "..."]:
        values = self.row_values(sample, relaxation, _positions(level, sample))
        return _mix(level, values)

    def argmedian(self, sample: Sample, relaxation: Relaxation) -> Float[Array, "..."]:
        return self.rows(sample, relaxation, _centre(sample))[..., 0, :]

    def median(self, sample: Sample, relaxation: Relaxation) -> Float[Array, "..."]:
        return self.row_values(sample, relaxation, _centre(sample))[..., 0]


def read_between(
    x: Float[Array, "*batch n"], positions: Float[Array, " m"]
) -> Float[Array, "*batch m"]:
    """Entries of sorted `x`, interpolated where positions are not whole."""
    whole = jax.lax.stop_gradient(jnp.floor(positions)).astype(jnp.int32)
    lower = x[..., whole]
    upper = x[..., jnp.minimum(whole + 1, x.shape[-1] - 1)]
    return lower + (positions - whole) * (upper - lower)


def _positions(level: Level, sample: Sample) -> Float[Array, " m"]:
    sample.positions_of_full_rows("quantile")
    positions = jnp.asarray(level.lower)
    if level.upper is not None:
        positions = jnp.concatenate([positions, level.upper])
    return positions.astype(sample.keys.dtype)


def _mix(level: Level, x: Float[Array, "*batch m"]) -> Float[Array, "*batch m"]:
    """`level.mix` of what has been read at `_positions`."""
    if level.upper is None:
        return x
    return level.mix(*jnp.split(x, 2, axis=-1))


def _centre(sample: Sample) -> Float[Array, "1"]:
    return jnp.full(1, sum(central(sample)) / 2, sample.keys.dtype)
