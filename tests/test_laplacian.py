"""Linear systems with graph Laplacians, against rational arithmetic."""

from fractions import Fraction

import inputs
import jax.numpy as jnp
import numpy as np
import pytest
from assertions import assert_close

from softjax_solvers._kernels.laplacian import eliminate, factorize
from softjax_solvers._operators.laplacian import laplacian_solve


def exact(edges, ground, rhs) -> np.ndarray:
    """The solution by Gauss-Jordan elimination, without any rounding."""
    m = len(rhs)
    rows = [[-Fraction(float(e)) for e in row] for row in edges]
    for i, row in enumerate(rows):
        row[i] = Fraction(0)
        row[i] = Fraction(float(ground[i])) - sum(row)
        row.append(Fraction(float(rhs[i])))
    for k in range(m):
        for i in range(m):
            if i != k:
                factor = rows[i][k] / rows[k][k]
                rows[i] = [
                    a - factor * b for a, b in zip(rows[i], rows[k], strict=True)
                ]
    return np.asarray([float(row[m] / row[i]) for i, row in enumerate(rows)])


def graph(m, spread, seed=0):
    rng = inputs.rng(m, seed)
    edges = np.exp(spread * rng.normal(size=(m, m)))
    edges = (edges + edges.T).astype(np.float32)
    np.fill_diagonal(edges, 0)
    return edges, rng.normal(size=m).astype(np.float32)


@pytest.mark.parametrize("m", [1, 2, 7])
def test_elimination_is_accurate_for_weights_of_any_scale(m):
    """Weights span 26 orders of magnitude; entries of one sign are each accurate."""
    edges, rhs = graph(m, 8)
    ground = np.full(m, 1e-9, np.float32)
    for b in (np.abs(rhs), rhs):
        expected = exact(edges, ground, b)
        scale = np.abs(expected) if np.all(b >= 0) else np.max(np.abs(expected))
        actual = eliminate(jnp.asarray(edges), jnp.asarray(ground), jnp.asarray(b))
        assert_close(actual / scale, expected / scale, atol=3e-6)


def test_factorization_is_refined():
    edges, rhs = graph(20, 1)
    path = 1e3 * np.eye(20, k=1, dtype=np.float32)  # ill conditioned
    edges = 1e-3 * edges + path + path.T
    ground = np.full(20, 0.2, np.float32)
    expected = exact(edges, ground, rhs)
    actual = factorize(jnp.asarray(edges), jnp.asarray(ground), jnp.asarray(rhs), 3)
    scale = np.max(np.abs(expected))
    assert_close(actual / scale, expected / scale, atol=1e-4)


@pytest.mark.parametrize("m", [5, 20])
def test_parts_that_are_disconnected(m):
    """Each is solved up to a constant, and a node without edges stays at 0."""
    edges, rhs = graph(m, 1)
    side = np.arange(m) % 2
    edges = np.where(side == side[:, None], edges, 0)
    edges[2], edges[:, 2] = 0, 0
    rhs = rhs.astype(np.float64)
    rhs[2] = 0
    others = (side == 0) & (np.arange(m) != 2)
    for part in (others, side == 1):
        rhs[part] -= rhs[part].mean()
    x = np.asarray(laplacian_solve(jnp.asarray(edges), jnp.asarray(rhs, jnp.float32)))
    x = x.astype(np.float64)
    flow = np.sum(np.where(np.eye(m) == 1, 0, edges) * (x[:, None] - x), axis=-1)
    assert_close(flow, rhs, atol=2e-5 * np.max(np.abs(edges)))
