"""Linear systems of weighted fourth differences: `L diag(inner) L + diag(outer)`."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from .._platform.serial import read, serially, write
from .._platform.varying import (
    varying_as,
)
from .numerics import (
    eps,
    iterate,
    pad_last,
)


def second_differences(
    x: Float[Array, "*batch m"], inside: Bool[Array, "*#batch m"]
) -> Float[Array, "*batch m"]:
    """Second differences `2 x_k - x_(k-1) - x_(k+1)`, where x is 0 if not `inside`."""
    x = jnp.where(inside, x, 0)
    return jnp.where(inside, 2 * x - pad_last(x, 1, -1) - pad_last(x, -1, 1), 0)


def nearly_solve(
    inner: Float[Array, "*batch m"],
    outer: Float[Array, "*batch m"],
    rhs: Float[Array, "*batch m"],
    inside: Bool[Array, "*batch m"],
) -> Float[Array, "*batch m"]:
    """Approximate inverse of weighted fourth differences, as a preconditioner.

    It is about the x in `(L diag(inner) L + diag(outer)) x = rhs`.
    L are the `second_differences`; `inner` and `outer` are positive, and `inside` is a
    prefix of each row, outside which x is 0. With `s^2 = outer / inner`, the real part
    of

        (L - i diag(s)) diag(inner) (L + i diag(s))

    is that matrix, and its imaginary part is 0 where the product of `inner` and `outer`
    is the same everywhere. So x is the real part of two complex tridiagonal solves; and
    as such a positive definite matrix times `rhs`.
    """
    if rhs.shape[-1] == 0:
        return rhs
    # A smaller `inner` is lost to rounding beside `outer`.
    inner = jnp.maximum(inner, eps(rhs) * outer + jnp.finfo(rhs.dtype).tiny)
    diagonal = jax.lax.complex(jnp.full_like(rhs, 2), jnp.sqrt(outer / inner))
    beside = -inside[..., 1:].astype(diagonal.dtype)
    below, above = pad_last(beside, 1, 0), pad_last(beside, 0, 1)

    def solve(rhs: Array) -> Array:
        rhs = rhs.astype(diagonal.dtype)[..., None]
        x = jax.lax.linalg.tridiagonal_solve(below, diagonal, above, rhs)
        return x[..., 0]

    return jnp.real(solve(jnp.conj(solve(rhs)) / inner))


class Pivot(NamedTuple):
    """Inverse of an entry's 2 x 2 pivot in `eliminate`, and its x and u so far.

    The inverse is `[[a, b], [b, -c]]`, and `rest` is `1 - b`, which is small where L
    dominates. None of these is negative, or a difference that cancels. `x` and `u` lack
    the contribution of the entries after it.
    """

    a: Float[Array, ""]
    b: Float[Array, ""]
    c: Float[Array, ""]
    rest: Float[Array, ""]
    x: Float[Array, ""]
    u: Float[Array, ""]

    @classmethod
    def none(cls, zero: Float[Array, ""]) -> Pivot:
        """Pivot in the place of the one before the first entry."""
        return cls(zero, zero, zero, zero + 1, zero, zero)

    @property
    def to_keep(self) -> tuple[Array, ...]:
        """Fields that `back_substitute` takes."""
        return self.a, self.b, self.c, self.x, self.u

    def then(self, inner: Array, outer: Array, rhs: Array) -> Pivot:
        """Pivot of the next entry."""
        # The pivot is [[p, q], [q, -r]].
        p, q, r = outer + self.c, 1 + self.rest, 1 / inner + self.a
        size = p * r + q * q
        # In forms that allow sums to overflow to infinity, or to be 0.
        a, b, c = 1 / (p + q * q / r), q / size, 1 / (r + q * q / p)
        rest = jnp.where(size > 4, 1 - b, (p * r + self.rest * q) / size)
        rhs = rhs + self.u
        return Pivot(a, b, c, rest, a * rhs + b * self.x, b * rhs - c * self.x)


def back_substitute(
    kept: tuple[Array, ...], k: Array, after: tuple[Array, Array]
) -> tuple[Array, Array]:
    """Back substitution: x and u of entry k, from those of the entry `after` it."""
    a, b, c, x, u = (read(row, k) for row in kept)
    next_x, next_u = after
    return x + (a * next_u + b * next_x), u + (b * next_u - c * next_x)


@jax.jit
def eliminate(
    inner: Float[Array, "*batch m"],
    outer: Float[Array, "*batch m"],
    rhs: Float[Array, "*batch m"],
    inside: Bool[Array, "*batch m"],
) -> Float[Array, "*batch m"]:
    """Block elimination of weighted fourth differences, in a loop over entries.

    Solves `(L diag(inner) L + diag(outer)) x = rhs`, where L are the
    `second_differences`; `inner` and `outer` are positive, and `inside` is a prefix of
    each row, outside which x is `rhs`. With `u = diag(inner) L x`, the system is

        diag(outer) x + L u = rhs,    L x - diag(1 / inner) u = 0,

    where entries depend on those before and after them. Elimination of pairs of x and
    u, one after the other, only adds, multiplies and divides positive numbers, so that
    all pivots are accurate, whatever the condition of the matrix.
    """

    def solve(
        first: Array, inner: Array, outer: Array, rhs: Array, inside: Array
    ) -> tuple[Array]:
        n, zero = len(first), jnp.zeros_like(rhs[0])
        apart = first | ~inside
        nothing = Pivot.none(zero)

        def forward(k, state):
            pivot, kept = state
            pivot = jax.tree.map(
                functools.partial(jnp.where, read(apart, k)), nothing, pivot
            ).then(*(read(x, k) for x in (inner, outer, rhs)))
            kept = zip(kept, pivot.to_keep, strict=True)
            return pivot, tuple(write(x, entry, k) for x, entry in kept)

        blank = jnp.zeros_like(rhs)
        _, kept = jax.lax.fori_loop(0, n, forward, (nothing, (blank,) * 5))

        def back(i, state):
            after, out = state
            k = n - 1 - i
            x, u = back_substitute(kept, k, after)
            after = tuple(jnp.where(read(apart, k), 0, x) for x in (x, u))
            return after, write(out, x, k)

        _, out = jax.lax.fori_loop(0, n, back, ((zero, zero), blank))
        return (jnp.where(inside, out, rhs),)

    rows = inner, outer, rhs, inside
    (x,) = serially(solve, *rows, outputs=1)
    return x


def along(
    share: Array, inner: Array, bent: Array, outer: Array, move: Array
) -> tuple[Array, Array]:
    """What entries add to the slope along a line, and to its fall, at a share of it.

    That is for exponentials whose second derivatives are `inner` and `outer` at its
    beginning, and whose exponents fall by `bent` and `move` to its end.
    """
    bend, grow = jnp.expm1(-share * bent), jnp.expm1(-share * move)
    change = inner * bend * bent + outer * grow * move
    return change, inner * (1 + bend) * bent**2 + outer * (1 + grow) * move**2


def damped_step(step: Array, length: Array) -> Array:
    """As much of a step of Newton's along a line as always gets closer."""
    size = jnp.abs(step) * length
    return step * jnp.where(size > 0, jnp.log1p(size) / size, 1)


