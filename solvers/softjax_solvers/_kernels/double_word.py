"""Numbers of twice the digits, as sums of two that are not carried out.

Reference: Joldes, Muller and Popescu, "Tight and rigorous error bounds for basic
building blocks of double-word arithmetic", ACM Transactions on Mathematical Software
44, 2017.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float


class DoubleWord(NamedTuple):
    """The number `high + low`, of which `low` is the rounding of `high`."""

    high: Float[Array, "..."]
    low: Float[Array, "..."]


def two_sum(a: Float[Array, "..."], b: Float[Array, "..."]) -> DoubleWord:
    """The sum of two numbers and its rounding error, both exact."""
    high = a + b
    part = high - a
    return DoubleWord(high, (a - (high - part)) + (b - part))


def add(x: DoubleWord, y: Float[Array, "..."]) -> DoubleWord:
    high, low = two_sum(x.high, y)
    return two_sum(high, low + x.low)


def as_stored(x: Float[Array, "..."]) -> Float[Array, "..."]:
    """x without its last digit, as one number wherever it is used.

    XLA computes a product again where it is used, and may add it without rounding it
    there: what is split off a sum would not belong to what has been added.
    """
    info = jnp.finfo(x.dtype)
    return jax.lax.reduce_precision(x, info.nexp, info.nmant - 1)


def total(terms: Float[Array, "k ..."]) -> DoubleWord:
    """The sum along the first axis."""

    def join(a: tuple[Array, Array], b: tuple[Array, Array]) -> DoubleWord:
        high, low = two_sum(a[0], b[0])
        return two_sum(high, low + (a[1] + b[1]))

    zero = jnp.zeros((), terms.dtype)
    pair = terms, jnp.zeros_like(terms)
    return DoubleWord(*jax.lax.reduce(pair, (zero, zero), join, (0,)))
