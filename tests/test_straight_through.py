"""Straight-through estimation: hard in value, soft in derivative."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import assert_close

import softjax as sj

X = np.asarray([0.5, -1.0, 2.0, 0.25], np.float32)
CALLS = {
    "relu": lambda fn, **kw: fn(X, **kw),
    "greater": lambda fn, **kw: fn(X, 0.3, **kw),
    "sort": lambda fn, **kw: fn(X, **kw),
    "argmax": lambda fn, **kw: fn(X, **kw),
    "top_k": lambda fn, **kw: fn(X, 2, **kw),
    "median_newton": lambda fn, **kw: fn(X, **kw),
}


def test_every_operator_with_a_hard_mode_has_a_variant():
    import inspect

    for name in dir(sj):
        fn = getattr(sj, name)
        if not callable(fn) or name.endswith("_st") or name.startswith("_"):
            continue
        try:
            parameters = inspect.signature(fn).parameters
        except (TypeError, ValueError):
            continue
        if "mode" not in parameters or name in ("sigmoidal", "softrelu"):
            continue
        variant = getattr(sj, f"{name}_st")
        assert variant.__name__ == f"{name}_st"
        assert f"softjax.{name}" in variant.__doc__
        assert inspect.signature(variant) == inspect.signature(fn)


@pytest.mark.parametrize("name", CALLS)
def test_value_is_hard_and_derivative_soft(name):
    def run(fn, **keywords):
        def call(scale):
            return CALLS[name](
                lambda x, *args, **kw: fn(scale * x, *args, **kw), **keywords
            )

        return jax.jvp(call, (1.0,), (1.0,))

    value, tangent = run(getattr(sj, f"{name}_st"), softness=0.3)
    hard, _ = run(getattr(sj, name), mode="hard")
    _, soft_tangent = run(getattr(sj, name), softness=0.3)
    jax.tree.map(np.testing.assert_array_equal, value, hard)
    jax.tree.map(assert_close, tangent, soft_tangent)
    explicit, _ = run(getattr(sj, f"{name}_st"), mode="hard")
    jax.tree.map(np.testing.assert_array_equal, explicit, hard)


def product_naive(x, y, mode="smooth", softness=1.0):
    keywords = dict(mode=mode, softness=softness)
    return sj.relu_st(x, **keywords) * sj.relu_st(y, **keywords)


@sj.st
def product(x, y, mode="smooth", softness=1.0):
    keywords = dict(mode=mode, softness=softness)
    return sj.relu(x, **keywords) * sj.relu(y, **keywords)


def test_product_of_relus_in_the_third_quadrant():
    """Around the whole it has a useful gradient, around each factor none."""
    assert product(-1.0, -2.0) == product_naive(-1.0, -2.0) == 0
    assert jax.grad(product_naive, (0, 1))(-1.0, -2.0) == (0, 0)
    softplus, sigmoid = jax.nn.softplus, jax.nn.sigmoid
    expected = (sigmoid(-1.0) * softplus(-2.0), softplus(-1.0) * sigmoid(-2.0))
    gradient = jax.grad(product, (0, 1))(-1.0, -2.0)
    np.testing.assert_allclose(gradient, expected, rtol=1e-5)
    assert all(g > 0.01 for g in gradient)
    hessian = jax.hessian(product)(-1.0, -2.0)
    slope = sigmoid(-1.0) * (1 - sigmoid(-1.0))
    np.testing.assert_allclose(hessian, slope * softplus(-2.0), rtol=1e-5)
    # The mode may be passed by position.
    assert product(1.0, 2.0, "c0", 0.5) == 2


def test_grad_replace():
    @sj.grad_replace
    def step(x, forward):
        return jnp.floor(x) if forward else {"floor": x}["floor"] ** 2

    value, slope = jax.value_and_grad(step)(2.5)
    assert (value, slope) == (2, 5)
    assert jax.jvp(step, (2.5,), (1.0,)) == (2, 5)
    assert jax.grad(jax.grad(step))(2.5) == 2


def test_infinities_stay_exact():
    x = np.asarray([-np.inf, 1.0], np.float32)
    values, _ = sj.top_k_st(x, 2)
    np.testing.assert_array_equal(values, [1, -np.inf])


def test_errors():
    with pytest.raises(TypeError, match="mode"):
        sj.st(lambda x: x)
    with pytest.raises(TypeError, match="forward"):
        sj.grad_replace(lambda x: x)
