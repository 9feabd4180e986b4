"""Arrays with room for more than they hold, as a set that grows within a loop."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, PyTree

from .._platform.batches import anywhere

_FEWEST = 32
"""Least number of places within which work is done."""

_GROWTH = 4
"""Factor to the next number; the program has a branch for each."""


_WORTH = 2**12
"""Numbers below which going over all takes no longer than a branch."""


def over_taken(
    taken: Bool[Array, " m"],
    compute: Callable[[int], PyTree[Array]],
    numbers: int = _WORTH,
) -> PyTree[Array]:
    """`compute(m)`, in less time if only the first places are taken.

    `compute` is a function of the number of places to look at, of all of which it goes
    over so many `numbers`. Its result must be of the same shapes for all numbers of
    places, and not depend on places that are free.
    """
    if numbers < _WORTH:
        return compute(len(taken))
    sizes = [_FEWEST]
    while sizes[-1] < len(taken):
        sizes.append(_GROWTH * sizes[-1])
    *fewer, _ = sizes
    if not fewer:
        return compute(len(taken))
    index = sum(anywhere(taken[few:]).astype(jnp.int32) for few in fewer)
    branches = [lambda size=size: compute(size) for size in (*fewer, len(taken))]
    return jax.lax.switch(index, branches)
