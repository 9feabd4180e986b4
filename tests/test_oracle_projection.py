"""Projections onto the hull of an oracle's answers, against all vertices."""

import functools

import inputs
import jax
import jax.numpy as jnp
import numpy as np
import oracles
import pytest
from assertions import assert_close, finite_difference
from cases import Shifted
from jax.flatten_util import ravel_pytree
from parametrize import pick
from polytopes import POLYTOPES, matching, simplex, transport, two_of

import softjax as sj
from softjax.solvers import ActiveSet, OracleProjection, Primal, evaluate

REGULARIZERS = {
    **{mode: (mode, oracles.PRIMAL[mode]) for mode in ("smooth", "c0", "c1", "c2")},
    # The integral of log(1 + y).
    "user": (Shifted(), lambda y: (1 + y) * np.log1p(y) - y),
}


def flat_function(polytope, mode, solver=None):
    """A function of z and softness as vectors: the solution, and readouts of it."""
    _, unravel = ravel_pytree(polytope.scores)

    def problem(z, softness):
        return OracleProjection(unravel(z), softness, polytope.oracle)

    def fn(z, softness):
        found = sj.solvers.solve(problem(z, softness), mode, solver)
        y, _ = ravel_pytree(found.value)
        values = jax.tree.map(jnp.cos, unravel(z))
        best = sj.solvers.optimal_value(problem(z, softness), mode, solver)
        return dict(y=y, mean=found.expectation(values), best=best), found

    return fn


def _swapped(fn, direction, *args):
    return fn(*args, *direction)


@pytest.mark.parametrize(
    ("polytope", "name"),
    [
        pytest.param(
            polytope,
            name,
            id=f"{polytope.name}-{name}",
            marks=pytest.mark.slow,
        )
        for polytope in POLYTOPES
        for name in REGULARIZERS
    ],
)
def test_it_is_the_maximum_and_moves_along(polytope, name, x64):
    """Values by general optimization, derivatives by finite differences."""
    mode, r = REGULARIZERS[name]
    fn = flat_function(polytope, mode)
    rng = inputs.rng("oracle", polytope.name)
    size = polytope.vertices.shape[1]
    weights = jnp.asarray(rng.normal(size=size))

    def total(z, softness):
        out, _ = fn(z, softness)
        return weights @ out["y"] + jnp.sin(out["mean"]) + out["best"]

    @jax.jit
    def derivatives(z, softness, *direction):
        args = z, softness
        gradient = jax.grad(total, (0, 1))
        out, found = fn(*args)
        first, second = jax.jvp(gradient, args, direction)
        return dict(
            out=out,
            report=(found.residual, found.converged),
            jvp=jax.jvp(lambda *args: fn(*args)[0], args, direction)[1],
            gradient=first,
            second=second,
        )

    for softness in (1.0, 0.2):
        z = rng.normal(size=size)
        direction = rng.normal(size=size), rng.normal() * softness
        out = derivatives(z, softness, *direction)
        residual, converged = out["report"]
        assert converged
        assert residual < 1e-12
        y = np.asarray(out["out"]["y"])
        loss, best = oracles.hull_oracle(polytope.vertices, z / softness, r)
        assert oracles.distance_to_hull(polytope.vertices, y) < 1e-9
        assert loss(y) <= loss(best) + 1e-10
        assert_close(y, best, atol=1e-4)
        assert_close(out["out"]["mean"], y @ np.cos(z), atol=1e-12)
        assert_close(out["out"]["best"], -softness * loss(y), atol=1e-10)
        along = functools.partial(_swapped, derivatives, direction)
        # What is left of the gap, 1e-12, shows in differences of shorter steps.
        expected = finite_difference(along, (z, softness), direction, step=4e-4)
        for key, moved in expected["out"].items():
            assert_close(out["jvp"][key], moved, atol=1e-7)
        projected = sum(
            np.sum(g * d) for g, d in zip(out["gradient"], direction, strict=True)
        )
        jvp = out["jvp"]
        rate = weights @ jvp["y"] + np.cos(out["out"]["mean"]) * jvp["mean"]
        assert_close(projected, rate + jvp["best"], atol=1e-10)
        for found, moved in zip(out["second"], expected["gradient"], strict=True):
            assert_close(found, moved, atol=1e-5)


DEDICATED = {
    "simplex": (simplex, (6,), lambda z, t: sj.solvers.SimplexProjection(z, t)),
    "hypersimplex": (
        two_of,
        (6,),
        lambda z, t: sj.solvers.HypersimplexProjection(z, 2, t),
    ),
    "transport": (matching, (3, 3), transport),
}


