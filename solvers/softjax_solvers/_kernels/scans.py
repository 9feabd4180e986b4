"""Linear recurrences along rows, and by them sums against the Laplace kernel."""

from __future__ import annotations

from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from .._platform.choice import on_cpu
from .._platform.serial import read, serially, write
from .arrays import pad_last, slice_last
from .cumulative import prefix_maxima

Rows = tuple[Float[Array, "*batch n"], ...]


def _shift(x: Float[Array, "... n"], by: int) -> Float[Array, "... n"]:
    """Entries `x_{i-by}` along the last axis, with zeros where there are none."""
    return pad_last(x, by, -by)


def linear_recurrence(
    a: Float[Array, "*batch n"], b: Float[Array, "*batch n"], *, reverse: bool = False
) -> Float[Array, "*batch n"]:
    """Linear recurrence `h_i = a_i h_{i-1} + b_i` (`h_{i+1}` with `reverse`).

    It runs along the last axis. It is a bidiagonal system of linear equations for h,
    and is differentiated as one: by recurrences again. `a` may have axes of size 1
    where `b` has others.
    """
    a, b = jnp.broadcast_arrays(a, b)
    if reverse:
        _, (r,) = _two_sided_recurrence(_shift(a, 1), (), (b,))
        return r
    (h,), _ = _two_sided_recurrence(_zero_first(a), (b,), ())
    return h


def sums_from_ends(
    forward: Float[Array, "*batch n"], backward: Float[Array, "*batch n"]
) -> tuple[Float[Array, "*batch n"], Float[Array, "*batch n"]]:
    """Prefix sums of `forward` and suffix sums of `backward`, with the entry itself."""
    (h,), (r,) = _two_sided_recurrence(
        _zero_first(jnp.ones_like(forward)), (forward,), (backward,)
    )
    return h, r


def _with_joint_tangents(rows: Rows) -> Rows:
    """Rows of the same values, all of which carry a tangent if any of them does.

    JAX 0.10 can't differentiate a linear solve in which only parts of the right-hand
    side have tangents.
    """
    total = sum(rows)
    return tuple(jnp.where(False, total, x) for x in rows)


def _zero_first(x: Float[Array, "*batch n"]) -> Float[Array, "*batch n"]:
    """Rows with 0 in the place of their first entries."""
    return jnp.where(jnp.arange(x.shape[-1]) == 0, 0, x)


def _two_sided_recurrence(
    a: Float[Array, "*batch n"], forward: Rows, backward: Rows
) -> tuple[Rows, Rows]:
    """Forward and backward linear recurrences with the same factors.

    These are `h_i = a_i h_{i-1} + forward_i` and `r_i = a_{i+1} r_{i+1} + backward_i`:
    bidiagonal systems, of which one is the transpose of the other. The first factor of
    a row is 0.
    """

    def systems(x: tuple[Rows, Rows]) -> tuple[Rows, Rows]:
        down, up = x
        return (
            tuple(h - a * _shift(h, 1) for h in down),
            tuple(r - _shift(a * r, -1) for r in up),
        )

    k, rows = len(forward), _with_joint_tangents((*forward, *backward))
    return jax.lax.custom_linear_solve(
        systems,
        (rows[:k], rows[k:]),
        solve=lambda _, b: _solve_two_sided(a, *b),
        transpose_solve=lambda _, c: _solve_two_sided(a, *c[::-1])[::-1],
    )


def _solve_two_sided(
    a: Float[Array, "*batch n"], forward: Rows, backward: Rows
) -> tuple[Rows, Rows]:
    return on_cpu(_sequential, _recursive_doubling, a, forward, backward)


def _sequential(
    a: Float[Array, "*batch n"], forward: Rows, backward: Rows
) -> tuple[Rows, Rows]:
    """Sequential `_two_sided_recurrence`, in one loop for both directions."""
    k, outputs = len(forward), len(forward) + len(backward)

    def sweep(first: Array, a: Array, *rows: Array) -> Rows:
        forward, backward = rows[:k], rows[k:]

        def times(place: Array, x: Array) -> Array:
            # A selection, as a product with 0 would pass NaN on to the next row.
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


def _recursive_doubling(
    a: Float[Array, "*batch n"], forward: Rows, backward: Rows
) -> tuple[Rows, Rows]:
    """Recursive doubling for `_two_sided_recurrence`, in log2(n) parallel steps.

    Each step composes the affine maps of elements with those as many places away as
    they already span (Kogge and Stone, 1973).
    """
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
    """First index of each element's group of equals, and the index after its last one.

    `s` is ascending; masked elements never join a group with unmasked ones.
    """
    n = s.shape[-1]
    differs = s[..., 1:] != s[..., :-1]
    if where is not None:
        differs |= where[..., 1:] != where[..., :-1]
    # One cumulative maximum for both ends, which is compiled once.
    first = pad_last(jnp.stack([differs, differs[..., ::-1]]), 1, 0, True)
    index = jnp.where(first, jnp.arange(n, dtype=jnp.int32), 0)
    index = prefix_maxima(index)
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
    before = prefix_maxima(jnp.where(where, known, -jnp.inf))
    first = jnp.min(known, axis=-1, keepdims=True, initial=jnp.inf, where=where)
    return jnp.where(where, s, jnp.where(jnp.isfinite(before), before, first))


