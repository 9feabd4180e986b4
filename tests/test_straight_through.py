"""Straight-through estimation: hard in value, soft in derivative."""

import functools

import helpers
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import assert_close, finite_difference
from jax.flatten_util import ravel_pytree

import softjax as sj

# Dyadic numbers, so that means of two are exact.
X = np.asarray([0.5, -1.0, 2.0, 0.25])
Y = np.asarray([0.5, 0.25, 1.5, 0.75])
ORDER = np.asarray([1, 3, 0, 2])
ONE_HOT = np.eye(4)[ORDER]
TOP = (X[ORDER[:1:-1]], ONE_HOT[:1:-1])
LOW, MIDDLE = np.asarray([0.25, 0.75, 0, 0]), np.asarray([0, 0.5, 0.5, 0])


def top_2(top_k, x, **keywords):
    return top_k(x, 2, **keywords)


# Name -> the arguments, with respect to all of which it is differentiated; the hard
# value; how to call it, if there is more to it.
CALLS = {
    "abs": ((X,), np.abs(X)),
    "sign": ((X,), np.sign(X)),
    "round": ((X + 0.25,), np.round(X + 0.25)),
    "heaviside": ((X,), X > 0),
    "relu": ((X,), np.maximum(X, 0)),
    "clip": ((X, -0.5, 1.0), np.clip(X, -0.5, 1.0)),
    "greater": ((X, Y), X > Y),
    "greater_equal": ((X, Y), X >= Y),
    "less": ((X, Y), X < Y),
    "less_equal": ((X, Y), X <= Y),
    "equal": ((X, Y), X == Y),
    "not_equal": ((X, Y), X != Y),
    "isclose": ((X, Y, 0.5, 0.125), np.isclose(X, Y, 0.5, 0.125)),
    "argmax": ((X,), ONE_HOT[-1]),
    "max": ((X,), 2.0),
    "argmin": ((X,), ONE_HOT[0]),
    "min": ((X,), -1.0),
    "argsort": ((X,), ONE_HOT),
    "sort": ((X,), X[ORDER]),
    "top_k": ((X,), TOP, top_2),
    "rank": ((X,), np.asarray([2.0, 4.0, 1.0, 3.0])),
    "ranking": ((X,), np.asarray([1.0, 3.0, 0.0, 2.0])),
    "argquantile": ((X, 0.25), LOW @ ONE_HOT),
    "quantile": ((X, 0.25), LOW @ X[ORDER]),
    "argpercentile": ((X, 25.0), LOW @ ONE_HOT),
    "percentile": ((X, 25.0), LOW @ X[ORDER]),
    "argmedian": ((X,), MIDDLE @ ONE_HOT),
    "median": ((X,), np.median(X)),
    "median_newton": ((X,), np.median(X)),
    "top_k_mask": ((X,), ONE_HOT[:1:-1].sum(0), top_2),
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


def test_every_variant_is_listed():
    public = {name for name in dir(sj) if name.endswith("_st")}
    assert public == {f"{name}_st" for name in CALLS}


@pytest.mark.parametrize("name", CALLS)
def test_value_is_hard_and_derivative_soft(name, x64):
    """In both modes of differentiation, by all arguments and the softness."""
    args, hard, *how = CALLS[name]
    point = jax.tree.map(np.asarray, (*args, 0.3))
    normal = helpers.rng("straight-through", name).normal
    move = jax.tree.map(lambda a: normal(size=a.shape), point)
    weight = jax.tree.map(lambda a: normal(size=np.shape(a)), hard)

    def run(fn, *point, **keywords):
        *args, softness = point
        call = functools.partial(how[0], fn) if how else fn
        return call(*args, softness=softness, **keywords)

    @jax.jit
    def derivatives(point, move, weight):
        variant = functools.partial(run, getattr(sj, f"{name}_st"))
        value, push = jax.linearize(variant, *point)
        return value, push(*move), jax.linear_transpose(push, *point)(weight)

    value, tangent, gradient = derivatives(point, move, weight)
    soft = jax.jit(functools.partial(run, getattr(sj, name)))
    slope = finite_difference(soft, point, move)
    jax.tree.map(np.testing.assert_array_equal, value, hard)
    close = functools.partial(assert_close, atol=1e-8, rtol=1e-8)
    jax.tree.map(close, tangent, slope)
    slope = ravel_pytree(slope)[0]
    assert np.any(slope != 0)
    forward, backward = ravel_pytree(move)[0], ravel_pytree(gradient)[0]
    close(forward @ backward, ravel_pytree(weight)[0] @ slope)


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
    assert jax.grad(product)(-1.0, -2.0, "hard") == 0


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
