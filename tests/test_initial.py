"""`initial=` of extrema: one more element of each row, which no mask hides."""

import inputs
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from assertions import assert_close
from cases import METHODS
from parametrize import each

import softjax as sj

X = inputs.rng("initial").normal(size=(2, 3, 4)).astype(np.float32)
WHERE = X > -0.4
HARD = {"max": jnp.max, "min": jnp.min}


@each("name", list(HARD), fast=("max",))
def test_hard_ones_are_those_of_jax_numpy(name):
    """Masks that leave nothing and axes of size 0 included; soft ones nearby."""
    for x, axis, where, initial in (
        (X, 1, True, 0.3),
        (X, (0, 2), WHERE, np.float32(-0.2)),
        (X, None, False, 0.5),
        (X, -1, WHERE, -np.inf),
        (X, -1, WHERE, np.inf),
        (X[:, :0], 1, True, 0.3),
        (X[:0], (0, 1), True, 7),
    ):
        for keepdims in (False, True):
            options = dict(axis=axis, keepdims=keepdims, initial=initial, where=where)
            expected = HARD[name](x, **options)
            for variant in (name, f"{name}_st"):
                found = getattr(sj, variant)(x, mode="hard", **options)
                np.testing.assert_array_equal(found, expected)
        soft = getattr(sj, name)(x, softness=1e-4, **options)
        assert_close(soft, expected, atol=1e-3)


@each("method", METHODS, fast=("softsort",))
def test_initial_is_one_more_element(method, x64):
    """An element behind the row, which may differ between rows, and moves."""
    x = np.float64(X[0])
    initial = np.array([[0.1], [2.0], [-3.0]])
    keywords = dict(method=method, softness=0.3)

    def plain(name, x, initial):
        whole = jnp.concatenate([x, initial], axis=-1)
        here = np.concatenate([WHERE[0], np.ones((3, 1), bool)], axis=-1)
        return getattr(sj, name)(whole, axis=-1, where=here, **keywords)

    def direct(name, x, initial):
        options = keywords | dict(where=WHERE[0], initial=initial)
        return getattr(sj, name)(x, axis=-1, **options)

    @jax.jit
    def both(x, initial):
        return [
            [
                jax.vjp(lambda x, i, fn=fn, name=name: fn(name, x, i), x, initial)[0],
                jax.jacrev(fn, argnums=(1, 2))(name, x, initial),
            ]
            for name in HARD
            for fn in (plain, direct)
        ]

    high, high_found, low, low_found = both(x, initial)
    jax.tree.map(lambda a, b: assert_close(a, b, atol=1e-9), high_found, high)
    jax.tree.map(lambda a, b: assert_close(a, b, atol=1e-9), low_found, low)


def test_derivative_of_a_straight_through_maximum():
    soft = jax.grad(lambda i: sj.max(X[0, 0], initial=i, softness=0.5))(0.4)
    hard, slope = jax.value_and_grad(
        lambda i: sj.max_st(X[0, 0], initial=i, softness=0.5)
    )(0.4)
    assert hard == max(X[0, 0].max(), np.float32(0.4))
    assert_close(slope, soft)


def test_errors():
    with pytest.raises(
        ValueError, match=r"max: initial of shape \(3,\) must broadcast"
    ):
        sj.max(X, axis=1, initial=np.zeros(3))
    with pytest.raises(TypeError, match="min: initial must be a number"):
        sj.min(X, initial="0")
    with pytest.raises(ValueError, match="at least one entry"):
        sj.max(X[:0], axis=0)
