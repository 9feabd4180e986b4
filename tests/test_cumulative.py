"""Sums and maxima of all entries up to each one, against NumPy in 64 bits."""

import inputs
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from softjax_solvers._kernels.cumulative import (
    prefix_counts,
    prefix_maxima,
    prefix_sums,
)

LENGTHS = [
    *(pytest.param(n, marks=pytest.mark.slow) for n in (0, 1, 2, 63, 64, 65, 5000)),
    200,
]


@pytest.mark.parametrize("n", LENGTHS)
def test_all(n):
    x = inputs.rng("cumulative", n).normal(size=(2, n)).astype(np.float32)
    x[:, n // 3 : n // 2] = -np.inf
    finite = np.where(np.isfinite(x), x, 0)

    @jax.jit
    def found(x, finite):
        bits = (x * 8).astype(jnp.int32)
        sums = prefix_sums(finite)
        return sums, prefix_counts(x > 0), prefix_maxima(x), prefix_maxima(bits)

    sums, counts, maxima, of_bits = found(x, finite)
    want = np.cumsum(finite, axis=-1, dtype=np.float64)
    size = np.cumsum(np.abs(finite), axis=-1, dtype=np.float64)
    assert np.all(abs(sums - want) <= 1e-6 * size)
    np.testing.assert_array_equal(counts, np.cumsum(x > 0, axis=-1))
    np.testing.assert_array_equal(maxima, np.maximum.accumulate(x, axis=-1))
    bits = np.asarray((jnp.asarray(x) * 8).astype(jnp.int32))
    np.testing.assert_array_equal(of_bits, np.maximum.accumulate(bits, axis=-1))


@pytest.mark.slow
def test_gradient_of_sums():
    x, weights = inputs.rng("cumulative").normal(size=(2, 300)).astype(np.float32)
    slope = jax.grad(lambda x: jnp.vdot(weights, prefix_sums(x)))(x)
    want = np.cumsum(weights[::-1], dtype=np.float64)[::-1]
    np.testing.assert_allclose(slope, want, atol=1e-5 * abs(weights).sum())
