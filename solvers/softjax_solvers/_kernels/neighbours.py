"""Sums over pairs of elements of a sorted array that are near each other."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Bool, Float, Int, PyTree

from .._platform.batches import anywhere
from .._platform.varying import varying_as
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

    - `distance`: the difference of their positions, at least 0.
    - `side`: 1 if it comes after the centre, -1 if before, 0 if it is the centre.
    - `path`: the path to it, as `Extend` adds it up; None if there is no `Extend`.
    """

    distance: Int[Array, ""] | int
    side: int
    path: Float[Array, "*batch n"] | None


Near = Callable[[PyTree, PyTree, PyTree, Lag], Bool[Array, "*batch n"]]
"""`near(shared, centre_i, other_j, lag)`: whether a pair matters.

If it does not, no pair with the same centre matters that lies further on.
"""

Extend = Callable[[PyTree, Lag], Float[Array, "*batch n"]]
"""`extend(other_j, lag)`: the path to j, which extends the one that `lag` holds.

The latter leads to the element before j. The result is a constant to differentiation.
"""

Terms = Callable[..., tuple[PyTree, PyTree]]
"""`fn(shared, centre_i, other_j, lag)`: elementwise terms, as two pytrees of arrays.

The first is summed over the others of each centre, the second over the centres of each
other.
"""

_SIDES = (1, -1)


class _Totals(NamedTuple):
    centre: PyTree
    other: PyTree  # with n places more at both ends
    paths: tuple[PyTree, ...]  # to the others at the last distance, for each side


def _add(a: PyTree, b: PyTree) -> PyTree:
    return jax.tree.map(jnp.add, a, b)


def _size(args: PyTree) -> int:
    """Number of elements in a row."""
    return jax.tree.leaves(args[2])[0].shape[-1]


def _inside(lag: Lag, n: int) -> Bool[Array, " n"]:
    """Mask of the centres that have an other at the lag."""
    index = jnp.arange(n)
    return index < n - lag.distance if lag.side > 0 else index >= lag.distance


def _masked(fn: Terms, n: int) -> Terms:
    """Terms that are 0 where a centre has no other at the lag."""

    def masked(shared, centre, other, lag):
        inside = _inside(lag, n)
        terms = fn(shared, centre, other, lag)
        return jax.tree.map(lambda x: jnp.where(inside, x, 0), terms)

    return masked


class _Sweep:
    """Accumulation of the terms of all pairs, one distance after the other.

    The first pytree of terms may have arrays of any shape, such as sums over centres.
    """

    def __init__(
        self, args: PyTree, fn: Terms, extend: Extend | None, near: Near | None = None
    ):
        self.args = self.shared, self.centre, other = args
        self.fn, self.extend, self.near, self.n = fn, extend, near, _size(args)
        # Zeros beyond the ends do no harm: terms with them are masked.
        self.other = jax.tree.map(lambda x: pad_last(x, self.n, self.n), other)

    def start(self) -> _Totals:
        """Totals of the pairs of elements with themselves."""
        path = None
        if self.extend is not None:
            path = jnp.zeros_like(jax.tree.leaves(self.args[2])[0])
        centre, other = self.fn(*self.args, Lag(0, 0, path))
        other = jax.tree.map(lambda x: pad_last(x, self.n, self.n), other)
        return _Totals(centre, other, (path,) * len(_SIDES))

    def add(self, distance: Array, totals: _Totals) -> tuple[_Totals, Bool[Array, ""]]:
        """Totals with all pairs at a distance, and whether any of these is `near`."""
        centre, other, paths = totals
        matters, extended = [], []
        for side, path in zip(_SIDES, paths, strict=True):
            lag = Lag(distance, side, path)
            start = self.n + side * distance
            there = self._read(self.other, start)
            if self.extend is not None:
                path = jax.lax.stop_gradient(self.extend(there, lag))
                lag = lag._replace(path=path)
            extended.append(path)
            terms, terms_there = self.fn(self.shared, self.centre, there, lag)
            centre = _add(centre, terms)
            other = self._put(other, _add(self._read(other, start), terms_there), start)
            if self.near is not None:
                near = self.near(self.shared, self.centre, there, lag)
                matters.append(near & _inside(lag, self.n))
        near = jnp.zeros((), bool)
        if matters:
            near = anywhere(functools.reduce(jnp.bitwise_or, matters))
        return _Totals(centre, other, tuple(extended)), near

    def _read(self, tree: PyTree, start: Array) -> PyTree:
        return jax.tree.map(lambda x: slice_last(x, start, self.n), tree)

    def _put(self, tree: PyTree, parts: PyTree, start: Array) -> PyTree:
        def put(x, part):
            index = [*[jnp.zeros_like(start)] * (x.ndim - 1), start]
            return jax.lax.dynamic_update_slice(
                x, part, index, allow_negative_indices=False
            )

        return jax.tree.map(put, tree, parts)

    def end(self, totals: _Totals) -> tuple[PyTree, PyTree]:
        """Sums of the terms for each centre and for each other."""
        n = self.n
        return totals.centre, jax.tree.map(lambda x: x[..., n : 2 * n], totals.other)


