"""Sums over pairs of elements of a sorted array that are near each other."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Bool, Float, Int, PyTree

from .._platform.batches import (
    anywhere,
)
from .._platform.varying import (
    varying_as,
)
from .arrays import pad_last, slice_last
from .derivatives import tangent_of


def half_width(
    points: Float[Array, "*batch n"],
    reach: Float[Array, "*batch n"],
    ids: Int[Array, "*batch n"] | None = None,
) -> Int[Array, ""]:
    """Largest |i - j| of two points with `|points_i - points_j| < reach_i`.

    `points` is ascending; or it is in each segment, where there are `ids` of those, and
    both points have to be of the same one. There is one number for the whole batch,
    also for one that `vmap` adds: a loop whose length differs from row to row runs to
    the longest anyway, and selects rows in each step on top.
    """
    points, reach = jax.lax.stop_gradient((points, reach))
    n = points.shape[-1]
    above, below = pad_last(points, 0, n, jnp.inf), pad_last(points, n, 0, -jnp.inf)

    if ids is not None:
        later, earlier = pad_last(ids, 0, n), pad_last(ids, n, 0)

    def refine(i, found):
        # Binary search: a pair in reach at a distance means one at each smaller one.
        trial = jnp.minimum(found + (1 << (n.bit_length() - 1 - i)), n)
        after, before = slice_last(above, trial, n), slice_last(below, n - trial, n)
        above_it, below_it = after - points, points - before
        if ids is not None:
            after, before = (
                slice_last(later, trial, n),
                slice_last(earlier, n - trial, n),
            )
            above_it = jnp.where(after == ids, above_it, jnp.inf)
            below_it = jnp.where(before == ids, below_it, jnp.inf)
        gap = jnp.minimum(above_it, below_it)
        return jnp.where(anywhere(gap < reach), trial, found)

    start = jnp.zeros_like(points, jnp.int32, shape=())
    return jax.lax.fori_loop(0, n.bit_length(), refine, start)


class Lag(NamedTuple):
    """Place of the other element of a pair relative to its centre.

    Pairs with the other after the centre, and with the other before it, are two rows of
    all arrays that belong to elements, `2 *batch n`. In the second, elements are in
    reverse order, so that the other comes after the centre there, too.

    - `distance`: the difference of their positions, at least 0.
    - `side`: 1 if the other comes after the centre, -1 if before; `2 *ones 1`.
    - `path`: the path to it, as `Extend` adds it up; None if there is no `Extend`.
    """

    distance: Int[Array, ""]
    side: Float[Array | np.ndarray, "2 *ones 1"]
    path: Float[Array, "2 *batch n"] | None


Near = Callable[[PyTree, PyTree, PyTree, Lag], Bool[Array, "2 *batch n"]]
"""`near(shared, centre_i, other_j, lag)`: whether a pair matters.

If it does not, no pair with the same centre matters that lies further on.
"""

Extend = Callable[[PyTree, Lag], Float[Array, "2 *batch n"]]
"""`extend(other_j, lag)`: the path to j, which extends the one that `lag` holds.

The latter leads to the element before j. The result is a constant to differentiation.
"""

Terms = Callable[..., tuple[PyTree, PyTree]]
"""`fn(shared, centre_i, other_j, lag)`: elementwise terms, as two pytrees of arrays.

