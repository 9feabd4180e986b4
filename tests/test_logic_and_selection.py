"""Soft Booleans and soft indices in use."""

import inputs
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from assertions import assert_close, finite_difference

import softjax as sj

A = np.asarray([0.0, 0.0, 1.0, 1.0], np.float32)
B = np.asarray([0.0, 1.0, 0.0, 1.0], np.float32)
P = np.asarray([0.1, 0.2, 0.8, 1.0], np.float32)
Q = np.asarray([0.7, 0.3, 0.1, 0.9], np.float32)
X = inputs.rng("selection").normal(size=(3, 4)).astype(np.float32)


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


def test_integers_are_true_but_for_0():
    x, y = jnp.asarray([0, 1, 2, -3]), jnp.asarray([[0], [3]])
    for name in ("and", "or", "xor"):
        found = getattr(sj, f"logical_{name}")(x, y)
        np.testing.assert_array_equal(found, getattr(jnp, f"logical_{name}")(x, y))
    for name, *args in (
        *(("logical_not", x), ("all", x[1:]), ("any", x), ("where", x, 5, 1)),
    ):
        expected = getattr(jnp, name)(*args)
        np.testing.assert_array_equal(getattr(sj, name)(*args), expected)
    np.testing.assert_array_equal(sj.select([x], [5], 1), jnp.where(x, 5, 1))


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


def mean_over_slices(start, x, size):
    """Along the last axis; a start that lies too far is clamped."""
    starts = np.minimum(np.arange(x.shape[-1]), x.shape[-1] - size)
    return sum(p * x[..., s : s + size] for p, s in zip(start, starts, strict=True))


def mean_over_blocks(rows, columns, x):
    inner = mean_over_slices(columns, x, 2)
    return mean_over_slices(rows, inner.swapaxes(-1, -2), 2).swapaxes(-1, -2)


# Name -> shapes of the soft indices; the operator and its reference, of these and X.
DERIVATIVES = {
    "where": (
        [(4,)],
        lambda p, x: sj.where(p, x, x[::-1]),
        lambda p, x: p * x + (1 - p) * x[::-1],
    ),
    "take": (
        [(2, 4)],
        lambda p, x: sj.take(x, p, axis=1),
        lambda p, x: np.einsum("mn,jn->jm", p, x),
    ),
    "take_flat": (
        [(2, 12)],
        lambda p, x: sj.take(x, p),
        lambda p, x: p @ x.ravel(),
    ),
    "take_along_axis": (
        [(2, 1, 3)],
        lambda p, x: sj.take_along_axis(x, p, axis=0),
        lambda p, x: np.einsum("mkn,nj->mj", p, x),
    ),
    "choose": (
        [(4, 3)],
        lambda p, x: sj.choose(p, list(x)),
        lambda p, x: np.einsum("jn,nj->j", p, x),
    ),
    "dynamic_index_in_dim": (
        [(3,)],
        lambda p, x: sj.dynamic_index_in_dim(x, p),
        lambda p, x: (p @ x)[None],
    ),
    "dynamic_slice_in_dim": (
        [(4,)],
        lambda p, x: sj.dynamic_slice_in_dim(x, p, 3, axis=1),
        lambda p, x: mean_over_slices(p, x, 3),
    ),
    "dynamic_slice": (
        [(3,), (4,)],
        lambda p, q, x: sj.dynamic_slice(x, (p, q), (2, 2)),
        mean_over_blocks,
    ),
}


@pytest.mark.parametrize("name", DERIVATIVES)
def test_derivatives_of_selection(name, x64):
    """In both modes, by values, soft indices and conditions, also where these are 0."""
    shapes, operator, reference = DERIVATIVES[name]
    generator = inputs.rng("selection", name)
    indices = [generator.dirichlet(np.ones(s[-1]), s[:-1]) for s in shapes]
    indices[0][..., 0] = 0
    point = (*indices, X.astype(np.float64))
    move = tuple(generator.normal(size=a.shape) for a in point)
    expected = reference(*point)
    weight = generator.normal(size=expected.shape)

    @jax.jit
    def derivatives(point, move, weight):
        value, push = jax.linearize(operator, *point)
        return value, push(*move), jax.linear_transpose(push, *point)(weight)

    value, tangent, gradient = derivatives(point, move, weight)
    slope = finite_difference(reference, point, move)
    assert_close(value, expected)
    assert_close(tangent, slope)
    backward = sum(map(np.vdot, gradient, move))
    assert_close(backward, np.vdot(weight, slope))


def test_derivatives_beside_infinities():
    """Elements of probability 0 keep out of derivatives."""
    p, x = np.float32([0, 0.25, 0.75]), np.float32([np.inf, 1, 3])

    def total(p, x):
        return (
            sj.where(p, x, 0).sum()
            + sj.take(x, p)
            + sj.take_along_axis(x, p[None])[0]
            + sj.choose(p, x)
            + sj.dynamic_index_in_dim(x, p)[0]
            + sj.dynamic_slice_in_dim(x, p, 1)[0]
        )

    by_p, by_x = jax.jit(jax.grad(total, (0, 1)))(p, x)
    assert np.isfinite(by_p[0])
    np.testing.assert_allclose(by_p[1:], 6 * x[1:], rtol=1e-6)
    np.testing.assert_allclose(by_x, 6 * p, rtol=1e-6)


