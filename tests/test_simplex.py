"""The simplex projection, against root finds and constrained optimization."""

import functools

import hypothesis
import hypothesis.extra.numpy as hnp
import hypothesis.strategies as st
import inputs
import jax
import jax.numpy as jnp
import numpy as np
import oracles
import pytest
from assertions import assert_close, tolerance
from cases import ALL_REGULARIZERS, REGULARIZERS
from oracles import simplex_oracle
from parametrize import each, pick

from softjax.solvers import SimplexProjection, solve


@functools.cache
def _solve(name: str):
    (case,) = pick(ALL_REGULARIZERS, name)

    @jax.jit
    def compute(z, softness, values, where=None):
        solution = solve(SimplexProjection(z, softness, where), case.mode)
        return dict(
            value=solution.value,
            expectation=solution.expectation(values),
            dual=solution.dual,
            residual=solution.residual,
            converged=solution.converged,
        )

    return compute


def _inputs():
    """Rows of six of every kind, with a softness each, in the default type."""
    rng = inputs.rng("simplex")
    normal = rng.normal(size=(12, 6))
    rows = [
        (normal[0], 0.1),
        (normal[1], 1.0),
        (normal[2], 30.0),
        (normal[3], 100.0),
        # Scores of order 1 at any scale.
        (0.3 + 1e-4 * normal[4], 1e-4),
        (1e6 + normal[5], 1.0),
        (-1e6 + 1e5 * normal[6], 1e5),
        # Next to hard.
        (normal[7], 1e-4),
        (1e6 * normal[8], 1e-4),
        # Ties, of some and of all.
        (np.array([0.2, 0.5, 0.5, -0.1, 0.5, 0.2]), 0.4),
        (np.full(6, 7.0), 0.3),
        (np.array([0.0, 0.0, 0.0, -1e6, -1e6, 1e-3]), 0.1),
    ]
    z = jnp.asarray(np.stack([z for z, _ in rows]))
    softness = jnp.asarray(np.array([[tau] for _, tau in rows]))
    values = jnp.asarray(rng.normal(size=z.shape))
    return z, softness, values


@pytest.mark.x64
@each("case", ALL_REGULARIZERS)
def test_values(case):
    z, softness, values = _inputs()
    out = _solve(case.name)(z, softness, values)
    # Of what the inputs are after rounding.
    expected = simplex_oracle(z, softness, case.link)
    assert_close(out["value"], expected)
    mean = np.sum(expected * np.asarray(values, np.float64), axis=-1)
    assert_close(out["expectation"], mean, atol=3 * tolerance(z.dtype))
    assert np.all(out["converged"])
    assert np.all(out["residual"] <= 1e3 * np.finfo(z.dtype).eps)
    assert out["value"].dtype == z.dtype
    assert out["dual"].shape == out["residual"].shape == out["converged"].shape == (12,)


@pytest.mark.x64
@each("case", ALL_REGULARIZERS, fast=("smooth", "c0", "quintic"))
def test_masks(case):
    z, softness, values = _inputs()
    where = inputs.rng("mask").uniform(size=z.shape) < 0.6
    where[0] = [False, False, True, False, False, False]
    where[1] = True
    # What is masked may be anything that is finite.
    z = jnp.where(where, z, jnp.asarray(np.resize([1e30, -1e30, 5.0], z.shape)))
    out = _solve(case.name)(z, softness, values, jnp.asarray(where))
    expected = simplex_oracle(z, softness, case.link, where=where)
    assert_close(out["value"], expected)
    mean = np.sum(expected * np.asarray(values, np.float64), axis=-1)
    assert_close(out["expectation"], mean, atol=3 * tolerance(z.dtype))
    assert np.all(out["converged"])


def test_a_largest_that_is_known():
    z, softness, _ = _inputs()
    (case,) = pick(ALL_REGULARIZERS, "c0")
    where = inputs.rng("mask").uniform(size=z.shape) < 0.6
    where[:, 2] = True
    largest = jnp.max(jnp.where(where, z, -jnp.inf), axis=-1, keepdims=True)
    # What is masked may be larger.
    z = jnp.where(where, z, 1e7)
    problem = SimplexProjection(z, softness, jnp.asarray(where), largest)
    expected = simplex_oracle(z, softness, case.link, where=where)
    assert_close(solve(problem, case.mode).value, expected)
    text = str(jax.make_jaxpr(lambda problem: problem.scores)(problem))
    assert "reduce_max" not in text  # it is not sought again
    with pytest.raises(ValueError, match=r"largest of shape \(12,\) must broadcast"):
        SimplexProjection(z, softness, largest=largest[:, 0])


