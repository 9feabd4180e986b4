"""Projections with regularizers that are not separable."""

import coupled
import inputs
import jax
import jax.numpy as jnp
import numpy as np
import oracles
import pytest
from assertions import assert_close
from coupled import COUPLED, SIZE
from parametrize import each, pick

import softjax as sj
from softjax import solvers

ROWS = np.array([[1, 1, 1, 1, 1], [1, 0, 1, 1, 0], [0, 0, 1, 0, 0]], bool)


def solved(case, mode, z, softness, strength, where):
    found = solvers.solve(case.make(z, softness, strength, where), mode)
    return found.value, found.converged


@each("case", COUPLED)
@pytest.mark.parametrize(
    "mode", ["c0", *(pytest.param(m, marks=pytest.mark.slow) for m in ("smooth", "c1"))]
)
def test_values(case, mode, x64):
    """Against quadratic programming, for masked rows too, whatever is masked."""
    if mode not in case.modes:
        pytest.skip(f"{case.name} is not for {mode}")
    rng = inputs.rng("coupled values")
    z = rng.normal(size=(3, 3, SIZE))
    hidden = np.where(ROWS, z, [[np.nan], [np.inf], [1e30]])
    solve = jax.jit(lambda *a: solved(case, mode, *a, ROWS))
    for softness in (0.3, 2.0):
        y, converged = map(np.asarray, solve(hidden, softness, case.strength))
        assert np.all(converged)
        assert np.all(y[:, ~ROWS] == 0)
        for row in np.ndindex(3, 3):
            (here,) = np.nonzero(ROWS[row[1]])
            args = mode, z[row][here], softness, case.strength, here
            assert_close(y[row][here], case.expected(*args), atol=2e-6)
