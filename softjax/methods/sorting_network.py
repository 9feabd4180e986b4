from __future__ import annotations

import dataclasses
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Shaped

from softjax_solvers.internal import (
    invert,
    kth_largest_of_few,
    pad_last,
    reorder,
    varying_as,
)

from .._transition import Transition
from ._exchange import exchange, mix
from ._intervals import Intervals
from ._method import Relaxation
from ._networks import NETWORKS, Network, own_inverse, scan_ahead
from ._rows import RowMethod
from ._sample import Infinite, Sample, behind, places_in_front

_SAMPLED = 31
"""The number of keys, at most, that have a say in where their middle is."""


class _Wires(NamedTuple):
    """Numbers that flow through the network. Keys of padding are -inf."""

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

    in_logs: ClassVar[bool] = True

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
        self, sample: Sample, relaxation: Relaxation, network: Network
    ) -> tuple[_Wires, Float[Array, "*batch 1"]]:
        """The numbers that flow in, and the one that was taken from the keys."""
        self.check_weights(sample, "argsort")
        if relaxation.solver is not None:
            raise TypeError(
                f"solver={relaxation.solver!r}: method='sorting_network' has nothing "
                "to solve. Pass None."
            )
        extra = network.size(sample.size) - sample.size
        averaged = sample.averaged
        # Only differences count. From the middle, they are exact where keys are close,
        # far from 0 and far from an outlier too.
        middle = _middle(sample)
        keys = sample.keys - middle
        keys = jnp.maximum(keys, jnp.finfo(keys.dtype).min)
        wires = _Wires(
            pad_last(keys, 0, extra, -jnp.inf),
            None if averaged is None else pad_last(averaged, 0, extra),
        )
        return wires, middle

    def _round(
        self,
        network: Network,
        wires: _Wires,
        one: Array,
        transition: Transition,
        complete: bool,
        count: Shaped[Array, "*batch 1"] | None,
    ) -> tuple[_Wires, Float[Array, "*batch m"], Float[Array, "*batch m"]]:
        """Wires after a round; of its pairs the shares that stay, and how far apart."""

        def split(x: Array) -> tuple[Array, Array]:
            return network.split(network.moved(x, one), one)

        first, second = split(wires.keys)
        larger = network.larger(one, wires.keys.shape[-1])
        sign = jnp.where(larger, 1, -1).astype(first.dtype)
        apart = sign * (first - second)
        needed = None if count is None else network.needed(one, count)
        parts = transition, sign, needed, None
        *keys, stays = exchange(first, second, *parts, complete=complete)
        if needed is not None:
            apart = jnp.where(needed, apart, jnp.inf)
        averaged = wires.averaged
        if averaged is not None:
            first, second = split(averaged)
            pair = mix(first, second, stays), mix(second, first, stays)
            averaged = network.join(*pair)
        return _Wires(network.join(*keys), averaged), stays, apart

    def _scan(
        self,
        sample: Sample,
        relaxation: Relaxation,
        network: Network,
        start: _Wires,
        keep: bool,
    ) -> tuple[_Wires, Any, Array]:
        """The ends of the wires, `Shares.steps` of each round, and the rounds.

        Steps are None unless told to `keep` them, as derivatives need not do either.
        """
        regularizer = relaxation.regularizer
        scale = regularizer.transition_scale().astype(sample.keys.dtype)
        transition = Transition(regularizer, relaxation.softness * scale)
        complete, shares = start.keys.shape[-1] == sample.size, relaxation.shares
        count = None if sample.infinite is None else jnp.asarray(sample.finite)

        def step(wires: _Wires, one: Array) -> tuple[_Wires, Any]:
            parts = transition, complete, count
            wires, stays, apart = self._round(network, wires, one, *parts)
            return wires, shares.steps(transition, apart, stays) if keep else None

        # Of a constant, a gradient would keep the labels of each round once more.
        rounds = network.rounds(start.keys.shape[-1])
        rounds = jax.lax.optimization_barrier(rounds)
        scan = scan_ahead if network.ahead else jax.lax.scan
        end, steps = scan(step, start, rounds)
        return end, steps, rounds

    def _weigh(
        self, sample: Sample, relaxation: Relaxation, weights: Float[Array, "m n"]
    ) -> Float[Array, "*batch m n"]:
        """Weights of sorted places, as weights of the elements that reach them."""
        sample, place = _to_front(sample, relaxation)
        # Rounds that move rows would take longer, and so would the steps of halves.
        network = self.network.in_place()
        start, _ = self._start(sample, relaxation, network)
        start = start._replace(averaged=None)
        _, steps, rounds = self._scan(sample, relaxation, network, start, keep=True)
        shares, size = relaxation.shares, start.keys.shape[-1]
        # Rows come last, so that what changes places are rows of memory.
        weights = pad_last(weights, 0, size - sample.size).swapaxes(-1, -2)
        weights = shares.of(weights)

        # From the last round to the first; each is its own transpose.
        def back(weights: Array, given: tuple[Array, Any]) -> tuple[Array, None]:
            one, steps = given
            others = _swapped(weights, network.partners(one, size))
            return shares.exchange(steps, weights, others), None

        leaves = jax.tree.leaves(steps)
        shape = (*leaves[0].shape[1:-1], *weights.shape[-2:])
        weights = jnp.broadcast_to(weights, shape)
        weights = varying_as(weights, *leaves)
        weights, _ = jax.lax.scan(back, weights, (rounds, steps), reverse=True)
        weights = weights[..., : sample.size, :]
        if place is not None:
            back_in_order = invert(place)[..., None]
            weights = reorder(weights, place[..., None], back_in_order, axis=-2)
        return weights.swapaxes(-1, -2)

    def rows(
        self,
        sample: Sample,
        relaxation: Relaxation,
        intervals: Intervals | None,
    ) -> Float[Array, "*batch m n"]:
        if intervals is None:
            intervals = sample.cells(sample.size)
        # Infinite elements come before those in the network.
        start, stop = (end - sample.above for end in intervals[:2])
        places = np.arange(sample.size)
        weights = Intervals(start, stop).overlap(places, np.ones_like(places))
        return self._weigh(sample, relaxation, weights.astype(sample.keys.dtype))

    def row_values(
        self,
        sample: Sample,
        relaxation: Relaxation,
        intervals: Intervals | None,
    ) -> Float[Array, "*batch m"]:
        above = sample.above
        sample, _ = _to_front(sample, relaxation)
        network = self.network.of(sample.size)
        start, middle = self._start(sample, relaxation, network)
        end, _, _ = self._scan(sample, relaxation, network, start, keep=False)
        end = jax.tree.map(network.ordered, end)
        values = end.averaged
        if values is None:
            values = jnp.where(end.keys > -jnp.inf, end.keys, 0) + middle
        values = behind(above, values[..., : sample.size])
        return values if intervals is None else intervals.take(values)

    def rank(self, sample: Sample, relaxation: Relaxation) -> Float[Array, "*batch n"]:
        positions = jnp.arange(1, sample.size + 1, dtype=sample.keys.dtype)
        ranks = self._weigh(sample, relaxation, positions[None])[..., 0, :]
        return jnp.add(sample.above, ranks)


