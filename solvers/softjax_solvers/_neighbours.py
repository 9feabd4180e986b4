"""Sums over the neighbours of each element of a sorted array, as many as matter."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float, Int, PyTree

from ._numerics import anywhere, pad_last, tangent_of

Terms = Callable[[PyTree, PyTree, PyTree], PyTree]
"""`fn(shared, centre_i, other_j)`: elementwise, of arrays, a pytree of arrays."""

_SIDES = (1, -1)


def half_width(
    points: Float[Array, "*batch n"], reach: Float[Array, "*batch n"]
) -> Int[Array, ""]:
    """The largest |i - j| of any with `|points_i - points_j| < reach_i`.

    `points` is ascending. One number for the whole batch, also for one that `vmap`
    adds: a loop whose length differs from row to row runs to the longest anyway, at the
    price of a selection.
    """
    points, reach = jax.lax.stop_gradient((points, reach))
    n = points.shape[-1]
    above = _Shift(pad_last(points, 0, n, jnp.inf), 0, n)
    below = _Shift(pad_last(points, n, 0, -jnp.inf), n, n)

    def refine(i, found):
        # One bit after the other, from the highest.
        trial = jnp.minimum(found + (1 << (n.bit_length() - 1 - i)), n)
        gap = jnp.minimum(above(trial) - points, points - below(-trial))
        return jnp.where(anywhere(gap < reach), trial, found)

    start = jnp.zeros_like(points, jnp.int32, shape=())
    return jax.lax.fori_loop(0, n.bit_length(), refine, start)


class _Shift:
    """Arrays `*batch n` as seen from positions further down or up."""

    def __init__(self, extended: PyTree, margin: int, n: int):
        self.extended, self.margin, self.n = extended, margin, n

    def __call__(self, offset: Array) -> PyTree[Float[Array, "*batch n"]]:
        start = self.margin + offset
        return jax.tree.map(
            lambda x: jax.lax.dynamic_slice_in_dim(x, start, self.n, axis=-1),
            self.extended,
        )

    def mask(self, distance: Array, side: int, terms: PyTree) -> PyTree:
        """Terms of pairs at that distance, 0 where there is no such pair."""
        index = jnp.arange(self.n)
        inside = index < self.n - distance if side > 0 else index >= distance
        return jax.tree.map(lambda x: jnp.where(inside, x, 0), terms)


def _shift(tree: PyTree, margin: int) -> _Shift:
    # Beyond the ends are zeros, which do no harm: what they lead to is not counted.
    n = jax.tree.leaves(tree)[0].shape[-1]
    extended = jax.tree.map(lambda x: pad_last(x, margin, margin), tree)
    return _Shift(extended, margin, n)


def _add(a: PyTree, b: PyTree) -> PyTree:
    return jax.tree.map(jnp.add, a, b)


def _zeros(args: PyTree, fn: Terms) -> PyTree:
    shapes = jax.eval_shape(lambda: fn(*args))
    return jax.tree.map(jnp.zeros_like, shapes)


def _size(args: PyTree) -> int:
    return jax.tree.leaves(args[2])[0].shape[-1]


def _adder(args: PyTree, fn: Terms, margin: int) -> Callable[[Array, PyTree], PyTree]:
    """What adds the terms of all pairs at a distance in position to a total."""
    shared, centre, other = args
    shift = _shift(other, margin)

    def add(distance: Array, total: PyTree) -> PyTree:
        for side in _SIDES:
            terms = fn(shared, centre, shift(side * distance))
            total = _add(total, shift.mask(distance, side, terms))
        return total

    return add


def _loop(width: Int[Array, ""], args: PyTree, fn: Terms) -> PyTree:
    """The sums, by a loop as long as needed."""
    add = _adder(args, fn, _size(args))
    return jax.lax.fori_loop(1, width + 1, add, _zeros(args, fn))


def _nested_loops(width: Int[Array, ""], args: PyTree, fn: Terms) -> PyTree:
    """The same by loops of a fixed length, which reverse mode can take apart.

    All but the first steps are skipped.
    """
    inner = math.isqrt(max(_size(args) - 2, 0)) + 1
    outer = math.ceil((_size(args) - 1) / inner)
    add = _adder(args, fn, outer * inner)

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

    block = loop(add, inner, 1)
    return loop(block, outer, inner)(jnp.ones((), jnp.int32), _zeros(args, fn))


def _pull(
    width: Int[Array, ""], args: PyTree, moves: PyTree, fn: Terms, cotangents: PyTree
) -> PyTree:
    """The transpose of the derivative of the sums, by a loop as long as needed.

    What comes back to an element is from the pairs in which it is the centre, and from
    those in which it is the other.
    """
    shared, centre, other = args
    shift = _shift((centre, other, cotangents), _size(args))

    def back(centre, other, cotangents):
        def move(moves):
            return tangent_of(fn, (shared, centre, other), moves)

        return jax.linear_transpose(move, moves)(cotangents)[0]

    def add(distance, total):
        for side in _SIDES:
            there_centre, there_other, there = shift(side * distance)
            here, there = shift.mask(distance, side, (cotangents, there))
            d_shared, d_centre, _ = back(centre, there_other, here)
            _, _, d_other = back(there_centre, other, there)
            total = _add(total, (d_shared, d_centre, d_other))
        return total

    return jax.lax.fori_loop(1, width + 1, add, jax.tree.map(jnp.zeros_like, moves))


def _tangent(shared, centre, other, *, fn):
    primals, tangents = zip(shared, centre, other, strict=True)
    return tangent_of(fn, primals, tangents)


# The terms are differentiated, and not the loop, which has no transpose.
@eqx.filter_custom_jvp
def _sums(width: Int[Array, ""], args: PyTree, *, fn: Terms) -> PyTree:
    return _loop(width, args, fn)


@_sums.def_jvp
def _sums_jvp(primals, tangents, *, fn):
    width, args = primals
    return _sums(width, args, fn=fn), neighbour_moves(width, args, tangents[1], fn)


def neighbour_sums(
    width: Int[Array, ""], args: tuple[PyTree, PyTree, PyTree], fn: Terms
) -> PyTree[Float[Array, "*batch n"]]:
    """The sums of `fn(shared, centre_i, other_j)` over j with 0 < |i - j| <= width.

    Takes O(n width) time and O(n) memory, also for derivatives.

    **Arguments:**

    - `width`: see `half_width`.
    - `args`: `shared`, of arrays that broadcast against `*batch 1`; `centre` and
        `other`, of arrays `*batch n`.
    - `fn`: see `Terms`.
    """
    return _sums(width, args, fn=fn)


def neighbour_moves(
    width: Int[Array, ""], args: PyTree, moves: PyTree, fn: Terms
) -> PyTree[Float[Array, "*batch n"]]:
    """How the sums change when `args` change by `moves`."""
    if not jax.tree.leaves(moves):
        return _zeros(args, fn)

    def move(moves, sums):
        pairs = tuple(zip(args, moves, strict=True))
        return sums(width, pairs, functools.partial(_tangent, fn=fn))

    # As the solution of (moves, out - move(moves)) = (moves, 0). A linear solve is the
    # one linear function whose values and transpose can be given, as loops that are no
    # longer than they have to be; for its derivatives there is the equation. All is one
    # array, since no part of a right hand side may be a constant.
    rhs, split = ravel_pytree((moves, _zeros(args, fn)))

    def equation(x):
        moves, out = split(x)
        rest = jax.tree.map(jnp.subtract, out, move(moves, _nested_loops))
        return ravel_pytree((moves, rest))[0]

    def solve(_, rhs):
        moves, out = split(rhs)
        return ravel_pytree((moves, _add(out, move(moves, _loop))))[0]

    def transpose_solve(_, rhs):
        moves, cotangents = split(rhs)
        moves = _add(moves, _pull(width, args, moves, fn, cotangents))
        return ravel_pytree((moves, cotangents))[0]

    return split(jax.lax.custom_linear_solve(equation, rhs, solve, transpose_solve))[1]
