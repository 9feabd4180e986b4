"""Projections onto permutahedra, against pooling one entry at a time in NumPy."""

import functools
import itertools

import hypothesis
import hypothesis.extra.numpy as hnp
import hypothesis.strategies as st
import inputs
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.optimize
from assertions import assert_close
from parametrize import each, pick
from permutahedra import CASES, FAST_SIZES, assert_projections, compiled, oracle, rows

from softjax.solvers import PermutahedronProjection, solve

# For a few there is a faster one than that for all.
POOLED = pick(CASES, "smooth", "c0")
SOLVERS = [(case, None) for case in CASES] + [(case, "merging") for case in POOLED]
SIZES = [1, 2, 3, 5, 16, 17, 33, 100]


def _slow(case, solver, n):
    fast = n in FAST_SIZES.get(case.name, ()) and (solver is None or n == 33)
    return [] if fast else [pytest.mark.slow]


each_solver = pytest.mark.parametrize(
    ("case", "solver", "n"),
    [
        pytest.param(
            case,
            solver,
            n,
            id=f"{case.name}-{solver}-{n}",
            marks=_slow(case, solver, n),
        )
        for case, solver in SOLVERS
        for n in SIZES
    ],
)


@pytest.mark.x64
@each_solver
def test_values(case, solver, n):
    z, w, softness = rows(case, n)
    out = compiled(case.name, solver)(z, w, softness)
    # Of what the inputs are after rounding.
    scores = np.asarray(z / softness, np.float64)
    expected = oracle(case, scores, w, 1.0)
    assert_projections(out, expected, w)
    assert out["residual"].shape == out["converged"].shape == z.shape[:1]
    assert jnp.issubdtype(out["steps"].dtype, jnp.integer)


@pytest.mark.parametrize(
    "n", [*SIZES[:-1], pytest.param(SIZES[-1], marks=pytest.mark.slow)]
)
def test_the_reference(n):
    """For p = 2, pooling is the isotonic regression of SciPy."""
    (case,) = pick(CASES, "c0")
    z, w, softness = (np.asarray(a, np.float64) for a in rows(case, n))
    order = np.argsort(-z, axis=-1, kind="stable")
    s = np.take_along_axis(z, order, axis=-1) / softness
    gaps = s + np.sort(-w, axis=-1)
    fits = [scipy.optimize.isotonic_regression(g, increasing=False).x for g in gaps]
    expected = np.zeros_like(z)
    np.put_along_axis(expected, order, s - np.stack(fits), axis=-1)
    scale = np.max(np.abs(s), axis=-1, keepdims=True)
    found = oracle(case, z, w, softness)
    assert_close(found / scale, expected / scale, atol=1e-12)


@pytest.mark.slow
def test_it_is_the_closest_point(x64):
    """Over all permutations and many mixtures of them, for p = 2."""
    rng = inputs.rng("closest")
    z, w = rng.normal(size=(2, 4))
    y = np.asarray(compiled("c0")(z, w, 0.7)["value"])
    corners = np.stack([w[list(p)] for p in itertools.permutations(range(4))])
    others = np.concatenate([corners, rng.dirichlet(np.full(24, 0.2), 500) @ corners])
    # The angle at the projection is obtuse.
    assert np.all((others - y) @ (z / 0.7 - y) <= 1e-12)
    weights = scipy.optimize.nnls(
        np.vstack([corners.T, np.ones(24)]), np.append(y, 1.0)
    )
    assert weights[1] < 1e-12


@pytest.mark.x64
@each_solver
def test_masks(case, solver, n):
    """Masked entries, whatever they are, are as good as not there."""
    z, w, softness = rows(case, n)
    rng = inputs.rng("mask")
    where = rng.uniform(size=z.shape) < rng.uniform(size=(len(z), 1))
    where[0] = False
    where[1] = np.arange(n) == n // 8
    where[2] = True
    far = np.resize([1e30, -1e30, 5.0], z.shape).astype(z.dtype)
    z, w = jnp.where(where, z, far), jnp.where(where, w, -far)
    out = compiled(case.name, solver)(z, w, softness, jnp.asarray(where))
    scores = np.asarray(z / softness, np.float64)
    expected = oracle(case, scores, w, 1.0, where)
    assert_projections(out, expected, jnp.where(where, w, 0))
    assert np.all(np.asarray(out["value"])[~where] == 0)


