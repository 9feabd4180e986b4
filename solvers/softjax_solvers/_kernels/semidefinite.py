"""Linear systems with a small semidefinite matrix, which may be singular."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from .._platform.batches import anywhere
from .arrays import eps, exact_einsum

_MORE = 32
"""Units of rounding by which the scaled diagonal is larger in the factorization."""

_FEW = 128
"""Number of rows up to which a system is solved at once."""


class Factor(NamedTuple):
    """A factorization of a semidefinite matrix, scaled to a diagonal of ones."""

    scaled: Float[Array, "m m"]
    scale: Float[Array, " m"]
    root: Float[Array, "m m"]  # of Cholesky, of what is a few units of rounding more

    def solve(
        self,
        rhs: Float[Array, " m"],
        refinements: int = 1,
        product: Callable[[Array], Array] | None = None,
    ) -> Float[Array, " m"]:
        """An x in `matrix @ x = rhs`, of what is in the range of the matrix.

        Iterative refinement makes up for the units of rounding, and, if it is given
        `product`, for what the matrix is off from that. x is 0 where a row of the
        matrix is, and where the factorization fails.
        """

        def approximate(x: Float[Array, " m"]) -> Float[Array, " m"]:
            x = x[:, None]
            for transpose in (False, True):
                x = jax.lax.linalg.triangular_solve(
                    self.root, x, left_side=True, lower=True, transpose_a=transpose
                )
            return jnp.where(jnp.isfinite(x), x, 0)[:, 0]

        def scaled(x: Float[Array, " m"]) -> Float[Array, " m"]:
            if product is None:
                return exact_einsum("ij,j->i", self.scaled, x)
            return product(x * self.scale) * self.scale

        goal = rhs * self.scale
        x = approximate(goal)
        for _ in range(refinements):
            x = x + approximate(goal - scaled(x))
        return x * self.scale


def factorize(matrix: Float[Array, "m m"]) -> Factor:
    """The factorization of a semidefinite matrix, which may be singular."""
    diagonal = jnp.diagonal(matrix)
    some = diagonal > 0
    scale = jnp.where(some, jax.lax.rsqrt(jnp.where(some, diagonal, 1)), 0)
    # One side after the other: a product of scales may under- or overflow.
    scaled = (matrix * scale) * scale[:, None]
    lift = jnp.where(some, _MORE * eps(matrix), 1)
    root = jax.lax.linalg.cholesky(scaled + jnp.diag(lift), symmetrize_input=False)
    return Factor(scaled, scale, root)


def solve_rows(
    scaled: Float[Array, "m d"],
    rows: Float[Array, "m d"],
    rhs: Float[Array, " m"],
    refinements: int,
) -> Float[Array, " m"]:
    """The x in `(scaled rows^T) x = rhs`, in less time if only the first rows count."""

    def solve(size: int) -> Float[Array, " m"]:
        matrix = exact_einsum("md,nd->mn", scaled[:size], rows[:size])
        x = factorize(matrix).solve(rhs[:size], refinements)
        return jnp.pad(x, (0, len(rows) - size))

    few, many = min(_FEW, len(rows)), len(rows)
    if few == many:
        return solve(many)
    more = anywhere(rows[few:] != 0)
    return jax.lax.cond(more, lambda: solve(many), lambda: solve(few))