The first is summed over the others of each centre, the second over the centres of each
other.
"""

class _Totals(NamedTuple):
    shared: PyTree
    centre: PyTree
    other: PyTree  # with n places more behind the last
    path: PyTree  # to the others at the last distance


def _add(a: PyTree, b: PyTree) -> PyTree:
    return jax.tree.map(jax.lax.add, a, b)


def _size(args: PyTree) -> int:
    """Number of elements in a row."""
    return jax.tree.leaves(args[2])[0].shape[-1]


def _inside(lag: Lag, n: int) -> Bool[Array, "2 *ones n"]:
    """Mask of the centres that have an other at the lag.

    Pairs of elements with themselves count once.
    """
    return (np.arange(n) < n - lag.distance) & ((lag.side > 0) | (lag.distance > 0))


def _masked(fn: Terms, n: int) -> Terms:
    """Terms that are 0 where a centre has no other at the lag."""

    def masked(shared, centre, other, lag):
        inside = _inside(lag, n)
        terms = fn(shared, centre, other, lag)
        return jax.tree.map(lambda x: jnp.where(inside, x, 0), terms)

    return masked


def _both_ways(x: Array) -> Array:
    return jnp.stack([x, x[..., ::-1]])


def _sum_of_both(x: Array) -> Array:
    return x[0] + x[1, ..., ::-1]


class _Sweep:
    """Accumulation of the terms of all pairs, one distance after the other.

    One step evaluates the terms once, for both sides: programs are large by how often
    terms stand in them.

    **Arguments:**

    - `fn`: `Terms`, or, with `shares`, a function that returns sums over all pairs
        first, in the shape of arrays of `shared`.
    - `like`: arrays of the shapes of the sums.
    """

    def __init__(
        self,
        args: PyTree,
        fn: Callable[..., Any],
        like: tuple[PyTree, ...],
        extend: Extend | None,
        near: Near | None = None,
        *,
        shares: bool = False,
    ):
        self.shared, centre, other = args
        self.centre = jax.tree.map(_both_ways, centre)
        self.n = _size(args)
        # Zeros beyond the end do no harm: terms with them are masked.
        self.other = jax.tree.map(lambda x: pad_last(_both_ways(x), 0, self.n), other)
        self.fn = fn if shares else lambda *given: ((), *fn(*given))
        self.like = like if shares else ((), *like)
        self.extend, self.near = extend, near
        self.one = jax.tree.leaves(other)[0]
        self.side = np.asarray([1.0, -1.0], jnp.result_type(float))
        self.side = self.side.reshape(2, *(1,) * self.one.ndim)

    def start(self) -> _Totals:
        """Totals of no pairs."""
        shared, centre, other = self.like

        def zeros(x, more=0):
            return jnp.zeros((2, *x.shape[:-1], x.shape[-1] + more), x.dtype)

        path = None if self.extend is None else zeros(self.one)
        start = _Totals(
            jax.tree.map(jnp.zeros_like, shared),
            jax.tree.map(zeros, centre),
            jax.tree.map(lambda x: zeros(x, self.n), other),
            path,
        )
        return varying_as(start, self.one)

    def add(self, distance: Array, totals: _Totals) -> tuple[_Totals, Bool[Array, ""]]:
        """Totals with all pairs at a distance, and whether any of these is `near`."""
        shared, centre, other, path = totals
        lag = Lag(distance, self.side.astype(self.one.dtype), path)
        there = self._read(self.other, distance)
        if self.extend is not None:
            path = jax.lax.stop_gradient(self.extend(there, lag))
            path = jnp.where(distance > 0, path, 0)
            lag = lag._replace(path=path)
        more, terms, terms_there = self.fn(self.shared, self.centre, there, lag)
        shared, centre = _add(shared, more), _add(centre, terms)
        total_there = _add(self._read(other, distance), terms_there)
        other = self._put(other, total_there, distance)
        near = jnp.zeros((), bool)
        if self.near is not None:
            near = self.near(self.shared, self.centre, there, lag)
            near = anywhere(near & _inside(lag, self.n))
        return _Totals(shared, centre, other, path), near

    def _read(self, tree: PyTree, start: Array) -> PyTree:
        return jax.tree.map(lambda x: slice_last(x, start, self.n), tree)

    def _put(self, tree: PyTree, parts: PyTree, start: Array) -> PyTree:
        def put(x, part):
            index = [*[jnp.zeros_like(start)] * (x.ndim - 1), start]
            return jax.lax.dynamic_update_slice(
                x, part, index, allow_negative_indices=False
            )

        return jax.tree.map(put, tree, parts)

    def end(self, totals: _Totals) -> tuple[PyTree, PyTree, PyTree]:
        """Sums of the terms over all pairs, for each centre, and for each other."""
        other = jax.tree.map(lambda x: x[..., : self.n], totals.other)
        centre, other = jax.tree.map(_sum_of_both, (totals.centre, other))
        return totals.shared, centre, other


def _shapes(args: PyTree, fn: Terms, extend: Extend | None) -> tuple[PyTree, PyTree]:
    """The sums over pairs, of which only structure, shapes and types are known."""
    one = jax.tree.leaves(args[2])[0]

    def own():
        path = None if extend is None else jnp.zeros_like(one)
        side = np.ones((1,) * one.ndim, one.dtype)
        return fn(*args, Lag(jnp.zeros((), jnp.int32), side, path))

    return jax.eval_shape(own)


def _loop_while_near(
    args: PyTree, fn: Terms, extend: Extend | None, near: Near
) -> tuple[Int[Array, ""], tuple[PyTree, PyTree]]:
    """Largest distance of a pair that matters, and the sums over all that matter.

    There is one distance for a whole batch, also for one that `vmap` adds: a loop whose
    length differs from row to row runs to the longest anyway, and selects rows in each
    step on top.
    """
    sweep = _Sweep(args, fn, _shapes(args, fn, extend), extend, near)

    def step(state):
        _, distance, totals = state
        totals, near = sweep.add(distance, totals)
        return near, distance + 1, totals

    # Where no element is near itself, none is near any other.
    start = jnp.ones((), bool), jnp.zeros((), jnp.int32)
    start = *varying_as(start, sweep.one), sweep.start()
    _, beyond, totals = jax.lax.while_loop(lambda state: state[0], step, start)
    return jnp.maximum(beyond - 2, 0), sweep.end(totals)[1:]


def _loop(
    width: Int[Array, ""],
    args: PyTree,
    fn: Callable[..., Any],
    extend: Extend | None,
    like: tuple[PyTree, ...],
    *,
    shares: bool = False,
) -> tuple[PyTree, PyTree, PyTree]:
    """Sums over all pairs up to a distance, by a loop of that many steps."""
    sweep = _Sweep(args, fn, like, extend, shares=shares)
    add = lambda distance, totals: sweep.add(distance, totals)[0]  # noqa: E731
    return sweep.end(jax.lax.fori_loop(0, width + 1, add, sweep.start()))


def _nested_loops(
    width: Int[Array, ""],
    args: PyTree,
    fn: Terms,
    extend: Extend | None,
    like: tuple[PyTree, PyTree],
) -> tuple[PyTree, PyTree, PyTree]:
    """Sums over all pairs up to a distance, by two nested loops of static lengths.

    Reverse mode can differentiate these, unlike a loop of a traced length. Each is
    about sqrt(n) long and stores what its steps start from. Steps beyond the distance
    are skipped.
    """
    sweep = _Sweep(args, fn, like, extend)
    inner = math.isqrt(sweep.n - 1) + 1
    outer = math.ceil(sweep.n / inner)

    def loop(step: Callable, length: int, stride: int) -> Callable:
        @functools.partial(jax.checkpoint, prevent_cse=False)
        def guarded(distance, total):
            def skip(distance, total):
                return total

            return jax.lax.cond(distance <= width, step, skip, distance, total)

        def run(start, total):
            return jax.lax.scan(
                lambda total, distance: (guarded(distance, total), None),
                total,
                start + stride * jnp.arange(length),
            )[0]

        return run

    block = loop(lambda d, totals: sweep.add(d, totals)[0], inner, 1)
    totals = loop(block, outer, inner)(jnp.zeros((), jnp.int32), sweep.start())
    return sweep.end(totals)


def _extend_primals(extend: Extend | None) -> Extend | None:
    """Paths for elements that are pairs of primals and tangents or cotangents."""
    if extend is None:
        return None
    return lambda other, lag: extend(other[0], lag)


def _term_tangents(shared, centre, other, lag, *, fn):
    """Tangents of terms, of arguments that are pairs of primals and tangents."""
    primals, tangents = zip(shared, centre, other, strict=True)
    return tangent_of(functools.partial(fn, lag=lag), primals, tangents)


def _pullback(
    width: Int[Array, ""],
    args: PyTree,
    moves: PyTree,
    fn: Terms,
    extend: Extend | None,
    cotangents: tuple[PyTree, PyTree],
) -> PyTree:
    """Pullback of the sums' cotangents to those of `args`, by sums over pairs again.

    `moves` are tangents of `args`, of which only structure and types count.
    """
    shared, *elements = args

    def back(shared, centre, other, lag):
        (centre, here), (other, there) = centre, other

        def move(moves):
            primals = shared, centre, other
            return tangent_of(functools.partial(fn, lag=lag), primals, moves)

        like = moves[0], *jax.tree.map(_both_ways, moves[1:])
        (pulled,) = jax.linear_transpose(move, like)((here, there))
        return pulled

    centre, other = zip(elements, cotangents, strict=True)
    args, extend = (shared, centre, other), _extend_primals(extend)
    return _loop(width, args, back, extend, moves, shares=True)


# The terms are differentiated, and not the `while` loop, which has no transpose.
@eqx.filter_custom_jvp
def _sums(width, args, *, fn: Terms, extend: Extend | None, near: Near):
    if width is None:
        return _loop_while_near(args, fn, extend, near)
    like = _shapes(args, fn, extend)
    return width, _loop(width, args, fn, extend, like)[1:]


@_sums.def_jvp
def _sums_jvp(primals, tangents, *, fn, extend, near):
    (width, args), (_, moves) = primals, tangents
    width, sums = _sums(width, args, fn=fn, extend=extend, near=near)
    return (width, sums), (None, _sum_tangents(width, args, moves, fn, extend))


def neighbour_sums(
    width: Int[Array, ""] | None,
    args: tuple[PyTree, PyTree, PyTree],
    fn: Terms,
    near: Near,
    extend: Extend | None = None,
) -> tuple[Int[Array, ""], tuple[PyTree, PyTree]]:
    """Sums of `fn(shared, centre_i, other_j, lag)` over all pairs that matter.

    The sums are over j for each i, and over i for each j; i = j is a pair, too. Takes
    O(n width) time and O(n) memory, also for derivatives.

    **Arguments:**

    - `width`: the largest distance in position of two elements that matter to each
        other; None to find it on the way.
    - `args`: `shared`, of arrays that broadcast against `*batch 1`; `centre` and
        `other`, of arrays `*batch n`.
    - `fn`, `near`, `extend`: see `Terms`, `Near` and `Extend`.

    **Returns:** the width, and the two pytrees of sums.
    """
    return _sums(width, args, fn=_masked(fn, _size(args)), extend=extend, near=near)


def neighbour_moves(
    width: Int[Array, ""],
    args: PyTree,
    moves: PyTree,
    fn: Terms,
    extend: Extend | None = None,
) -> tuple[PyTree, PyTree]:
    """Tangents of the sums over pairs, for tangents `moves` of `args`."""
    return _sum_tangents(width, args, moves, _masked(fn, _size(args)), extend)


def _sum_tangents(width, args, moves, fn, extend):
    """Tangents of the sums, with a transpose: a linear function of `moves`."""
    zeros = jax.tree.map(jnp.zeros_like, _shapes(args, fn, extend))
    if not jax.tree.leaves(moves):
        return zeros

    def move(moves, sums):
        pairs = tuple(zip(args, moves, strict=True))
        fn_moves = functools.partial(_term_tangents, fn=fn)
        return sums(width, pairs, fn_moves, _extend_primals(extend), zeros)[1:]

    # As the solution of (moves, out - move(moves)) = (moves, 0). A linear solve is the
    # one linear function whose values and transpose can be given, here as loops that
    # are no longer than they have to be; its derivatives are those of the equation. The
    # right-hand side is one array, since no part of it may be a constant.
    rhs, split = ravel_pytree((moves, zeros))

    def equation(x):
        moves, out = split(x)
        rest = jax.tree.map(jnp.subtract, out, move(moves, _nested_loops))
        return ravel_pytree((moves, rest))[0]

    def solve(_, rhs):
        moves, out = split(rhs)
        return ravel_pytree((moves, _add(out, move(moves, _loop))))[0]

    def transpose_solve(_, rhs):
        moves, cotangents = split(rhs)
        moves = _add(moves, _pullback(width, args, moves, fn, extend, cotangents))
        return ravel_pytree((moves, cotangents))[0]

    return split(jax.lax.custom_linear_solve(equation, rhs, solve, transpose_solve))[1]
