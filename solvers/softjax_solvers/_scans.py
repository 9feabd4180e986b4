"""Sums against the kernel exp(-|a - b| / softness) over sorted points, in O(n)."""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from ._numerics import pad_last

_SHORT = 32
"""Up to this length a recurrence is run as it stands."""

Folded = Float[Array, "length *batch blocks"]
"""An array whose last axis is in consecutive blocks, side by side.

The place in a block comes first, so that a step in all of them is one row.
"""


def _fold(x: Float[Array, "*batch n"]) -> Folded:
    """The last block is filled up with zeros."""
    n = x.shape[-1]
    # Odd, as entries at distances of a power of two share few places of a cache.
    blocks = 1 if n <= _SHORT else math.isqrt(n - 1) | 1
    length = -(-n // blocks)
    x = pad_last(x, 0, blocks * length - n)
    return jnp.moveaxis(x.reshape(*x.shape[:-1], blocks, length), -1, 0)


def _unfold(x: Folded, n: int) -> Float[Array, "*batch n"]:
    return jax.lax.collapse(jnp.moveaxis(x, 0, -1), -2)[..., :n]


def _flip(x: Folded) -> Folded:
    """Backwards, with what fills the last block first."""
    return x[::-1, ..., ::-1]


def _before(x: Folded) -> Folded:
    """`x_{i-1}`, with 0 first."""
    return jnp.concatenate([pad_last(x[-1:, ..., :-1], 1, 0), x[:-1]])


def _after(x: Folded) -> Folded:
    """`x_{i+1}`, with 0 last."""
    return jnp.concatenate([x[1:], pad_last(x[:1, ..., 1:], 0, 1)])


def _scan(
    a: Float[Array, "length *batch blocks"], b: Float[Array, "length k *batch blocks"]
) -> Float[Array, "length k *batch blocks"]:
    """`h_i = a_i h_{i-1} + b_i` for folded arrays: in all blocks, and then across them.

    Loops are rolled, so that compile time does not grow with n; a fully parallel
    `lax.associative_scan` compiles several times longer and is no faster on a CPU.
    """
    nothing = jnp.zeros_like(b[0])

    def step(h, ab):
        a, b = ab
        # The rows that b does not have are 0.
        rest = [(0, len(h) - len(b)), *[(0, 0)] * (b.ndim - 1)]
        h = a * h + jnp.pad(b, rest)
        return h, h

    if a.shape[-1] == 1:
        return jax.lax.scan(step, nothing, (a, b))[1]
    # What the factors multiply to is one row more, which starts at 1.
    start = jnp.concatenate([nothing, jnp.ones_like(a[:1])])
    _, h = jax.lax.scan(step, start, (a, b))

    def step_across(before, end):
        return end[-1:] * before + end[:-1], before

    ends = jnp.moveaxis(h[-1], -1, 0)
    _, before = jax.lax.scan(step_across, nothing[..., 0], ends)
    return h[:, -1:] * jnp.moveaxis(before, 0, -1) + h[:, :-1]


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
    a, b = map(_fold, (a, b))
    return _unfold(_recurrences(a, b[:, None])[:, 0], n)


def _recurrences(
    a: Float[Array, "length *batch blocks"], b: Float[Array, "length k *#batch blocks"]
) -> Float[Array, "length k *batch blocks"]:
    """`linear_recurrence` for several b, all folded."""
    # Element i + 1 depends on i through the same factor through which, transposed,
    # i depends on i + 1.
    onward = _flip(_after(a))
    return jax.lax.custom_linear_solve(
        lambda h: h - a[:, None] * _before(h),
        jnp.broadcast_to(b, (*b.shape[:2], *a.shape[1:])),
        solve=lambda _, b: _scan(a, b),
        transpose_solve=lambda _, c: _flip(_scan(onward, _flip(c))),
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


def _both_ways(
    decay: Folded, forward: Folded, backward: Folded
) -> tuple[Folded, Folded]:
    """Sums of `forward` up to each element, and of `backward` from it on."""
    h = _recurrences(
        jnp.stack([decay, _flip(_after(decay))], axis=1),
        jnp.stack([forward, _flip(backward)], axis=2),
    )
    return h[:, :, 0], _flip(h[:, :, 1])


def _drive(decay_dot: Folded, left: Folded, right: Folded) -> tuple[Folded, Folded]:
    """What `_both_ways` has to sum for the derivative of its results in the decay."""

    def scaled(h: Folded) -> Folded:
        # Not by broadcasting, whose transpose is a sum over few, which XLA leaves to a
        # library that is slow to start.
        return jnp.stack([decay_dot * x for x in jnp.unstack(h, axis=1)], axis=1)

    return scaled(_before(left)), _after(scaled(right))


@jax.custom_jvp
def _own_sums(decay: Folded, weights: Folded, tied: Array) -> Folded:
    """The sums at the elements themselves; `tied` are the gaps between equals."""
    left, right = _both_ways(decay, weights, weights)
    return left + _after(decay[:, None] * right)


@_own_sums.defjvp
def _own_sums_jvp(primals, tangents):
    decay, weights, tied = primals
    decay_dot, weights_dot, _ = tangents
    # A sum of gaps counts the distance of equals as positive in sorted order, and its
    # derivative with it. So the sums over equals are taken along, side by side with
    # those over all: what they add to the derivative is taken out. Without looking
    # whether there are any, which would cost about as much and make all rows of a batch
    # wait for each other.
    both, both_dot = (
        jnp.stack([x, jnp.where(tied, x, 0)], axis=1) for x in (decay, decay_dot)
    )
    left, right = _both_ways(both, weights[:, :, None], weights[:, :, None])
    forward, backward = _drive(both_dot, left, right)
    moves = jnp.stack([weights_dot, jnp.zeros_like(weights_dot)], axis=2)
    rise, fall = _both_ways(both, forward + moves, backward + moves)
    dots = rise + fall
    out = left[:, :, 0] + _after(decay[:, None] * right[:, :, 0])
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
