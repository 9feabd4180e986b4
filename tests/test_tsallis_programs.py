"""Permutahedra and transport by Tsallis entropies: steep links, and next to 1."""

import inputs
import jax
import jax.numpy as jnp
import numpy as np
import oracles
import pytest
from assertions import assert_close
from oracles import tsallis_link
from parametrize import each

import softjax as sj
from softjax.solvers import Tsallis

X = inputs.rng("tsallis").normal(size=(5, 6)).astype(np.float32)
EPS = np.finfo(np.float32).eps


@each("alpha", [1 + 1e-5, 1.001, 1.1, 1.5, 3.0, 5.0, 10.0], fast=())
def test_values_in_float32(alpha):
    """As by an oracle and in float64, next to 0 too, and of numbers in any unit."""

    @jax.jit
    def run(x, softness):
        keywords = dict(mode=Tsallis(alpha), method="fast_soft_sort", softness=softness)
        return sj.sort(x, **keywords, descending=True), sj.rank(x, **keywords)

    # Next to 1, the link of negative numbers is that of dual numbers as large as this.
    atol = 5e-6 + EPS / (alpha - 1)
    for softness in np.float32([0.05, 0.5, 5.0]):
        values, ranks = run(X, softness)
        if alpha > 1.01:  # closer to 1, the oracle loses digits too
            exact = by_oracle(alpha, X.astype(np.float64), float(softness))
            # Which finds duals to 1e-12, for 10 the ninth power of y.
            wide = 2e-4 if alpha == 10 else atol
            assert_close(values, exact[0], atol=wide)
            assert_close(ranks, exact[1], atol=wide)
        with jax.enable_x64(True):
            exact = run(X.astype(np.float64), np.float64(softness))
        assert_close(values, exact[0], atol=atol)
        assert_close(ranks, exact[1], atol=5e-6)
        scaled, same = run(7 * X, 7 * softness)
        assert_close(scaled / 7, values, atol=atol)
        assert_close(same, ranks, atol=1e-5 / softness)


def test_a_value_next_to_zero():
    """By a link that is a ninth root, where it is lost in a dual number."""
    keywords = dict(mode=Tsallis(10.0), method="fast_soft_sort", softness=5.0)
    values = sj.sort(X, **keywords, descending=True)
    exact, _ = by_oracle(10.0, X.astype(np.float64), 5.0)
    assert_close(values, exact, atol=2e-4)
    # Of one block or several, as the elements.
    assert_close(np.sum(values, axis=-1), np.sum(X, axis=-1), atol=2e-6)


def by_oracle(alpha, x, softness):
    unit, link = np.std(x, axis=-1, keepdims=True), tsallis_link(alpha)
    edge = -1 / (alpha * (alpha - 1))
    anchors, places = np.linspace(1, 0, 6), np.arange(1, 7) / 5
    anchors, places = (np.broadcast_to(a, x.shape) for a in (anchors, places))
    values = oracles.permutahedron_oracle(
        anchors, x / unit, softness / unit, link, edge
    )
    ranks = oracles.permutahedron_oracle(-x, places, softness, link, edge)
    return unit * values, 5 * ranks


@pytest.mark.slow
@pytest.mark.parametrize("alpha", [3.0, 10.0])
@pytest.mark.parametrize("traced", [False, True])
def test_gradients_in_float32(alpha, traced):
    """As in float64, and finite: in x, the softness and an exponent that is traced."""
    weights = np.cos(np.arange(6.0))

    @jax.jit
    def run(x, softness, exponent):
        def outputs(x, softness, exponent):
            mode = Tsallis(exponent if traced else alpha)
            keywords = dict(mode=mode, softness=softness, method="fast_soft_sort")
            return sj.sort(x, **keywords), sj.rank(x, **keywords)

        found, pull = jax.vjp(outputs, x, softness, exponent)
        cotangent = jnp.broadcast_to(weights.astype(x.dtype), x.shape)
        return *found, *pull((cotangent, cotangent))

    for softness in np.float32([0.5, 5.0]):
        found = run(X, softness, np.float32(alpha))
        with jax.enable_x64(True):
            exact = run(X.astype(np.float64), np.float64(softness), np.float64(alpha))
        for actual, truth in zip(found, exact, strict=True):
            scale = 1 + np.max(np.abs(truth))
            assert_close(np.asarray(actual) / scale, truth / scale, atol=5e-6)


@pytest.mark.slow
def test_gradients_of_transport_in_float32():
    """As in float64 where no entry is lost in what dual numbers are rounded by."""
    x = inputs.rng("plans").normal(size=(300, 4)).astype(np.float32)
    weights = np.cos(np.arange(4.0))

    @jax.jit
    def run(x):
        def total(x):
            plan = sj.argsort(x, mode=Tsallis(3.0), method="ot", softness=1.0)
            values = jnp.sum(plan * x[:, None, :], axis=-1)
            return jnp.sum(values * weights.astype(x.dtype)), plan

        return jax.grad(total, has_aux=True)(x)

    gradient, _ = run(x)
    with jax.enable_x64(True):
        exact, plan = map(np.asarray, run(x.astype(np.float64)))
    lost = np.any((plan > 0) & (plan < 4 * np.sqrt(16 * 2 * EPS)), axis=(-1, -2))
    assert np.sum(~lost) > 250
    assert_close(np.asarray(gradient)[~lost], exact[~lost], atol=1e-2)