@pytest.mark.parametrize(
    ("name", "mode"),
    [
        pytest.param("simplex", "smooth", marks=pytest.mark.slow),
        pytest.param("hypersimplex", "c1", marks=pytest.mark.slow),
        pytest.param("transport", "c0", marks=pytest.mark.slow),
        pytest.param("simplex", "c0", marks=pytest.mark.slow),
        pytest.param("simplex", "pseudohuber", marks=pytest.mark.slow),
        pytest.param("simplex", "cubic", marks=pytest.mark.slow),
        ("hypersimplex", "c0"),
        pytest.param("hypersimplex", "smooth", marks=pytest.mark.slow),
    ],
)
def test_dedicated_problems_agree(name, mode):
    """In float32; also where scores tie, and the solution is inside a face."""
    oracle, shape, dedicated = DEDICATED[name]
    rng = inputs.rng("dedicated", name)
    z = rng.normal(size=(4, *shape))
    z[1] = 0
    z[2] = np.round(z[2])
    softness = np.array([0.7, 1.0, 0.5, 3.0])

    def jacobian(make):
        def solution(z, softness):
            return evaluate(make(z, softness), mode, Primal())

        return jax.jit(
            jax.vmap(lambda *args: (solution(*args), jax.jacrev(solution)(*args)))
        )

    args = jnp.asarray(z, jnp.float32), jnp.asarray(softness, jnp.float32)
    out = jacobian(lambda z, t: OracleProjection(z, t, oracle))(*args)
    expected = jacobian(dedicated)(*args)
    assert_close(out[0], expected[0], atol=1e-5)
    assert_close(out[1], expected[1], atol=1e-4)


@pytest.mark.slow
def test_extreme_numbers():
    """Far apart, next to hard and next to constant; NaN stays where it is."""
    z = inputs.rng("extremes").normal(size=6)
    rows = np.stack([z, z, 1e6 * z, 1e6 * z, z, np.where(z > 0, np.nan, z)])
    softness = jnp.asarray([1e-3, 1e3, 1.0, 1e6, 1.0, 1.0])

    def gradient(make):
        def solution(z, softness):
            return sj.solvers.solve(make(z, softness), "c1")

        def total(z, softness):
            return jnp.sum(jnp.arange(6) * softness * solution(z, softness).value)

        @jax.jit
        @jax.vmap
        def compute(z, softness):
            found = solution(z, softness)
            return found.value, found.converged, jax.grad(total)(z, softness)

        return compute(jnp.asarray(rows, jnp.float32), softness)

    y, converged, slope = gradient(lambda *args: OracleProjection(*args, simplex))
    expected = gradient(lambda *args: sj.solvers.SimplexProjection(*args))
    assert np.all(np.isnan(y[5]))
    assert np.all(np.isnan(slope[5]))
    assert_close(converged, [True, True, True, True, True, False])
    assert_close(y[:5], expected[0][:5], atol=1e-5)
    assert_close(slope[:5], expected[2][:5], atol=1e-4)


def test_too_few_atoms_are_reported():
    (polytope,) = pick(POLYTOPES, "trees")
    z = inputs.rng("few").normal(size=6)

    @functools.partial(jax.jit, static_argnums=1)
    def report(z, solver):
        out, found = flat_function(polytope, "c0", solver)(z, 3.0)
        return out["y"], found.converged, found.residual

    y, converged, residual = report(z, ActiveSet(max_atoms=2))
    assert np.all(np.isfinite(y))
    assert not converged
    assert residual > 0.01
    y, converged, _ = report(z, ActiveSet(max_steps=2))
    assert np.all(np.isfinite(y))
    assert not converged


@pytest.mark.slow
def test_conditional_gradients():
    """FrankWolfe agrees, less accurately; a face takes part in derivatives too."""
    (polytope,) = pick(POLYTOPES, "trees")
    z = np.stack([inputs.rng("pairwise").normal(size=6), np.zeros(6)])

    def solution(solver):
        def y(z):
            out, found = flat_function(polytope, "c0", solver)(z, 1.0)
            return out["y"], found.converged

        jacobian = jax.jacrev(y, has_aux=True)
        return jax.jit(jax.vmap(lambda z: (y(z), jacobian(z)[0])))(z)

    (y, converged), moves = solution("frank_wolfe")
    (expected, _), expected_moves = solution(ActiveSet())
    assert np.all(converged)
    assert_close(y, expected, atol=1e-4)
    assert_close(moves, expected_moves, atol=1e-4)
    # Of trees with equal scores, all edges are equally likely; they move apart.
    assert_close(expected[1], np.full(6, 0.5), atol=1e-6)
    assert_close(expected_moves[1], np.eye(6) - 1 / 6, atol=1e-5)
