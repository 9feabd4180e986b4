"""The top-k mask by either method: axes, k, hard masks, absent candidates, errors."""

import functools

import inputs
import jax
import jax.numpy as jnp
import numpy as np
import oracles
import pytest
from assertions import assert_close
from oracles import hypersimplex_oracle, two_sided_oracle
from parametrize import each

import softjax as sj
from softjax.solvers import HypersimplexProjection

X = inputs.rng("mask").normal(size=(2, 3, 4)).astype(np.float32)


@pytest.mark.parametrize("axis", [None, 1, (0, 2)])
def test_axes(axis):
    axes = range(3) if axis is None else np.atleast_1d(axis)
    rest = [axis for axis in range(3) if axis not in axes]

    def rows(x):
        """All that is chosen from together, last."""
        x = np.transpose(x, (*rest, *axes))
        return x.reshape(*x.shape[: len(rest)], -1)

    rank = np.argsort(np.argsort(-rows(X), axis=-1), axis=-1)
    out = sj.top_k_mask(X, 2, axis=axis, mode="hard")
    assert out.shape == X.shape
    assert_close(rows(out), (rank < 2) * 1.0)


MASKS = {"ot": two_sided_oracle, "hypersimplex": hypersimplex_oracle}


@each("method", list(MASKS), fast=("ot",))
def test_k_is_an_array_that_is_differentiated(method):
    x, k = X[0], np.asarray([[0.0], [1.0], [2.5]], np.float32)

    @jax.jit
    def derivatives(k):
        def mask(k):
            return sj.top_k_mask(x, k, softness=0.3, method=method)

        return jax.jvp(mask, (k,), (jnp.ones_like(k),)), jax.vmap(sj.top_k_mask)(x, k)

    (y, slope), mapped = derivatives(k)
    expected = [
        MASKS[method](x[i], float(k[i, 0]), 0.3, oracles.exp_link) for i in (1, 2)
    ]
    assert_close(y[1:], expected)
    assert np.all(y[0] == 0)
    assert_close(slope[1:].sum(-1), np.ones(2))
    assert_close(mapped.sum(-1, keepdims=True), k)


def test_hard():
    x = np.asarray([1.0, 3, 1, 2, 1], np.float32)
    for k, expected in (
        (0, [0, 0, 0, 0, 0]),
        (3, [1, 1, 0, 1, 0]),
        (3.25, [1, 1, 0.25, 1, 0]),
        (5, [1, 1, 1, 1, 1]),
    ):
        np.testing.assert_array_equal(sj.top_k_mask(x, k, mode="hard"), expected)
    # Softly, equals share.
    shared = [1 / 3, 1, 1 / 3, 1, 1 / 3]
    for method in MASKS:
        mask = sj.top_k_mask(x, 3, softness=1e-3, mode="c0", method=method)
        assert_close(mask, shared)


@each("method", list(MASKS), fast=("hypersimplex",))
def test_absent_candidates(method):
    x = np.asarray([[0.5, -np.inf, 1.5, -np.inf, 1.0], [-np.inf] * 5], np.float32)
    there = np.isfinite(x[0])

    @jax.jit
    def compute(k):
        def mask(x):
            return sj.top_k_mask(x, k, softness=0.5, method=method)

        return mask(x), jax.jacrev(mask)(x)

    y, jacobian = compute(2.0)
    expected = MASKS[method](x[0, there], 2, 0.5, oracles.exp_link)
    assert_close(y[0, there], expected)
    assert np.all(y[0, ~there] == 0)
    assert_close(y[1], np.full(5, 0.4))
    # Unless the largest is 1, all move against each other.
    moves = there & (y[0] < 1)
    moved = np.asarray(jacobian)[0, :, 0] != 0
    np.testing.assert_array_equal(moved, np.outer(moves, moves))
    y, _ = compute(4.0)
    assert_close(y[0], [1, 0.5, 1, 0.5, 1])


@each("method", list(MASKS), fast=("hypersimplex",))
def test_keywords(method):
    x, keywords = X[0], dict(mode="c2", softness=0.3, method=method)
    z = (x - x.mean(-1, keepdims=True)) / x.std(-1, keepdims=True)
    keys = 1 / (1 + np.exp(-z))
    standard = sj.top_k_mask(100 * x + 7, 2, standardize=True, **keywords)
    expected = [MASKS[method](row, 2, 0.3, oracles.power_link(4 / 3)) for row in keys]
    assert_close(standard, expected, atol=1e-4)
    assert sj.top_k_mask(3, 0.5, axis=None) == 0.5
    assert sj.top_k_mask(jnp.zeros((0, 3)), 1, mode="hard").shape == (0, 3)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: sj.top_k_mask(X, 5), ValueError, "k=5 .*4"),
        (
            lambda: sj.top_k_mask(X, 2, method="softsort"),
            ValueError,
            "'softsort'.*'ot'",
        ),
        (lambda: sj.top_k_mask(X, 2, method=None), TypeError, "method must be .*None"),
        (lambda: sj.top_k_mask(X, -0.1), ValueError, "k=-0.1 .* from 0"),
        (lambda: sj.top_k_mask(X, np.nan), ValueError, "k=nan"),
        (lambda: sj.top_k_mask(X, True), TypeError, "k must be .*bool"),
        (lambda: sj.top_k_mask(X, "2"), TypeError, "k must be .*'2'"),
        (lambda: sj.top_k_mask(X, np.ones(4)), ValueError, r"k of shape \(4,\)"),
        (lambda: sj.top_k_mask(X, 2, axis=3), ValueError, "axis=3"),
        (lambda: sj.top_k_mask(X, 2, solver="closed_form"), TypeError, "'newton'"),
        (lambda: HypersimplexProjection(jnp.ones(()), 1, 1), ValueError, "Hypersimp"),
        (lambda: HypersimplexProjection(X, X, 1), ValueError, r"k of .*\(2, 3, 1\)"),
        (lambda: HypersimplexProjection(X, 1, X), ValueError, "softness of shape"),
    ],
)
def test_errors(call, error, message):
    with pytest.raises(error, match=f"(?s){message}"):
        call()


def test_what_is_said_of_derivatives():
    """Derivatives of hard masks in k, and of soft ones that are as hard."""
    x = jnp.asarray([0.2, 1.0, 0.3, 0.7])
    # Half of what follows on either side where k is an integer, and there is one.
    expected = {
        0: [0, 0.5, 0, 0],
        0.5: [0, 1, 0, 0],
        1: [0, 0.5, 0, 0.5],
        2: [0, 0, 0.5, 0.5],
        2.5: [0, 0, 1, 0],
        4: [0.5, 0, 0, 0],
    }

    @jax.jit
    def derivatives(k):
        def hard(x, k):
            return sj.top_k_mask(x, k, mode="hard")

        soft = functools.partial(sj.top_k_mask, x, mode="c0", softness=1e-3)
        both = [jax.jacfwd(hard, 1)(x, k), jax.jacrev(hard, 1)(x, k)]
        return both, jax.jacfwd(hard)(x, k), jax.jacfwd(soft)(k)

    for k, truth in expected.items():
        in_k, in_x, soft = derivatives(float(k))
        for found in in_k:
            np.testing.assert_array_equal(found, truth)
        np.testing.assert_array_equal(in_x, np.zeros((4, 4)))
        np.testing.assert_array_equal(soft, truth if k % 1 else np.zeros(4))
