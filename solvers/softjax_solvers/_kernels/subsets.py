"""Elementary symmetric polynomials in logarithms, and their derivatives."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, PyTree

from .._platform.varying import varying_as
from .arrays import pad_last, slice_last
from .derivatives import linear_map

_LOG_ZERO = -1e30
"""Logarithm of a sum without terms; infinity would make differences NaN."""

_BLOCK = 8
"""Largest number of entries that are added to the subsets at a time."""


def log_subset_sums(
    x: Float[Array, "*batch n"], where: Bool[Array, "*batch n"] | None = None
) -> Float[Array, "*batch n"]:
    """Logarithms of elementary symmetric polynomials, relative to their largest terms.

    `log e_k(exp(x)) - sum_{i <= k} x_i` for k = 1, ..., n, of a descending x. The
    elementary symmetric polynomial `e_k(exp(x))` is the sum of `exp(sum_S x)` over all
    subsets S of k entries. Relative to the largest of its terms, its logarithm is
    between 0 and `log(n choose k)`, and accurate where x is large. Entries that are not
    in `where` have to be after the others, and are in subsets only if these all are.
    Takes O(n^2) operations and O(n) memory, and so do products with the derivative,
    which is `centered_inclusion_probabilities`.
    """
    return _log_polynomials(_leave_out(x, where))


def centered_inclusion_probabilities(
    x: Float[Array, "*batch n"], where: Bool[Array, "*batch n"] | None = None
) -> Float[Array, "*batch n n"]:
    """Centred inclusion probabilities of conditional Bernoulli sampling, for each size.

    A set S of k entries has the probability `exp(sum_S x) / e_k(exp(x))`. The result is
    the probability that entry i is in S, less 1 where i <= k: as x is descending, these
    entries are the set of the largest sum. k is the axis before the last one.
    """
    x = _leave_out(x, where)

    def keep(nothing, entries):
        return nothing, entries

    _, (up, down) = _two_ended_recursion(x, _log_polynomials(x), keep, None)
    return jnp.swapaxes(up + down, -1, -2)


def centered_inclusion_probabilities_of_sizes(
    x: Float[Array, "*batch n"],
    sizes: Bool[Array, "*batch n"],
    where: Bool[Array, "*batch n"] | None = None,
) -> Float[Array, "*batch n"]:
    """Sums of centred inclusion probabilities over the k in `sizes`, in O(n) memory."""
    x = _leave_out(x, where)
    return _sum_over_sizes(x, _log_polynomials(x), sizes)


def _leave_out(x: Array, where: Array | None) -> Array:
    """`x`, with the logarithm of 0 for entries that are not in `where`."""
    return x if where is None else jnp.where(where, x, _LOG_ZERO)


@jax.custom_jvp
def _log_polynomials(x: Float[Array, "*batch n"]) -> Float[Array, "*batch n"]:
    return _evaluate_log_polynomials(x)


# Compiled as a part of what calls it; but traced once, for values and derivatives.
@jax.jit
def _evaluate_log_polynomials(x: Float[Array, "*batch n"]) -> Float[Array, "*batch n"]:
    """Logarithms of the polynomials, by products of those of blocks of entries."""
    n = x.shape[-1]
    size = min(_BLOCK, 1 << round(math.log2(max(n, 1)) / 2))
    x = pad_last(x, 0, -n % size, _LOG_ZERO)
    # Blocks of entries first, all at a time: far fewer steps than one for each entry.
    count = x.shape[-1] // size
    parts = jnp.moveaxis(x.reshape(*x.shape[:-1], count, size), -2, 0)

    def empty(like: Array) -> Array:
        # Rounded up: XLA takes longer to compile loops over other lengths, and does
        # not vectorize them.
        shape = (*like.shape[:-1], 16 * (like.shape[-1] // 16 + 1))
        sums = jnp.full_like(like, _LOG_ZERO, shape=shape)
        return sums.at[..., 0].set(0)

    def add_entry(sums, t):
        entry = slice_last(parts, t, 1)
        return _extend(sums, parts, t, jnp.zeros_like(entry, shape=(1, 2)), entry), None

    def add_part(sums, part):
        t, more, entries = part
        return _extend(sums, x, t, more, entries), None

    steps = jnp.arange(size)
    sums, _ = jax.lax.scan(add_entry, empty(parts), steps)
    starts = size * jnp.arange(len(parts))
    sums, _ = jax.lax.scan(add_part, empty(x), (starts, sums, parts))
    return sums[..., 1 : n + 1]


def _extend(
    sums: Float[Array, "*batch size"],
    x: Float[Array, "*batch n"],
    t: Array,
    more: Float[Array, "*#batch m+1"],
    entries: Float[Array, "*batch m"],
) -> Float[Array, "*batch size"]:
    """Sums over subsets of the first t + m entries of x, from those of the first t.

    The other m are `entries`, with the sums `more` over their own subsets: a product of
    two polynomials, with all coefficients in logarithms.
    """
    m, size = entries.shape[-1], sums.shape[-1]
    k = jnp.arange(size)
    last = pad_last(x, m, size - 1 - x.shape[-1])

    def back(x: Array, places: int, fill: float) -> Array:
        return pad_last(x, places, 0, fill)[..., : x.shape[-1]]

    terms = [sums]
    # The sum of the k largest entries minus that with j new ones for the last j: it is
    # a sum of differences, which are small where it matters, so that nothing cancels.
    short = jnp.zeros_like(sums)
    for j in range(1, m + 1):
        short = short + (entries[..., j - 1, None] - last[..., m - j : m - j + size])
        term = back(sums, j, _LOG_ZERO) + more[..., j, None]
        term = jnp.where(k < t + j, term + jnp.minimum(short, 0), term)
        terms.append(jnp.where(k <= t + j, term, _LOG_ZERO))
    top = functools.reduce(jnp.maximum, terms)
    return top + jnp.log(sum(jnp.exp(term - top) for term in terms))


@_log_polynomials.defjvp
def _log_polynomials_jvp(primals, tangents):
    (x,), (dx,) = primals, tangents
    sums = _log_polynomials(x)
    return sums, linear_map(
        lambda dx: _weigh_entries(x, sums, dx), lambda ct: _weigh_sizes(x, sums, ct), dx
    )


@jax.custom_jvp
def _sum_over_sizes(x: Array, sums: Array, sizes: Array) -> Array:
    """Sums over `sizes` of the centred inclusion probabilities.

    `sums` are those of x, and are differentiated as functions of x.
    """
    return _weigh_sizes(x, sums, sizes.astype(x.dtype))


@_sum_over_sizes.defjvp
def _sum_over_sizes_jvp(primals, tangents):
    x, sums, sizes = primals
    dx, *_ = tangents
    weights = sizes.astype(x.dtype)

    def move(dx: Array) -> Array:
        moves = dx, _weigh_entries(x, sums, dx)
        return jax.jvp(lambda *args: _weigh_sizes(*args, weights), (x, sums), moves)[1]

    # These are the gradient of a sum of `log_subset_sums`, so that the Jacobian, a
    # Hessian, is symmetric.
    return _sum_over_sizes(*primals), linear_map(move, move, dx)


@jax.jit
def _weigh_entries(x: Array, sums: Array, weights: Array) -> Array:
    """Sums over entries of weighted centred inclusion probabilities, for all k."""

    def add(nothing, entries):
        return nothing, jnp.sum(entries * weights, axis=-1)

    _, (up, down) = _two_ended_recursion(x, sums, add, None)
    return up + down


@jax.jit
def _weigh_sizes(x: Array, sums: Array, weights: Array) -> Array:
    """Sums over k of weighted centred inclusion probabilities, for all entries."""

    def add(totals, entries, weight):
        return totals + weight * entries, None

    zeros = jnp.zeros((2, *x.shape), x.dtype)
    totals, _ = _two_ended_recursion(x, sums, add, varying_as(zeros, x), weights)
    return totals[0] + totals[1]


def _two_ended_recursion(
    x: Float[Array, "*batch n"],
    sums: Float[Array, "*batch n"],
    visit: Callable[..., tuple[Any, PyTree]],
    start: Any,
    *others: Float[Array, "*batch n"],
) -> tuple[Any, Any]:
    """Two-ended recursion of centred inclusion probabilities over k, from 1 and from n.

    `visit(state, entries, *others_k)` is called for each k, of both directions. Of the
    two `entries`, `2 *batch n`, one is 0, and the other the centred probability. With
    `odds = exp(x_i) e_(k-1) / e_k`, the probability p of i in S is
    `p_k = odds_k (1 - p_(k-1))`. That is stable from small k on where the odds are
    below 1, and from large k on, for `1 - p`, where they are above; and they grow with
    k (Chen, Dempster and Liu, "Weighted finite population sampling to maximize
    entropy", Biometrika 81, 1994).

    **Returns:** the last state, and the results of `visit` in each direction, k last.
    """
    n = x.shape[-1]

    def towards(x: Array) -> Array:
        """Rows for both directions, `n 2 *batch 1`, with k first."""
        x = jnp.moveaxis(x, -1, 0)
        return jnp.stack([x, x[::-1]], axis=1)[..., None]

    ends = 2, *(1,) * x.ndim
    upward = np.array([True, False]).reshape(ends)
    k = np.arange(n)
    k = np.stack([k, k[::-1]], axis=1).reshape(n, *ends)
    steps = sums - pad_last(sums, 1, -1)
    rows = k, *map(towards, (x, steps, *others))

    def advance(state, row):
        p, visited = state
        k, kth, step, *others = row
        log_odds = (x - kth) - step
        active = (log_odds < 0) == upward
        sign = jnp.where(upward, log_odds, -log_odds)
        new = jnp.exp(jnp.where(active, sign, 0)) * (1 - p)
        # Downwards, p is one minus the probability for k, and `new` that for k - 1.
        largest = (np.arange(n) <= k).astype(x.dtype)
        more = jnp.where(upward, new - largest, (1 - largest) - p)
        visited, out = visit(visited, jnp.where(active, more, 0), *others)
        return (new, visited), out

    zeros = varying_as(jnp.zeros((2, *x.shape), x.dtype), x)
    (_, last), out = jax.lax.scan(advance, (zeros, start), rows)

    if out is None:
        return last, None
    up, down = (jnp.moveaxis(x, 0, -1) for x in (out[:, 0], out[::-1, 1]))
    return last, (up, down)
