"""Losses of decisions, against all decisions."""

import functools

import inputs
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from assertions import assert_close
from parametrize import each
from structures import SETS, flat

import softjax as sj
import softjax.structured as st

FAST = "knapsack", "wide_matching"


@each("case", SETS, fast=FAST)
def test_spo_plus_is_its_formula(case):
    """A bound of the regret, convex, 0 for true costs; the gradient is a difference
    of decisions."""
    structures = case.enumerate()
    loss = jax.jit(
        jax.value_and_grad(
            lambda costs, target: sj.losses.spo_plus(costs, target, case.structure)
        )
    )
    target = case.scores("target")
    c = flat(target)
    best = structures[np.argmin(structures @ c)]
    for seed in range(3):
        costs = case.scores("costs", seed)
        value, gradient = loss(costs, target)
        p = flat(costs)
        expected = np.max(structures @ (c - 2 * p)) + (2 * p - c) @ best
        assert_close(np.float32(value), np.float32(expected), atol=1e-5)
        other = structures[np.argmin(structures @ (2 * p - c))]
        assert_close(flat(gradient), 2 * np.float32(best - other))
        regret = c @ structures[np.argmin(structures @ p)] - c @ best
        assert value >= regret - 1e-5
    value, gradient = loss(target, target)
    assert_close(value, np.float32(0), atol=1e-6)
    assert not np.any(flat(gradient))


def test_spo_plus_takes_batches_pytrees_and_callbacks():
    chain = st.Chain()
    rng = inputs.rng("chains")
    costs = rng.normal(size=(2, 3, 2)), rng.normal(size=(2, 2, 2, 2))
    loss = jax.vmap(lambda costs: sj.losses.spo_plus(costs, costs, chain))(costs)
    assert_close(loss, np.zeros(2, np.float32))

    def cheapest(scores):
        like = jax.ShapeDtypeStruct(scores.shape, scores.dtype)
        return jax.pure_callback(lambda z: (z == z.max()).astype(z.dtype), like, scores)

    costs, target = jnp.array([1.0, 2.0, 3.0]), jnp.array([2.0, 1.0, 3.0])
    value = sj.losses.spo_plus(costs, target, st.Oracle(cheapest))
    assert_close(value, np.float32(3))


@pytest.mark.slow
def test_padding_may_be_anything():
    """Losses, lists, sets and noise are those of the shorter chain."""
    long, short = st.Chain(lengths=2), st.Chain()
    rng = inputs.rng("padding")
    unary = jnp.asarray(rng.normal(size=(3, 2)), jnp.float32)
    pairs = jnp.asarray(rng.normal(size=(2, 2, 2)), jnp.float32)
    padded = unary.at[2].set(jnp.nan), pairs.at[1].set(jnp.nan)
    cut = unary[:2], pairs[:1]

    @functools.partial(jax.jit, static_argnums=0)
    def find(length, scores):
        structure = long if length else short
        doubled = jax.tree.map(lambda z: 2 * z, scores)
        method = st.Perturbed(jax.random.key(0), 2000)
        best = st.top_k(structure, scores, 2, mode="c0", softness=0.5)
        return (
            sj.losses.spo_plus(doubled, scores, structure),
            best.values,
            best.structures[0][:, :2],
            st.mean_of_k(structure, scores, 2, softness=0.5)[0][:2],
        ), st.argmax(structure, scores, softness=0.5, method=method)[0][:2]

    (exact, noisy), (expected, other) = find(True, padded), find(False, cut)
    for x, y in zip(exact, expected, strict=True):
        assert_close(x, np.array(y))
    assert_close(noisy, np.array(other), atol=0.1)  # of other noise


def test_spo_plus_names_what_does_not_fit():
    with pytest.raises(TypeError, match=r"structure must be .*Oracle"):
        sj.losses.spo_plus(np.zeros(3), np.zeros(3), max)
    with pytest.raises(ValueError, match="target_costs must have the shapes of costs"):
        sj.losses.spo_plus(np.zeros(3), np.zeros(2), st.KSubset(1))
    with pytest.raises(ValueError, match="SpanningTree: scores must have shape"):
        sj.losses.spo_plus(np.zeros(2), np.zeros(2), st.SpanningTree(3))


def test_half_precision_is_returned():
    costs = jnp.zeros(3, jnp.float16)
    assert sj.losses.spo_plus(costs, costs, st.KSubset(1)).dtype == jnp.float16