@pytest.mark.parametrize("softness", [0.05, 0.5, 1e3])
def test_slopes_in_the_softness_of_masked_halves(softness):
    """The derivative `-p0 p1 (z0 - z1) / softness^2` of two that are left of three."""
    z = jnp.asarray([1.0, 2.0, np.nan], jnp.float16)
    where = jnp.asarray([True, True, False])

    def first(softness):
        return solve(SimplexProjection(z, softness, where), "smooth").value[0]

    slope = jax.grad(first)(jnp.asarray(softness, jnp.float16))
    p = 1 / (1 + np.exp(1 / softness))
    assert_close(slope, p * (1 - p) / softness**2, atol=2e-3)


@each("case", REGULARIZERS, fast=("smooth", "c0", "quintic"))
def test_nothing_left_by_the_mask(case):
    z, softness, values = _inputs()
    where = np.ones(z.shape, bool)
    where[3] = False
    out = _solve(case.name)(z, softness, values, jnp.asarray(where))
    expected = simplex_oracle(z, softness, case.link, where=where)
    assert np.all(expected[3] == 0)
    assert_close(out["value"], expected)


@each("case", ALL_REGULARIZERS)
def test_nan_stays_in_its_row(case):
    z, softness, values = _inputs()
    clean = _solve(case.name)(z, softness, values)
    spoiled = _solve(case.name)(
        z.at[2, 4].set(jnp.nan).at[9].set(jnp.nan), softness.at[5].set(jnp.nan), values
    )
    bad = np.isin(np.arange(12), [2, 5, 9])
    for key in ("value", "expectation", "dual"):
        np.testing.assert_array_equal(spoiled[key][~bad], clean[key][~bad])
    assert np.all(np.any(np.isnan(spoiled["value"][bad]), axis=-1))
    np.testing.assert_array_equal(spoiled["converged"], ~bad)


@each("case", ALL_REGULARIZERS, fast=("smooth", "c0"))
def test_one_candidate(case):
    def compute(z):
        solution = solve(SimplexProjection(z, 0.1), case.mode)
        return solution.value, solution.expectation(3 * z), solution.converged

    z = jnp.asarray([[-1e6], [0.0], [2.0]])
    value, expectation, converged = jax.jit(compute)(z)
    assert_close(value, np.ones((3, 1)), atol=0)
    assert_close(expectation, [-3e6, 0.0, 6.0])
    assert np.all(converged)
    jacobian = jax.jit(jax.jacrev(lambda z: compute(z)[:2]))(z[1:2])
    assert_close(jacobian[0], np.zeros((1, 1, 1, 1)))
    assert_close(jacobian[1], [[[3.0]]])


@pytest.mark.x64
@each("case", REGULARIZERS, fast=("smooth", "c0", "c2", "pseudohuber"))
@pytest.mark.parametrize("n", [2, 5000])
def test_sizes(case, n):
    rng = inputs.rng("sizes", n)
    z = jnp.asarray(rng.normal(size=(2, n)))
    values = jnp.asarray(rng.normal(size=(2, n)))
    softness = jnp.asarray([[0.2], [100.0]])
    out = _solve(case.name)(z, softness, values)
    expected = simplex_oracle(z, softness, case.link)
    assert_close(out["value"], expected)
    mean = np.sum(expected * np.asarray(values, np.float64), axis=-1)
    assert_close(out["expectation"], mean, atol=3 * tolerance(z.dtype))
    assert np.all(out["converged"])


@pytest.mark.parametrize("shape", [(), (1,), (1, 1), (4, 1), (3, 1, 1), (3, 4, 1)])
def test_softness_broadcasts(shape):
    rng = inputs.rng("broadcast")
    z = jnp.asarray(rng.normal(size=(3, 4, 2)))
    softness = rng.uniform(0.2, 2, size=shape)
    project = jax.jit(lambda z, tau: solve(SimplexProjection(z, tau), "c0").value)
    value = project(z, softness)
    expected = simplex_oracle(
        z, softness if shape else [softness], oracles.power_link(2)
    )
    assert_close(value, expected)


@pytest.mark.parametrize("mode", ["smooth", "c0", "c2"])
def test_integers_and_empty_batches(mode):
    project = jax.jit(lambda z: solve(SimplexProjection(z, 1), mode).value)
    value = project(jnp.asarray([1, 2, 2]))
    assert value.dtype == jnp.zeros(()).dtype
    (case,) = pick(REGULARIZERS, mode)
    assert_close(value, simplex_oracle([1, 2, 2], [1.0], case.link))
    assert project(jnp.zeros((0, 3))).shape == (0, 3)


@pytest.mark.parametrize("shape", [(0,), (3, 0), ()])
def test_nothing_to_choose_from(shape):
    with pytest.raises(ValueError, match="at least one entry"):
        SimplexProjection(jnp.zeros(shape), 0.1)