def stops(
    share: Array, size: Array, former: Array, tolerance: Array | float
) -> tuple[Array, Array]:
    """Whether a step is one to make, and whether it is the last."""
    # What is not finite has nothing left to do, or overflows.
    fine = jnp.isfinite(share)
    # At the level of rounding, sizes no longer decrease.
    stuck = (size < eps(size) ** (2 / 3)) & (size >= former)
    return fine, ~fine | (size <= tolerance) | stuck


class _Search(NamedTuple):
    x: Float[Array, "*batch m"]
    rest: Float[Array, "*batch m"]
    move: Float[Array, "*batch m"]
    decrease: Float[Array, "*batch"]
    size: Float[Array, "*batch"]  # of the last step, and of that before it
    former: Float[Array, "*batch"]
    steps: Int[Array, "*batch"]
    done: Bool[Array, "*batch"]


def conjugate_gradients(
    model: Callable[[Array], tuple[Array, Array, Array]],
    start: Float[Array, "*batch m"],
    inside: Bool[Array, "*batch m"],
    tolerance: float,
    max_steps: int,
    exponential: bool,
) -> tuple[Float[Array, "*batch m"], Int[Array, "*batch"]]:
    """Where a convex function is least, and the number of steps.

    **Arguments:**

    - `model`: of x, the weights `inner` and `outer` of the Hessian, as `nearly_solve`
        has them, and minus the gradient.
    - `tolerance`: the size of a step after which a row is done.
    - `exponential`: whether the weights are in proportion to `exp(-L x)` and
        `exp(-x)`, where sizes are those of what is in the exponents; if not, they are
        constant, and sizes relative to x.
    """

    def totals(*terms: Array) -> Array:
        # Together, as each sum of its own takes three kernels to compile.
        return jnp.sum(jnp.stack(terms), axis=-1)

    def largest(x: Array) -> Array:
        return jnp.max(jnp.abs(x), axis=-1, initial=0)

    def advance(state: _Search) -> _Search:
        inner, outer, rest = model(state.x)
        # Where there is far to go, steps are not much longer than that.
        floor = 0.1 * jnp.abs(rest) if exponential else 0
        toward = nearly_solve(inner, outer + floor, rest, inside)
        decrease, gain, kept = totals(
            rest * toward, (rest - state.rest) * toward, rest * state.move
        )
        # Polak and Ribiere's rule.
        keep = jnp.maximum(gain, 0) / state.decrease
        move = toward + keep[..., None] * state.move
        slope = decrease + keep * kept
        bent = second_differences(move, inside)
        length = largest(jnp.maximum(jnp.abs(move), jnp.abs(bent)))

        def search(_, share: Array) -> Array:
            """A damped Newton step, from one share of the move to another."""
            change, curve = totals(*along(share[..., None], inner, bent, outer, move))
            return share + damped_step((slope + change) / curve, length)

        if exponential:
            none = varying_as(jnp.zeros_like(slope), slope)
            share = jax.lax.fori_loop(0, 2, search, none)
            size = jnp.abs(share) * length
        else:
            (curve,) = totals(inner * bent**2 + outer * move**2)
            share = slope / curve
            size = jnp.abs(share) * length / largest(state.x)
        fine, last = stops(share, size, state.former, tolerance)
        fine, done = fine & ~state.done, last | state.done
        x = jnp.where(fine[..., None], state.x + share[..., None] * move, state.x)
        steps = state.steps + ~state.done
        return _Search(x, rest, move, decrease, size, state.size, steps, done)

    batch, zero = start.shape[:-1], jnp.zeros_like(start)
    infinite = jnp.full(batch, jnp.inf, start.dtype)
    steps, done = jnp.zeros(batch, jnp.int32), jnp.zeros(batch, bool)
    state = _Search(start, zero, zero, infinite, infinite, infinite, steps, done)
    state = iterate(advance, state, max_steps, jnp.stack(model(start)))
    return state.x, state.steps
