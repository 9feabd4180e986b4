"""Projections onto the hypersimplex, against independent solves."""

import functools

import inputs
import jax
import jax.numpy as jnp
import numpy as np
import oracles
import pytest
import scipy.special
from assertions import assert_close, tolerance
from cases import REGULARIZERS, SOLVERS
from oracles import hypersimplex_oracle, two_sided_oracle
from parametrize import each, pick

from softjax.solvers import HypersimplexProjection, Regularizer, TwoSided, solve

N = 6
_rng = inputs.rng("hypersimplex")
_ROWS = [
    # z, k, softness
    (_rng.normal(size=N), 1, 0.1),
    (_rng.normal(size=N), 2, 0.1),
    (_rng.normal(size=N), 3, 1.0),
    (_rng.normal(size=N), 5, 30.0),
    # Not an integer, close to none and close to all.
    (_rng.normal(size=N), 2.5, 0.3),
    (_rng.normal(size=N), 1e-3, 0.2),
    (_rng.normal(size=N), 5.9, 0.2),
    # Scores of order 1 far below the largest.
    (np.array([1e6, 0.3, 0.29995, 0.2999, 0.1, -1e6]), 3, 1e-4),
    (1e6 + _rng.normal(size=N), 4, 1.0),
    # Next to hard.
    (_rng.normal(size=N), 2, 1e-4),
    (1e6 * _rng.normal(size=N), 3.5, 1e-4),
    # Ties at the edge of the mask, of some and of all.
    (np.array([0.2, 0.5, 0.5, -0.1, 0.5, 0.2]), 2, 0.4),
    (np.array([0.2, 0.5, 0.5, -0.1, 0.5, 0.2]), 4, 1e-4),
    (np.full(N, 7.0), 2.5, 0.3),
]
Z, K, SOFTNESS = (np.stack([np.atleast_1d(row[i]) for row in _ROWS]) for i in range(3))
VALUES = _rng.normal(size=Z.shape)


ALL = np.ones(Z.shape, bool)


@functools.cache
def _solve(mode, solver=None):
    @jax.jit
    def compute(z, k, softness, where):
        problem = HypersimplexProjection(z, k, softness, where)
        solution = solve(problem, mode, solver)
        return solution, solution.value, solution.expectation(jnp.asarray(VALUES))

    return lambda z, k, softness, where=ALL: compute(
        *map(jnp.asarray, (z, k, softness, where))
    )


@pytest.mark.slow
def test_one_k_for_all_rows():
    """A number, or an array that broadcasts."""
    expected = hypersimplex_oracle(Z[:2], np.full((2, 1), 2.0), 0.3, np.exp)
    for k in (2, jnp.asarray(2.0), np.full((1, 1), 2)):
        y = solve(HypersimplexProjection(jnp.asarray(Z[:2]), k, 0.3), "smooth").value
        assert_close(y, expected)


@pytest.mark.x64
@each("case", REGULARIZERS, fast=("smooth", "c0", "pseudohuber"))
def test_values(case):
    z, k, softness = map(jnp.asarray, (Z, K, SOFTNESS))
    where = inputs.rng("hypersimplex mask").uniform(size=Z.shape) < 0.7
    # What is masked may be anything that is finite.
    masked = jnp.where(where, z, jnp.asarray(np.resize([1e30, -1e30, 5.0], Z.shape)))
    fits = jnp.minimum(k, 0.7 * where.sum(-1, keepdims=True))
    for args in ((z, k, softness, ALL), (masked, fits, softness, where)):
        solution, y, mean = _solve(case.mode)(*args)
        # Of what the inputs are after rounding.
        expected = hypersimplex_oracle(*args[:3], case.link, args[3])
        assert_close(y, expected)
        assert np.all(y <= 1)
        assert_close(np.sum(y, axis=-1, keepdims=True), args[1], atol=1e-6)
        expected = np.sum(expected * VALUES, axis=-1)
        assert_close(mean, expected, atol=3 * tolerance(z.dtype))
        assert np.all(solution.converged)
        # Where rounding does not let the residual vanish, bisection to the last bit.
        assert np.all(solution.steps <= np.finfo(z.dtype).nmant + 7)
        assert y.dtype == z.dtype


