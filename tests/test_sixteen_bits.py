"""Problems in float16 and bfloat16: solved in float32, returned as what they are."""

from typing import Any

import inputs
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from parametrize import each
from projections import PROJECTIONS, SIZE, Projection

from softjax import solvers
from softjax.solvers import Dual, LogPrimal, Means, Primal, Value, evaluate, solve

DTYPES = [jnp.bfloat16, jnp.float16]
_rng = inputs.rng("sixteen bits")
Z, VALUES = _rng.normal(size=(2, SIZE)), _rng.normal(size=SIZE)
SOFTNESS = 0.7
_FACTORS = np.array([1.0, -2.0, 0.5, 4.0])  # products with them are exact
_SHARES = np.full(SIZE, 1 / SIZE), np.full(4, 1 / 4)
CASES = [
    *(case for case in PROJECTIONS if case.name != "transport"),
    Projection(
        "transport",
        lambda z, s: solvers.TransportProjection(
            (z[..., None] * _FACTORS).astype(z.dtype), *_SHARES, s
        ),
    ),
    Projection(
        "majorization",
        lambda w, s: solvers.MajorizationProjection(
            np.arange(SIZE, 0, -1), -jnp.sort(-w), s
        ),
        ("smooth",),
    ),
    Projection(
        "oracle",
        lambda z, s: solvers.OracleProjection(z[0], s, two_of),
        ("c1",),
    ),
]
_FAST = ("weighted_simplex",)


def two_of(scores):
    return jnp.zeros(scores.size, bool).at[jax.lax.top_k(scores, 2)[1]].set(True)


def read_all(case: Projection, mode: str):
    """All that is read off a solution, and a gradient in the scores."""
    in_chunks = case.name in ("softsort", "neuralsort")
    readouts: list[Any] = [Primal()]
    if case.name not in ("permutahedron", "signed_permutahedron", "majorization"):
        readouts += [LogPrimal()]
    if not (in_chunks or case.name == "majorization"):
        readouts += [Value()]

    @jax.jit
    def run(z, values_of_all):
        def total(z):
            problem = case.make(z, SOFTNESS)
            found = solve(problem, mode)
            values = values_of_all[: found.value.shape[-1]]
            out = [found.read(r) for r in (*readouts, Means(values))]
            more = [evaluate(problem, mode, r) for r in (*readouts, Means(values))]
            # In float32 from here on, as sums of 16 bits would hide all else.
            y, mean = (x.astype(jnp.float32) for x in (out[0].ravel(), out[-1]))
            wave = jnp.sin(jnp.arange(y.size) + y)
            return jnp.sum(wave) + jnp.sum(mean), (out, more, found)

        gradient, (out, more, found) = jax.grad(total, has_aux=True)(z)
        return out, more, gradient, found.converged, found.residual

    return run


@each("dtype", DTYPES, fast=("bfloat16",))
@each("case", CASES, fast=_FAST)
def test_solutions_are_those_of_float32(case, dtype):
    """To the last digit of 16 bits, with their logarithms, maxima and gradients."""
    mode, given = case.modes[-1], (jnp.asarray(Z, dtype), jnp.asarray(VALUES, dtype))
    run = read_all(case, mode)
    narrow, wide = run(*given), run(*(x.astype(jnp.float32) for x in given))
    assert np.all(narrow[3])
    assert narrow[4].dtype == jnp.float32
    np.testing.assert_array_equal(narrow[4], wide[4])
    unit = float(jnp.finfo(dtype).eps)
    for one, other in zip(*map(jax.tree.leaves, (narrow[:3], wide[:3])), strict=True):
        assert one.dtype == dtype
        assert other.dtype == jnp.float32
        np.testing.assert_allclose(
            np.asarray(one, np.float32), other, rtol=unit, atol=4 * unit
        )


@pytest.mark.slow
@each("dtype", DTYPES)
def test_losses(dtype):
    """A difference of two large numbers, which 16 bits leave nothing of."""
    z, target = jnp.asarray(100 + Z, dtype), jnp.asarray(np.eye(SIZE)[[1, 2]], dtype)
    found = [
        solvers.fenchel_young_loss(solvers.HypersimplexProjection(x, 1, 0.5), t, "c0")
        for x, t in ((z, target), (z.astype(jnp.float32), target.astype(jnp.float32)))
    ]
    assert found[0].dtype == dtype
    np.testing.assert_array_equal(found[0], found[1].astype(dtype))


@each("dtype", DTYPES, fast=("bfloat16",))
def test_parameters_keep_their_digits(dtype):
    """Numbers of entries and of copies, which 16 bits need not hold."""
    n, k = 700, 301
    z = jnp.asarray(inputs.rng("many").normal(size=n), dtype)
    problem = solvers.HypersimplexProjection(z, k, 0.3)
    y = solve(problem, "c0").read(Primal())
    assert abs(float(jnp.sum(y.astype(jnp.float32))) - k) < 1
    means = evaluate(problem, "c0", Means(jnp.ones(n)))
    assert means.dtype == jnp.float32  # as values are
    np.testing.assert_allclose(means, k, rtol=1e-6)


def test_duals_are_in_float32():
    z = jnp.asarray(Z, jnp.bfloat16)
    problem = solvers.SimplexProjection(z, 0.5)
    found = solve(problem, "c1")
    assert found.dual.dtype == found.residual.dtype == jnp.float32
    assert found.value.dtype == found.dtype == jnp.bfloat16
    assert evaluate(problem, "c1", Dual()).dtype == jnp.bfloat16
    wide = solve(solvers.SimplexProjection(z.astype(jnp.float32), 0.5), "c1")
    assert wide.dtype is None
    np.testing.assert_array_equal(found.dual, wide.dual)
