"""Branches under soft Booleans, and logic under masks."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import softjax as sj

X = np.asarray([-1.5, -0.2, 0.0, 0.3, 1.1], np.float32)
P, Q = np.asarray([0.0, 0.2, 0.5, 0.9, 1.0]), np.asarray([1.0, 0.3, 0.5, 0.6, 0.0])


def test_select_is_the_mean_over_the_first_event():
    found = sj.select([P, Q], [X, 2.0], -1.0)
    expected = P * X + (1 - P) * Q * 2.0 - (1 - P) * (1 - Q)
    np.testing.assert_allclose(found, expected, atol=1e-6)
    np.testing.assert_allclose(sj.select([P], [X]), P * X, atol=1e-6)
    # Numbers are broadcast.
    np.testing.assert_allclose(sj.select([0.25], [X], 1), X / 4 + 0.75, atol=1e-6)


def test_piecewise_is_the_mean_over_the_last_event():
    found = sj.piecewise(X, [P, Q], [jnp.sin, 2.0, lambda x: x**2])
    expected = Q * 2.0 + (1 - Q) * (P * np.sin(X) + (1 - P) * X**2)
    np.testing.assert_allclose(found, expected, atol=1e-6)
    shifted = sj.piecewise(X, [P], [lambda x, a, b: a * x + b], 2.0, b=1.0)
    np.testing.assert_allclose(shifted, P * (2 * X + 1), atol=1e-6)


def test_booleans_select_as_in_jax_numpy():
    """Beside infinities too, which another branch has."""
    conditions = [X < 0, X < 1]
    infinite = np.where(X < 0, X, np.inf).astype(np.float32)
    for args in (
        (conditions, [infinite, X], np.float32(7)),
        (conditions, [X, infinite], 0),
    ):
        found, expected = sj.select(*args), jnp.select(*args)
        np.testing.assert_array_equal(found, expected)
        assert found.dtype == expected.dtype
    # The last of two that hold prevails.
    functions = [jnp.exp, lambda x: -x, 3.0]
    found, expected = (f.piecewise(X, conditions, functions) for f in (sj, jnp))
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    table = jnp.asarray([True, False])
    found = sj.piecewise(X, table, functions[:2])
    np.testing.assert_allclose(found, jnp.piecewise(X, table, functions[:2]))


@pytest.mark.parametrize("dtype", ["bfloat16", "float32"])
def test_a_mask_of_numbers_has_the_type_of_its_conditions(dtype, x64):
    """As what it is multiplied by has in jax.numpy, where numbers have no type."""
    p = jnp.asarray(P, dtype)
    for mask in (
        *(sj.where(p, 1.0, 0), sj.select([p, p], [1, 2.0]), sj.choose(p[1:3], [1, 0])),
        sj.piecewise(p, [p], [2.0, lambda x: x.astype(float)]),
    ):
        assert mask.dtype == dtype
    assert sj.where(p, jnp.ones(5, jnp.float16), 0).dtype == jnp.float16
    assert sj.where(True, 1, 0).dtype == sj.relu(1).dtype


def test_gradients_of_branches():
    """Gradients in conditions and choices, infinite ones that are left out too."""

    def fn(p, x):
        return sj.select([p], [x], 2.0).sum()

    p, x = jnp.asarray([0.25, 0.0]), jnp.asarray([3.0, jnp.inf])
    by_p, by_x = jax.grad(fn, (0, 1))(p, x)
    np.testing.assert_allclose(by_p, [1.0, -2.0])
    np.testing.assert_allclose(by_x, [0.25, 0.0])


@pytest.mark.parametrize("geometric", [False, True])
def test_logic_under_a_mask(geometric):
    x = np.stack([P, Q])
    where = np.asarray([[0, 1, 1, 0, 1], [1, 1, 0, 0, 0]], bool)
    keywords = dict(use_geometric_mean=geometric)
    for fn in (sj.all, sj.any):
        for axis in (0, 1, None, (0, 1)):
            found = fn(x, axis, where=where, **keywords)
            if axis == 1:
                alone = [fn(a[m], **keywords) for a, m in zip(x, where, strict=True)]
                np.testing.assert_allclose(found, alone, atol=1e-6)
        nothing = fn(x, 1, where=False, keepdims=True, **keywords)
        np.testing.assert_array_equal(nothing, np.full((2, 1), fn is sj.all))
    row = where & np.asarray([True, False])[:, None]
    expected = (0.2 * 0.5) ** (1 / 3 if geometric else 1)
    np.testing.assert_allclose(sj.all(x, where=row, **keywords), expected, rtol=1e-5)


ERRORS = [
    (lambda: sj.select([], []), ValueError, "at least 1"),
    (lambda: sj.select([P], [X, X]), ValueError, "same length.*1 and 2"),
    (lambda: sj.select([P], [X[:2]]), ValueError, "must broadcast together"),
    (lambda: sj.select(["x"], [X]), TypeError, "condition 0"),
    (lambda: sj.select(["x"], [1.0]), TypeError, "condition 0"),
    (lambda: sj.choose("x", [1.0, 2.0]), TypeError, "a must be an array"),
    (lambda: sj.piecewise(X, [P], [1, 2, 3]), ValueError, "1 or 2 entries, got 3"),
    (lambda: sj.piecewise(None, [P], [1]), TypeError, "x must be an array"),
    (lambda: sj.all(P, where=Q), TypeError, "where must be a Boolean"),
]


@pytest.mark.parametrize(("call", "error", "message"), ERRORS)
def test_errors(call, error, message):
    with pytest.raises(error, match=message):
        call()