@each("mode", list(oracles.PRIMAL), fast=("smooth", "c0", "pseudohuber"))
def test_it_is_the_maximum(mode):
    """Sequential quadratic programming on the primal finds the same point."""
    _, y, _ = _solve(mode)(Z, K, SOFTNESS)
    for row in (2, 4):
        args = (Z[row], K[row].item(), SOFTNESS[row].item(), oracles.PRIMAL[mode])
        loss, best = oracles.primal_optimum(*args)
        assert_close(y[row], best, atol=2e-5)
        assert loss(np.asarray(y[row], np.float64)) <= loss(best) + 1e-6


@pytest.mark.parametrize(
    ("mode", "z", "k", "softness", "expected", "slope"),
    [
        ("c0", [0.9, 0.6, 0.5, 0.0], 2, 0.5, [1, 0.6, 0.4, 0], [0, 0.5, 0.5, 0]),
        ("smooth", [1.0, 0.0], 1.5, 1.0, [1, 0.5], [0, 1]),
    ],
)
def test_closed_forms(mode, z, k, softness, expected, slope):
    """Values, and derivatives in k."""

    @jax.jit
    def along(k):
        def project(k):
            return solve(HypersimplexProjection(jnp.asarray(z), k, softness), mode)

        return jax.jvp(lambda k: project(k).value, (k,), (jnp.ones_like(k),))

    y, tangent = along(jnp.asarray(float(k)))
    assert_close(y, expected)
    assert_close(tangent, slope)


@each("case", REGULARIZERS, fast=("smooth", "c0", "pseudohuber"))
def test_one_is_the_simplex(case):
    _, y, _ = _solve(case.mode)(Z, np.ones_like(K), SOFTNESS)
    assert_close(y, oracles.simplex_oracle(*map(jnp.asarray, (Z, SOFTNESS)), case.link))


@each("case", pick(REGULARIZERS, "quintic", "pseudohuber"), fast=("pseudohuber",))
def test_complements(case):
    """The n - k smallest are the others, where `phi(t) + phi(-t) = 1`."""
    _, y, _ = _solve(case.mode)(Z, K, SOFTNESS)
    _, others, _ = _solve(case.mode)(-Z, N - K, SOFTNESS)
    assert_close(others, 1 - y)


@each("case", pick(REGULARIZERS, "smooth", "c0", "pseudohuber"))
def test_nothing_to_choose(case):
    """None, all, more than that, and a mask that leaves nothing."""
    k = np.resize([0.0, N, -1.0, N + 2.0], K.shape)
    where = ALL.copy()
    where[5] = False
    solution, y, _ = _solve(case.mode)(Z, k, SOFTNESS, where)
    assert_close(y, where * (k > 0.0), atol=0)
    assert np.all(solution.converged)


@each("case", pick(REGULARIZERS, "smooth", "c0", "pseudohuber"))
def test_nan_stays_in_its_row(case):
    args = [a.copy() for a in (Z, K, SOFTNESS)]
    _, clean, _ = _solve(case.mode)(*args)
    for row, array in zip((2, 4, 5), args, strict=True):
        array[row, 0] = np.nan
    solution, y, _ = _solve(case.mode)(*args)
    bad = np.isin(np.arange(len(Z)), [2, 4, 5])
    np.testing.assert_array_equal(y[~bad], clean[~bad])
    assert np.all(np.any(np.isnan(y[bad]), axis=-1))
    np.testing.assert_array_equal(solution.converged, ~bad)


@each("case", pick(REGULARIZERS, "smooth", "c0"), fast=("c0",))
@each("solver", SOLVERS, fast=("closed_form", "optx.Newton"))
def test_every_solver(solver, case):
    args = (Z, K, SOFTNESS)
    if solver.closed_form:
        with pytest.raises(TypeError, match="'newton'"):
            _solve(case.mode, solver.solver)(*args)
        return
    solution, y, _ = _solve(case.mode, solver.solver)(*args)
    expected = hypersimplex_oracle(*map(jnp.asarray, args), case.link)
    found = np.asarray(solution.converged)
    # Only a bracket is safe against kinks.
    assert np.mean(found) >= (0.8 if solver.name.startswith("optx.") else 1)
    assert_close(y[found], expected[found], atol=1e-5)


