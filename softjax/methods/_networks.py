"""Sorting networks: which positions are compared with each other, round by round."""

from __future__ import annotations

import abc
import functools
from collections.abc import Callable
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Int, Shaped

from softjax_solvers.internal import reorder, varying_as

_SMALL = 128
"""The number of elements up to which pairs are computed twice (measured on a CPU)."""


class Network(eqx.Module):
    """A sorting network: rounds of disjoint pairs of positions that are compared.

    A round first moves entries, then splits them into those of two, and joins what has
    become of these, along the last axis.
    """

    ahead: ClassVar[bool] = False
    """Whether rounds are run by `scan_ahead`."""

    def of(self, n: int) -> Network:
        """The form of this network that sorts n elements fastest. Default: itself."""
        return self

    def in_place(self) -> Network:
        """The form of this network that moves no entries. Default: itself."""
        return self

    @abc.abstractmethod
    def size(self, n: int) -> int:
        """The number of positions that it takes to sort n elements."""

    @abc.abstractmethod
    def rounds(self, n: int) -> Int[Array, "rounds ..."]:
        """Labels of the rounds for n positions, one entry a round."""

    @abc.abstractmethod
    def split(
        self, x: Shaped[Array, "..."], one: Int[Array, "..."]
    ) -> tuple[Array, Array]:
        """Entries of `moved` in a round, and those that they are compared with."""

    @abc.abstractmethod
    def larger(self, one: Int[Array, "..."], n: int) -> Bool[Array, " m"]:
        """A flag: whether the first of two in `split` gets the larger of them."""

    def partners(self, one: Int[Array, "..."], n: int) -> Int[Array, " n"]:
        """The position that each is compared with, if none moves."""
        return self.split(jnp.arange(n), one)[1]

    def join(self, x: Shaped[Array, "..."], other: Shaped[Array, "..."]) -> Array:
        """All entries, of the first and second of two. Default: the first are all."""
        return x

    def moved(self, x: Shaped[Array, "..."], one: Int[Array, "..."]) -> Array:
        """Entries as a round splits them: by a permutation that is its own inverse.

        Default: where they are.
        """
        return x

    def ordered(self, x: Shaped[Array, "..."]) -> Array:
        """Entries after the last round in their order. Default: they are in it."""
        return x

    def needed(
        self, one: Int[Array, "..."], count: Int[Array, "*batch 1"]
    ) -> Bool[Array, "*#batch 1"]:
        """A flag: whether a round does something for the first `count` positions alone.

        Default: all do. Rounds that are left out leave as many elements as if there
        were no more positions.
        """
        return jnp.ones((1,) * count.ndim, bool)


