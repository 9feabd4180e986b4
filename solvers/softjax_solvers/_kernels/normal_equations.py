"""Linear systems of positive semidefinite matrices of any scale, which may be singular.

They are solved in units in which the diagonal is 1. Without that, rounding of the
largest entries would drown the smallest, which weights near 0 make.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from .._platform.batches import any_true
from .._platform.varying import varying_as
from .arrays import eps, exact_einsum, safe_divide

_REFINEMENTS = 3
"""Number of refinements of a solution by factors of a slightly larger matrix."""


class Scaled(NamedTuple):
    """A matrix in units in which its diagonal is 1, and 0 in rows without an entry."""

    matrix: Float[Array, "*batch m m"]
    scale: Float[Array, "*batch m"]


def scaled(
    matrix: Float[Array, "*batch m m"], inside: Bool[Array, "*batch m"]
) -> Scaled:
    """The part of a matrix in the rows and columns `inside`, scaled."""
    diagonal = jnp.diagonal(matrix, axis1=-2, axis2=-1)
    there = inside & (diagonal > 0)
    scale = jnp.where(there, jax.lax.rsqrt(jnp.where(there, diagonal, 1)), 0)
    matrix = scale[..., :, None] * matrix * scale[..., None, :]
    both = there[..., :, None] & there[..., None, :]
    return Scaled(jnp.where(both, matrix, 0), scale)


def raised(matrix: Float[Array, "*batch m m"], ridge: float) -> Array:
    """A scaled matrix, with a diagonal of `1 + ridge` everywhere."""
    own = jnp.eye(matrix.shape[-1], dtype=bool)
    return jnp.where(own, jnp.asarray(1 + ridge, matrix.dtype), matrix)


def factorize(
    matrix: Float[Array, "*batch m m"],
) -> Callable[[Float[Array, "*batch m"]], Float[Array, "*batch m"]]:
    """Solver by the Cholesky factors of a matrix, of 0 where they are not finite."""
    factor = jax.lax.linalg.cholesky(matrix, symmetrize_input=False)

    def solve(rhs):
        step = rhs[..., None]
        for transpose in (False, True):
            step = jax.lax.linalg.triangular_solve(
                factor, step, left_side=True, lower=True, transpose_a=transpose
            )
        return jnp.where(jnp.isfinite(step), step, 0)[..., 0]

    return solve


def nearly_solve(
    matrix: Float[Array, "*batch m m"],
    rhs: Float[Array, "*batch m"],
    inside: Bool[Array, "*batch m"],
) -> Float[Array, "*batch m"]:
    """x in `matrix x = rhs` for rows and columns `inside`, not refined; else 0."""
    system = scaled(matrix, inside)
    solve = factorize(raised(system.matrix, 8 * eps(rhs)))
    return system.scale * solve(system.scale * rhs)


def singular_solver(
    matrix: Float[Array, "*batch m m"],
    inside: Bool[Array, "*batch m"],
    factorize: Callable[[Array], Callable[[Array], Array]] = factorize,
) -> Callable[[Float[Array, "*batch m"]], Float[Array, "*batch m"]]:
    """Solver of `matrix x = rhs` for rows and columns `inside`, of 0 elsewhere.

    Where that has no solution or many, it is the pseudo-inverse in scaled units, as far
    as singular values of 0 are apart from others: a ridge of some units of rounding is
    made up for by refinement, and what it makes of the null space is taken out.
    """
    system = scaled(matrix, inside)
    ridge = 30 * eps(matrix)
    solve = factorize(raised(system.matrix, ridge))

    def within_range(x):
        # A power of `ridge (matrix + ridge)^-1`, which projects onto the null space.
        null = x
        for _ in range(3):
            null = ridge * solve(null)
        return x - null

    def solve_scaled(rhs):
        rhs = within_range(system.scale * rhs)

        def refine(_, x):
            product = exact_einsum("...ij,...j->...i", system.matrix, x)
            return x + solve(rhs - product)

        x = jax.lax.fori_loop(0, _REFINEMENTS + 1, refine, jnp.zeros_like(rhs))
        return system.scale * within_range(x)

    return solve_scaled


class _State(NamedTuple):
    x: Float[Array, "*batch m"]
    rest: Float[Array, "*batch m"]
    move: Float[Array, "*batch m"]
    decrease: Float[Array, "*batch"]
    best: Float[Array, "*batch m"]
    error: Float[Array, "*batch"]  # of the best
    done: Bool[Array, "*batch"]
    steps: Int[Array, ""]


def solve_iteratively(
    apply: Callable[[Float[Array, "*batch m"]], Float[Array, "*batch m"]],
    diagonal: Float[Array, "*batch m"],
    rhs: Float[Array, "*batch m"],
    tolerance: Float[Array, "*batch"] | float,
    max_steps: int,
) -> Float[Array, "*batch m"]:
    """Conjugate gradients from 0 on, preconditioned by the `diagonal`.

    `apply` is positive semidefinite, and stays in the range of what it is applied to.
    They stop at an error of `tolerance` relative to `rhs`, both in scaled units.

    **Returns:** the iterate of the least error.
    """
    inverse = safe_divide(1, diagonal)

    def dot(a: Array, b: Array) -> Array:
        return jnp.sum(a * b, axis=-1)

    first = dot(rhs, inverse * rhs)
    goal = jnp.asarray(tolerance, rhs.dtype) ** 2 * first

    def advance(state: _State) -> _State:
        product = apply(state.move)
        curve = dot(state.move, product)
        fine = (curve > 0) & ~state.done
        share = jnp.where(fine, state.decrease / jnp.where(fine, curve, 1), 0)
        x = state.x + share[..., None] * state.move
        rest = state.rest - share[..., None] * product
        toward = inverse * rest
        decrease = dot(rest, toward)
        better = fine & (decrease < state.error)
        best = jnp.where(better[..., None], x, state.best)
        error = jnp.where(better, decrease, state.error)
        move = toward + safe_divide(decrease, state.decrease)[..., None] * state.move
        done = state.done | ~fine | ~(decrease > goal)
        return _State(x, rest, move, decrease, best, error, done, state.steps + 1)

    zero, start = jnp.zeros_like(rhs), inverse * rhs
    count = jnp.zeros((), jnp.int32)
    state = _State(zero, rhs, start, first, zero, first, ~(first > 0), count)
    state = jax.lax.while_loop(
        lambda s: any_true(~s.done) & (s.steps < max_steps),
        advance,
        varying_as(state, rhs),
    )
    return state.best
