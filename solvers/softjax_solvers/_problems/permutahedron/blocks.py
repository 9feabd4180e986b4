"""Groups of entries of sorted rows, and blocks, which isotonic regression finds."""

from __future__ import annotations

import abc
from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from ..._kernels.sorting import permute, scatter_rows


class Groups(eqx.Module):
    """Groups of entries of descending arrays, and what is reduced over each."""

    @abc.abstractmethod
    def totals(self, *arrays: Array) -> list[Array]:
        """The sums over one's group; they broadcast against the entries."""

    @abc.abstractmethod
    def first(self, inside: Array, *arrays: Array) -> tuple[Array, ...]:
        """Entries of arrays at the first place `inside` of one's group.

        They broadcast against the entries; anything where none is inside.
        """


class Blocks(Groups):
    """The solution of an isotonic regression: constant blocks of a sorted row.

    The value of a block is measured from the score of an entry of it, its reference:
    differences of scores within a block are exact where the scores are large and close.

    **Attributes:**

    - `offset`: `*batch n`, constant in each block: its value less the score of its
        reference, at a fixed score of that as far as derivatives go, but for Tsallis
        entropies of a known exponent above 2, whose reference is the y next to 0.
    - `reference`: `*batch n`, the index in the row of the reference of one's block.

    **Example:**

        >>> z, w = jnp.array([1.0, 0.7, 0.2]), jnp.array([3.0, 2.0, 1.0])
        >>> problem = sj.solvers.PermutahedronProjection(z, w, 0.4)
        >>> print(sj.solvers.solve(problem, "c0").dual.reference)
        [0 0 2]
    """

    offset: Float[Array, "*batch n"]
    reference: Int[Array, "*batch n"]

    @property
    def alone(self) -> Bool[Array, "*batch n"]:
        """Whether an entry is a block of its own."""
        reference = self.reference
        if reference.shape[-1] < 2:
            return jnp.ones_like(reference, bool)
        # The ends of a row are neighbours too: both are in one block, if there is one.
        before, after = (jnp.roll(reference, shift, axis=-1) for shift in (1, -1))
        return (reference != before) & (reference != after)

    def totals(self, *arrays: Float[Array, "*batch n"]) -> list[Array]:
        return [self._reduce(jax.lax.scatter_add, x, 0) for x in arrays]

    def first(self, inside: Array, *arrays: Array) -> tuple[Array, ...]:
        n = inside.shape[-1]
        position = jax.lax.broadcasted_iota(jnp.int32, inside.shape, inside.ndim - 1)
        position = jnp.where(inside, position, n - 1)
        position = self._reduce(jax.lax.scatter_min, position, n - 1)
        return tuple(permute(x, position) for x in arrays)

    def least(self, x: Float[Array, "*batch n"]) -> Int[Array, "*batch n"]:
        """The place in the row of the smallest entry of one's block."""
        n = x.shape[-1]
        position = jax.lax.broadcasted_iota(jnp.int32, x.shape, x.ndim - 1)
        here = x == self._reduce(jax.lax.scatter_min, x, jnp.inf)
        position = jnp.where(here, position, n - 1)
        return self._reduce(jax.lax.scatter_min, position, n - 1)

    def _reduce(self, scatter: Callable, x: Array, start: float) -> Array:
        """A reduction over one's block, of what `start` is the neutral element."""
        reduced = jnp.full_like(x, start)
        sorted_ = dict(indices_are_sorted=True)
        reduced = scatter_rows(scatter, reduced, self.reference, x, **sorted_)
        return permute(reduced, self.reference)