def _loop_while_near(
    args: PyTree, fn: Terms, extend: Extend | None, near: Near
) -> tuple[Int[Array, ""], tuple[PyTree, PyTree]]:
    """Largest distance of a pair that matters, and the sums over all that matter.

    There is one distance for a whole batch, also for one that `vmap` adds: a loop whose
    length differs from row to row runs to the longest anyway, and selects rows in each
    step on top.
    """
    sweep = _Sweep(args, fn, extend, near)

    def step(state):
        _, distance, totals = state
        totals, near = sweep.add(distance + 1, totals)
        return near, distance + 1, totals

    start = jnp.ones((), bool), jnp.zeros((), jnp.int32), sweep.start()
    start = varying_as(start, *jax.tree.leaves(args))
    _, beyond, totals = jax.lax.while_loop(lambda state: state[0], step, start)
    return beyond - 1, sweep.end(totals)


def _loop(
    width: Int[Array, ""], args: PyTree, fn: Terms, extend: Extend | None
) -> tuple[PyTree, PyTree]:
    """Sums over all pairs up to a distance, by a loop of that many steps."""
    sweep = _Sweep(args, fn, extend)
    add = lambda distance, totals: sweep.add(distance, totals)[0]  # noqa: E731
    return sweep.end(jax.lax.fori_loop(1, width + 1, add, sweep.start()))


def _nested_loops(
    width: Int[Array, ""], args: PyTree, fn: Terms, extend: Extend | None
) -> tuple[PyTree, PyTree]:
    """Sums over all pairs up to a distance, by two nested loops of static lengths.

    Reverse mode can differentiate these, unlike a loop of a traced length. Each is
    about sqrt(n) long and stores what its steps start from. Steps beyond the distance
    are skipped.
    """
    sweep = _Sweep(args, fn, extend)
    inner = math.isqrt(max(sweep.n - 2, 0)) + 1
    outer = math.ceil((sweep.n - 1) / inner)

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
    totals = loop(block, outer, inner)(jnp.ones((), jnp.int32), sweep.start())
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

        (pulled,) = jax.linear_transpose(move, moves)((here, there))
        return pulled[:2], pulled[2]

    centre, other = zip(elements, cotangents, strict=True)
    pulled, there = _loop(width, (shared, centre, other), back, _extend_primals(extend))
    return *pulled, there


# The terms are differentiated, and not the `while` loop, which has no transpose.
@eqx.filter_custom_jvp
def _sums(width, args, *, fn: Terms, extend: Extend | None, near: Near):
    if width is None:
        return _loop_while_near(args, fn, extend, near)
    return width, _loop(width, args, fn, extend)


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

    def own():
        sweep = _Sweep(args, fn, extend)
        return sweep.end(sweep.start())

    zeros = jax.tree.map(jnp.zeros_like, jax.eval_shape(own))
    if not jax.tree.leaves(moves):
        return zeros

    def move(moves, sums):
        pairs = tuple(zip(args, moves, strict=True))
        fn_moves = functools.partial(_term_tangents, fn=fn)
        return sums(width, pairs, fn_moves, _extend_primals(extend))

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
