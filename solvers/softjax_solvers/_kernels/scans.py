"""Sums against the kernel exp(-|a - b| / softness) over sorted points, in O(n)."""

from __future__ import annotations

from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from .._platform.choice import on_cpu
from .._platform.serial import read, serially, write
from .numerics import pad_last, slice_last

Rows = tuple[Float[Array, "*batch n"], ...]


def _shift(x: Float[Array, "... n"], by: int) -> Float[Array, "... n"]:
    """`x_{i-by}` along the last axis, with zeros where that does not exist."""
    return pad_last(x, by, -by)


def linear_recurrence(
    a: Float[Array, "*batch n"], b: Float[Array, "*batch n"], *, reverse: bool = False
) -> Float[Array, "*batch n"]:
    """`h_i = a_i h_{i-1} + b_i` along the last axis (`h_{i+1}` with `reverse`).

    That is a bidiagonal system of linear equations for h, and is differentiated as one:
    by recurrences again. `a` may have axes of size 1 where `b` has others.
    """
    a, b = jnp.broadcast_arrays(a, b)
    if reverse:
        _, (r,) = _both_ways(_shift(a, 1), (), (b,))
        return r
    (h,), _ = _both_ways(_no_first(a), (b,), ())
    return h


def sums_from_ends(
    forward: Float[Array, "*batch n"], backward: Float[Array, "*batch n"]
) -> tuple[Float[Array, "*batch n"], Float[Array, "*batch n"]]:
    """Sums of one array up to each entry, and of another one from it on."""
    (h,), (r,) = _both_ways(_no_first(jnp.ones_like(forward)), (forward,), (backward,))
    return h, r


def _alike(rows: Rows) -> Rows:
    """The same, which have derivatives if any of them has.

    JAX 0.10 can't differentiate a solve of which only parts have any.
    """
    total = sum(rows)
    return tuple(jnp.where(False, total, x) for x in rows)


def _no_first(x: Float[Array, "*batch n"]) -> Float[Array, "*batch n"]:
    return jnp.where(jnp.arange(x.shape[-1]) == 0, 0, x)


def _both_ways(
    a: Float[Array, "*batch n"], forward: Rows, backward: Rows
) -> tuple[Rows, Rows]:
    """`h_i = a_i h_{i-1} + forward_i` and `r_i = a_{i+1} r_{i+1} + backward_i`.

    The two are bidiagonal systems, of which one is the transpose of the other. The
    first factor of a row is 0.
    """

    def systems(x: tuple[Rows, Rows]) -> tuple[Rows, Rows]:
        down, up = x
        return (
            tuple(h - a * _shift(h, 1) for h in down),
            tuple(r - _shift(a * r, -1) for r in up),
        )

    k, rows = len(forward), _alike((*forward, *backward))
    return jax.lax.custom_linear_solve(
        systems,
        (rows[:k], rows[k:]),
        solve=lambda _, b: _solve_both(a, *b),
        transpose_solve=lambda _, c: _solve_both(a, *c[::-1])[::-1],
    )


def _solve_both(
    a: Float[Array, "*batch n"], forward: Rows, backward: Rows
) -> tuple[Rows, Rows]:
    return on_cpu(_one_by_one, _by_doubling, a, forward, backward)


def _one_by_one(
    a: Float[Array, "*batch n"], forward: Rows, backward: Rows
) -> tuple[Rows, Rows]:
    """Element by element, in a loop for both directions."""
    k, outputs = len(forward), len(forward) + len(backward)

    def sweep(first: Array, a: Array, *rows: Array) -> Rows:
        forward, backward = rows[:k], rows[k:]

        def times(place: Array, x: Array) -> Array:
            # Nothing passes from one row to another, not even NaN.
            return jnp.where(read(first, place), 0, read(a, place) * x)

        def step(i, state):
            down, up, h, r = state
            place = len(a) - 1 - i
            h = tuple(times(i, h) + read(b, i) for h, b in zip(h, forward, strict=True))
            r = tuple(r + read(c, place) for r, c in zip(r, backward, strict=True))
            down = tuple(write(x, h, i) for x, h in zip(down, h, strict=True))
            up = tuple(write(x, r, place) for x, r in zip(up, r, strict=True))
            return down, up, h, tuple(times(place, r) for r in r)

        start = jax.tree.map(jnp.zeros_like, (forward, backward))
        start += jax.tree.map(lambda x: jnp.zeros_like(x[0]), (forward, backward))
        down, up, *_ = jax.lax.fori_loop(0, len(a), step, start)
        return *down, *up

    out = serially(sweep, a, *forward, *backward, outputs=outputs)
    return out[:k], out[k:]


def _by_doubling(
    a: Float[Array, "*batch n"], forward: Rows, backward: Rows
) -> tuple[Rows, Rows]:
    """For all elements at once, and from twice as far each time."""
    n = a.shape[-1]

    def double(state):
        far, *sides = state

        def before(x: Array) -> Array:
            return slice_last(pad_last(x, n, 0), n - far, n)

        def after(x: Array) -> Array:
            return slice_last(pad_last(x, 0, n), far, n)

        sides = [
            (factor * other(factor), tuple(x + factor * other(x) for x in sums))
            for (factor, sums), other in zip(sides, (before, after), strict=True)
        ]
        return 2 * far, *sides

    start = jnp.ones((), jnp.int32), (a, forward), (_shift(a, -1), backward)
    _, (_, down), (_, up) = jax.lax.while_loop(lambda s: s[0] < n, double, start)
    return down, up


