"""The interface of projections of groups of candidates, each with a scalar dual."""

from __future__ import annotations

import abc
from typing import Self

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from .._core.groups import Groups
from .._core.problem import MaximizationProblem, ScalarDualProblem
from .._core.rows import flatten_batch
from .._kernels.arrays import in_units


class Candidates(ScalarDualProblem, MaximizationProblem):
    """A projection of each group of candidates, by the sum of their copies."""

    z: eqx.AbstractVar[Float[Array, "*batch n"]]
    softness: eqx.AbstractVar[Float[Array, "*#batch 1"]]
    where: eqx.AbstractVar[Bool[Array, "*#batch #n"] | None]
    weights: eqx.AbstractVar[Float[Array, "*#batch #n"] | None]
    groups: eqx.AbstractVar[Groups]

    @property
    def dtype(self) -> jnp.dtype:
        return self.z.dtype

    @property
    @abc.abstractmethod
    def apart(self) -> Float[Array, "*batch n"]:
        """z from a constant on, 0 where masked."""

    @property
    def scores(self) -> Float[Array, "*batch n"]:
        """`apart / softness`."""
        return in_units(self.apart, self.softness)

    def masked(self, x: Float[Array, "*#batch n"]) -> Float[Array, "*#batch n"]:
        """`x`, 0 where masked."""
        return x if self.where is None else jnp.where(self.where, x, 0)

    def weighted(self, x: Float[Array, "*#batch n"]) -> Float[Array, "*#batch n"]:
        """`x` times the weights, 0 where masked."""
        return self.masked(x if self.weights is None else self.weights * x)

    def added(self, x: Float[Array, "*batch n"]) -> Float[Array, "*groups"]:
        """The sums of x."""
        return self.groups.sum(x)

    def flat(self) -> Self:
        rows = self if self.groups.are_rows else self.one_row_each()
        return flatten_batch(rows, rows.z.shape[:-1])

    @abc.abstractmethod
    def one_row_each(self) -> Self:
        """A row for each segment, with the others masked."""
