"""Straight-through estimation: hard in value, soft in derivative."""

import functools

import inputs
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from assertions import assert_close, finite_difference
from jax.flatten_util import ravel_pytree
from parametrize import each

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


HISTOGRAM = (np.asarray([0.0, 2.0]), np.asarray([-0.5, 0.25, 1.0]))


def at_2(partition, x, **keywords):
    return partition(x, 2, **keywords)


def to_3(bincount, x, **keywords):
    return bincount(x, length=3, **keywords)


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
    "rint": ((X + 0.25,), np.rint(X + 0.25)),
    "floor": ((X + 0.125,), np.floor(X + 0.125)),
    "ceil": ((X + 0.125,), np.ceil(X + 0.125)),
    "trunc": ((X - 0.125,), np.trunc(X - 0.125)),
    "maximum": ((X, Y), np.maximum(X, Y)),
    "minimum": ((X, Y), np.minimum(X, Y)),
    "fmax": ((X, Y), np.fmax(X, Y)),
    "fmin": ((X, Y), np.fmin(X, Y)),
    "relu6": ((X,), np.clip(X, 0, 6)),
    "leaky_relu": ((X, 0.25), np.where(X < 0, X / 4, X)),
    "hard_tanh": ((X,), np.clip(X, -1, 1)),
    "hard_sigmoid": ((3 * X,), (3 * X).clip(-3, 3) / 6 + 0.5),
    "hard_silu": ((3 * X,), 3 * X * ((3 * X).clip(-3, 3) / 6 + 0.5)),
    "hard_swish": ((3 * X,), 3 * X * ((3 * X).clip(-3, 3) / 6 + 0.5)),
    "nanargmax": ((X,), ONE_HOT[-1]),
    "nanmax": ((X,), 2.0),
    "nanargmin": ((X,), ONE_HOT[0]),
    "nanmin": ((X,), -1.0),
    "nanmedian": ((X,), np.median(X)),
    "nanquantile": ((X, 0.25), LOW @ X[ORDER]),
    "nanpercentile": ((X, 25.0), LOW @ X[ORDER]),
    "partition": ((X,), X[ORDER], at_2),
    "argpartition": ((X,), ONE_HOT, at_2),
    "cummax": ((X,), np.maximum.accumulate(X)),
    "cummin": ((X,), np.minimum.accumulate(X)),
    "searchsorted": ((Y[[1, 0, 3, 2]], X), np.asarray([1.0, 0, 4, 0])),
    "digitize": ((X, Y[[1, 0, 3, 2]]), np.asarray([2.0, 0, 4, 1])),
    "histogram": ((X, np.asarray([-0.5, 0.25, 1.0])), HISTOGRAM),
    "bincount": ((X[[0, 2, 3]] + 0.125,), np.asarray([1.0, 1, 1]), to_3),
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
        if "mode" not in parameters or name in ("sigmoidal", "softrelu", "soften"):
            continue
        variant = getattr(sj, f"{name}_st")
        assert variant.__name__ == f"{name}_st"
        assert f"softjax.{name}" in variant.__doc__
        assert inspect.signature(variant) == inspect.signature(fn)


def test_every_variant_is_listed():
    public = {name for name in dir(sj) if name.endswith("_st")}
    assert public == {f"{name}_st" for name in CALLS}


# By default some of every kind, as all variants are made by one wrapper.
_FAST = ("abs", "sign", "round", "heaviside", "relu", "clip", "greater", "equal")
_FAST += ("isclose", "argmax", "max", "sort")


@each("name", list(CALLS), fast=_FAST)
def test_value_is_hard_and_derivative_soft(name, x64):
    """In both modes of differentiation, by all arguments and the softness."""
    args, hard, *how = CALLS[name]
    point = jax.tree.map(np.asarray, (*args, 0.3))
    normal = inputs.rng("straight-through", name).normal
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


# All that takes a mode: whether it names it, what it is, and its own default.


def _named(x, mode="smooth"):
    return sj.relu(x, mode=mode)


def _by_keywords(x, **kwargs):
    return sj.relu(x, **kwargs)


def _first_by_position(x, mode, /):
    return sj.relu(x, mode=mode)


