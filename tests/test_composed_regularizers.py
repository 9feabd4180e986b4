"""Regularizers made of others, and families in which others are members."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from assertions import assert_close, finite_difference

from softjax.solvers import (
    Entropy,
    LogBarrier,
    PermutahedronProjection,
    PNorm,
    PseudoHuber,
    Scaled,
    SimplexProjection,
    Sum,
    Tsallis,
    solve,
)

Y = np.array([0.001, 0.02, 0.1, 0.3, 0.5, 0.7, 0.95, 0.999])
"""Probabilities."""


Z = np.random.default_rng(0).normal(size=(4, 6))


@pytest.mark.parametrize(
    "alpha",
    [pytest.param(a, marks=pytest.mark.slow) for a in (1.05, 1.5, 1.9, 2.0)],
)
def test_tsallis_is_a_pnorm(alpha):
    """The projection onto the simplex is that of the p-norm at another softness."""
    softness = 0.7
    norm = solve(SimplexProjection(Z, softness / (alpha - 1)), PNorm(alpha)).value
    tsallis = solve(SimplexProjection(Z, softness), Tsallis(alpha)).value
    assert_close(tsallis, norm)
    # Up to a linear term, r is that of the p-norm over alpha - 1.
    linear = Tsallis(alpha).value(Y) - PNorm(alpha).value(jnp.asarray(Y)) / (alpha - 1)
    assert_close(linear, -Y / (alpha * (alpha - 1)), atol=2e-5)


# Through 1, closely: see `test_tsallis.py`.
@pytest.mark.slow
def test_tsallis_goes_to_the_entropy(x64):
    limit = solve(SimplexProjection(Z, 0.7), Tsallis(1.0001)).value
    assert_close(limit, solve(SimplexProjection(Z, 0.7), "smooth").value, atol=1e-3)


@pytest.mark.slow
def test_scaled_is_a_softness():
    for base in (Entropy(), PNorm(1.5), LogBarrier(), PseudoHuber()):
        scaled = solve(SimplexProjection(Z, 0.7), Scaled(base, 3.0)).value
        assert_close(scaled, solve(SimplexProjection(Z, 2.1), base).value)


@pytest.mark.slow
def test_sum_of_equals():
    twice = solve(SimplexProjection(Z, 0.7), Sum(PNorm(1.5), PNorm(1.5))).value
    assert_close(twice, solve(SimplexProjection(Z, 1.4), PNorm(1.5)).value, atol=1e-5)


def test_a_weight_is_differentiated(x64):
    """The derivative in a weight within a sum, against finite differences."""

    @jax.jit
    def total(weight):
        mode = Sum(Entropy(), Scaled(PNorm(1.5), weight))
        y = solve(SimplexProjection(Z, 0.7), mode).value
        return jnp.sum(Z**2 * y)

    expected = finite_difference(total, (1.3,), (1.0,))
    assert_close(jax.grad(total)(1.3), expected, atol=1e-7)


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (
            lambda: Scaled(PNorm(2), -1.0),
            ValueError,
            "must be positive, got -1",
        ),
        (
            lambda: Scaled(PNorm(2), jnp.ones(2)),
            ValueError,
            r"got shape \(2,\)",
        ),
        (lambda: Scaled("c0", 1.0), TypeError, r"Scaled takes instances.*'c0'"),
        (lambda: Sum(), TypeError, "one or more"),
        (lambda: Sum(Entropy(), 3), TypeError, r"Sum takes instances.*3"),
        (lambda: Tsallis(0.0), ValueError, r"alpha must be positive and finite.*0\.0"),
        (lambda: Tsallis(jnp.inf), ValueError, r"Tsallis: alpha .* finite, got inf"),
        (lambda: Tsallis("a"), TypeError, r"Tsallis: alpha must be a real number"),
    ],
)
def test_what_combinations_refuse(make, error, message):
    with pytest.raises(error, match=message):
        make()


@pytest.mark.parametrize(
    ("terms", "multiple"),
    [
        ((Entropy(), Entropy()), Scaled(Entropy(), 2.0)),
        ((Scaled(Entropy(), 0.5), Sum(Entropy())), Scaled(Entropy(), 1.5)),
        pytest.param(
            *((PNorm(1.5), PNorm(1.5)), Scaled(PNorm(1.5), 2.0)), marks=pytest.mark.slow
        ),
        pytest.param(
            *((Tsallis(1.0), Entropy()), Scaled(Entropy(), 2.0)), marks=pytest.mark.slow
        ),
        pytest.param(
            *((Tsallis(3.0), Tsallis(3.0)), Scaled(Tsallis(3.0), 2.0)),
            marks=pytest.mark.slow,
        ),
    ],
)
def test_a_sum_of_multiples_is_a_multiple(terms, multiple, x64):
    """With every algorithm, also where solutions are in the unit of a regularizer."""
    total = Sum(*terms)
    ranks = PermutahedronProjection(Z, np.arange(6.0), 0.5)
    for problem in (ranks, SimplexProjection(Z, 0.7)):
        found, expected = (solve(problem, r).value for r in (total, multiple))
        assert_close(found, expected, atol=1e-9)
    assert_close(total.sigmoid(jnp.asarray(Y)), multiple.sigmoid(jnp.asarray(Y)))


def test_a_sum_of_different_ones_is_none():
    assert Sum(Entropy(), PNorm(2)).structure().rate is None
    assert Sum(PNorm(1.5), PNorm(2)).structure().linear is False
    # What is traced might differ.
    assert Sum(*[Tsallis(jnp.asarray(1.5))] * 2).parts()[1] == 1
    rate = Sum(Entropy(), Scaled(Entropy(), jnp.asarray(3.0))).structure().rate
    assert_close(rate, 0.25)
