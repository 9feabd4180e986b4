"""Linear systems with the Laplacian of a weighted graph."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import lineax as lx
from jaxtyping import Array, Float

from ._numerics import eps, safe_divide

_FEW = 16
"""Up to how many nodes elimination beats a factorization by LAPACK."""

_MANY = 32
"""Up to how many nodes elimination, which is accurate, beats conjugate gradients."""


def eliminate(
    edges: Float[Array, "*batch m m"],
    ground: Float[Array, "*batch m"],
    rhs: Float[Array, "*batch m"],
) -> Float[Array, "*batch m"]:
    """Solve `(Laplacian(edges) + diag(ground)) x = rhs` without a subtraction.

    Gaussian elimination in which a node's degree is summed anew from its remaining
    edges. So every entry of the factors is accurate to a few units of rounding however
    badly the weights are scaled (Grassmann, Taksar and Heyman, 1985). Nodes without
    any edge get 0. The diagonal of `edges` is ignored.
    """
    m = rhs.shape[-1]
    index = jnp.arange(m)

    def step(i, state):
        edges, ground, rhs, degrees = state
        k = m - 1 - i
        row = jnp.where(index < k, edges[..., k, :], 0)
        degree = jnp.sum(row, axis=-1) + ground[..., k]
        share = safe_divide(row, degree[..., None])
        edges = edges + share[..., :, None] * row[..., None, :]
        ground = ground + share * ground[..., k, None]
        rhs = rhs + share * rhs[..., k, None]
        return edges, ground, rhs, degrees.at[..., k].set(degree)

    def back(k, x):
        row = jnp.where(index < k, edges[..., k, :], 0)
        value = rhs[..., k] + jnp.sum(row * x, axis=-1)
        return x.at[..., k].set(safe_divide(value, degrees[..., k]))

    edges, ground, rhs, degrees = jax.lax.fori_loop(
        0, m, step, (edges, ground, rhs, jnp.zeros_like(rhs))
    )
    return jax.lax.fori_loop(0, m, back, jnp.zeros_like(rhs))


def shifted_solve(
    edges: Float[Array, "*batch m m"],
    ground: Float[Array, "*batch m"],
    rhs: Float[Array, "*batch m"],
) -> Float[Array, "*batch m"]:
    """`eliminate` where nodes are few, and Cholesky's factorization where not."""
    m = rhs.shape[-1]
    if m <= _FEW:
        return eliminate(edges, ground, rhs)
    edges = edges * (1 - jnp.eye(m, dtype=edges.dtype))
    degree = jnp.sum(edges, axis=-1) + ground
    scale = jnp.where(degree > 0, degree, 1) ** -0.5
    matrix = -scale[..., :, None] * edges * scale[..., None, :]
    matrix = matrix + (1 + eps(rhs)) * jnp.eye(m, dtype=edges.dtype)
    factor = jnp.linalg.cholesky(matrix)
    x = jax.scipy.linalg.cho_solve((factor, True), (scale * rhs)[..., None])[..., 0]
    # A factorization that fails is one of a matrix that is singular but for rounding.
    return jnp.where(jnp.isfinite(x), scale * x, 0)


class Elimination(lx.AbstractLinearSolver):
    """A Lineax solver for Laplacians, by [`eliminate`][] of their off-diagonal entries.

    The degrees are summed from these, and grounded by a rounding unit of each. So
    singular systems of nodes without edges have their solution of minimum norm.
    """

    def init(self, operator: lx.AbstractLinearOperator, options: dict[str, Any]):
        matrix = operator.as_matrix()
        edges = -matrix * (1 - jnp.eye(matrix.shape[-1], dtype=matrix.dtype))
        return edges, eps(edges) * jnp.sum(edges, axis=-1)

    def compute(self, state: Any, vector: Any, options: dict[str, Any]):
        edges, ground = state
        return eliminate(edges, ground, vector), lx.RESULTS.successful, {}

    def transpose(self, state: Any, options: dict[str, Any]):
        return state, options

    def conj(self, state: Any, options: dict[str, Any]):
        return state, options

    def assume_full_rank(self) -> bool:
        return True


class Quiet(lx.AbstractLinearSolver):
    """Another solver that never fails: what is not finite is 0.

    Lineax raises in derivatives of a linear solve, whatever it was told to do in the
    solve itself, and that would happen inside a compiled gradient.
    """

    solver: lx.AbstractLinearSolver

    def init(self, operator: lx.AbstractLinearOperator, options: dict[str, Any]):
        return self.solver.init(operator, options)

    def compute(self, state: Any, vector: Any, options: dict[str, Any]):
        solution, _, stats = self.solver.compute(state, vector, options)
        solution = jnp.where(jnp.isfinite(solution), solution, 0)
        return solution, lx.RESULTS.successful, stats

    def transpose(self, state: Any, options: dict[str, Any]):
        return self.solver.transpose(state, options)

    def conj(self, state: Any, options: dict[str, Any]):
        return self.solver.conj(state, options)

    def assume_full_rank(self) -> bool:
        return self.solver.assume_full_rank()


def laplacian_solve(
    edges: Float[Array, "*batch m m"],
    rhs: Float[Array, "*batch m"],
    linear_solver: lx.AbstractLinearSolver | None = None,
) -> Float[Array, "*batch m"]:
    """x in `Laplacian(edges) x = rhs`, with `x[..., 0] = 0`.

    The graph is grounded by a rounding unit of each degree, so that a part of it that
    is disconnected from the rest, for which the right hand side sums to zero but for
    rounding, stays where it is. The diagonal of `edges` is ignored.

    **Arguments:**

    - `linear_solver`: a solver of Lineax for symmetric positive definite operators;
        None for the best known.
    """
    m = rhs.shape[-1]
    if linear_solver is None:
        linear_solver = _default(m, rhs)
    direct = isinstance(linear_solver, Elimination)

    def solve(edges, rhs):
        edges = edges * (1 - jnp.eye(m, dtype=edges.dtype))
        degree = jnp.sum(edges, axis=-1)
        isolated = degree == 0
        scale = jnp.ones_like(degree)
        diagonal = jnp.where(isolated, 1, (1 + eps(rhs)) * degree)
        if not direct:
            # In units in which all degrees are 1, and with the first node held at 0 by
            # an edge of its own, which the right hand side, of sum 0, does not feel.
            scale = jax.lax.stop_gradient(jnp.where(isolated, 1, degree)) ** -0.5
            diagonal = diagonal.at[0].multiply(2)
        matrix = scale[:, None] * (jnp.diag(diagonal) - edges) * scale
        operator = lx.MatrixLinearOperator(matrix, lx.positive_semidefinite_tag)
        quiet = Quiet(linear_solver)
        solution = lx.linear_solve(operator, scale * rhs, quiet, throw=False)
        return scale * solution.value

    x = jnp.vectorize(solve, signature="(m,m),(m)->(m)")(edges, rhs)
    return x - x[..., :1]


def _default(m: int, like: Array) -> lx.AbstractLinearSolver:
    if m <= _MANY:
        return Elimination()
    return lx.CG(rtol=10 * eps(like), atol=0.0, max_steps=4 * m)
