"""Solutions inside faces of many dimensions, and of large scores that tie."""

import functools

import inputs
import jax
import jax.numpy as jnp
import numpy as np
import oracles
import pytest
from assertions import assert_close
from jax.flatten_util import ravel_pytree
from parametrize import each, pick
from polytopes import POLYTOPES

import softjax.structured as st
from softjax.solvers import ActiveSet, OracleProjection, Primal, evaluate, solve


def chain_tangents(times: int, states: int) -> np.ndarray:
    """An orthonormal basis of the moves of marginals of a chain, as rows.

    They keep the sums of each time, and those of transitions are moves of states.
    """
    unary = np.arange(times * states).reshape(times, states)
    pairs = times * states + np.arange((times - 1) * states**2)
    pairs = pairs.reshape(times - 1, states, states)
    rows = []
    for t in range(times):
        row = np.zeros(times * states + pairs.size)
        row[unary[t]] = 1
        rows.append(row)
    for t in range(times - 1):
        for s in range(states):
            for ends, there in ((pairs[t, s], t), (pairs[t, :, s], t + 1)):
                row = np.zeros(times * states + pairs.size)
                row[ends], row[unary[there, s]] = 1, -1
                rows.append(row)
    _, sizes, basis = np.linalg.svd(np.array(rows))
    return basis[np.sum(sizes > 1e-9) :]


def chain_at_zero(times, states, mode, faces=None):
    """Marginals of a chain without scores, how they move, and whether that is all."""
    z = jnp.zeros((times, states)), jnp.zeros((times - 1, states, states))
    rng = inputs.rng("face", times)
    move = jax.tree.map(lambda x: jnp.asarray(rng.normal(size=x.shape), x.dtype), z)

    @jax.jit
    def compute(z, move):
        def problem(z):
            return OracleProjection(z, 0.5, st.Chain().oracle)

        def marginals(z):
            return evaluate(problem(z), mode, Primal(), ActiveSet(faces=faces))

        found = solve(problem(z), mode, ActiveSet(faces=faces))
        spanned = found.problem.spanned(found.dual, found.regularizer)
        (mu, mu_move) = jax.jvp(marginals, (z,), (move,))
        return mu, mu_move, spanned, found.converged

    mu, mu_move, spanned, converged = compute(z, move)
    assert converged
    return [np.asarray(ravel_pytree(x)[0], float) for x in (mu, mu_move, move)], spanned


@pytest.mark.slow
@pytest.mark.parametrize(
    ("times", "states", "mode"), [(3, 2, "c0"), (10, 4, "c0"), (10, 4, "c1")]
)
def test_every_dimension_of_a_face(times, states, mode):
    """5 dimensions, and 111: more than there are places for vertices."""
    (mu, mu_move, move), spanned = chain_at_zero(times, states, mode)
    expected = [np.full(times * states, 1 / states)]
    expected.append(np.full((times - 1) * states**2, states**-2.0))
    expected = np.concatenate(expected)
    tangents = chain_tangents(times, states)
    power = {"c0": 2.0, "c1": 1.5}[mode]
    bend = (power - 1) * expected ** (power - 2)
    inner = np.linalg.solve((tangents * bend) @ tangents.T, tangents @ move)
    assert spanned
    assert_close(mu, expected, atol=1e-6)
    assert_close(mu_move, tangents.T @ inner / 0.5, atol=2e-5)


@pytest.mark.slow
def test_a_face_that_is_not_spanned_says_so():
    (_, mu_move, move), spanned = chain_at_zero(3, 2, "c0", faces=1)
    tangents = chain_tangents(3, 2)
    assert not spanned
    assert np.max(np.abs(mu_move - tangents.T @ (tangents @ move) / 0.5)) > 1e-2


@each("name", ["paths", "chain", "trees", "loads"], fast=())
def test_large_scores_that_tie(name):
    """Beside scores of 1e6 times the softness its effect is lost, but nothing else."""
    (polytope,) = pick(POLYTOPES, name)
    shapes, unravel = ravel_pytree(polytope.scores)
    rng = inputs.rng("large ties", name)
    z = 1e6 * rng.integers(0, 3, size=(6, len(shapes)))
    z[0] = 1e6

    @jax.jit
    @jax.vmap
    def compute(z):
        def solution(z):
            problem = OracleProjection(unravel(z), 1.0, polytope.oracle)
            return solve(problem, "c0")

        def total(z):
            return jnp.sum(jnp.cos(ravel_pytree(solution(z).value)[0]))

        found = solution(z)
        y = ravel_pytree(found.value)[0]
        return y, found.converged, jax.grad(total)(z)

    y, converged, slope = compute(jnp.asarray(z, jnp.float32))
    assert np.all(np.isfinite(slope))
    assert np.all(converged)
    for scores, mu in zip(z, np.asarray(y, float), strict=True):
        assert oracles.distance_to_hull(polytope.vertices, mu) < 1e-5
        totals = polytope.vertices @ scores
        # Converged is up to the rounding of scores, which leaves best vertices alone.
        assert np.max(totals) - mu @ scores <= 128 * 1.2e-7 * (np.abs(scores) @ mu)
        best = polytope.vertices[totals == np.max(totals)]
        assert oracles.distance_to_hull(best, mu) < 1e-5


@pytest.mark.slow
@each("mode", ["c0", "c1"])
def test_steps_of_a_chain(mode):
    """Two paths a step, up to those that lose their weight again."""
    rng = inputs.rng("chain", "steps")
    unary, pairs = rng.normal(size=(8, 20, 5)), rng.normal(size=(8, 19, 5, 5))

    @jax.jit
    @jax.vmap
    def compute(*z):
        found = solve(OracleProjection(z, 1.0, st.Chain().oracle), mode)
        return found.steps, jnp.sum(found.dual.weights > 0), found.converged

    z = jnp.asarray(unary, jnp.float32), jnp.asarray(pairs, jnp.float32)
    steps, atoms, converged = compute(*z)
    if mode == "c0":
        assert np.all(converged)
        assert np.sum(steps) < np.sum(atoms)
    else:
        assert np.sum(steps) < 3 * np.sum(atoms)


@pytest.mark.slow
@each("offset", [0.0, 10.0, 100.0])
def test_conditional_gradients_know_how_far_they_are(offset):
    """Where they have converged, the distance is as small as they say.

    What all scores share is of no use, but makes gaps smaller in proportion.
    """
    (polytope,) = pick(POLYTOPES, "trees")
    z = offset + inputs.rng("honest").normal(size=(64, 6))

    @functools.partial(jax.jit, static_argnums=1)
    def compute(z, solver):
        def one(z):
            return solve(OracleProjection(z, 1.0, polytope.oracle), "c0", solver)

        found = jax.vmap(one)(z)
        return jax.vmap(lambda f: f.value)(found), found.converged

    y, converged = compute(jnp.asarray(z, jnp.float32), "frank_wolfe")
    with jax.enable_x64(True):
        expected, exact = compute(jnp.asarray(z), "active_set")
        expected = np.asarray(expected)
    assert np.all(exact)
    for scores, mu in zip(z, expected, strict=True):
        slack = polytope.vertices @ (scores - mu)
        assert np.max(slack) - mu @ (scores - mu) < 1e-11
    error = np.linalg.norm(np.asarray(y) - expected, axis=1)
    assert np.all(error[np.asarray(converged)] <= 4 * np.sqrt(1.2e-7))
    if offset == 0:
        assert np.all(converged)