def _swapped(
    rows: Float[Array, "*batch m n"], places: Int[Array, " m"]
) -> Float[Array, "*batch m n"]:
    """Rows at other places, which form a permutation that is its own inverse."""
    places = varying_as(places, rows)

    def swap(rows: Array) -> Array:
        at = rows.at[..., places, :]
        return at.get(mode="promise_in_bounds", unique_indices=True)

    return own_inverse(swap, rows)


def _to_front(
    sample: Sample, relaxation: Relaxation
) -> tuple[Sample, Int[Array, "*batch n"] | None]:
    """The sample with the finite elements that take part in front, and their places.

    Which elements meet in a network depends on their places. So those that come first
    are sorted as if there were no others, which have smaller keys than all of them.
    """
    infinite, where = sample.infinite, sample.where
    if infinite is not None:
        here = infinite.finite(sample.keys)
        here = here if where is None else here & where
    elif where is not None:
        here, none = where, jnp.zeros_like(sample.total)
        size = jnp.abs(jax.lax.stop_gradient(sample.keys))
        reach = jnp.max(jnp.where(here, size, 0), axis=-1, keepdims=True)
        infinite = Infinite(none, none, reach)
    else:
        return sample, None
    place = places_in_front(here)
    order = invert(place)
    far = infinite.beyond(relaxation.softness)
    averaged = sample.averaged
    front = dataclasses.replace(
        sample,
        keys=reorder(jnp.where(here, sample.keys, -far), order, place),
        averaged=None if averaged is None else reorder(averaged, order, place),
        where=None,
        total=None,
        infinite=dataclasses.replace(
            infinite,
            above=jnp.zeros_like(infinite.above),
            below=sample.size - jnp.asarray(sample.finite),
        ),
    )
    return front, place


def _middle(sample: Sample) -> Float[Array, "*batch 1"]:
    """A number from the middle of the keys: the median of some of them."""
    keys = jax.lax.stop_gradient(sample.keys)
    places = np.arange(sample.size)
    if sample.size > _SAMPLED:
        # Multiples of the golden ratio are spread evenly, and in step with no period.
        shares = np.arange(_SAMPLED) * (5**0.5 - 1) / 2 % 1
        places = (shares * sample.size).astype(int)
    found = kth_largest_of_few(keys[..., places], (places.size + 1) // 2)
    if sample.infinite is None:
        return found
    # Where most are infinite, another number will do.
    return jnp.clip(found, -sample.infinite.reach, sample.infinite.reach)
