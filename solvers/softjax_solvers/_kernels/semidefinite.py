"""Linear systems with a small semidefinite matrix, which may be singular."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from .arrays import eps, exact_einsum

_MORE = 32
"""Units of rounding by which the scaled diagonal is larger in the factorization."""


def semidefinite_solve(
    matrix: Float[Array, "m m"], rhs: Float[Array, " m"], refinements: int = 1
) -> Float[Array, " m"]:
    """An x in `matrix @ x = rhs`, of a semidefinite matrix and what is in its range.

    By a Cholesky factorization of the matrix, scaled to a diagonal of ones, and a few
    units of rounding more, which iterative refinement makes up for. x is 0 where a row
    is, and where the factorization fails.
    """
    diagonal = jnp.diagonal(matrix)
    some = diagonal > 0
    scale = jnp.where(some, jax.lax.rsqrt(jnp.where(some, diagonal, 1)), 0)
    # One side after the other: a product of scales may under- or overflow.
    scaled = (matrix * scale) * scale[:, None]
    lift = jnp.where(some, _MORE * eps(matrix), 1)
    factor = jax.lax.linalg.cholesky(scaled + jnp.diag(lift), symmetrize_input=False)

    def solve(x):
        x = x[:, None]
        for transpose in (False, True):
            x = jax.lax.linalg.triangular_solve(
                factor, x, left_side=True, lower=True, transpose_a=transpose
            )
        return jnp.where(jnp.isfinite(x), x, 0)[:, 0]

    goal = rhs * scale
    x = solve(goal)
    for _ in range(refinements):
        x = x + solve(goal - exact_einsum("ij,j->i", scaled, x))
    return x * scale
