"""SoftSort's rows with the entropy: recurrences, at sizes where rounding would show."""

import inputs
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from assertions import assert_close, tolerance

from softjax.solvers import SoftSortRows, solve


def _laplace_means(queries, support, softness, values):
    """The plain dense formula, in the type of its arguments."""
    scores = (
        -jnp.abs(queries[..., :, None] - support[..., None, :]) / softness[..., None]
    )
    return jnp.sum(jax.nn.softmax(scores, axis=-1) * values[..., None, :], axis=-1)


def _many(n=700):
    rng = inputs.rng("many")
    support = np.sort(np.stack([rng.normal(size=n), 1e3 * rng.standard_cauchy(n)]))
    queries = np.stack([rng.normal(size=50), 1e3 * rng.standard_cauchy(50)])
    values = rng.normal(size=support.shape)
    return [jnp.asarray(a) for a in (queries, support, np.full((2, 1), 0.1), values)]


@jax.jit
def _entropy(queries, support, softness, values):
    means = []
    for q in (None, queries):
        problem = SoftSortRows(q, support, softness)
        means.append(solve(problem, "smooth").expectation(values))
    return means


@pytest.mark.x64
@pytest.mark.slow
def test_recurrences_against_the_dense_formula():
    args = _many()
    own, general = _entropy(*args)
    exact = [np.asarray(a, np.float64) for a in args]
    with jax.enable_x64(True):
        q, s, tau, v = map(jnp.asarray, exact)
        expected = [_laplace_means(p, s, tau, v) for p in (s, q)]
    assert_close(own, expected[0], atol=5 * tolerance(own.dtype))
    assert_close(general, expected[1], atol=5 * tolerance(own.dtype))


@pytest.mark.slow
def test_derivatives_of_the_recurrences(x64):
    """Away from ties, all of them, against autodiff of the plain formula."""
    queries, support, softness, values = _many(40)
    queries, weights = queries[:, :9], inputs.rng("weights").normal(size=(2, 49))

    def total(means):
        return jnp.sum(weights * jnp.concatenate(means, axis=-1))

    def dense(queries, support, softness, values):
        points = (support, queries)
        return total([_laplace_means(q, support, softness, values) for q in points])

    def fast(queries, support, softness, values):
        return total(_entropy(queries, support, softness, values))

    def derivatives(fn):
        gradient = jax.grad(fn, (0, 1, 2, 3))
        direction = (queries, jnp.sin(support), softness, values)
        args = (queries, support, softness, values)
        return [gradient(*args), jax.jvp(gradient, args, direction)[1]]

    actual, expected = jax.jit(lambda: [derivatives(fast), derivatives(dense)])()
    for got, true in zip(actual, expected, strict=True):
        for a, b in zip(got, true, strict=True):
            # Distances of 1e6 softness leave some rounding in the dense formula.
            assert_close(a, b, atol=1e-7, rtol=1e-9)


@pytest.mark.parametrize(
    ("mode", "limit"),
    [("smooth", 300), pytest.param("c0", 2000, marks=pytest.mark.slow)],
)
@pytest.mark.parametrize("differentiate", [False, True])
def test_memory_is_linear(mode, limit, differentiate):
    """At n = 100,000 a dense matrix would take 4e5 bytes for each element."""
    n = 100_000

    def total(x):
        problem = SoftSortRows(None, x, 0.1)
        return jnp.sum(solve(problem, mode).expectation(x) ** 2)

    fn = jax.grad(total) if differentiate else total
    x = jax.ShapeDtypeStruct((n,), jnp.float32)
    memory = jax.jit(fn).lower(x).compile().memory_analysis()
    assert memory.temp_size_in_bytes < limit * n


@pytest.mark.slow
def test_a_hundred_thousand_numbers():
    """One row in a thousand, against the dense formula."""
    rng = inputs.rng("hundred thousand")
    x = np.sort(rng.normal(size=100_000)).astype(np.float32)
    values = rng.normal(size=x.size).astype(np.float32)
    problem = SoftSortRows(None, jnp.asarray(x), 0.01)
    means = np.asarray(solve(problem, "smooth").expectation(jnp.asarray(values)))
    exact, weights = x.astype(np.float64), values.astype(np.float64)
    rows = np.exp(-np.abs(exact[::1000, None] - exact) / 0.01)
    assert_close(means[::1000], rows @ weights / rows.sum(-1), atol=3e-6)