ONES = np.ones(3), np.ones(4)

# What is said, in part: the argument, its value and what is allowed.
TYPE_ERRORS = {
    "x must be an array of real numbers, got None": lambda: sj.logical_not(None),
    "x must be an array of real numbers, got 'a'": lambda: sj.logical_and("a", P),
    "y must be .* numbers, got type complex64": lambda: sj.logical_xor(P, 1j * P),
    "condition must be .* numbers, got 'a'": lambda: sj.where("a", X, X),
    r"choices\[1\] must be .* numbers, got 'a'": lambda: sj.choose(P, [P, "a"]),
    "dynamic_index_in_dim: axis must be an integer, got None": (
        lambda: sj.dynamic_index_in_dim(X, np.ones(3), None)
    ),
    "dynamic_slice_in_dim: slice_size must be an integer, got 1.5": (
        lambda: sj.dynamic_slice_in_dim(X, np.ones(3), 1.5)
    ),
    "dynamic_slice: start_indices must be a sequence, got None": (
        lambda: sj.dynamic_slice(X, None, (1, 1))
    ),
    "all: axis must be None, an integer or a tuple, got 'a'": lambda: sj.all(P, "a"),
    "any: axis must be None, an integer or a tuple, got True": lambda: sj.any(P, True),
}
VALUE_ERRORS = {
    r"broadcast together: condition \(2,\), x \(3, 4\), y \(3, 4\)": (
        lambda: sj.where(np.ones(2), X, X)
    ),
    r"broadcast together: x \(2,\), y \(3,\)": (
        lambda: sj.logical_or(np.ones(2), np.ones(3))
    ),
    r"broadcast together: choices\[0\] \(2,\), choices\[1\] \(3,\)": (
        lambda: sj.choose(P, [np.ones(2), np.ones(3)])
    ),
    "choose: choices must hold at least one array": lambda: sj.choose(P, []),
    r"take: axis=2 is out of bounds .* \(3, 4\); allowed are -2 to 1": (
        lambda: sj.take(X, np.ones(4), axis=2)
    ),
    r"take: indices of shape \(5,\) .* last axis over the 3 positions": (
        lambda: sj.take(X, np.ones(5), axis=0)
    ),
    r"take_along_axis: indices of shape \(3, 1, 3\) .* the 4 positions": (
        lambda: sj.take_along_axis(X, np.ones((3, 1, 3)), axis=1)
    ),
    r"indices of shape \(2, 1, 4\) must .* \(3, 4\), .* except for axis 1, .* size 4": (
        lambda: sj.take_along_axis(X, np.ones((2, 1, 4)), axis=1)
    ),
    "choose: choices must be a sequence of arrays, got a scalar": (
        lambda: sj.choose(np.ones(2), 1.0)
    ),
    r"choose: a of shape \(4, 2\) .* last axis over the 3 positions": (
        lambda: sj.choose(np.ones((4, 2)), X)
    ),
    r"choose: the shape \(5,\) of a, .* broadcast against the shape \(4,\)": (
        lambda: sj.choose(np.ones((5, 3)), X)
    ),
    r"index must be a single soft index, of shape \(3,\), got shape \(2, 3\)": (
        lambda: sj.dynamic_index_in_dim(X, np.ones((2, 3)))
    ),
    r"start_index of shape \(4,\) .* last axis over the 3 positions": (
        lambda: sj.dynamic_slice_in_dim(X, np.ones(4), 2, axis=0)
    ),
    "slice_size=4 must be from 0 to the axis size 3": (
        lambda: sj.dynamic_slice_in_dim(X, np.ones(3), 4)
    ),
    "slice_size=-1 must be from 0 to the axis size 3": (
        lambda: sj.dynamic_slice_in_dim(X, np.ones(3), -1)
    ),
    "start_indices must have one entry for each of the 2 axes .* got 1": (
        lambda: sj.dynamic_slice(X, ONES[:1], (1, 1))
    ),
    "slice_sizes must have one entry for each of the 2 axes .* got 3": (
        lambda: sj.dynamic_slice(X, ONES, (1, 1, 1))
    ),
    r"slice_sizes\[1\]=5 must be from 0 to the axis size 4": (
        lambda: sj.dynamic_slice(X, ONES, (1, 5))
    ),
}


@pytest.mark.parametrize("said", [*TYPE_ERRORS, *VALUE_ERRORS])
def test_errors(said):
    call = (TYPE_ERRORS | VALUE_ERRORS)[said]
    with pytest.raises(TypeError if said in TYPE_ERRORS else ValueError, match=said):
        call()
