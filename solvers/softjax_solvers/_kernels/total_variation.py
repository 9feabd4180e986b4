"""The proximal operator of total variation along rows, by divide and conquer."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from .._platform.batches import any_true
from .arrays import eps, pad_last, safe_divide, slice_last
from .iteration import iterate


def prox_total_variation(
    x: Float[Array, "*batch n"],
    strength: Float[Array, "*#batch 1"],
    where: Bool[Array, "*batch n"],
) -> Float[Array, "*batch n"]:
    """`argmin_w sum (w_i - x_i)^2 / 2 + strength sum |w_i - w_(i-1)|` along rows.

    w is constant on blocks: the mean of x, moved by the strength at either end. Blocks
    are found once, without a derivative; that of w is one at fixed blocks.

    A block is split by one threshold, its mean: which entries are above solves a binary
    problem, of the same costs, by two sweeps. Whatever is on the other side of it
    counts as a constant from then on, so that all blocks are split at once (Hochbaum
    2001; Darbon and Sigelle 2006). Typically that takes O(log n) rounds of O(n log n).

    **Arguments:**

    - `strength`: nonnegative.
    - `where`: entries that there are. Neighbours of others are neighbours of each
        other; w is anything at the others.
    """
    x = jnp.where(where, x, 0)
    signs = _signs(*jax.lax.stop_gradient((x, strength)), where)
    return _block_means(x - strength * _pull(signs), signs, where)


class _State(NamedTuple):
    signs: Int[Array, "*batch n"]  # of w_i - w_(i-1), 0 inside a block
    done: Bool[Array, ""]
    steps: Int[Array, ""]


def _signs(
    x: Float[Array, "*batch n"],
    strength: Float[Array, "*#batch 1"],
    where: Bool[Array, "*batch n"],
) -> Int[Array, "*batch n"]:
    """Whether w steps up (1) or down (-1) to an entry, or not (0)."""
    n = x.shape[-1]
    # Sums over a part of a block that stays whole are at most twice the strength.
    small = (16 + 4 * n**0.5) * eps(x) * strength

    def split(state: _State) -> _State:
        signs = state.signs
        pull = strength * _pull(signs)
        price = jnp.where(where, _block_means(x - pull, signs, where) - x, 0)
        # What rounding leaves of sums that are 0 would add up.
        rest = _block_means(price + pull, signs, where)
        price = jnp.where(where, price - rest, 0)
        before = _sweep(price, signs, strength)
        behind = pad_last(-signs, -1, 1)
        after = _sweep(price[..., ::-1], behind[..., ::-1], strength)[..., ::-1]
        above = (before + price + after < -small).astype(jnp.int32)
        new = jnp.where(signs == 0, above - pad_last(above, 1, -1), 0)
        new = jnp.where(jnp.arange(n) == 0, 0, new)
        return _State(signs + new, ~any_true(new != 0), state.steps + 1)

    start = _State(
        jnp.zeros(x.shape, jnp.int32), jnp.asarray(False), jnp.zeros((), jnp.int32)
    )
    return iterate(split, start, n, x).signs


def _pull(signs: Int[Array, "*batch n"]) -> Int[Array, "*batch n"]:
    """The sum over a block is its sign at the start less the one behind its end."""
    return signs - pad_last(signs, -1, 1)


def _block_means(
    x: Float[Array, "*batch n"],
    signs: Int[Array, "*batch n"],
    where: Bool[Array, "*batch n"],
) -> Float[Array, "*batch n"]:
    """Sums over blocks, over how many entries there are, 0 where there are none."""
    n = x.shape[-1]

    def row(x, ids, where):
        total, count = (
            jax.ops.segment_sum(a, ids, n, indices_are_sorted=True) for a in (x, where)
        )
        return safe_divide(total, count)[ids]

    ids = jnp.cumsum(signs != 0, axis=-1)
    here = where.astype(x.dtype)
    return jnp.vectorize(row, signature="(n),(n),(n)->(n)")(x, ids, here)


def _sweep(
    price: Float[Array, "*batch n"],
    signs: Int[Array, "*batch n"],
    strength: Float[Array, "*#batch 1"],
) -> Float[Array, "*batch n"]:
    """By how much more it costs all entries before one if that one is above.

    `m_i = clip(m_(i-1) + price_(i-1), -strength, strength)` in a block, and `strength
    sign_i` at its start. Such maps are composed by recursive doubling.
    """
    n = price.shape[-1]
    strength = jnp.broadcast_to(strength, price.shape)
    apart = signs != 0
    low = jnp.where(apart, strength * signs, -strength)
    high = jnp.where(apart, strength * signs, strength)
    first = jnp.arange(n) == 0
    low, high = (jnp.where(first, 0, x) for x in (low, high))
    shift = pad_last(price, 1, -1)

    def double(i, maps):
        def back(x, fill):
            return slice_last(pad_last(x, n, 0, fill), n - 2**i, n)

        shift, low, high = maps
        earlier = [back(low, -jnp.inf), back(high, jnp.inf)]
        ends = (jnp.clip(end + shift, low, high) for end in earlier)
        return shift + back(shift, 0), *ends

    rounds = max(n - 1, 1).bit_length()
    return jax.lax.fori_loop(0, rounds, double, (shift, low, high))[1]
