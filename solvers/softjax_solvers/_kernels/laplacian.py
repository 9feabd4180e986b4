"""Elimination and factorization of the Laplacian of a weighted graph."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from .numerics import eps, exact_einsum, safe_divide

_FEW = 16
"""Up to how many nodes elimination beats a factorization by LAPACK."""


def eliminate(
    edges: Float[Array, "*batch m m"],
    ground: Float[Array, "*batch m"],
    rhs: Float[Array, "*batch m"],
) -> Float[Array, "*batch m"]:
    """Solve `(Laplacian(edges) + diag(ground)) x = rhs` without a subtraction.

    Gauss-Jordan elimination in which a node's degree is summed anew from its remaining
    edges. So every coefficient is accurate to a few units of rounding however badly the
    weights are scaled (Grassmann, Taksar and Heyman, 1985). Nodes without any edge get
    0, and so does what overflows. The diagonal of `edges` is 0.
    """
    m = rhs.shape[-1]
    index = np.arange(m + 2)

    def step(k, table):
        # Row i holds the edges of node i or, once that is eliminated, the share that
        # each other node has in it; then the edge to ground, and the right hand side.
        row = jnp.where(index == k, 0, table[..., k, :])
        share = safe_divide(row, jnp.sum(row[..., :-1], axis=-1, keepdims=True))
        table = table + table[..., :, k, None] * share[..., None, :]
        table = jnp.where(index[:m, None] == k, share[..., None, :], table)
        return jnp.where(index == k, 0, table)

    table = jnp.concatenate([edges, ground[..., None], rhs[..., None]], axis=-1)
    x = jax.lax.fori_loop(0, m, step, table)[..., -1]
    return jnp.where(jnp.isfinite(x), x, 0)


def _flow(
    edges: Float[Array, "*batch m m"], x: Float[Array, "*batch m"]
) -> Float[Array, "*batch m"]:
    """`Laplacian(edges) x`, from differences: accurate where they are small."""
    return jnp.sum(edges * (x[..., :, None] - x[..., None, :]), axis=-1)


def factorize(
    edges: Float[Array, "*batch m m"],
    ground: Float[Array, "*batch m"],
    rhs: Float[Array, "*batch m"],
    refinements: int,
) -> Float[Array, "*batch m"]:
    """The same by Cholesky's factorization, and a refinement of its result.

    The matrix that is factorized is shifted by more than rounding. So parts of the
    graph that are disconnected but for rounding are to it, and the refinement, which
    makes up for the shift elsewhere, leaves them where they are.
    """
    degree = jnp.sum(edges, axis=-1) + ground
    diagonal = jnp.where(degree > 0, (1 + 32 * eps(rhs)) * degree, 1)
    loops = jnp.eye(rhs.shape[-1], dtype=bool)
    matrix = jnp.where(loops, diagonal[..., None], -edges)
    factor = jax.lax.linalg.cholesky(matrix.swapaxes(-1, -2), symmetrize_input=False)

    def solve(rhs):
        step = rhs[..., None]
        for transpose in (False, True):
            step = jax.lax.linalg.triangular_solve(
                factor, step, left_side=True, lower=True, transpose_a=transpose
            )
        return jnp.where(jnp.isfinite(step), step, 0)[..., 0]

    if not refinements:
        return solve(rhs)

    def refine(_, x):
        return x + solve(rhs - _flow(edges, x) - ground * x)

    return jax.lax.fori_loop(0, refinements + 1, refine, jnp.zeros_like(rhs))


def direct_solve(
    edges: Float[Array, "*batch m m"],
    ground: Float[Array, "*batch m"],
    rhs: Float[Array, "*batch m"],
    refinements: int = 3,
) -> Float[Array, "*batch m"]:
    """`eliminate` where nodes are few, and `factorize` where not."""
    if rhs.shape[-1] <= _FEW:
        return eliminate(edges, ground, rhs)
    return factorize(edges, ground, rhs, refinements)


def eliminate_rows(
    weight: Float[Array, "*batch m n"],
) -> tuple[
    Float[Array, "*batch n"], Float[Array, "*batch m n"], Float[Array, "*batch m m"]
]:
    """Eliminate f: the sums over j, the shares of entries in them, and the graph of g.

    The Laplacian of that graph is what is left of the system.
    """
    total = jnp.sum(weight, axis=-2)
    share = weight * safe_divide(1, total)[..., None, :]
    edges = exact_einsum("...jn,...kn->...jk", weight, share)
    loops = jnp.eye(edges.shape[-1], dtype=bool)
    return total, share, jnp.where(loops, 0, edges)
