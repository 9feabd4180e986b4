"""Linear systems with the Laplacian of a weighted graph, grounded or bipartite."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from .arrays import eps, exact_einsum, safe_divide, sum_of_rows

_MORE = 32
"""Units of rounding by which diagonals are larger in factorizations."""

_PASSES = 3
"""Number of times that what is not balanced is taken off."""

_FEW_NODES = 16
"""Largest number of nodes with which elimination beats a factorization by LAPACK."""


def eliminate(
    edges: Float[Array, "*batch m m"],
    ground: Float[Array, "*batch m"],
    rhs: Float[Array, "*batch m"],
) -> Float[Array, "*batch m"]:
    """Gauss-Jordan elimination of a grounded Laplacian, without any subtraction.

    Solves `(Laplacian(edges) + diag(ground)) x = rhs`. A node's degree is summed anew
    from its remaining edges, so that every coefficient is accurate to a few units of
    rounding however badly the weights are scaled (Grassmann, Taksar and Heyman, 1985).
    Nodes without any edge get 0, and so does what overflows. The diagonal of `edges` is
    0.
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
    """Product `Laplacian(edges) x`, accurate also where differences of x are small."""
    return jnp.sum(edges * (x[..., :, None] - x[..., None, :]), axis=-1)


def _factor(
    edges: Float[Array, "*batch m m"], ground: Float[Array, "*batch m"]
) -> Callable[[Array], Array]:
    """A nearly exact solver, of a matrix with a slightly larger diagonal."""
    degree = jnp.sum(edges, axis=-1) + ground
    diagonal = jnp.where(degree > 0, (1 + _MORE * eps(edges)) * degree, 1)
    loops = jnp.eye(edges.shape[-1], dtype=bool)
    matrix = jnp.where(loops, diagonal[..., None], -edges)
    factor = jax.lax.linalg.cholesky(matrix.swapaxes(-1, -2), symmetrize_input=False)

    def solve(rhs):
        step = rhs[..., None]
        for transpose in (False, True):
            step = jax.lax.linalg.triangular_solve(
                factor, step, left_side=True, lower=True, transpose_a=transpose
            )
        return jnp.where(jnp.isfinite(step), step, 0)[..., 0]

    return solve


def factorize(
    edges: Float[Array, "*batch m m"],
    ground: Float[Array, "*batch m"],
    rhs: Float[Array, "*batch m"],
    refinements: int,
) -> Float[Array, "*batch m"]:
    """Cholesky factorization of a grounded Laplacian, with iterative refinement.

    Solves `(Laplacian(edges) + diag(ground)) x = rhs`, with so many `refinements` of
    the first solution. The factorized matrix has a diagonal that is larger by more than
    rounding: it holds parts of the graph in place that only rounding connects to the
    rest. Refinement makes up for that elsewhere, and leaves these parts where they are.
    """
    return _refined(_factor(edges, ground), edges, ground, rhs, refinements)


def _refined(
    solve: Callable[[Array], Array],
    edges: Float[Array, "*batch m m"],
    ground: Float[Array, "*batch m"],
    rhs: Float[Array, "*batch m"],
    refinements: int,
) -> Float[Array, "*batch m"]:
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
    """Solver of a grounded Laplacian: elimination of few nodes, else factorization."""
    if rhs.shape[-1] <= _FEW_NODES:
        return eliminate(edges, ground, rhs)
    return factorize(edges, ground, rhs, refinements)


def balanced_solve(
    edges: Float[Array, "*batch m m"], rhs: Float[Array, "*batch m"]
) -> tuple[Float[Array, "*batch m"], Float[Array, "*batch m"]]:
    """x in `Laplacian(edges) x = balanced`, and a `balanced` right-hand side.

    That is `rhs`, less what it does not sum to zero by over each part of the graph, in
    proportion to the degree of the nodes. So much flows to a ground that is as weak as
    rounding. Without it, each part would be far away from zero, and rounded there.
    """
    weak = eps(rhs) * jnp.sum(edges, axis=-1)
    ground = _MORE * weak
    if rhs.shape[-1] <= _FEW_NODES:
        rhs = rhs - ground * eliminate(edges, ground, rhs)
        return eliminate(edges, weak, rhs), rhs
    # The factors are those of a matrix with almost that ground.
    solve = _factor(edges, jnp.zeros_like(weak))
    rhs = jax.lax.fori_loop(0, _PASSES, lambda _, x: x - ground * solve(x), rhs)
    return _refined(solve, edges, weak, rhs, 3), rhs


def eliminate_rows(
    weight: Float[Array, "*batch m n"],
    counts: Float[Array | np.ndarray, "*#batch n"] | None = None,
) -> tuple[
    Float[Array, "*batch n"], Float[Array, "*batch m n"], Float[Array, "*batch m m"]
]:
    """Block elimination of the n potentials f from a bipartite Laplacian.

    Its equations are the sums of `weight_ji (f_i + g_j)` over j, for each i, and over
    i, for each j. The Schur complement is the Laplacian of a graph of the potentials g.

    **Arguments:**

    - `counts`: how often each i counts in the sums over i; None for once.

    **Returns:** the sums of `weight` over j, the shares of its entries in them, and the
    edges of that graph, with a diagonal of 0.
    """
    total = sum_of_rows(weight)
    share = weight * safe_divide(1, total)[..., None, :]
    counted = weight if counts is None else weight * counts[..., None, :]
    edges = exact_einsum("...jn,...kn->...jk", counted, share)
    loops = jnp.eye(edges.shape[-1], dtype=bool)
    return total, share, jnp.where(loops, 0, edges)
