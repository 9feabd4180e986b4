"""Dynamic programs against all of their structures, and recursions in NumPy."""

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
from structures import PROGRAMS, flat

import softjax.structured as st

SOFTNESS = 0.6
FAST = "chain", "labelled_segments", "banded_alignment"


@functools.partial(jax.jit, static_argnums=0)
def _soft(case, z, move, softness, mode="smooth"):
    """Value, marginals and how they move, entropy and how the value moves."""
    program = case.structure
    keywords: Any = dict(mode=mode, method="recursion")

    def found(z, softness):
        def value(z, softness):
            return st.value(program, z, softness=softness, **keywords)

        return jax.value_and_grad(value, (0, 1))(z, softness)

    (value, (mu, slope)), (value_move, (mu_move, _)) = jax.jvp(
        found, (z, softness), (move, jnp.zeros_like(softness))
    )
    direct = st.argmax(program, z, softness=softness, **keywords)
    entropy = st.entropy(program, z, softness=softness, **keywords)
    return value, mu, direct, mu_move, value_move, slope, entropy


@functools.partial(jax.jit, static_argnums=(0, 2))
def _hard(case, z, k):
    program = case.structure
    value = st.value(program, z, mode="hard")
    return value, st.argmax(program, z, mode="hard"), program.k_best(z, k)


def _in_x64(case, *seed):
    z, move = case.scores(*seed), case.scores("move")
    return z, move, jnp.asarray(SOFTNESS)


@each("case", PROGRAMS, fast=FAST)
def test_entropy_is_the_gibbs_distribution(case, x64):
    z, move, softness = _in_x64(case, 0)
    value, mu, direct, mu_move, value_move, slope, entropy = _soft(
        case, z, move, softness
    )
    structures = case.enumerate()
    p = oracles.gibbs(structures, flat(z), SOFTNESS)
    mean = p @ structures
    scores = structures @ flat(z)
    expected = SOFTNESS * np.log(np.sum(np.exp(scores / SOFTNESS)))
    centered = structures - mean
    covariance = centered.T @ (p[:, None] * centered)
    shannon = -np.sum(p * np.log(p))
    assert_close(value, expected)
    assert_close(flat(mu), mean)
    assert_close(flat(direct), mean)
    assert_close(flat(mu_move), covariance @ flat(move) / SOFTNESS)
    assert_close(value_move, mean @ flat(move))
    assert_close(entropy, shannon)
    assert_close(slope, shannon)
    assert_close(entropy, (expected - mean @ flat(z)) / SOFTNESS)


@each("case", PROGRAMS, fast=FAST)
def test_hard_and_the_k_best(case, x64):
    k = 7
    z, _, _ = _in_x64(case, 1)
    value, best, ranked = _hard(case, z, k)
    structures = case.enumerate()
    scores = structures @ flat(z)
    order = np.argsort(-scores)[:k]
    assert_close(value, scores.max())
    np.testing.assert_array_equal(flat(best), structures[order[0]])
    assert_close(ranked.values, scores[order])
    rows = [flat(jax.tree.map(lambda v: v[i], ranked.structures)) for i in range(k)]  # noqa: B023
    np.testing.assert_array_equal(rows, structures[order])


@pytest.mark.slow
@each("case", PROGRAMS)
def test_more_than_there_are(case, x64):
    structures = case.enumerate()
    z, _, _ = _in_x64(case, 2)
    k = len(structures) + 2
    ranked = case.structure.k_best(z, k)
    assert_close(ranked.values[:-2], np.sort(structures @ flat(z))[::-1])
    np.testing.assert_array_equal(ranked.values[-2:], st.ABSENT)
    rows = np.concatenate(
        [np.reshape(v, (k, -1)) for v in jax.tree.leaves(ranked.structures)], axis=1
    )
    np.testing.assert_array_equal(
        np.unique(rows[:-2], axis=0), np.unique(structures, axis=0)
    )
    assert not rows[-2:].any()


def _reference(case, mode):
    maximum = oracles.regularized_maximum(mode, SOFTNESS)
    return lambda z: case.recursion(z, maximum)


PAIRS = [
    pytest.param(
        case,
        mode,
        id=f"{case.name}-{mode}",
        marks=[] if (case.name, mode) in fast else [pytest.mark.slow],
    )
    for fast in [{("chain", "c0"), ("alignment", "c1"), ("graph_path", "c0")}]
    for mode in ("smooth", "c0", "c1", "c2")
    for case in PROGRAMS
    if case.recursion is not None
]


@pytest.mark.parametrize(("case", "mode"), PAIRS)
def test_recursion_of_local_maxima(case, mode, x64):
    z, move, softness = _in_x64(case, 3)
    program = functools.partial(_soft, case, mode=mode)
    program = jax.jit(_soft.__wrapped__, static_argnums=(0, 4))
    value, mu, direct, mu_move, value_move, slope, entropy = program(
        case, z, move, softness, mode
    )
    reference = _reference(case, mode)
    assert_close(value, reference(flat(z)), atol=1e-9)
    direction = inputs.rng("direction", case.name).normal(size=flat(z).shape)
    moved = finite_difference(reference, (flat(z),), (direction,))
    assert_close(flat(mu) @ direction, moved, atol=1e-6)
    assert_close(flat(direct), flat(mu))
    assert_close(value_move, flat(mu) @ flat(move))

    def marginals(*parts):
        tree = jax.tree.unflatten(jax.tree.structure(z), parts)
        return flat(program(case, tree, move, softness, mode)[1])

    leaves = tuple(jax.tree.leaves(z)), tuple(jax.tree.leaves(move))
    assert_close(flat(mu_move), finite_difference(marginals, *leaves), atol=1e-6)

    assert_close(entropy, (value - flat(mu) @ flat(z)) / SOFTNESS)
    assert_close(entropy, slope)


@pytest.mark.slow
@each("mode", ["smooth", "c1"])
def test_third_derivatives(mode, x64):
    """Against differences of second ones; those of the entropy are cumulants too."""
    (case,) = pick(PROGRAMS, "chain")
    z, first, second = (case.scores(name) for name in ("third", "move", "other"))

    def value(z):
        return st.value(
            case.structure, z, softness=SOFTNESS, mode=mode, method="recursion"
        )

    def along(fn, move):
        return lambda z: jax.jvp(fn, (z,), (move,))[1]

    hessian = jax.jit(along(jax.grad(value), first))
    forward = jax.jit(along(along(jax.grad(value), first), second))
    reverse = jax.jit(jax.grad(along(along(value, first), second)))

    def moved(*leaves):
        return flat(hessian(jax.tree.unflatten(jax.tree.structure(z), leaves)))

    leaves = tuple(jax.tree.leaves(z)), tuple(jax.tree.leaves(second))
    expected = finite_difference(moved, *leaves)
    assert np.max(np.abs(expected)) > 1e-2
    assert_close(flat(forward(z)), expected, atol=1e-6)
    assert_close(flat(reverse(z)), expected, atol=1e-6)
    if mode == "smooth":
        structures = case.enumerate()
        p = oracles.gibbs(structures, flat(z), SOFTNESS)
        centered = structures - p @ structures
        weights = p * (centered @ flat(first)) * (centered @ flat(second))
        assert_close(flat(forward(z)), centered.T @ weights / SOFTNESS**2)
