"""The linear system of the potentials of a transport problem."""

from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp
import lineax as lx
import numpy as np
from jaxtyping import Array, Float

from .._kernels.arrays import eps, exact_einsum, safe_divide
from .._kernels.laplacian import balanced_solve, direct_solve, eliminate_rows
from .structured import StructuredOperator


class BipartiteLaplacian(StructuredOperator):
    """Sums of `weight_ji (f_i + g_j)` over j and over i, of potentials f and g.

    Up to the sign of f, the Laplacian of a bipartite graph: symmetric, positive
    semidefinite, and the same for potentials that differ by a constant. With `counts`,
    the i-th term of a sum over i counts so often, also where that is 0, which is not
    symmetric.
    """

    weight: Float[Array, "*batch m n"]
    counts: Float[Array | np.ndarray, "*#batch n"] | None
    like: type = eqx.field(static=True)  # of a pair of potentials f and g
    transposed: bool = eqx.field(static=True, default=False)

    def mv(self, vector):
        f, g = vector
        if self.counts is None:
            flow = self.weight * (f[..., None, :] + g[..., :, None])
            return self.like(jnp.sum(flow, axis=-2), jnp.sum(flow, axis=-1))
        inner, outer = self._factors
        flow = self.weight * (f[..., None, :] + outer * g[..., :, None])
        return self.like(jnp.sum(flow, axis=-2), jnp.sum(inner * flow, axis=-1))

    @property
    def _factors(self):
        """Coefficients of terms in sums over i, and of g in all terms."""
        assert self.counts is not None
        counts = self.counts[..., None, :]
        return (1, counts) if self.transposed else (counts, 1)

    def transpose(self):
        if self.counts is None:
            return self
        return BipartiteLaplacian(
            self.weight, self.counts, self.like, not self.transposed
        )

    def in_structure(self):
        *batch, m, n = self.weight.shape
        dtype = self.weight.dtype
        return self.like(
            jax.ShapeDtypeStruct((*batch, n), dtype),
            jax.ShapeDtypeStruct((*batch, m), dtype),
        )

    def inverse(self, linear_solver):
        """The potentials of which the first g is 0."""
        total, share, edges = eliminate_rows(self.weight, self.counts)

        def solve(sums):
            f, g = sums
            rhs = g - exact_einsum("...jn,...n->...j", share, f)
            g = laplacian_solve(edges, rhs, linear_solver)
            f = safe_divide(f, total) - exact_einsum("...jn,...j->...n", share, g)
            first = g[..., :1]
            return self.like(f + jnp.where(total > 0, first, 0), g - first)

        if self.counts is None:
            return solve
        counts = self.counts

        def solve_counted(sums):
            f, g = sums
            each = f if self.transposed else counts * f
            rhs = g - exact_einsum("...jn,...n->...j", share, each)
            # The mass of rows and columns need not change alike.
            g, rhs = balanced_solve(edges, rhs)
            if linear_solver is not None:
                g = laplacian_solve(edges, rhs, linear_solver)
            g = g - g[..., :1]
            fall = exact_einsum("...jn,...j->...n", share, g)
            fall = counts * fall if self.transposed else fall
            return self.like(safe_divide(f, total) - fall, g)

        return solve_counted


class GraphLaplacian(StructuredOperator):
    """The Laplacian of a graph, `sum_k edges_jk (x_j - x_k)`.

    The diagonal of `edges` is 0.
    """

    edges: Float[Array, "*batch m m"]

    def mv(self, vector):
        return jnp.sum(
            self.edges * (vector[..., :, None] - vector[..., None, :]), axis=-1
        )

    def in_structure(self):
        return jax.ShapeDtypeStruct(self.edges.shape[:-1], self.edges.dtype)

    def inverse(self, linear_solver):
        return lambda rhs: laplacian_solve(self.edges, rhs, linear_solver)


@lx.is_symmetric.register
@lx.is_positive_semidefinite.register
def _(operator: BipartiteLaplacian) -> bool:
    return operator.counts is None


def laplacian_solve(
    edges: Float[Array, "*batch m m"],
    rhs: Float[Array, "*batch m"],
    linear_solver: lx.AbstractLinearSolver | None = None,
) -> Float[Array, "*batch m"]:
    """x in `Laplacian(edges) x = rhs`, which determines it up to a constant.

    The graph is grounded by a rounding unit of each degree, so that a part of it that
    is disconnected from the rest, for which the right hand side sums to zero but for
    rounding, stays where it is. The diagonal of `edges` is 0.

    **Arguments:**

    - `linear_solver`: a solver of Lineax for symmetric positive definite operators;
        None for `direct_solve`.
    """
    if linear_solver is None:
        return direct_solve(edges, eps(rhs) * jnp.sum(edges, axis=-1), rhs)

    def solve(edges, rhs):
        return _solve_by_lineax(linear_solver, edges, rhs)

    return jnp.vectorize(solve, signature="(m,m),(m)->(m)")(edges, rhs)


def _solve_by_lineax(
    linear_solver: lx.AbstractLinearSolver,
    edges: Float[Array, "m m"],
    rhs: Float[Array, " m"],
) -> Float[Array, " m"]:
    # In units in which all degrees are 1, and with the first node held at 0 by an edge
    # of its own, which the right hand side, of sum 0, does not feel.
    degree = jnp.sum(edges, axis=-1)
    isolated = degree == 0
    scale = jnp.where(isolated, 1, degree) ** -0.5
    diagonal = jnp.where(isolated, 1, (1 + eps(rhs)) * degree).at[0].multiply(2)
    matrix = jnp.where(np.eye(degree.size, dtype=bool), diagonal, -edges)
    matrix = scale[:, None] * matrix * scale
    operator = lx.MatrixLinearOperator(matrix, lx.positive_semidefinite_tag)
    x = lx.linear_solve(operator, scale * rhs, linear_solver, throw=False).value
    return scale * jnp.where(jnp.isfinite(x), x, 0)
