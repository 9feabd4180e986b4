"""Global regularization against programs over the weights of all structures."""

import functools
from typing import Any

import inputs
import jax
import jax.numpy as jnp
import numpy as np
import oracles
import pytest
from assertions import assert_close, finite_difference
from parametrize import each, pick
from structures import LENGTHS, STRUCTURES, assert_padded, flat, short_and_padded

import softjax.structured as st

SOFTNESS = 0.8


@functools.partial(jax.jit, static_argnums=(0, 1))
def _found(case, mode, z, target, move, softness):
    given: Any = dict(softness=softness, mode=mode, method="marginals")

    def marginals(z):
        return st.argmax(case.structure, z, **given)

    value, gradient = jax.value_and_grad(
        lambda z: st.value(case.structure, z, **given)
    )(z)
    mu, mu_move = jax.jvp(marginals, (z,), (move,))
    loss, loss_gradient = jax.value_and_grad(
        lambda z: st.fenchel_young_loss(case.structure, z, target, **given)
    )(z)
    none = st.fenchel_young_loss(case.structure, z, mu, **given)
    entropy = st.entropy(case.structure, z, **given)
    return value, gradient, mu, mu_move, loss, loss_gradient, none, entropy


@pytest.mark.slow
@each("mode", ["c0", "c1"])
@each("case", STRUCTURES)
def test_best_point_of_the_hull(case, mode, x64):
    structures = case.enumerate()
    z, move = case.scores("hull"), case.scores("move")
    target = jax.tree.map(jnp.asarray, st.argmax(case.structure, move, mode="hard"))
    softness = jnp.asarray(SOFTNESS)
    found = _found(case, mode, z, target, move, softness)
    value, gradient, mu, mu_move, loss, loss_gradient, none, entropy = found
    expected = oracles.hull_projection(structures, flat(z), SOFTNESS, mode)
    assert_close(flat(mu), expected, atol=1e-5)
    omega = np.sum(oracles.PRIMAL[mode](expected))
    best = flat(z) @ expected - SOFTNESS * omega
    assert_close(value, best, atol=1e-6)
    assert_close(flat(gradient), flat(mu), atol=1e-10)
    assert_close(entropy, -omega, atol=1e-5)
    of_target = np.sum(oracles.PRIMAL[mode](flat(target)))
    least = best - (flat(z) @ flat(target) - SOFTNESS * of_target)
    assert_close(loss, least, atol=1e-6)
    assert_close(flat(loss_gradient), expected - flat(target), atol=1e-5)
    assert_close(none, 0.0, atol=1e-9)

    def moved(*leaves):
        z = jax.tree.unflatten(jax.tree.structure(move), leaves)
        return flat(_found(case, mode, z, target, move, softness)[2])

    leaves = tuple(jax.tree.leaves(z)), tuple(jax.tree.leaves(move))
    assert_close(flat(mu_move), finite_difference(moved, *leaves), atol=1e-4)


@pytest.mark.parametrize("filler", [7.0, np.nan], ids=["number", "nan"])
@pytest.mark.parametrize(
    ("name", "mode"),
    [
        pytest.param(name, mode, marks=pytest.mark.slow)
        for name in LENGTHS
        for mode in ("c0", "c1")
    ],
)
def test_lengths_are_exact(name, mode, filler):
    """To the last bit for squares, of which all sums are exact; else to rounding."""
    make, lengths, short, padded = short_and_padded(name, mode, filler)
    given: Any = dict(softness=0.7, mode=mode, method="marginals")

    @jax.jit
    def both(lengths, short, padded):
        def found(structure, z):
            value, slope = jax.value_and_grad(st.value, 1)(structure, z, **given)

            def marginals(z):
                return st.argmax(structure, z, **given)

            mu, move = jax.jvp(marginals, (z,), (slope,))
            return (value, mu, slope, st.entropy(structure, z, **given)), move

        return found(make(None), short), found(make(lengths), padded)

    (one, one_move), (other, other_move) = both(lengths, short, padded)
    close = functools.partial(assert_close, atol=3e-6)
    assert_padded(other, one, np.testing.assert_array_equal if mode == "c0" else close)
    assert_padded(other_move, one_move, functools.partial(assert_close, atol=1e-4))


@pytest.mark.slow
def test_what_is_forbidden():
    """Scores of -1e30 leave the others alone, in float32."""
    (case,) = pick(STRUCTURES, "chain")
    unary, pairs = case.scores("forbidden", dtype=np.float32)
    allowed = inputs.rng("allowed").uniform(size=pairs.shape) > 0.3
    z = unary, np.where(allowed, pairs, np.float32(st.ABSENT))

    @jax.jit
    def compute(z):
        def value(z):
            return st.value(
                case.structure, z, softness=0.8, mode="c0", method="marginals"
            )

        return jax.value_and_grad(value)(z)

    value, mu = compute(z)
    structures = case.enumerate()
    parts = np.concatenate([np.ones(unary.size, bool), allowed.ravel()])
    structures = structures[~np.any(structures[:, ~parts] > 0, axis=1)]
    z = np.where(parts, flat((unary, pairs)), 0).astype(float)
    expected = oracles.hull_projection(structures, z, 0.8, "c0")
    assert len(structures) > 3
    assert_close(flat(mu), expected, atol=1e-5)
    assert_close(value, z @ expected - 0.4 * np.sum(expected**2), atol=1e-5)


def test_solver_belongs_to_marginals():
    z = jnp.array([[0.0, 0.2, 0.9], [0.1, 0.5, 0.3]])
    given: Any = dict(softness=1.0, mode="c0")
    first = st.argmax(st.GridPath(), z, solver="active_set", **given)
    second = st.argmax(st.GridPath(), z, solver="frank_wolfe", **given)
    assert_close(first, second, atol=1e-3)
    with pytest.raises(TypeError, match="newton"):
        st.argmax(st.GridPath(), z, solver="newton", **given)
