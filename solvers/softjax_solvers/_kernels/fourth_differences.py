"""Linear systems of weighted fourth differences: `L diag(inner) L + diag(outer)`."""

from __future__ import annotations

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from .._platform.serial import read, serially, write
from .arrays import eps, pad_last


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