def tie_groups(
    s: Float[Array, "*batch n"], where: Bool[Array, "*batch n"] | None = None
) -> tuple[Int[Array, "*batch n"], Int[Array, "*batch n"]]:
    """First index of each element's group of equals, and the index after its last.

    `s` is ascending; masked elements never join a group with unmasked ones.
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
    weights: Sequence[Float[Array, "*batch n"]],
    queries: Float[Array, "*batch m"] | None = None,
) -> tuple[Float[Array, "*batch m"], ...]:
    """`sum_j exp((nearest_i - |queries_i - support_j|) / softness) w_j`, exactly.

    One sum for each array w of weights. `support` is ascending, `queries` None stands
    for the support itself, and `nearest_i` is the least of the distances, a constant to
    differentiation. Every factor is at most 1 and distances are sums of gaps, so
    nothing cancels or overflows. Terms at distance 0 have derivative 0 in the distance,
    which keeps derivatives at ties independent of the order of equals.
    """
    weights = tuple(weights)
    gaps = pad_last(support[..., :-1] - support[..., 1:], 1, 0)
    decay = _no_first(jnp.exp(gaps / softness))
    if queries is None:
        return _own_sums(decay, weights, gaps == 0)
    return _collect(support, softness, queries, weights, decay)


def _drive(decay_dot: Float[Array, "*batch n"], h: Rows, r: Rows) -> tuple[Rows, Rows]:
    """What `_both_ways` has to sum for the derivative of its results in the decay."""
    forward = tuple(decay_dot * _shift(h, 1) for h in h)
    return forward, tuple(_shift(decay_dot * r, -1) for r in r)


@jax.custom_jvp
def _own_sums(
    decay: Float[Array, "*batch n"], weights: Rows, tied: Bool[Array, "*batch n"]
) -> Rows:
    """The sums at the elements themselves; `tied` are the gaps between equals."""
    h, r = _both_ways(decay, weights, weights)
    return _total(h, r, weights)


def _total(h: Rows, r: Rows, weights: Rows) -> Rows:
    return tuple(h + (r - w) for h, r, w in zip(h, r, weights, strict=True))


@_own_sums.defjvp
def _own_sums_jvp(primals, tangents):
    decay, weights, tied = primals
    decay_dot, weights_dot, _ = tangents
    # A sum of gaps counts the distance of equals as positive in sorted order, and its
    # derivative with it. So the sums over equals are taken along, side by side with
    # those over all: what they add to the derivative is taken out. Without looking
    # whether there are any, which would cost about as much and make all rows of a batch
    # wait for each other.
    both, both_dot = (jnp.stack([x, jnp.where(tied, x, 0)]) for x in (decay, decay_dot))
    pairs = tuple(jnp.stack([w, w]) for w in weights)
    h, r = _both_ways(both, pairs, pairs)
    moves = tuple(jnp.stack([w, jnp.zeros_like(w)]) for w in weights_dot)
    forward, backward = (
        tuple(map(jnp.add, drive, moves)) for drive in _drive(both_dot, h, r)
    )
    rise, fall = _both_ways(both, forward, backward)
    out = _total(tuple(h[0] for h in h), tuple(r[0] for r in r), weights)
    out_dot = tuple(
        up[0] + down[0] - w - (up[1] + down[1]) - more
        for up, down, w, more in zip(
            rise, fall, weights_dot, _tie_terms(decay, weights_dot, tied), strict=True
        )
    )
    return out, out_dot


@jax.custom_jvp
def _tie_terms(
    decay: Float[Array, "*batch n"], weights: Rows, tied: Bool[Array, "*batch n"]
) -> Rows:
    """Zeros, whose derivative is what distances between equals add to that of the sums.

    The value is the sum over the group of an element's equals, less the same one with
    constant distances.
    """
    # Not a constant, whose axis JAX 0.10 loses in the derivative of a mapped function
    # that is compiled and holds a custom rule. The weights alone may be one.
    return tuple(jnp.where(False, w + decay, 0) for w in weights)


@_tie_terms.defjvp
def _tie_terms_jvp(primals, tangents):
    decay, weights, tied = primals
    decay_dot, weights_dot, _ = tangents
    inner, inner_dot = (jnp.where(tied, x, 0) for x in (decay, decay_dot))
    drive = _drive(inner_dot, *_both_ways(inner, weights, weights))
    rise, fall = _both_ways(inner, *drive)
    more = _tie_terms(decay, weights_dot, tied)
    terms = zip(rise, fall, more, strict=True)
    out_dot = tuple(rise + fall + more for rise, fall, more in terms)
    return tuple(map(jnp.zeros_like, out_dot)), out_dot


def _collect(
    s: Float[Array, "*batch n"],
    softness: Float[Array, "*#batch 1"],
    q: Float[Array, "*batch m"],
    weights: Rows,
    decay: Float[Array, "*batch n"],
) -> Rows:
    """Kernel sums at the points q, from those over the elements on either side."""
    n = s.shape[-1]
    start, end = _positions(s, q)

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

    left, right = _both_ways(decay, weights, weights)
    of_left, of_right = kernel(left_distance), kernel(right_distance)
    return tuple(
        jnp.where(end > start, _take(equal, end - 1), 0)
        + of_left * _take(left, below)
        + of_right * _take(right, above)
        for equal, left, right in zip(_run_sums(s, weights), left, right, strict=True)
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
        return find(support, queries).astype(jnp.int32)

    return search("left"), search("right")


def _run_sums(s: Float[Array, "*batch n"], weights: Rows) -> Rows:
    """Running sums of the weights within each group of equal elements of `s`."""
    tied = pad_last((s[..., 1:] == s[..., :-1]).astype(s.dtype), 1, 0)
    return _both_ways(tied, weights, ())[0]