def _named_like_it(x, **mode):
    return sj.relu(x, **mode)


@functools.wraps(_named)
def _wrapper(*args, **kwargs):
    return _named(*args, **kwargs)


class _Object:
    """An object with a softness, and a weight that is no argument."""

    __slots__ = ("softness",)

    def __init__(self, softness):
        self.softness = softness

    def __call__(self, x, **kwargs):
        return sj.relu(x, softness=self.softness, **kwargs)

    def method(self, x, mode="smooth"):
        return sj.relu(x, softness=self.softness, mode=mode)


ACCEPTED = {
    "named": _named,
    "keywords": _by_keywords,
    "lambda": lambda *args, **kwargs: sj.relu(*args, **kwargs),
    "named_like_it": _named_like_it,
    "wrapper": _wrapper,
    "jit": jax.jit(_named, static_argnames="mode"),
    "object": _Object(0.1),
    "method": _Object(0.1).method,
    "partial": functools.partial(_named),
    "partial_keywords": functools.partial(_by_keywords, softness=0.1),
    "operator": sj.relu,
}


@pytest.mark.parametrize("name", ACCEPTED)
def test_what_takes_a_mode(name):
    """The hard call gets `"hard"`; the soft one what is passed, or nothing."""
    fn = sj.st(ACCEPTED[name])
    x = jnp.asarray(-0.05)
    for keywords in ({}, dict(mode="c0")):
        value, slope = jax.value_and_grad(functools.partial(fn, **keywords))(x)
        assert value == 0
        expected = jax.grad(functools.partial(sj.relu, softness=0.1, **keywords))(x)
        assert_close(slope, expected)
    assert jax.grad(functools.partial(fn, mode="hard"))(x) == 0


def test_a_mode_that_is_bound_is_the_default():
    x = jnp.asarray(-0.05)
    for inner in (_named, _by_keywords):
        bound = functools.partial(inner, mode="c0")
        value, slope = jax.value_and_grad(sj.st(bound))(x)
        assert value == 0
        assert_close(slope, jax.grad(bound)(x))
        assert_close(
            jax.grad(functools.partial(sj.st(bound), mode="smooth"))(x),
            jax.grad(_named)(x),
        )
    assert sj.st(_first_by_position)(x, "c0") == 0
    assert_close(
        jax.grad(sj.st(_first_by_position))(x, "c0"), jax.grad(_named)(x, "c0")
    )


def test_calls_by_keywords():
    """Keywords are passed on, and none is made up where no mode was passed."""
    calls = []

    def fn(x, *args, scale=1.0, **kwargs):
        calls.append(kwargs)
        return scale * x

    sj.st(fn)(1.0, 2, scale=3.0)
    sj.st(fn)(1.0, mode="c1", softness=0.5)
    assert calls == [
        dict(mode="hard"),
        {},
        dict(mode="hard", softness=0.5),
        dict(mode="c1", softness=0.5),
    ]
    calls.clear()
    value, slope = jax.value_and_grad(sj.grad_replace(fn))(1.0, scale=3.0)
    assert (value, slope) == (3, 3)
    assert calls == [dict(forward=True), dict(forward=False)]
    inner = sj.grad_replace(lambda x, **kw: jnp.floor(x) if kw["forward"] else x)
    assert jax.value_and_grad(inner)(2.5) == (2, 1)
    partial = functools.partial(lambda x, scale, forward: x * (scale if forward else 1))
    assert jax.value_and_grad(sj.grad_replace(partial))(2.0, scale=3.0) == (6, 1)


@pytest.mark.parametrize(
    "fn",
    [
        lambda x: x,
        lambda x, *args: x,
        lambda x, *mode: x,
        lambda x, *forward: x,
        functools.partial(lambda x, a: x, a=1),
        functools.partial(_first_by_position, 1.0, "c0"),
        np.float32(1),
        3,
        "relu",
        dict.fromkeys,
    ],
)
def test_errors(fn):
    said = "must (have a parameter|be a function)"
    with pytest.raises(TypeError, match=f"^st: .*{said}"):
        sj.st(fn)
    with pytest.raises(TypeError, match=f"^grad_replace: .*{said}"):
        sj.grad_replace(fn)