def laplace_sums(
    support: Float[Array, "*batch n"],
    softness: Float[Array, "*#batch 1"],
    weights: Sequence[Float[Array, "*batch n"]],
    queries: Float[Array, "*batch m"] | None = None,
    starts: Bool[Array, "*batch n"] | None = None,
) -> tuple[Float[Array, "*batch m"], ...]:
    """Sums against the Laplace kernel over sorted points, without truncation.

    For each array w of weights,
    `sum_j exp((nearest_i - |queries_i - support_j|) / softness) w_j`. `support` is
    ascending, `queries` None stands for the support itself, and `nearest_i` is the
    least of the distances, a constant to differentiation. Every factor is at most 1 and
    distances are sums of gaps, so nothing cancels or overflows. Terms at distance 0
    have derivative 0 in the distance, which keeps derivatives at ties independent of
    the order of equals.

    `starts` marks the first elements of segments, which are rows of their own, one
    after the other, each ascending. Then there are no queries.
    """
    weights = tuple(weights)
    gaps = pad_last(support[..., :-1] - support[..., 1:], 1, 0)
    tied = gaps == 0
    if starts is not None:  # which may be far below what is before them
        gaps, tied = jnp.where(starts, 0, gaps), tied & ~starts
    decay = _zero_first(jnp.exp(gaps / softness))
    decay = decay if starts is None else jnp.where(starts, 0, decay)
    if queries is None:
        return _sums_at_support(decay, weights, tied)
    return _sums_at_queries(support, softness, queries, weights, decay)


def _tangent_sources(
    decay_dot: Float[Array, "*batch n"], h: Rows, r: Rows
) -> tuple[Rows, Rows]:
    """Right-hand sides of the recurrences of the tangents of h and r in the decay."""
    forward = tuple(decay_dot * _shift(h, 1) for h in h)
    return forward, tuple(_shift(decay_dot * r, -1) for r in r)


@jax.custom_jvp
def _sums_at_support(
    decay: Float[Array, "*batch n"], weights: Rows, tied: Bool[Array, "*batch n"]
) -> Rows:
    """Sums at the elements themselves; `tied` marks those equal to the one before."""
    h, r = _two_sided_recurrence(decay, weights, weights)
    return _total(h, r, weights)


def _total(h: Rows, r: Rows, weights: Rows) -> Rows:
    """Sums of both sides, in which the elements themselves count once."""
    return tuple(h + (r - w) for h, r, w in zip(h, r, weights, strict=True))


@_sums_at_support.defjvp
def _sums_at_support_jvp(primals, tangents):
    decay, weights, tied = primals
    decay_dot, weights_dot, _ = tangents
    # Distances are sums of gaps, of which those between equals are 0 but have a
    # derivative, that of a positive distance. So the sums over equals are computed
    # beside those over all elements, and what they add to the derivative is subtracted.
    # That is unconditional: a test for equals would cost about as much, and would make
    # all rows of a batch wait for each other.
    both, both_dot = (jnp.stack([x, jnp.where(tied, x, 0)]) for x in (decay, decay_dot))
    pairs = tuple(jnp.stack([w, w]) for w in weights)
    h, r = _two_sided_recurrence(both, pairs, pairs)
    moves = tuple(jnp.stack([w, jnp.zeros_like(w)]) for w in weights_dot)
    forward, backward = (
        tuple(map(jnp.add, drive, moves)) for drive in _tangent_sources(both_dot, h, r)
    )
    rise, fall = _two_sided_recurrence(both, forward, backward)
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
    """Zeros with the derivative that distances between equals add to that of the sums.

    An element's value is the sum over the group of its equals, less the same sum with
    constant distances.
    """
    # Not plain zeros: JAX 0.10 loses the batch axis of a constant in the derivative of
    # a mapped and compiled function with a custom rule. Weights alone may be constants.
    return tuple(jnp.where(False, w + decay, 0) for w in weights)


@_tie_terms.defjvp
def _tie_terms_jvp(primals, tangents):
    decay, weights, tied = primals
    decay_dot, weights_dot, _ = tangents
    inner, inner_dot = (jnp.where(tied, x, 0) for x in (decay, decay_dot))
    drive = _tangent_sources(inner_dot, *_two_sided_recurrence(inner, weights, weights))
    rise, fall = _two_sided_recurrence(inner, *drive)
    more = _tie_terms(decay, weights_dot, tied)
    terms = zip(rise, fall, more, strict=True)
    out_dot = tuple(rise + fall + more for rise, fall, more in terms)
    return tuple(map(jnp.zeros_like, out_dot)), out_dot


def _sums_at_queries(
    s: Float[Array, "*batch n"],
    softness: Float[Array, "*#batch 1"],
    q: Float[Array, "*batch m"],
    weights: Rows,
    decay: Float[Array, "*batch n"],
) -> Rows:
    """Sums against the kernel at the points q, from those at their nearest elements."""
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

    left, right = _two_sided_recurrence(decay, weights, weights)
    of_left, of_right = kernel(left_distance), kernel(right_distance)
    return tuple(
        jnp.where(end > start, _take(equal, end - 1), 0)
        + of_left * _take(left, below)
        + of_right * _take(right, above)
        for equal, left, right in zip(
            _tied_prefix_sums(s, weights), left, right, strict=True
        )
    )


def _positions(support: Array, queries: Array) -> tuple[Array, Array]:
    """Numbers of elements of `support` strictly below, and at or below, each query."""
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


def _tied_prefix_sums(s: Float[Array, "*batch n"], weights: Rows) -> Rows:
    """Prefix sums of the weights within each group of equal elements of `s`."""
    tied = pad_last((s[..., 1:] == s[..., :-1]).astype(s.dtype), 1, 0)
    return _two_sided_recurrence(tied, weights, ())[0]
