"""Soft Booleans and soft indices in use."""

import helpers
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import softjax as sj

A = np.asarray([0.0, 0.0, 1.0, 1.0], np.float32)
B = np.asarray([0.0, 1.0, 0.0, 1.0], np.float32)
P = np.asarray([0.1, 0.2, 0.8, 1.0], np.float32)
Q = np.asarray([0.7, 0.3, 0.1, 0.9], np.float32)
X = helpers.rng("selection").normal(size=(3, 4)).astype(np.float32)


def one_hot(index, n):
    return np.eye(n, dtype=np.float32)[index]


@pytest.mark.parametrize("geometric", [False, True])
def test_truth_tables(geometric):
    for name in ("and", "or", "xor"):
        soft = getattr(sj, f"logical_{name}")(A, B, use_geometric_mean=geometric)
        hard = getattr(jnp, f"logical_{name}")(A, B)
        np.testing.assert_allclose(soft, hard, atol=3e-5 if geometric else 0)
    np.testing.assert_array_equal(sj.logical_not(A), 1 - A)
    for axis in (None, 0, 1, (0, 1)):
        x = np.stack([A, B])
        for name in ("all", "any"):
            soft = getattr(sj, name)(x, axis=axis, use_geometric_mean=geometric)
            hard = getattr(jnp, name)(x.astype(bool), axis=axis)
            np.testing.assert_allclose(soft, hard, atol=2e-1 if geometric else 0)


def test_probabilities_of_independent_events():
    np.testing.assert_allclose(sj.logical_and(P, Q), P * Q, rtol=1e-6)
    np.testing.assert_allclose(sj.logical_or(P, Q), P + Q - P * Q, rtol=1e-6)
    xor = 1 - (1 - P * (1 - Q)) * (1 - Q * (1 - P))
    np.testing.assert_allclose(sj.logical_xor(P, Q), xor, rtol=1e-5)
    np.testing.assert_allclose(sj.all(P), P.prod(), rtol=1e-6)
    np.testing.assert_allclose(sj.any(P[:3]), 1 - (1 - P[:3]).prod(), rtol=1e-6)
    geometric = sj.all(P, use_geometric_mean=True)
    np.testing.assert_allclose(geometric, P.prod() ** 0.25, rtol=1e-5)
    np.testing.assert_allclose(
        sj.logical_not(sj.logical_and(P, Q)),
        sj.logical_or(sj.logical_not(P), sj.logical_not(Q)),
        rtol=1e-5,
    )


@pytest.mark.parametrize("geometric", [False, True])
def test_gradients_of_logic_are_finite(geometric):
    def total(a, b):
        keywords = dict(use_geometric_mean=geometric)
        out = [fn(a, b, **keywords) for fn in (sj.logical_and, sj.logical_or)]
        return sum(map(jnp.sum, out)) + sj.all(a, **keywords) + sj.any(b, **keywords)

    for gradient in jax.grad(total, (0, 1))(A, B):
        assert np.all(np.isfinite(gradient))
    assert np.all(jax.grad(sj.logical_and)(0.0, 0.5, use_geometric_mean=geometric) > 0)


def test_where():
    np.testing.assert_array_equal(sj.where(A, X, -X), jnp.where(A > 0, X, -X))
    np.testing.assert_allclose(sj.where(P, X, 2.0), P * X + (1 - P) * 2, rtol=1e-6)
    gradient = jax.grad(lambda p: sj.where(p, 3.0, 1.0))(0.5)
    assert gradient == 2


@pytest.mark.parametrize("axis", [0, 1, -1])
def test_take_along_axis(axis):
    index = np.argsort(X, axis=axis)
    n = X.shape[axis]
    np.testing.assert_array_equal(
        sj.take_along_axis(X, one_hot(index, n), axis=axis),
        jnp.take_along_axis(X, index, axis=axis),
    )
    soft = np.asarray(sj.argsort(X, axis=axis))
    out = sj.take_along_axis(X, soft, axis=axis)
    expected = np.einsum("kjn,nj->kj" if axis == 0 else "jkn,jn->jk", soft, X)
    np.testing.assert_allclose(out, expected, rtol=1e-5)
    np.testing.assert_allclose(out, sj.sort(X, axis=axis), atol=1e-5)


@pytest.mark.parametrize("axis", [None, 0, 1])
def test_take(axis):
    index = np.asarray([[2, 0], [1, 1]])
    n = X.size if axis is None else X.shape[axis]
    np.testing.assert_array_equal(
        sj.take(X, one_hot(index, n), axis=axis), jnp.take(X, index, axis=axis)
    )


def test_choose():
    index = np.asarray([2, 0, 1, 2])
    np.testing.assert_array_equal(
        sj.choose(one_hot(index, 3), X), jnp.choose(index, X, mode="clip")
    )
    weights = np.asarray(jax.nn.softmax(X.T))
    np.testing.assert_allclose(
        sj.choose(weights, X), np.einsum("jn,nj->j", weights, X), rtol=1e-5
    )


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("start", [0, 1, 2])
def test_dynamic_slices(axis, start):
    n = X.shape[axis]
    soft = one_hot(start, n)
    for keepdims in (False, True):
        np.testing.assert_array_equal(
            sj.dynamic_index_in_dim(X, soft, axis, keepdims),
            jax.lax.dynamic_index_in_dim(X, start, axis, keepdims),
        )
    # Starts that lie too far are clamped.
    np.testing.assert_array_equal(
        sj.dynamic_slice_in_dim(X, soft, 2, axis),
        jax.lax.dynamic_slice_in_dim(X, start, 2, axis),
    )
    starts = (one_hot(start, 3), one_hot(1, 4))
    np.testing.assert_array_equal(
        sj.dynamic_slice(X, starts, (2, 2)),
        jax.lax.dynamic_slice(X, (start, 1), (2, 2)),
    )
    half = (one_hot(0, n) + one_hot(1, n)) / 2
    expected = [jax.lax.dynamic_slice_in_dim(X, s, 2, axis) for s in (0, 1)]
    out = sj.dynamic_slice_in_dim(X, half, 2, axis)
    np.testing.assert_allclose(out, (expected[0] + expected[1]) / 2, rtol=1e-6)


ERRORS = [
    (lambda: sj.take(X, np.ones(5), axis=0), ValueError),
    (lambda: sj.take_along_axis(X, np.ones((3, 1, 3)), axis=1), ValueError),
    (lambda: sj.choose(np.ones((4, 2)), X), ValueError),
    (lambda: sj.dynamic_slice_in_dim(X, np.ones(4), 2, axis=0), ValueError),
    (lambda: sj.dynamic_slice_in_dim(X, np.ones(3), 4, axis=0), ValueError),
]


@pytest.mark.parametrize(("call", "error"), ERRORS)
def test_errors(call, error):
    with pytest.raises(error, match=r".{20}"):
        call()
