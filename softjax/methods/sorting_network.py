from __future__ import annotations

import abc
import dataclasses
import functools
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Shaped

from softjax_solvers.internal import (
    derivative,
    invert,
    largest,
    pad_last,
    permute,
    tangent_of,
    varying_as,
)

from .._transition import Transition
from ._method import Relaxation
from ._rows import RowMethod, read_between
from ._sample import Sample, behind


class Network(eqx.Module):
    """Which positions are compared, in rounds of disjoint pairs."""

    @abc.abstractmethod
    def size(self, n: int) -> int:
        """How many positions it takes to sort n elements."""

    @abc.abstractmethod
    def rounds(self, n: int) -> Int[Array, "rounds ..."]:
        """What tells the rounds for n positions apart, one entry a round."""

    @abc.abstractmethod
    def pairs(
        self, one: Int[Array, "..."], n: int
    ) -> tuple[Int[Array, " n"], Bool[Array, " n"]]:
        """In a round: whom each position is compared with, and whether it gets the
        larger of the two. A position may be compared with itself."""

    def needed(
        self, one: Int[Array, "..."], count: Int[Array, "*batch 1"]
    ) -> Bool[Array, "*#batch 1"]:
        """Whether a round does something for the first `count` positions alone.

        Default: all do. Rounds that are left out leave as many elements as if there
        were no more positions.
        """
        return jnp.ones((1,) * count.ndim, bool)

    def partners(self, x: Shaped[Array, "*batch n"], one: Int[Array, "..."]) -> Array:
        """What is at the other position of each pair. Default: a gather.

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
    """What is so many places on, at the first of two, and back, at the second."""
    return jnp.where(first, jnp.roll(x, -distance, -1), jnp.roll(x, distance, -1))


_SAMPLED = 63
"""So many keys, at most, have a say in where their middle is."""

NETWORKS: dict[str, type[Network]] = {"bitonic": Bitonic, "odd_even": OddEven}
"""Name of a network -> what makes it."""


class _Wires(NamedTuple):
    """What flows through the network. Keys of what is not there are -inf."""

    keys: Float[Array, "*batch m"]
    averaged: Float[Array, "*batch m"] | None


class SortingNetwork(RowMethod):
    """Argsort is the product of the soft exchanges of a sorting network.

    Of two elements a and b, `p a + (1 - p) b` takes the place of the larger and
    `(1 - p) a + p b` that of the smaller, with `p = H((a - b) / softness)`, H the
    [`softjax.heaviside`][] of the mode. Values take `O(n log(n)^2)` time with the
    bitonic network, and m rows of the soft permutation matrix m times that.

    **Arguments:**

    - `network`: `"bitonic"`, `"odd_even"` (n rounds of neighbours, n^2 exchanges) or a
        `Network`.

    **Raises:** `ValueError` for the name of no network, and `TypeError` if it is
    neither; `TypeError` if a solver is given, as there is nothing to solve.

    **Example:**

        >>> x = jnp.array([0.2, 1.0, 0.7])
        >>> print(sj.sort(x, method="sorting_network"))
        [0.203 0.711 0.985]
        >>> print(sj.sort(x, method=sj.methods.SortingNetwork("odd_even")))
        [0.203 0.711 0.985]

    ??? cite

        Batcher, "Sorting networks and their applications", AFIPS 1968; Petersen,
        Borgelt, Kuehne and Deussen, "Differentiable sorting networks for scalable
        sorting and ranking supervision", ICML 2021, and "Monotonic differentiable
        sorting networks", ICLR 2022.
    """

    network: Network

    def __init__(self, network: str | Network = "bitonic"):
        if isinstance(network, str):
            if network not in NETWORKS:
                raise ValueError(
                    f"SortingNetwork: network={network!r} is not known. Allowed: "
                    f"{', '.join(map(repr, NETWORKS))}, or a Network."
                )
            network = NETWORKS[network]()
        if not isinstance(network, Network):
            raise TypeError(
                "SortingNetwork: network must be one of "
                f"{', '.join(map(repr, NETWORKS))} or a Network, got {network!r}."
            )
        self.network = network

    def _start(
        self, sample: Sample, relaxation: Relaxation
    ) -> tuple[_Wires, Float[Array, "*batch 1"]]:
        """What flows in, and what was taken from the keys."""
        if relaxation.solver is not None:
            raise TypeError(
                f"solver={relaxation.solver!r}: method='sorting_network' has nothing "
                "to solve. Pass None."
            )
        extra = self.network.size(sample.size) - sample.size
        averaged = sample.averaged
        # Only differences count. From the middle, they are exact where keys are close,
        # far from 0 and far from an outlier too.
        middle = _middle(sample)
        keys = sample.keys - middle
        keys = jnp.maximum(keys, jnp.finfo(keys.dtype).min)
        if sample.where is not None:
            keys = jnp.where(sample.where, keys, -jnp.inf)
        wires = _Wires(
            pad_last(keys, 0, extra, -jnp.inf),
            None if averaged is None else pad_last(averaged, 0, extra),
        )
        return wires, middle

    def _exchange(
        self, wires: _Wires, one: Array, transition: Transition, complete: bool
    ) -> tuple[_Wires, Float[Array, "*batch m"]]:
        """One round, and how much of what is at each position stays there."""
        keys, averaged = wires
        _, larger = self.network.pairs(one, keys.shape[-1])
        other = self._partners(keys, one)
        sign = jnp.where(larger, 1, -1).astype(keys.dtype)
        keys, stays = _compare(keys, other, transition, sign, None, complete=complete)
        if averaged is not None:
            averaged = _mix(averaged, self._partners(averaged, one), stays)
        return _Wires(keys, averaged), stays

    def _partners(self, x: Float[Array, "*batch m"], one: Array) -> Array:
        # To change places is its own inverse, and its own transpose. So it solves an
        # equation in itself, whose derivative has the same form and keeps nothing.
        swap = functools.partial(self.network.partners, one=varying_as(one, x))
        solve = lambda _, x: swap(x)  # noqa: E731
        return jax.lax.custom_linear_solve(swap, x, solve, symmetric=True)

    def _scan(
        self, sample: Sample, relaxation: Relaxation, start: _Wires, keep: bool
    ) -> tuple[_Wires, Float[Array, "rounds *batch m"] | None, Array]:
        """The end of the wires and, to `keep`, what stays at each position, by round.

        What is not kept, derivatives need not keep either.
        """
        regularizer = relaxation.regularizer
        scale = regularizer.transition_scale().astype(sample.keys.dtype)
        transition = Transition(regularizer, relaxation.softness * scale)
        complete = sample.where is None and start.keys.shape[-1] == sample.size
        count = None if sample.infinite is None else jnp.asarray(sample.finite)

        def step(wires: _Wires, one: Array) -> tuple[_Wires, Array | None]:
            new, stays = self._exchange(wires, one, transition, complete)
            if count is not None:
                needed = self.network.needed(one, count)
                choose = functools.partial(jnp.where, needed)
                new = jax.tree.map(choose, new, wires)
                stays = jnp.where(needed, stays, 1)
            return new, stays if keep else None

        rounds = self.network.rounds(start.keys.shape[-1])
        end, stays = jax.lax.scan(step, start, rounds)
        return end, stays, rounds

    def _weigh(
        self, sample: Sample, relaxation: Relaxation, weights: Float[Array, "m n"]
    ) -> Float[Array, "*batch m n"]:
        """Weights of sorted places, as weights of the elements that reach them."""
        sample, place = _to_front(sample, relaxation)
        start, _ = self._start(sample, relaxation)
        start = start._replace(averaged=None)
        _, stays, rounds = self._scan(sample, relaxation, start, keep=True)
        assert stays is not None
        size = stays.shape[-1]
        # Rows come last, so that what changes places are rows of memory.
        weights = pad_last(weights, 0, size - sample.size).swapaxes(-1, -2)

        # From the last round to the first; each is its own transpose. The mixture is
        # written so that derivatives keep one matrix a round: the difference.
        def back(weights: Array, given: tuple[Array, Array]) -> tuple[Array, None]:
            one, stays = given
            partner, _ = self.network.pairs(one, size)
            other = weights.at[..., partner, :].get(
                mode="promise_in_bounds", unique_indices=True
            )
            return other + stays[..., None] * (weights - other), None

        shape = (*stays.shape[1:-1], *weights.shape[-2:])
        weights = jnp.broadcast_to(weights, shape)
        weights = varying_as(weights, stays)
        weights, _ = jax.lax.scan(back, weights, (rounds, stays), reverse=True)
        weights = weights[..., : sample.size, :]
        if place is not None:
            weights = jnp.take_along_axis(
                weights, place[..., None], axis=-2, mode="promise_in_bounds"
            )
        return weights.swapaxes(-1, -2)

    def rows(
        self,
        sample: Sample,
        relaxation: Relaxation,
        positions: Float[Array, " m"] | None,
    ) -> Float[Array, "*batch m n"]:
        places = jnp.arange(sample.size, dtype=sample.keys.dtype)
        if positions is None:
            positions = places
        # Half way between two positions, half of each. Infinite ones come before.
        positions = positions - jnp.asarray(sample.above, places.dtype)
        weights = jnp.maximum(1 - jnp.abs(positions[..., None] - places), 0)
        return self._weigh(sample, relaxation, weights)

    def row_values(
        self,
        sample: Sample,
        relaxation: Relaxation,
        positions: Float[Array, " m"] | None,
    ) -> Float[Array, "*batch m"]:
        above = sample.above
        sample, _ = _to_front(sample, relaxation)
        start, middle = self._start(sample, relaxation)
        end, _, _ = self._scan(sample, relaxation, start, keep=False)
        values = end.averaged
        if values is None:
            values = jnp.where(end.keys > -jnp.inf, end.keys, 0) + middle
        values = behind(above, values[..., : sample.size])
        return values if positions is None else read_between(values, positions)

    def rank(self, sample: Sample, relaxation: Relaxation) -> Float[Array, "*batch n"]:
        positions = jnp.arange(1, sample.size + 1, dtype=sample.keys.dtype)
        ranks = self._weigh(sample, relaxation, positions[None])[..., 0, :]
        return jnp.add(sample.above, ranks)


def _to_front(
    sample: Sample, relaxation: Relaxation
) -> tuple[Sample, Int[Array, "*batch n"] | None]:
    """The sample with its finite elements in front, and where each element is in it.

    Which elements meet in a network depends on their places. So those that come first
    are sorted as if there were no others, which have smaller keys than all of them.
    """
    infinite, where = sample.infinite, sample.where
    if infinite is None:
        return sample, None
    here = infinite.finite(sample.keys)
    here = here if where is None else here & where
    # A stable partition, by counts and not by a sort.
    before = jnp.cumsum(here.astype(jnp.int32), axis=-1)
    after = before[..., -1:] + jnp.arange(sample.size) - before
    place = jnp.where(here, before - 1, after)
    order = invert(place)
    far = infinite.beyond(relaxation.softness)
    front = dataclasses.replace(
        sample,
        keys=permute(jnp.where(here, sample.keys, -far), order),
        averaged=None if sample.averaged is None else permute(sample.averaged, order),
        where=None,
        infinite=dataclasses.replace(
            infinite,
            above=jnp.zeros_like(infinite.above),
            below=sample.size - jnp.asarray(sample.finite),
        ),
        count=None,
    )
    return front, place


def _middle(sample: Sample) -> Float[Array, "*batch 1"]:
    """Something from the middle of the keys: the median of some of them."""
    keys, where = jax.lax.stop_gradient(sample.keys), sample.where
    places = np.arange(sample.size)
    if sample.size > _SAMPLED:
        # Multiples of the golden ratio are spread evenly, and in step with no period.
        shares = np.arange(_SAMPLED) * (5**0.5 - 1) / 2 % 1
        places = (shares * sample.size).astype(int)
    middle = (places.size + 1) // 2
    if where is None:
        found = largest(keys[..., places], middle)[0][..., -1:]
        if sample.infinite is None:
            return found
        # Where most are infinite, another number will do.
        return jnp.clip(found, -sample.infinite.reach, sample.infinite.reach)
    keys = jnp.where(where, keys, -jnp.inf)
    found, _ = largest(keys[..., places], places.size)
    count = jnp.sum(found > -jnp.inf, axis=-1, keepdims=True)
    some = permute(found, jnp.maximum((count + 1) // 2 - 1, 0))
    return jnp.where(count > 0, some, jnp.max(keys, axis=-1, keepdims=True))


@eqx.filter_custom_jvp
def _compare(
    x: Float[Array, "*batch m"],
    other: Float[Array, "*batch m"],
    transition: Transition,
    sign: Float[Array, " m"],
    known: Float[Array, "*batch m"] | None,
    *,
    complete: bool,
) -> tuple[Float[Array, "*batch m"], Float[Array, "*batch m"]]:
    """The mixture of `x` and `other` by how much of `x` stays, and that.

    Unless they are `complete`, some may be -inf: those are not there, count as smaller
    than what is, and do not mix with it. `known` is the step if it is. The rule keeps
    one array a round for the mixture's gradient in x, where JAX would keep every
    factor.
    """
    difference = x - other
    apart = sign * difference
    stays = transition.heaviside(apart) if known is None else known
    mixed = _mix(x, other, stays)
    if complete:
        return mixed, stays
    near = jnp.abs(difference) < jnp.inf
    chosen = apart >= 0
    stays = jnp.where(near, stays, chosen)
    return jnp.where(near, mixed, jnp.where(chosen, x, other)), stays


@_compare.def_jvp
def _compare_jvp(primals, tangents, *, complete):
    x, other, transition, sign, _ = primals
    x_dot, other_dot, transition_dot, *_ = tangents
    difference = x - other
    apart = sign * difference
    step, slope = derivative(transition.heaviside, apart)
    out = _compare(x, other, transition, sign, step, complete=complete)
    slope = sign * slope  # which is 0 at infinity
    difference = jnp.where(jnp.abs(difference) < jnp.inf, difference, 0)
    moves = jnp.zeros_like(x) if x_dot is None else x_dot
    others = jnp.zeros_like(x) if other_dot is None else other_dot
    moves = moves - others
    stays_dot = slope * moves
    mixed_dot = others + (out[1] + difference * slope) * moves
    if jax.tree.leaves(transition_dot):
        softens = tangent_of(
            lambda transition: transition.heaviside(apart),
            (transition,),
            (transition_dot,),
        )
        stays_dot, mixed_dot = stays_dot + softens, mixed_dot + difference * softens
    return out, (mixed_dot, stays_dot)


def _mix(x: Array, other: Array, stays: Array) -> Array:
    return stays * x + (1 - stays) * other