@each("case", CASES, fast=("c0",))
def test_nan_stays_in_its_row(case):
    n, *_ = FAST_SIZES.get(case.name, (5,))
    z, w, softness = rows(case, n)
    clean = compiled(case.name)(z, w, softness)
    spoiled = compiled(case.name)(
        z.at[2, n // 2].set(jnp.nan).at[9].set(jnp.nan),
        w.at[4, 0].set(jnp.nan),
        softness.at[5].set(jnp.nan),
    )
    bad = np.isin(np.arange(len(z)), [2, 4, 5, 9])
    for key in ("value", "residual"):
        np.testing.assert_array_equal(spoiled[key][~bad], clean[key][~bad])
    assert np.all(np.any(np.isnan(spoiled["value"][bad]), axis=-1))
    np.testing.assert_array_equal(spoiled["converged"], ~bad)


@pytest.mark.slow
def test_batches():
    """Any shape before the last axis; w and softness broadcast."""
    rng = inputs.rng("batches")
    z = rng.normal(size=(2, 3, 5)).astype(np.float32)
    w = rng.normal(size=(3, 5)).astype(np.float32)
    softness = rng.uniform(0.2, 2, size=(2, 1, 1)).astype(np.float32)

    @jax.jit
    def project(z, w, softness):
        solution = solve(PermutahedronProjection(z, w, softness), "c0")
        return solution.value, solution.expectation(w), solution.converged

    value, mean, converged = project(z, w, softness)
    wide = (np.broadcast_to(a, z.shape) for a in (z, w))
    (case,) = pick(CASES, "c0")
    expected = oracle(case, *wide, np.broadcast_to(softness, (2, 3, 1)))
    assert_close(value, expected, atol=1e-5)
    assert_close(mean, np.sum(expected * w, axis=-1), atol=1e-5)
    assert converged.shape == (2, 3)


@pytest.mark.slow
def test_vmap():
    rng = inputs.rng("vmap")
    z, w = rng.normal(size=(2, 3, 5)), rng.normal(size=(3, 5))

    def project(z, w):
        return solve(PermutahedronProjection(z, w, 0.4), "c2").value

    @jax.jit
    def everything(z, w):
        mapped = jax.vmap(jax.vmap(project), (0, None))
        slope = jax.grad(lambda w: jnp.sum(jnp.sin(mapped(z, w))))(w)
        return mapped(z, w), slope

    value, slope = everything(z, w)
    assert_close(value, jax.jit(project)(z, w), atol=1e-6)
    whole = jax.grad(lambda w: jnp.sum(jnp.sin(project(z, w))))
    assert_close(slope, jax.jit(whole)(w), atol=1e-5)


def test_empty_batches_and_integers():
    @functools.partial(jax.jit, static_argnums=2)
    def project(z, w, mode):
        return solve(PermutahedronProjection(z, w, 1), mode).value

    assert project(jnp.zeros((0, 2)), jnp.ones(2), "c0").shape == (0, 2)
    assert project(jnp.zeros((2, 0, 1)), jnp.ones(1), "smooth").shape == (2, 0, 1)
    value = project(jnp.asarray([1, 5, 1]), jnp.asarray([3, 0, 1]), "c0")
    assert value.dtype == jnp.zeros(()).dtype
    assert_close(value, [0.5, 3.0, 0.5])


@pytest.mark.slow
def test_sorted_inputs():
    """Rows that are known to be in order need not be sorted."""
    z, w, softness = rows(*pick(CASES, "c0"), 5)
    z, w = (-jnp.sort(-a, axis=-1) for a in (z, w))

    @jax.jit
    def project(z, w, softness):
        keywords = dict(z_is_sorted=True, w_is_sorted=True)
        problem = PermutahedronProjection(z, w, softness, **keywords)
        return solve(problem, "c0").value

    expected = compiled("c0")(z, w, softness)["value"]
    assert_close(project(z, w, softness), expected, atol=1e-6, rtol=1e-6)


# The shape of `rows(case, 33)`, which is compiled for other tests.
_rows = hnp.arrays(np.float32, (18, 33), elements=st.floats(-4, 4, width=32))


@pytest.mark.parametrize(
    "mode", ["c0", *(pytest.param(m, marks=pytest.mark.slow) for m in ("c1", "c2"))]
)
@hypothesis.given(z=_rows, w=_rows, exponent=st.integers(-6, 6))
def test_majorization(mode, z, w, exponent):
    """y lies in the permutahedron and has the order of z."""
    softness = np.full((18, 1), 2.0**exponent, np.float32)
    out = compiled(mode)(*map(jnp.asarray, (z, w, softness)))
    y = np.asarray(out["value"], np.float64)
    assert np.all(out["converged"])
    assert_close(y.sum(-1), w.astype(np.float64).sum(-1), atol=1e-4)
    largest, bound = (np.cumsum(-np.sort(-a, axis=-1), axis=-1) for a in (y, w))
    assert np.all(largest <= bound + 1e-4)
    ordered = np.take_along_axis(y, np.argsort(z, axis=-1), axis=-1)
    assert np.all(np.diff(ordered, axis=-1) >= -1e-5)


@each("scale", [1e2, 1e4, 1e6], fast=("1000000.0",))
def test_blocks_that_hide_others(scale):
    """A block at the value of a pool hides in a sum of exponentials where it ends."""
    z, w = inputs.rng("hidden").normal(size=(2, 64, 33))
    z, w = jnp.asarray(scale * z), jnp.asarray(scale * np.abs(w))
    (case,) = pick(CASES, "smooth")
    out = compiled(case.name)(z, w, 0.5)
    scores = np.asarray(z / 0.5, np.float64)
    assert_projections(out, oracle(case, scores, w, 1.0), w)
