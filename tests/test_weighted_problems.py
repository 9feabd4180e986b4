"""Problems with weights: a whole one is that many copies, and any other between."""

import inputs
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.optimize
from assertions import assert_close, finite_difference
from cases import ALL_REGULARIZERS
from parametrize import each

from softjax.solvers import HypersimplexProjection, SimplexProjection, solve

N = 6
COUNTS = np.array([2, 1, 0, 3, 1, 0])
K = 2.5
VALUES = np.arange(N) ** 2.0
FRACTIONS = np.array([0.3, 1.4, 0.7, 2.1, 1e-4, 0.6])


def simplex(z, weights, mode, **keywords):
    return solve(SimplexProjection(z, 0.3, weights=weights, **keywords), mode)


def hypersimplex(z, weights, mode, **keywords):
    return solve(HypersimplexProjection(z, K, 0.3, weights=weights, **keywords), mode)


PROBLEMS = dict(simplex=simplex, hypersimplex=hypersimplex)
_fast = ("smooth", "c0", "cubic", "Tsallis(3)")


def oracle(name: str, z, weights, case):
    """By the root of the sum of weighted links, each of them at most 1 in a mask."""

    def copies(theta):
        y = case.link(z / 0.3 - theta)
        return y if name == "simplex" else np.minimum(y, 1)

    total = 1 if name == "simplex" else K
    near = np.max(z / 0.3)
    low, high = near - 1, near + 1
    while np.sum(weights * copies(low)) < total:
        low -= high - low
    while np.sum(weights * copies(high)) > total:
        high += high - low
    theta = scipy.optimize.brentq(
        lambda theta: np.sum(weights * copies(theta)) - total, low, high, xtol=1e-14
    )
    return copies(theta)


@each("case", ALL_REGULARIZERS, fast=_fast)
@pytest.mark.parametrize("name", PROBLEMS)
def test_weights(x64, case, name):
    """Whole ones are copies, others agree with a root, and derivatives with both."""
    z = inputs.rng("weighted").normal(size=N)
    problem = PROBLEMS[name]

    @jax.jit
    def run(z, weights):
        found = problem(z, weights, case.regularizer)
        return found.value, found.expectation(jnp.asarray(VALUES)), found.converged

    y, mean, converged = run(z, COUNTS.astype(float))
    owner = np.repeat(np.arange(N), COUNTS)
    copies = problem(z[owner], None, case.regularizer)
    assert converged
    assert_close(y[owner], copies.value, atol=1e-9)
    assert_close(mean, copies.expectation(jnp.asarray(VALUES[owner])), atol=1e-8)

    y, mean, converged = run(z, FRACTIONS)
    assert converged
    assert_close(y, oracle(name, z, FRACTIONS, case), atol=1e-8)
    assert_close(mean, np.sum(FRACTIONS * y * VALUES), atol=1e-8)

    weights = 0.5 + COUNTS
    moves = inputs.rng("weighted moves").normal(size=(2, N))
    _, actual = jax.jvp(
        lambda *args: run(*args)[:2], (z, weights), tuple(map(jnp.asarray, moves))
    )
    expected = finite_difference(lambda *args: run(*args)[:2], (z, weights), moves)
    for found, wanted in zip(actual, expected, strict=True):
        assert_close(found, wanted, atol=1e-5)


@each("mode", ["smooth", "c0", "c1"], fast=("c0",))
@each("name", list(PROBLEMS), fast=("simplex",))
def test_no_weight(name, mode):
    """A candidate without weight counts nothing, and may come to count: one-sided."""
    z = jnp.array([0.3, 9.0, 0.1, -0.2, 100.0], jnp.float32)
    weights = jnp.array([1.0, 0.0, 2.0, 1.5, 0.0])
    problem = PROBLEMS[name]
    here = np.array([0, 2, 3])
    y = problem(z, weights, mode).value
    assert_close(y[here], problem(z[here], weights[here], mode).value, atol=1e-6)

    def values(z, weights):
        return jnp.sum(problem(z, weights, mode).value[here] ** 2)

    moves = jax.grad(values, argnums=(0, 1))(z, weights)
    assert np.all(np.isfinite(np.concatenate(moves)))
    assert np.all(np.asarray(moves[0])[[1, 4]] == 0)


@pytest.mark.parametrize("mode", ["smooth", "c0", "c1", "pseudohuber"])
def test_scale_of_weights(mode):
    """Float32 over 60 orders of magnitude; only ratios matter to the entropy."""
    z = jnp.array([0.3, 0.5, 0.1, -0.2], jnp.float32)
    weights = np.array([1.0, 0.4, 2.0, 1.5], np.float32)
    for scale in (1e-30, 1e-8, 1.0, 1e8, 1e30):
        found = simplex(z, jnp.asarray(weights * np.float32(scale)), mode)
        shares = np.asarray(found.value, np.float64) * weights * scale
        assert found.converged
        assert_close(shares.sum(), 1, atol=1e-6)
        if mode == "smooth":
            expected = weights * np.exp(np.asarray(z) / 0.3)
            assert_close(shares, expected / expected.sum(), atol=1e-6)
    # The largest has a weight that its link makes up for.
    z = jnp.array([0.0, -30.0], jnp.float32)
    shares = simplex(z, jnp.array([1e-30, 1.0]), "smooth").value * jnp.array([1e-30, 1])
    ratio = np.exp(100) * 1e-30
    assert_close(shares[0], ratio / (1 + ratio), atol=1e-6)


@each("mode", ["smooth", "c0", "c1", "cubic"], fast=("smooth",))
def test_masked_weights(mode):
    z = jnp.array([0.3, jnp.nan, 0.1, -0.2])
    where = jnp.array([True, False, True, True])
    weights = jnp.array([1.0, jnp.nan, 2.0, 1.5])
    for problem in PROBLEMS.values():
        z = jnp.where(where, z, 0)
        found = problem(z, weights, mode, where=where).value
        alone = problem(z[where], weights[where], mode).value
        assert_close(found[where], alone)


def test_errors():
    z = jnp.zeros(3)
    for problem in (
        lambda w: SimplexProjection(z, 1.0, weights=w),
        lambda w: HypersimplexProjection(z, 1, 1.0, weights=w),
    ):
        with pytest.raises(ValueError, match=r"weights of shape \(2,\).*\(3,\)"):
            problem(jnp.ones(2))
