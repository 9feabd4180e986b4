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
from .arrays import eps, exact_einsum, pad_last, safe_divide

_ZERO = 30
"""Units of rounding up to which eigenvalues of a scaled matrix are 0."""


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


def nearly_solve(
    matrix: Float[Array, "*batch m m"],
    rhs: Float[Array, "*batch m"],
    inside: Bool[Array, "*batch m"],
) -> Float[Array, "*batch m"]:
    """x in `matrix x = rhs` for rows and columns `inside`, by Cholesky factors; else 0.

    It is not refined, and 0 where the factors are not finite.
    """
    system = scaled(matrix, inside)
    larger = raised(system.matrix, 8 * eps(rhs))
    factor = jax.lax.linalg.cholesky(larger, symmetrize_input=False)
    x = (system.scale * rhs)[..., None]
    for transpose in (False, True):
        x = jax.lax.linalg.triangular_solve(
            factor, x, left_side=True, lower=True, transpose_a=transpose
        )
    return system.scale * jnp.where(jnp.isfinite(x), x, 0)[..., 0]


def singular_solver(
    matrix: Float[Array, "*batch m m"], inside: Bool[Array, "*batch m"]
) -> Callable[[Float[Array, "*batch m"]], Float[Array, "*batch m"]]:
    """Solver of `matrix x = rhs` for rows and columns `inside`, of 0 elsewhere.

    Where that has no solution or many, it is the pseudo-inverse in scaled units.
    Eigenvectors tell its null space from the rest, which a ridge does not: what a right
    hand side has there would be divided by rounding.
    """
    system = scaled(matrix, inside)
    known = jnp.all(jnp.isfinite(system.matrix), axis=(-2, -1), keepdims=True)
    vectors, values = jax.lax.linalg.eigh(jnp.where(known, system.matrix, 0))
    large = values > _ZERO * eps(matrix)
    inverse = jnp.where(large, 1 / jnp.where(large, values, 1), 0)

    def multiply(factors, x):
        parts = factors * exact_einsum("...ij,...i->...j", vectors, x)
        return exact_einsum("...ij,...j->...i", vectors, parts)

    def solve(rhs):
        rhs = multiply(large, system.scale * rhs)
        x = multiply(inverse, rhs)
        # Small eigenvalues are rounded by as much as large ones.
        rest = rhs - exact_einsum("...ij,...j->...i", system.matrix, x)
        x = x + multiply(inverse, rest)
        return system.scale * jnp.where(known[..., 0], x, jnp.nan)

    return solve


def refined_solver(
    matrix: Float[Array, "*batch m m"],
    inside: Bool[Array, "*batch m"],
    solve: Callable[[Array, Array], Array],
) -> Callable[[Float[Array, "*batch m"]], Float[Array, "*batch m"]]:
    """Solver as `singular_solver`, of right-hand sides within the range, by another.

    `solve(matrix, rhs)` is given a slightly larger matrix, which is positive definite,
    and refinement makes up for that.
    """
    system = scaled(matrix, inside)
    larger = raised(system.matrix, _ZERO * eps(matrix))

    def solve_scaled(rhs):
        rhs = system.scale * rhs

        def refine(_, x):
            product = exact_einsum("...ij,...j->...i", system.matrix, x)
            return x + solve(larger, rhs - product)

        x = jax.lax.fori_loop(0, 4, refine, jnp.zeros_like(rhs))
        return system.scale * x

    return solve_scaled


def by_diagonal(diagonal: Array) -> Callable[[Array], Array]:
    """The preconditioner that divides by a diagonal."""
    inverse = safe_divide(1, diagonal)
    return lambda rhs: inverse * rhs


class _State(NamedTuple):
    x: Float[Array, "*batch m"]
    rest: Float[Array, "*batch m"]
    move: Float[Array, "*batch m"]
    decrease: Float[Array, "*batch"]
    best: Float[Array, "*batch m"]
    error: Float[Array, "*batch"]  # of the best
    done: Bool[Array, "*batch"]
    steps: Int[Array, ""]


def solve_along_path(
    apply: Callable[[Float[Array, "*batch m"]], Float[Array, "*batch m"]],
    flow: Float[Array, "*batch m-1"],
    degree: Float[Array, "*batch m"],
    ground: Float[Array, "*batch m"],
    rhs: Float[Array, "*batch m"],
    tolerance: Float[Array, "*batch"] | float,
    max_steps: int,
) -> Float[Array, "*batch m"]:
    """x in `apply(x) + ground x = rhs`, of the Laplacian of a graph with few far edges.

    By conjugate gradients. On what changes slowly, the graph is a path, of the
    conductances by which a linear function flows, `flow`; what changes fast meets the
    diagonal, `degree`. Together they are nearly the inverse for all wavelengths.
    """
    before, after = pad_last(flow, 1, 0), pad_last(flow, 0, 1)
    floor = jnp.where(ground > 0, ground, 1)
    # Pivots of what is hardly grounded are no more than rounding.
    diagonal = (1 + 4 * eps(rhs)) * (before + after) + floor

    def precondition(rhs: Array) -> Array:
        path = jax.lax.linalg.tridiagonal_solve(
            -before, diagonal, -after, rhs[..., None]
        )[..., 0]
        return path + rhs / (degree + floor)

    return solve_iteratively(
        lambda x: apply(x) + ground * x, precondition, rhs, tolerance, max_steps
    )


def solve_iteratively(
    apply: Callable[[Float[Array, "*batch m"]], Float[Array, "*batch m"]],
    precondition: Callable[[Float[Array, "*batch m"]], Float[Array, "*batch m"]],
    rhs: Float[Array, "*batch m"],
    tolerance: Float[Array, "*batch"] | float,
    max_steps: int,
) -> Float[Array, "*batch m"]:
    """Preconditioned conjugate gradients from 0 on.

    `apply` is positive semidefinite, and stays in the range of what it is applied to.
    They stop at an error of `tolerance` relative to `rhs`, both in units of the
    preconditioner.

    **Returns:** the iterate of the least error.
    """

    def dot(a: Array, b: Array) -> Array:
        return jnp.sum(a * b, axis=-1)

    start = precondition(rhs)
    first = dot(rhs, start)
    goal = jnp.asarray(tolerance, rhs.dtype) ** 2 * first

    def advance(state: _State) -> _State:
        product = apply(state.move)
        curve = dot(state.move, product)
        fine = (curve > 0) & ~state.done
        share = jnp.where(fine, state.decrease / jnp.where(fine, curve, 1), 0)
        x = state.x + share[..., None] * state.move
        rest = state.rest - share[..., None] * product
        toward = precondition(rest)
        decrease = dot(rest, toward)
        better = fine & (decrease < state.error)
        best = jnp.where(better[..., None], x, state.best)
        error = jnp.where(better, decrease, state.error)
        move = toward + safe_divide(decrease, state.decrease)[..., None] * state.move
        done = state.done | ~fine | ~(decrease > goal)
        return _State(x, rest, move, decrease, best, error, done, state.steps + 1)

    zero = jnp.zeros_like(rhs)
    count = jnp.zeros((), jnp.int32)
    state = _State(zero, rhs, start, first, zero, first, ~(first > 0), count)
    state = jax.lax.while_loop(
        lambda s: any_true(~s.done) & (s.steps < max_steps),
        advance,
        varying_as(state, rhs),
    )
    return state.best
