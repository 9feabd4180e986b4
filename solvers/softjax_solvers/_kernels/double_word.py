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

from .._platform.varying import varying_as


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

    def accumulate(sum_so_far: DoubleWord, term: Array) -> tuple[DoubleWord, None]:
        return add(sum_so_far, term), None

    zero = jnp.zeros_like(terms[0])
    start = varying_as(DoubleWord(zero, zero), terms[0])
    return jax.lax.scan(accumulate, start, terms)[0]