@each("mode", ["smooth", "c0", "c2", "cubic", "pseudohuber"], fast=("c0",))
def test_gradients_stay_finite(mode):
    """Gradients at extreme rows; exactly zero where the mask is hard, ties or not."""
    hard = np.array([[9, 9, 1, 1, 1, 0], [7, 9, 8, 1, 1, 1], [2.5, 0, 0, 0, 0, 0]])
    z = jnp.asarray(np.concatenate([hard, Z[:2], Z]))
    k = jnp.asarray(np.concatenate([[[2.0], [3], [1], [0], [N]], K]))
    softness = jnp.asarray(np.concatenate([np.full((5, 1), 0.5), SOFTNESS]))

    @jax.jit
    def derivatives(*args):
        def total(z, k, softness):
            y = solve(HypersimplexProjection(z, k, softness), mode).value
            return jnp.sum(jnp.sin(y + jnp.arange(N))), y

        gradient = jax.grad(total, (0, 1, 2), has_aux=True)
        return jax.jvp(gradient, args, (jnp.cos(args[0]), *args[1:]), has_aux=False)

    (first, y), (second, _) = derivatives(z, k, softness)
    for out in (*first, *second):
        assert np.all(np.isfinite(out))
    if mode in ("c0", "c2", "cubic"):
        np.testing.assert_array_equal(y[:3], hard > 1)
        assert np.all(np.asarray(first[0])[:3] == 0)


@pytest.mark.x64
@each("case", pick(REGULARIZERS, "smooth", "c0", "c2", "pseudohuber"), fast=())
def test_many(case):
    z = jnp.asarray(inputs.rng("many").normal(size=(3, 5000)))
    k = jnp.asarray([[500.0], [4999.5], [20.0]])
    softness = jnp.asarray([[0.2], [10.0], [1e-3]])
    compute = jax.jit(lambda *args: solve(HypersimplexProjection(*args), case.mode))
    solution = compute(z, k, softness)
    assert_close(solution.value, hypersimplex_oracle(z, k, softness, case.link))
    assert np.all(solution.converged)


class Logistic(Regularizer):
    """The binary entropy: a link that comes close to 1 but does not reach it."""

    def link(self, t):
        return jax.nn.sigmoid(t)


@pytest.mark.slow
def test_many_next_to_one():
    """Their rounding is not charged to the few between 0 and 1."""
    z = jnp.asarray(inputs.rng("next to one").normal(size=(3, 3000)))
    k, softness = jnp.asarray([[1500.0], [2999.5], [2998.0]]), jnp.asarray(0.1)

    @jax.jit
    def compute(z):
        return solve(HypersimplexProjection(z, k, softness), Logistic()).value

    y = compute(z)
    assert_close(y, hypersimplex_oracle(z, k, softness, scipy.special.expit))
    assert_close(np.sum(np.float64(y), axis=-1, keepdims=True), k, atol=1e-5)


@each(
    "case",
    pick(REGULARIZERS, "smooth", "c0", "c1", "quintic", "pseudohuber", "user_link"),
    fast=("smooth",),
)
def test_two_sided_masks(case):
    """Masks of the two-sided regularizer in float32, against the oracle in float64."""
    mode = TwoSided(case.regularizer)

    @jax.jit
    def masks(z, k):
        return solve(HypersimplexProjection(z, k, SOFTNESS), mode)

    z, k = Z.astype(np.float32), K.astype(np.float32)
    found, rest = masks(z, k), masks(-z, N - k)
    y = np.asarray(found.value)
    assert np.all(found.converged)
    assert np.all((y >= 0) & (y <= 1))
    # Sums are exact to the rounding of what they add up, and the others are left out.
    assert_close(y.sum(-1, keepdims=True), k, atol=2e-6)
    assert_close(y, 1 - np.asarray(rest.value), atol=3e-6)
    for i in range(len(Z)):
        if np.max(np.abs(Z[i])) < 1e3:
            expected = two_sided_oracle(Z[i], K[i, 0], SOFTNESS[i, 0], case.link)
            # Of scores over the softness, in float32.
            atol = 1e-6 * (1 + 2 * np.max(np.abs(Z[i])) / SOFTNESS[i, 0])
            assert_close(y[i], expected, atol=atol)