class Bitonic(Network):
    """Batcher's bitonic sorter: `log2(n) (log2(n) + 1) / 2` rounds for a power of 2.

    A round compares positions that differ in one bit. Each one moves that bit to the
    highest place, in exchange for the one that is there, so that the two halves of the
    array are the pairs, each of which is computed once.
    """

    ahead: ClassVar[bool] = True

    def of(self, n: int) -> Network:
        return self.in_place() if n <= _SMALL else self

    def in_place(self) -> Network:
        return _Bitonic()

    def size(self, n: int) -> int:
        return 1 << max(1, (n - 1).bit_length())

    def rounds(self, n: int) -> Int[Array, "rounds 3"]:
        rounds, _ = _bitonic(n.bit_length() - 1)
        return jnp.asarray(np.array(rounds, np.int32))

    def split(self, x, one):
        first, second = jnp.split(x, 2, -1)
        return first, second

    def larger(self, one, n):
        _, place, _ = one
        return (jnp.arange(n // 2, dtype=one.dtype) & place) == 0

    def join(self, x, other):
        return jnp.concatenate([x, other], -1)

    def moved(self, x, one):
        _, _, distance = one
        distance = varying_as(distance, x)
        moved = own_inverse(lambda x: _swap_highest(x, distance), x)
        # Of one row, XLA joins moves and mixtures in a kernel that takes one element at
        # a time. Of several it does not, and joining saves a pass over memory.
        alone = x.size == x.shape[-1]
        return jax.lax.optimization_barrier(moved) if alone else moved

    def ordered(self, x):
        # One order of all rows.
        axes = tuple(range(x.ndim - 1))
        order, inverse = (jnp.expand_dims(p, axes) for p in _places(x.shape[-1]))
        return reorder(x, order, inverse)

    def needed(
        self, one: Int[Array, "3"], count: Int[Array, "*batch 1"]
    ) -> Bool[Array, "*batch 1"]:
        # All are sorted after the first run that is no shorter than they are.
        return one[0] < 2 * count


class _Bitonic(Network):
    """The bitonic sorter with entries where they are: each pair is computed twice.

    That takes fewer operations on arrays, which is what few numbers take time for.
    """

    def size(self, n: int) -> int:
        return Bitonic().size(n)

    def rounds(self, n: int) -> Int[Array, "rounds 2"]:
        bits = range(1, n.bit_length())
        steps = [(1 << k, 1 << j) for k in bits for j in reversed(range(k))]
        return jnp.asarray(np.array(steps, np.int32))

    def split(self, x, one):
        one = varying_as(one, x)
        return x, own_inverse(lambda x: _bitonic_partners(x, one), x)

    def partners(self, one, n):
        _, distance = one
        return jnp.arange(n, dtype=one.dtype) ^ distance

    def larger(self, one, n):
        run, distance = one
        position = jnp.arange(n, dtype=one.dtype)
        return ((position & distance) == 0) == ((position & run) == 0)

    def needed(
        self, one: Int[Array, "2"], count: Int[Array, "*batch 1"]
    ) -> Bool[Array, "*batch 1"]:
        return one[0] < 2 * count


class OddEven(Network):
    """Odd-even transposition sort: n rounds of neighbours, for any n."""

    def size(self, n: int) -> int:
        return n

    def rounds(self, n: int) -> Int[Array, " n"]:
        return jnp.arange(n)

    def split(self, x, one):
        one = varying_as(one, x)
        return x, own_inverse(lambda x: _neighbours(x, one), x)

    def partners(self, one, n):
        position = jnp.arange(n)
        first = (position + one) % 2 == 0
        return jnp.clip(jnp.where(first, position + 1, position - 1), 0, n - 1)

    def larger(self, one, n):
        return (jnp.arange(n) + one) % 2 == 0

    def needed(
        self, one: Int[Array, ""], count: Int[Array, "*batch 1"]
    ) -> Bool[Array, "*batch 1"]:
        return one < count


def scan_ahead(
    step: Callable[[Any, Array], tuple[Any, Any]], start: Any, rounds: Int[Array, "..."]
) -> tuple[Any, Any]:
    """`jax.lax.scan`, with the labels of a round looked up in the round before it.

    On CPUs, XLA makes no vector instructions of what looks up in a table the places
    that it reads from.
    """

    def pass_on(carry: tuple[Any, Array], following: Array) -> tuple[Any, Any]:
        state, one = carry
        state, out = step(state, one)
        return (state, following), out

    following = jnp.roll(rounds, -1, axis=0)
    (end, _), out = jax.lax.scan(pass_on, (start, rounds[0]), following)
    return end, out


def own_inverse(
    change: Callable[[Array], Array], x: Shaped[Array, "..."]
) -> Shaped[Array, "..."]:
    """`change(x)` of a permutation that is its own inverse, and its own transpose.

    So it solves an equation in itself, whose derivative has the same form and keeps
    nothing.
    """
    return jax.lax.custom_linear_solve(
        change, x, lambda _, x: change(x), symmetric=True
    )


def _swap_highest(
    x: Shaped[Array, "..."], distance: Int[Array, ""]
) -> Shaped[Array, "..."]:
    """Entries whose places have the highest bit and that of `distance` exchanged.

    All stay if that is the same bit.
    """
    half = x.shape[-1] // 2
    there = (jnp.arange(half, dtype=distance.dtype) & distance) != 0
    first, second = jnp.split(x, 2, -1)
    # What lies beyond the half is not chosen.
    up, down = (
        jax.lax.dynamic_slice_in_dim(x, start, half, -1)
        for start in (distance, half - distance)
    )
    swapped = jnp.where(there, down, first), jnp.where(there, second, up)
    return jnp.concatenate(swapped, -1)


def _bitonic_partners(x: Shaped[Array, "..."], one: Int[Array, "2"]) -> Array:
    """The entry at the other position of each pair."""
    _, distance = one
    first = (jnp.arange(x.shape[-1], dtype=one.dtype) & distance) == 0
    return _shift_pairs(x, first, distance)


def _shift_pairs(
    x: Shaped[Array, "..."],
    first: Bool[Array, " n"],
    distance: Int[Array, ""] | int,
) -> Array:
    """Entries of `x` that distance on, at the first of two, and back at the second."""
    on, back = (jnp.roll(x, by, -1) for by in (-distance, distance))
    return jnp.where(first, on, back)


def _neighbours(x: Shaped[Array, "..."], one: Int[Array, ""]) -> Array:
    """The neighbour at each position, that of pairs which begin at even or odd ones."""
    n = x.shape[-1]
    position = jnp.arange(n, dtype=one.dtype)
    first = (position + one) % 2 == 0
    alone = position == jnp.where(first, n - 1, 0)
    return jnp.where(alone, x, _shift_pairs(x, first, 1))


@functools.cache
def _bitonic(bits: int) -> tuple[list[tuple[int, int, int]], list[int]]:
    """Rounds for so many bits of positions, and where bits of these are at the end.

    Rounds are the length of sorted runs, the place of the bit that tells which of them
    ascend, 0 after the last one, and of the bit that is to be the highest.
    """
    rounds, places, highest = [], list(range(bits)), bits - 1
    for k in range(1, bits + 1):
        for j in reversed(range(k)):
            place = places[j]
            places[places.index(highest)], places[j] = place, highest
            ascending = 1 << places[k] if k < bits else 0
            rounds.append((1 << k, ascending, 1 << place))
    return rounds, places


def _places(n: int) -> tuple[Int[Array, " n"], Int[Array, " n"]]:
    """Where entries in order are after the last round, and the inverse."""
    _, places = _bitonic(n.bit_length() - 1)
    return _with_bits_at(places), _with_bits_at(np.argsort(places).tolist())


def _with_bits_at(places: list[int]) -> Int[Array, " n"]:
    """Numbers from 0 on, with their bits moved to other places."""

    # Sums of small tables: one of all numbers would be a large part of the program.
    def table(places: list[int]) -> np.ndarray:
        bits = np.arange(1 << len(places))[:, None] >> np.arange(len(places)) & 1
        return (bits @ (1 << np.array(places, int))).astype(np.int32)

    half = len(places) // 2
    high, low = jnp.asarray(table(places[half:])), jnp.asarray(table(places[:half]))
    return (high[:, None] + low).reshape(-1)


NETWORKS: dict[str, type[Network]] = {"bitonic": Bitonic, "odd_even": OddEven}
"""Name of a network -> what makes it."""