@each("mode", list(oracles.PRIMAL), fast=("smooth", "c0"))
def test_it_is_the_maximum(mode, x64):
    """Sequential quadratic programming on the primal finds the same point."""
    rng = inputs.rng("primal")
    z, softness = rng.normal(size=4), 0.8
    loss, best = oracles.primal_optimum(z, 1, softness, oracles.PRIMAL[mode])
    y = np.asarray(solve(SimplexProjection(jnp.asarray(z), softness), mode).value)
    assert_close(y, best, atol=1e-5)
    assert loss(y) <= loss(best) + 1e-12
    for other in rng.dirichlet(np.ones(4), size=200):
        assert loss(y) < loss(other)


_rows = hnp.arrays(np.float32, (12, 6), elements=st.floats(-4, 4, width=32))


@each("case", REGULARIZERS, fast=("smooth", "c0", "c2", "quintic"))
@hypothesis.given(
    z=_rows,
    shift=st.floats(-8, 8, width=32),
    permutation=st.permutations(range(6)),
    exponent=st.floats(-2, 2),
)
def test_invariants(case, z, shift, permutation, exponent):
    # Multiples of 1/64, so that shifts and differences are exact.
    z, shift = np.round(z * 64) / 64, np.round(shift * 64) / 64
    softness = np.full((12, 1), 10.0**exponent, np.float32)

    def project(z, softness=softness):
        out = _solve(case.name)(
            jnp.asarray(z, jnp.float32),
            jnp.asarray(softness),
            jnp.asarray(z, jnp.float32),
        )
        return np.asarray(out["value"]), np.asarray(out["expectation"])

    y, mean = project(z)
    assert np.all(y >= 0)
    assert_close(y.sum(-1), np.ones(12), atol=2e-6)
    assert np.all(mean <= z.max(-1) + 1e-5)
    # Larger scores get more, equal ones the same.
    order = np.argsort(z, axis=-1)
    ranked = np.take_along_axis(y, order, axis=-1)
    assert np.all(np.diff(ranked, axis=-1) >= -1e-6)
    assert_close(project(z + shift)[0], y, atol=2e-6)
    assert_close(project(z[:, permutation])[0], y[:, permutation], atol=2e-6)
    # Only z / softness matters, and powers of two are exact.
    assert_close(project(4 * z, 4 * softness)[0], y, atol=0)
    # The mean falls as softness grows: <z, y> is what softness is traded for.
    assert np.all(project(z, 2 * softness)[1] <= mean + 2e-5)


@each("case", REGULARIZERS, fast=("smooth", "c0", "quintic"))
def test_limits(case):
    z = jnp.asarray(
        inputs.rng("limits").permuted(np.tile(np.arange(6.0), (12, 1)), axis=1)
    )
    hard = np.asarray(z == 5.0, np.float64)
    for softness, expected in ((1e-3, hard), (1e5, np.full((12, 6), 1 / 6))):
        out = _solve(case.name)(z, jnp.full((12, 1), softness), z)
        assert_close(out["value"], expected, atol=2e-4)


@each("k", [0, 1, 2, 3], fast=("1", "2"))
def test_smoothness_theorem(k, x64):
    """The projection is C^k and not C^(k+1) with p = (k + 2) / (k + 1)."""

    # Along z = (t, 0), the first entry leaves 0 at t = -1; by symmetry it is enough.
    def first(t):
        z = jnp.stack([t, jnp.zeros_like(t)])
        return solve(SimplexProjection(z, 1.0), f"c{k}").value[0]

    derivative = first
    for _ in range(k):
        derivative = jax.grad(derivative)
    h = 2.0 ** -np.arange(8, 20, 2)
    above = np.asarray(jax.jit(jax.vmap(derivative))(-1 + h))
    below = np.asarray(jax.jit(jax.vmap(derivative))(-1 - h))
    # The k-th derivative is continuous across t = -1, but its difference quotient
    # from above does not vanish as it does from below: a kink.
    assert np.all(below == 0)
    assert np.all(np.diff(np.abs(above)) < 0)
    assert abs(above[-1]) < 1e-3
    assert abs(above[-1] / h[-1]) > 0.1


def test_cubic_equation(x64):
    """p = 4/3 by the roots of a polynomial, on a support that is known."""
    z = np.array([0.4, 0.1, 0.0, -3.0])
    s = z[:3] - z.max()
    # sum_i (s_i - theta)^3 = 1
    roots = np.roots([-3, 3 * s.sum(), -3 * (s**2).sum(), (s**3).sum() - 1])
    (theta,) = roots[np.abs(roots.imag) < 1e-9].real
    expected = np.append((s - theta) ** 3, 0.0)
    assert np.all(s > theta)
    assert z[3] - z.max() < theta
    assert_close(solve(SimplexProjection(jnp.asarray(z), 1.0), "c2").value, expected)
