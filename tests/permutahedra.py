"""Inputs, compiled solutions and references for the tests of permutahedra."""

import functools

import inputs
import jax
import jax.numpy as jnp
import numpy as np
import oracles
from assertions import assert_close
from cases import REGULARIZERS
from parametrize import pick

from softjax.solvers import PermutahedronProjection, solve

CASES = [case for case in REGULARIZERS if not case.bounded]
# Sizes, by regularizer, that are not slow to test.
FAST_SIZES = {
    "smooth": (5,),
    "c0": (33, 1),
    "c2": (5,),
}


@functools.cache
def compiled(name: str, solver: str | None = None):
    (case,) = pick(REGULARIZERS, name)

    @jax.jit
    def compute(z, w, softness, where=None):
        problem = PermutahedronProjection(z, w, softness, where)
        solution = solve(problem, case.mode, solver)
        return dict(
            value=solution.value,
            residual=solution.residual,
            converged=solution.converged,
            steps=solution.steps,
        )

    return compute


def oracle(case, z, w, softness, where=None):
    return oracles.permutahedron_oracle(z, w, softness, case.link, case.at_zero, where)


def _inputs(n: int, positive: bool):
    """Rows of every kind, in the default type, with a softness each.

    `positive` excludes rows of w so negative that no link but exp tells them from -inf.
    """
    rng = inputs.rng("permutahedron", n)
    normal, other = rng.normal(size=(2, 16, n))
    rows = [
        (normal[0], other[0], 0.3),
        (normal[1], other[1], 3.0),
        (normal[2], other[2], 0.02),
        # In order and against it.
        (np.sort(normal[3]), np.sort(other[3]), 0.5),
        (-np.sort(-normal[4]), np.sort(other[4]), 0.5),
        # Constants, two values, and ties.
        (np.full(n, 0.7), other[5], 0.4),
        (normal[5], np.full(n, -0.7), 0.4),
        (np.sign(normal[6]), np.sign(other[6]), 1.0),
        (np.round(2 * normal[7]) / 2, np.round(2 * other[7]) / 2, 0.5),
        # Far from zero. Powers of two, so that quotients are exact.
        (1e6 + normal[8], other[8], 0.5),
        (-1e6 + normal[9], 1e6 + other[9], 0.25),
        # No mass, and negative.
        (normal[10], np.maximum(other[10], 0), 0.5),
        (normal[11], np.where(other[11] > 0.5, 0, other[11]), 2.0),
        # Next to hard, next to the mean, and far apart.
        (normal[12], other[12], 1e-4),
        (normal[13], other[13], 1e3),
        (1e6 * normal[14], 1e6 * np.abs(other[14]), 0.5),
    ]
    if not positive:
        rows.append((1e6 * normal[15], 1e6 * other[15], 0.5))
        rows.append((normal[15], -1e6 + other[15], 0.5))
    z, w, softness = zip(*rows, strict=True)
    softness = jnp.asarray(np.asarray(softness)[:, None])
    return jnp.asarray(np.stack(z)), jnp.asarray(np.stack(w)), softness


def rows(case, n: int):
    return _inputs(n, positive=case.name == "user_gradient")


def assert_projections(out, expected, w):
    """Up to rounding, relative to the largest |w| of a row."""
    value = np.asarray(out["value"])
    atol = 1e-5 if value.dtype == np.float32 else 1e-9
    scale = np.max(np.abs(np.asarray(w, np.float64)), axis=-1, keepdims=True)
    scale = np.where(scale > 0, scale, 1)
    assert_close(value / scale, expected / scale, atol=atol)
    assert np.all(out["converged"])
    assert np.all(out["residual"] <= 1e3 * np.finfo(value.dtype).eps)
    assert value.dtype == w.dtype
