"""Sorting networks: which positions are compared with each other, round by round."""

from __future__ import annotations

import abc

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Int, Shaped


class Network(eqx.Module):
    """A sorting network: rounds of disjoint pairs of positions that are compared."""

    @abc.abstractmethod
    def size(self, n: int) -> int:
        """The number of positions that it takes to sort n elements."""

    @abc.abstractmethod
    def rounds(self, n: int) -> Int[Array, "rounds ..."]:
        """Labels of the rounds for n positions, one entry a round."""

    @abc.abstractmethod
    def pairs(
        self, one: Int[Array, "..."], n: int
    ) -> tuple[Int[Array, " n"], Bool[Array, " n"]]:
        """The partners of all positions in a round, and who gets the larger of the two.

        A position may be compared with itself.
        """

    def needed(
        self, one: Int[Array, "..."], count: Int[Array, "*batch 1"]
    ) -> Bool[Array, "*#batch 1"]:
        """A flag: whether a round does something for the first `count` positions alone.

        Default: all do. Rounds that are left out leave as many elements as if there
        were no more positions.
        """
        return jnp.ones((1,) * count.ndim, bool)

    def partners(self, x: Shaped[Array, "*batch n"], one: Int[Array, "..."]) -> Array:
        """Entries of `x` at the other position of each pair. Default: a gather.

        Where partners are at one distance, shifts are several times faster, and so are
        their derivatives.
        """
        partner, _ = self.pairs(one, x.shape[-1])
        return x[..., partner]


class Bitonic(Network):
    """Batcher's bitonic sorter: `log2(n) (log2(n) + 1) / 2` rounds for a power of 2."""

    def size(self, n: int) -> int:
        return 1 << (n - 1).bit_length()

    def rounds(self, n: int) -> Int[Array, "rounds 2"]:
        bits = range(1, n.bit_length())
        steps = [(1 << k, 1 << j) for k in bits for j in reversed(range(k))]
        return jnp.asarray(np.array(steps, np.int32).reshape(-1, 2))

    def pairs(
        self, one: Int[Array, "2"], n: int
    ) -> tuple[Int[Array, " n"], Bool[Array, " n"]]:
        run, distance = one
        position = jnp.arange(n, dtype=one.dtype)
        first = (position & distance) == 0
        descending = (position & run) == 0
        return position ^ distance, first == descending

    def needed(
        self, one: Int[Array, "2"], count: Int[Array, "*batch 1"]
    ) -> Bool[Array, "*batch 1"]:
        # All are sorted after the first run that is no shorter than they are.
        return one[0] < 2 * count

    def partners(self, x: Shaped[Array, "*batch n"], one: Int[Array, "2"]) -> Array:
        _, distance = one
        first = (jnp.arange(x.shape[-1], dtype=one.dtype) & distance) == 0
        return _shift_pairs(x, first, distance)


class OddEven(Network):
    """Odd-even transposition sort: n rounds of neighbours, for any n."""

    def size(self, n: int) -> int:
        return n

    def rounds(self, n: int) -> Int[Array, " n"]:
        return jnp.arange(n)

    def pairs(
        self, one: Int[Array, ""], n: int
    ) -> tuple[Int[Array, " n"], Bool[Array, " n"]]:
        position = jnp.arange(n)
        first = (position + one) % 2 == 0
        return jnp.clip(jnp.where(first, position + 1, position - 1), 0, n - 1), first

    def needed(
        self, one: Int[Array, ""], count: Int[Array, "*batch 1"]
    ) -> Bool[Array, "*batch 1"]:
        return one < count

    def partners(self, x: Shaped[Array, "*batch n"], one: Int[Array, ""]) -> Array:
        partner, first = self.pairs(one, x.shape[-1])
        alone = partner == jnp.arange(x.shape[-1])
        return jnp.where(alone, x, _shift_pairs(x, first, 1))


def _shift_pairs(
    x: Shaped[Array, "*batch n"],
    first: Bool[Array, " n"],
    distance: Int[Array, ""] | int,
) -> Array:
    """Entries of `x` that distance on, at the first of two, and back at the second."""
    return jnp.where(first, jnp.roll(x, -distance, -1), jnp.roll(x, distance, -1))


NETWORKS: dict[str, type[Network]] = {"bitonic": Bitonic, "odd_even": OddEven}
"""Name of a network -> what makes it."""
