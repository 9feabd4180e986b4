"""Sums against the kernel exp(-|a - b| / softness) over sorted points, in O(n)."""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from ._numerics import pad_last

_SHORT = 32
"""Up to this length a recurrence is run as it stands."""


def _scan(a: Array, b: Array, reverse: bool) -> Array:
    """The recurrence in about 2 sqrt(n) steps: blocks side by side, then across them.

    Loops are rolled, so that compile time does not grow with n; a fully parallel
    `lax.associative_scan` compiles several times longer and is no faster on a CPU.
    """
    n = b.shape[-1]
    if n <= _SHORT:
        return jnp.moveaxis(_sweep(_front(a), _front(b), reverse), 0, -1)
    length = math.isqrt(n - 1) + 1
    blocks = -(-n // length)
    extra = blocks * length - n
    pad = (extra, 0) if reverse else (0, extra)

    def split(x, fill):
        x = pad_last(x, *pad, fill)
        return _front(x.reshape(*x.shape[:-1], blocks, length))

    a_blocks, b_blocks = split(a, 1), split(b, 0)
    product = _sweep(a_blocks, jnp.zeros_like(a_blocks), reverse, start=1)
    inside = _sweep(a_blocks, b_blocks, reverse)
    end = 0 if reverse else -1
    ends = _sweep(_front(product[end]), _front(inside[end]), reverse)
    zero = jnp.zeros_like(ends[:1])
    before = [ends[1:], zero] if reverse else [zero, ends[:-1]]
    before = jnp.moveaxis(jnp.concatenate(before), 0, -1)
    out = jnp.moveaxis(product * before + inside, 0, -1).reshape(*b.shape[:-1], -1)
    return out[..., extra:] if reverse else out[..., :n]


def _front(x: Array) -> Array:
    return jnp.moveaxis(x, -1, 0)


def _sweep(a: Array, b: Array, reverse: bool, start: float = 0.0) -> Array:
    """`h_i = a_i h_{i-1} + b_i` along the leading axis, one step at a time."""
    shape = jnp.broadcast_shapes(a.shape[1:], b.shape[1:])

    def step(h, ab):
        h = ab[0] * h + ab[1]
        return h, h

    initial = jnp.full(shape, start, b.dtype)
    return jax.lax.scan(step, initial, (a, b), reverse=reverse)[1]


@jax.custom_jvp
def _forward_recurrence(a, b):
    return _scan(a, b, reverse=False)


@jax.custom_jvp
def _backward_recurrence(a, b):
    return _scan(a, b, reverse=True)


@_forward_recurrence.defjvp
def _forward_recurrence_jvp(primals, tangents):
    a, b = primals
    a_dot, b_dot = tangents
    h = _forward_recurrence(a, b)
    before = jnp.concatenate([jnp.zeros_like(h[..., :1]), h[..., :-1]], axis=-1)
    return h, _forward_recurrence(a, b_dot + a_dot * before)


@_backward_recurrence.defjvp
def _backward_recurrence_jvp(primals, tangents):
    a, b = primals
    a_dot, b_dot = tangents
    h = _backward_recurrence(a, b)
    after = jnp.concatenate([h[..., 1:], jnp.zeros_like(h[..., :1])], axis=-1)
    return h, _backward_recurrence(a, b_dot + a_dot * after)


def linear_recurrence(
    a: Float[Array, "*batch n"], b: Float[Array, "*batch n"], *, reverse: bool = False
) -> Float[Array, "*batch n"]:
    """`h_i = a_i h_{i-1} + b_i` along the last axis (`h_{i+1}` with `reverse`).

    Its derivative is the same recurrence again.

    **Example:**

        >>> a, b = jnp.array([0.5, 0.5, 0.5]), jnp.array([1.0, 0.0, 0.0])
        >>> print(sj.solvers.linear_recurrence(a, b))
        [1.   0.5  0.25]
    """
    return _backward_recurrence(a, b) if reverse else _forward_recurrence(a, b)


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
    first = s[..., 1:] != s[..., :-1]
    if where is not None:
        first |= where[..., 1:] != where[..., :-1]
    edge = jnp.ones_like(s[..., :1], bool)
    index = jnp.broadcast_to(jnp.arange(n, dtype=jnp.int32), s.shape)
    axis = s.ndim - 1
    starts = jnp.where(jnp.concatenate([edge, first], axis=-1), index, 0)
    ends = jnp.where(jnp.concatenate([first, edge], axis=-1), index + 1, n)
    return (
        jax.lax.cummax(starts, axis=axis),
        jax.lax.cummin(ends, axis=axis, reverse=True),
    )


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
    # With a leading axis, `a` and `b` of the recurrence have the same rank.
    s, softness = support[None], softness[None]
    decay = jnp.exp((s[..., :-1] - s[..., 1:]) / softness)
    zero = jnp.zeros_like(s[..., :1])
    left = linear_recurrence(jnp.concatenate([zero, decay], axis=-1), weights)
    onward = jnp.concatenate([decay, zero], axis=-1)
    right = linear_recurrence(onward, weights, reverse=True)
    if queries is not None:
        start, end = _positions(support, queries)
        return _collect(s, softness, weights, left, right, queries[None], start, end)
    tied = jnp.any(s[..., 1:] == s[..., :-1])

    def with_ties(s, softness, weights, left, right, onward):
        start, end = tie_groups(jax.lax.stop_gradient(s))
        return _collect(s, softness, weights, left, right, s, start, end)

    def without_ties(s, softness, weights, left, right, onward):
        after = jnp.concatenate([right[..., 1:], jnp.zeros_like(right[..., :1])], -1)
        return left + onward * after

    # Almost always there are no ties, and no indices are needed.
    return jax.lax.cond(
        tied, with_ties, without_ties, s, softness, weights, left, right, onward
    )


def _collect(
    s: Array,
    softness: Array,
    weights: Array,
    left: Array,
    right: Array,
    q: Array,
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

    equal = jnp.where(end > start, _take(_run_sums(s, weights), end - 1), 0)
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
    tied = s[..., 1:] == s[..., :-1]
    inner = jnp.concatenate([jnp.zeros_like(s[..., :1], bool), tied], axis=-1)
    inner = jnp.broadcast_to(inner, weights.shape).astype(weights.dtype)
    return linear_recurrence(inner, weights)
