"""Sums against the kernel exp(-|a - b| / softness) over sorted points, in O(n)."""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from ._numerics import pad_last, slice_last

_SHORT = 32
"""Up to this length a recurrence is run as it stands."""

Folded = Float[Array, "length *batch blocks"]
"""An array whose last axis is in consecutive blocks, side by side.

The place in a block comes first, so that a step in all of them is one row. The first
row joins a block to the one before: nothing is there, and nothing is lost on the way.
"""


def _fold(x: Float[Array, "*batch n"], joint: float = 0) -> Folded:
    """The last block is filled up with zeros."""
    n = x.shape[-1]
    # Loops over other lengths than multiples of 16 take XLA up to twice as long to
    # compile. Odd ones: at distances of a power of two, entries share few places of a
    # cache.
    blocks = 1 if n <= _SHORT else 16 * (math.isqrt(n) // 16 | 1)
    length = -(-n // blocks)
    x = pad_last(x, 0, blocks * length - n).reshape(*x.shape[:-1], blocks, length)
    x = jnp.moveaxis(x, -1, 0)
    return jnp.concatenate([jnp.full_like(x[:1], joint), x])


def _unfold(x: Folded, n: int) -> Float[Array, "*batch n"]:
    return jax.lax.collapse(jnp.moveaxis(x[1:], 0, -1), -2)[..., :n]


def _shift(x: Float[Array, "length ..."], by: int) -> Float[Array, "length ..."]:
    """`x_{i-by}` along the first axis, with zeros where that does not exist."""
    widths = [(by, -by, 0)] + [(0, 0, 0)] * (x.ndim - 1)
    return jax.lax.pad(x, jnp.zeros((), x.dtype), widths)


def _before(x: Folded) -> Folded:
    """`x_{i-1}`, with 0 first."""
    return jnp.concatenate([pad_last(x[-1:, ..., :-1], 1, 0), x[:-1]])


def _after(x: Folded) -> Folded:
    """`x_{i+1}`, with 0 last."""
    return jnp.concatenate([x[1:], pad_last(x[:1, ..., 1:], 0, 1)])


def _sweep(
    a: Float[Array, "length *rest"],
    forward: Float[Array, "length k *rest"],
    backward: Float[Array, "length k *rest"],
) -> tuple[Float[Array, "length k *rest"], Float[Array, "length k *rest"]]:
    """`h_i = a_i h_{i-1} + forward_i` and `h_i = a_{i+1} h_{i+1} + backward_i`.

    A rolled loop, so that compile time does not grow with n. Both directions share it.
    """

    def step(i, state):
        h, carried, down, up = state
        place = len(a) - 1 - i
        h = _row(a, i) * h + _row(forward, i)
        g = carried + _row(backward, place)
        return h, _row(a, place) * g, _with_row(down, h, i), _with_row(up, g, place)

    nothing = jnp.zeros_like(forward[0]), jnp.zeros_like(backward[0])
    nothing += jnp.zeros_like(forward), jnp.zeros_like(backward)
    return jax.lax.fori_loop(0, len(a), step, nothing)[2:]


def _row(x: Array, i: Array) -> Array:
    return jax.lax.dynamic_index_in_dim(
        x, i, keepdims=False, allow_negative_indices=False
    )


def _with_row(x: Array, row: Array, i: Array) -> Array:
    return jax.lax.dynamic_update_index_in_dim(
        x, row, i, 0, allow_negative_indices=False
    )


def _reach(
    down: Float[Array, "k *batch blocks"], up: Float[Array, "k *batch blocks"]
) -> tuple[Float[Array, "k-1 *batch blocks"], Float[Array, "k-1 *batch blocks"]]:
    """What all blocks before, and all after, make of what enters a block.

    The last of the k rows has the factors of the blocks. Twice as far each time.
    """
    blocks = down.shape[-1]
    last = jnp.arange(len(down)).reshape(-1, *(1,) * (down.ndim - 1)) == len(down) - 1

    def add(x, padded, start):
        return jnp.where(last, 0, x) + x[-1:] * slice_last(padded, start, blocks)

    def double(state):
        far, down, up = state
        down = add(down, pad_last(down, blocks, 0), blocks - far)
        return 2 * far, down, add(up, pad_last(up, 0, blocks), far)

    state = jnp.ones((), jnp.int32), down, up
    _, down, up = jax.lax.while_loop(lambda state: state[0] < blocks, double, state)
    return pad_last(down[:-1, ..., :-1], 1, 0), pad_last(up[:-1, ..., 1:], 0, 1)


def _solve_both(
    a: Float[Array, "length *batch blocks"],
    forward: Float[Array, "length k *batch blocks"],
    backward: Float[Array, "length k *batch blocks"],
) -> tuple[Folded, Folded]:
    """`_sweep` for folded arrays: in all blocks, and then across them."""
    if a.shape[-1] == 1:
        return _sweep(a, forward, backward)
    # What the factors multiply to is one row more, which starts at 1.
    h, r = _sweep(a, _with_unit(forward, 0), _with_unit(backward, len(a) - 1))
    before, after = _reach(h[-1], r[0])
    return h[:, -1:] * before + h[:, :-1], r[:, -1:] * after + r[:, :-1]


def _with_unit(x: Float[Array, "length k ..."], place: int) -> Array:
    """With a row more, of which the entries at that place are 1 and others 0."""
    unit = jnp.arange(len(x)) == place
    unit = unit.reshape(-1, *(1,) * (x.ndim - 1)).astype(x.dtype)
    unit = jnp.broadcast_to(unit, (len(x), 1, *x.shape[2:]))
    return jnp.concatenate([x, unit], axis=1)


def linear_recurrence(
    a: Float[Array, "*batch n"], b: Float[Array, "*batch n"], *, reverse: bool = False
) -> Float[Array, "*batch n"]:
    """`h_i = a_i h_{i-1} + b_i` along the last axis (`h_{i+1}` with `reverse`).

    That is a bidiagonal system of linear equations for h, and is differentiated as one:
    by recurrences again. `a` may have axes of size 1 where `b` has others.

    **Example:**

        >>> a, b = jnp.array([0.5, 0.5, 0.5]), jnp.array([1.0, 0.0, 0.0])
        >>> print(sj.solvers.linear_recurrence(a, b))
        [1.   0.5  0.25]
    """
    if reverse:
        return linear_recurrence(a[..., ::-1], b[..., ::-1])[..., ::-1]
    a, b = jnp.broadcast_arrays(a, b)
    n = a.shape[-1]
    a, b = _fold(a, 1), _fold(b)[:, None]
    # Not constants, nor left alone: JAX 0.10 can't differentiate a solve of which only
    # parts have derivatives.
    h, r = _both_ways(a, b, jnp.where(False, b, 0))
    return _unfold(jnp.where(True, h, r)[:, 0], n)


def _both_ways(a: Folded, forward: Folded, backward: Folded) -> tuple[Folded, Folded]:
    """Sums of `forward` up to each element, and of `backward` from it on.

    The two are bidiagonal systems, of which one is the transpose of the other. Factors
    at the joints are 1.
    """
    shape = *forward.shape[:2], *a.shape[1:]
    a_of_all = a[:, None]
    return jax.lax.custom_linear_solve(
        lambda x: (x[0] - a_of_all * _before(x[0]), x[1] - _after(a_of_all * x[1])),
        tuple(jnp.broadcast_to(x, shape) for x in (forward, backward)),
        solve=lambda _, b: _solve_both(a, *b),
        transpose_solve=lambda _, c: _solve_both(a, *c[::-1])[::-1],
    )


def tie_groups(
    s: Float[Array, "*batch n"], where: Bool[Array, "*batch n"] | None = None
) -> tuple[Int[Array, "*batch n"], Int[Array, "*batch n"]]:
    """First index of each element's group of equals, and the index after its last.

    `s` is ascending; masked elements never join a group with unmasked ones.

    **Example:**

        >>> start, end = sj.solvers.tie_groups(jnp.array([0.2, 0.7, 0.7, 1.0]))
        >>> print(start, end)
        [0 1 1 3] [1 3 3 4]
    """
    n = s.shape[-1]
    differs = s[..., 1:] != s[..., :-1]
    if where is not None:
        differs |= where[..., 1:] != where[..., :-1]
    # From both ends at once.
    first = pad_last(jnp.stack([differs, differs[..., ::-1]]), 1, 0, True)
    index = jnp.where(first, jnp.arange(n, dtype=jnp.int32), 0)
    index = jax.lax.cummax(index, axis=index.ndim - 1)
    return index[0], n - index[1, ..., ::-1]


def _take(x: Array, index: Array) -> Array:
    # `take_along_axis` broadcasts the other axes.
    return jnp.take_along_axis(x, index, axis=-1, mode="promise_in_bounds")


def fill_masked(
    s: Float[Array, "*batch n"], where: Bool[Array, "*batch n"]
) -> Float[Array, "*batch n"]:
    """Replace masked elements of an ascending array by neighbours, keeping its order.

    Each takes the value of the unmasked element before it, or of the first one.
    """
    known = jax.lax.stop_gradient(s)
    before = jax.lax.cummax(jnp.where(where, known, -jnp.inf), axis=s.ndim - 1)
    first = jnp.min(known, axis=-1, keepdims=True, initial=jnp.inf, where=where)
    return jnp.where(where, s, jnp.where(jnp.isfinite(before), before, first))


def laplace_sums(
    support: Float[Array, "*batch n"],
    softness: Float[Array, "*#batch 1"],
    weights: Float[Array, "k *batch n"],
    queries: Float[Array, "*batch m"] | None = None,
) -> Float[Array, "k *batch m"]:
    """`sum_j exp((nearest_i - |queries_i - support_j|) / softness) weights_j`, exactly.

    `support` is ascending, `queries` None stands for the support itself, and
    `nearest_i` is the least of the distances, a constant to differentiation. Every
    factor is at most 1 and distances are sums of gaps, so nothing cancels or
    overflows. Terms at distance 0 have derivative 0 in the distance, which keeps
    derivatives at ties independent of the order of equals.
    """
    n = support.shape[-1]
    # Folded once, at both ends: to fold takes as long as the sums do. Nothing comes
    # before the first element, nor after the last one, so that any decay will do there.
    gaps = _fold(pad_last(support[..., :-1] - support[..., 1:], 1, 0))
    decay, folded = jnp.exp(gaps / softness), _fold(weights)
    if queries is None:
        return _unfold(_own_sums(decay, folded, gaps == 0), n)
    left, right = (_unfold(h, n) for h in _both_ways(decay, folded, folded))
    start, end = _positions(support, queries)
    places = support[None], softness[None], queries[None]
    return _collect(*places, weights, left, right, start, end)


def _drive(decay_dot: Folded, h: Folded, r: Folded) -> tuple[Folded, Folded]:
    """What `_both_ways` has to sum for the derivative of its results in the decay.

    It is shifted within blocks, as the decay at a joint is constant.
    """

    def scaled(x: Folded) -> Folded:
        # Not by broadcasting, whose transpose is a sum over few, which XLA leaves to a
        # library that is slow to start.
        return jnp.concatenate([decay_dot[:, None]] * x.shape[1], axis=1) * x

    return scaled(_shift(h, 1)), _shift(scaled(r), -1)


@jax.custom_jvp
def _own_sums(decay: Folded, weights: Folded, tied: Array) -> Folded:
    """The sums at the elements themselves; `tied` are the gaps between equals."""
    h, r = _both_ways(decay, weights, weights)
    return h + (r - weights)


@_own_sums.defjvp
def _own_sums_jvp(primals, tangents):
    decay, weights, tied = primals
    decay_dot, weights_dot, _ = tangents
    # A sum of gaps counts the distance of equals as positive in sorted order, and its
    # derivative with it. So the sums over equals are taken along, side by side with
    # those over all: what they add to the derivative is taken out. Without looking
    # whether there are any, which would cost about as much and make all rows of a batch
    # wait for each other.
    taken = tied[:, None] | (jnp.arange(2) == 0).reshape(2, *(1,) * (tied.ndim - 1))
    both = jnp.where(taken, decay[:, None], 0)
    # Not by broadcasting: see `_drive`.
    both_dot = jnp.stack([decay_dot, jnp.where(tied, decay_dot, 0)], axis=1)
    h, r = _both_ways(both, weights[:, :, None], weights[:, :, None])
    forward, backward = _drive(both_dot, h, r)
    moves = jnp.stack([weights_dot, jnp.zeros_like(weights_dot)], axis=2)
    rise, fall = _both_ways(both, forward + moves, backward + moves)
    dots = rise + fall
    out = h[:, :, 0] + (r[:, :, 0] - weights)
    out_dot = dots[:, :, 0] - weights_dot - dots[:, :, 1]
    return out, out_dot - _tie_terms(decay, weights_dot, tied)


@jax.custom_jvp
def _tie_terms(decay: Folded, weights: Folded, tied: Array) -> Folded:
    """Zeros, whose derivative is what distances between equals add to that of the sums.

    The value is the sum over the group of an element's equals, less the same one with
    constant distances.
    """
    # Not a constant, whose axis JAX 0.10 loses in the derivative of a mapped function
    # that is compiled and holds a custom rule. The weights alone may be one.
    return jnp.where(False, weights + decay[:, None], 0)


@_tie_terms.defjvp
def _tie_terms_jvp(primals, tangents):
    decay, weights, tied = primals
    decay_dot, weights_dot, _ = tangents
    inner, inner_dot = (jnp.where(tied, x, 0) for x in (decay, decay_dot))
    drive = _drive(inner_dot, *_both_ways(inner, weights, weights))
    out_dot = sum(_both_ways(inner, *drive)) + _tie_terms(decay, weights_dot, tied)
    return jnp.zeros_like(out_dot), out_dot


def _collect(
    s: Array,
    softness: Array,
    q: Array,
    weights: Array,
    left: Array,
    right: Array,
    start: Array,
    end: Array,
) -> Array:
    """Kernel sums at the points q, from those over the elements on either side.

    `start` and `end` say how many elements lie below q, and at or below it.
    """
    n = s.shape[-1]

    def one_sided(index, sign):
        inside = (index >= 0) & (index < n)
        index = jnp.clip(index, 0, n - 1)
        return index, jnp.where(inside, sign * (q - _take(s, index)), jnp.inf)

    below, left_distance = one_sided(start - 1, 1)
    above, right_distance = one_sided(end, -1)
    nearest = jax.lax.stop_gradient(jnp.minimum(left_distance, right_distance))
    nearest = jnp.where(end > start, 0, nearest)

    def kernel(distance):
        # exp(-inf) would have an undefined derivative in the softness.
        exists = jnp.isfinite(distance)
        exponent = (nearest - jnp.where(exists, distance, nearest)) / softness
        return jnp.where(exists, jnp.exp(exponent), 0)

    equal = jnp.where(end > start, _take(_run_sums(s[0], weights), end - 1), 0)
    return (
        equal
        + kernel(left_distance) * _take(left, below)
        + kernel(right_distance) * _take(right, above)
    )


def _positions(support: Array, queries: Array) -> tuple[Array, Array]:
    """How many of `support` lie strictly below, and at or below, each query."""
    batch = jnp.broadcast_shapes(support.shape[:-1], queries.shape[:-1])
    support, queries = jax.lax.stop_gradient((support, queries))
    support = jnp.broadcast_to(support, (*batch, support.shape[-1]))
    queries = jnp.broadcast_to(queries, (*batch, queries.shape[-1]))

    def search(side):
        find = jnp.vectorize(
            lambda a, v: jnp.searchsorted(a, v, side=side), signature="(n),(m)->(m)"
        )
        return find(support, queries).astype(jnp.int32)[None]

    return search("left"), search("right")


def _run_sums(s: Array, weights: Array) -> Array:
    """Running sums of the weights within each group of equal elements of `s`."""
    tied = pad_last((s[..., 1:] == s[..., :-1]).astype(weights.dtype), 1, 0)
    return linear_recurrence(tied, weights)
