"""Linear programs in float32 whose scores are large beside the softness.

What constraints take of scores leaves y alone: `K^T m + left` has the y of `left`, for
any m of equalities. That has to be so to the digits of `left`, and not to those of m.
"""

from typing import Any

import inputs
import jax
import jax.numpy as jnp
import numpy as np
import oracles
import pytest
from assertions import assert_close
from linear_programs import LARGE, SMALL, Program, solved
from parametrize import each, pick

from softjax.solvers import Incidence, LinearProgram, solve

MODES = ["smooth", "c0", "c1"]


def single(x):
    """Numbers of float32, in float64."""
    return None if x is None else np.asarray(np.float32(x), float)


def shifted(name: str, softness: float, spread: float):
    """A program of scores of 1e6, and the scores that are left in units of softness."""
    (program,) = pick(SMALL, name)
    given: dict[str, Any] = {k: single(v) for k, v in program.constraints.items()}
    rng = inputs.rng("shifted", name)
    multipliers = 1e6 * rng.normal(size=len(given["A"]))
    taken = given["A"].T @ multipliers
    z: Any = single(taken + softness * spread * program.z)
    exact = z.astype(np.longdouble) - given["A"].T.astype(np.longdouble) @ multipliers
    return Program(name, z, **given), np.asarray(exact / softness, float)


@each("mode", MODES, fast=("c0",))
@each("name", ["mixed", "grid"], fast=())
@each("softness", [1e3, 1.0])
def test_values(softness, name, mode):
    program, left = shifted(name, softness, 2.0)
    out = solved(program, mode, softness)
    with jax.enable_x64(True):
        expected = oracles.linear_program_oracle(
            mode, left, softness=1.0, **program.constraints
        )
    assert out["value"].dtype == np.float32
    assert out["converged"]
    assert_close(out["value"], expected, atol=1e-5)


@pytest.mark.slow
@each("mode", MODES)
@each("softness", [1e3, 1.0, 1e-3])
def test_ties(softness, mode):
    """All paths are of the same length, at any softness."""
    (program,) = pick(SMALL, "grid")
    tied = program._replace(z=np.full_like(program.z, -1e6))
    out = solved(tied, mode, softness)
    zeros = np.zeros_like(program.z)
    expected = oracles.linear_program_oracle(
        mode, zeros, softness=1.0, **program.constraints
    )
    assert out["converged"]
    assert_close(out["value"], expected, atol=1e-5)


@pytest.mark.slow
@each("mode", ["c0", "c1"])
@each("program", LARGE)
def test_vertices(program, mode):
    """At a softness of 1e-3, the vertex that the simplex method finds."""
    # Right-hand sides that fit in float32 are those of float64 up to rounding.
    large = program._replace(z=single(1e6 * program.z))
    out = solved(large, mode, 1e-3)
    expected = oracles.vertex_oracle(large.z, **large.constraints)
    assert out["converged"]
    assert_close(out["value"], expected, atol=1e-5 * np.max(expected))


@pytest.mark.slow
@each("mode", MODES)
@each("softness", [1e3, 1.0])
@each("name", ["mixed", "grid"])
def test_derivatives(name, softness, mode):
    """In scores and softness, those of the scores that are left."""
    program, left = shifted(name, softness, 2.0)
    weights = inputs.rng("weights", name).normal(size=left.size)
    given = {k: x for k, x in program.constraints.items() if x is not None}
    A, b = given.pop("A"), given.pop("b")

    def gradient(z, softness):
        def total(z, softness):
            y = solve(LinearProgram(z, A, b, softness, **given), mode).value
            return jnp.sum(weights * y)

        return jax.jit(jax.grad(total, (0, 1)))(z, softness)

    of_z, of_softness = gradient(jnp.asarray(program.z), jnp.asarray(softness))
    with jax.enable_x64(True):
        expected, _ = gradient(jnp.asarray(left), jnp.asarray(1.0))
        expected = np.asarray(expected)
    assert of_z.dtype == np.float32
    scale = np.max(np.abs(expected))
    assert_close(softness * of_z / scale, expected / scale, atol=1e-4)
    along = -expected @ left
    assert_close(softness * of_softness / scale, along / scale, atol=1e-4)


@pytest.mark.slow
@each("kind", ["incidence", "sparse", "batch"])
def test_matrices(kind):
    """Sparse matrices and batches know as many digits."""
    from jax.experimental.sparse import BCOO

    program, left = shifted("grid", 1.0, 2.0)
    dense = np.asarray(program.A, np.float32)
    matrix = {
        "incidence": lambda: Incidence(
            np.argmax(dense, axis=0), np.argmin(dense, axis=0), len(dense)
        ),
        "sparse": lambda: BCOO.fromdense(jnp.asarray(dense)),
        "batch": lambda: jnp.stack([dense, 2 * dense]),
    }[kind]()
    sides = program.b * np.array([[1.0], [2.0]] if kind == "batch" else 1.0)

    @jax.jit
    def compute(z, sides):
        found = solve(LinearProgram(z, matrix, sides, 1.0), "c0")
        return found.value, found.converged

    y, converged = compute(np.float32(np.stack([program.z] * 2)), np.float32(sides))
    expected = oracles.linear_program_oracle(
        "c0", left, softness=1.0, A=program.A, b=program.b
    )
    assert np.all(converged)
    assert_close(y, np.stack([expected] * 2), atol=1e-5)
