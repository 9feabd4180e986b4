"""Calls outside `jax.jit`: one compiled program each, kept for the next call."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import equinox as eqx
import inputs
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from assertions import assert_close
from parametrize import each

import softjax as sj
from softjax._dispatch import _program, dispatch

sys.path.append(str(Path(__file__).parents[1] / "benchmarks"))

import eager

CALLS = eager.AXISWISE | eager.ELEMENTWISE
X = jnp.asarray(inputs.rng("eager").normal(size=5), jnp.float32)

_BACKEND = "/jax/core/compile/backend_compile_duration"


def programs(call: Callable[[], Any]) -> int:
    """Number of programs that a call compiles, lone primitives included."""
    found = []

    def listen(event: str, duration: float, **_: Any) -> None:
        if event == _BACKEND:
            found.append(event)

    jax.monitoring.register_event_duration_secs_listener(listen)
    try:
        jax.block_until_ready(call())
    finally:
        jax.monitoring.unregister_event_duration_listener(listen)
    return len(found)


@each("name", list(CALLS), fast=("where",))
def test_one_program(name):
    # Whatever others have compiled is compiled again.
    jax.clear_caches()
    assert programs(lambda: CALLS[name](eager.X)) == 1
    assert programs(lambda: CALLS[name](eager.X)) == 0


class Weighted(sj.solvers.Regularizer):
    """A regularizer of the user's own, `weight` times the negative entropy."""

    weight: Any
    note: Any = eqx.field(default=None, static=True)

    def link(self, t):
        return jnp.exp(t / self.weight - 1)


REPEATED = {
    "softness": lambda a: sj.sort(X, softness=a),
    "level": lambda a: sj.quantile(X, a),
    "count": lambda a: sj.top_k_mask(X, a),
    "bound": lambda a: sj.clip(X, -a),
    "tolerance": lambda a: sj.isclose(X, 0.1, atol=a),
    "field": lambda a: sj.argmax(
        X, mode=sj.solvers.Scaled(sj.solvers.Entropy(), jnp.float32(a))
    ),
    "field of one's own": lambda a: sj.argmax(X, mode=Weighted(jnp.float32(a))),
}


@each("name", list(REPEATED))
def test_other_numbers_are_of_the_same_program(name):
    call = REPEATED[name]
    first = call(0.25)
    assert programs(lambda: call(0.75)) == 0
    assert not np.array_equal(first, call(0.75))
    np.testing.assert_array_equal(call(0.25), first)
    assert_close(jax.jit(call)(0.75), call(0.75), atol=1e-6)


# Good calls, and bad ones whose arguments are equal to theirs.
EQUALS = {
    "axis": (lambda a: sj.argmax(X[None], axis=a), 1, (True, 1.0)),
    "axes": (lambda a: sj.max(X[None], axis=(0, a)), 1, (True, 1.0)),
    "k": (lambda k: sj.top_k(X, k), 1, (True, 1.0)),
    "count": (lambda k: sj.top_k_mask(X, k), 1, (True,)),
    "softness": (lambda s: sj.sort(X, softness=s), 1, (True,)),
    "axis of an index": (lambda a: sj.take(X[None], X, axis=a), 1, (True, 1.0)),
    "length": (lambda n: sj.dynamic_slice_in_dim(X, X, n), 1, (1.0,)),
    "radius": (lambda m: sj.round(X, neighbor_radius=m), 1, (1.0,)),
}


@each("name", list(EQUALS))
def test_equal_is_not_the_same(name):
    call, good, bad = EQUALS[name]
    call(good)
    for other in bad:
        with pytest.raises(TypeError):
            call(other)
    call(good)


BAD = {
    "softness must be a number or an array of them, got None": (
        lambda: sj.solvers.SimplexProjection(X, None)
    ),
    "k must be a number or an array of them, got None": (
        lambda: sj.solvers.HypersimplexProjection(X, None, 1.0)
    ),
    "decimals must be from -300 to 300, got 400": lambda: sj.round(X, 400),
    "softness must be positive and finite, got -1": lambda: sj.relu(X, softness=-1),
    "softness must be positive": lambda: sj.sort(X, softness=jnp.array([0.0])),
    "softness must be .*, got type bool": lambda: sj.sort(X, softness=X > 0),
    "softness must be .*, got None": lambda: sj.greater(X, 0, softness=None),
    "softness must be positive and finite, got inf": (
        lambda: sj.argmax(X, softness=np.inf)
    ),
    "softness must be positive and finite, got 1e-50": (
        lambda: sj.argmax(X, softness=1e-50)  # which is 0 in float32
    ),
    "x must be .*, got None": lambda: sj.argmax(None),
    "x must be .*, got 'a'": lambda: sj.relu("a"),
    "y must be .*, got None": lambda: sj.less(X, None),
    "condition must be .*, got None": lambda: sj.where(None, X, X),
    "x must be .*, got type complex64": lambda: sj.abs(1j * X),
    "axis=1 is out of bounds": lambda: sj.all(X, axis=1),
    "mode='smoth'": lambda: sj.sort(X, mode="smoth"),
    "mode must": lambda: sj.sort(X, mode={1, 2}),
    "method=": lambda: sj.sort(X, method="softsor"),
    "method must": lambda: sj.sort(X, method=[]),
    "unexpected keyword argument 'soft'": lambda: sj.sort(X, soft=[{}]),
    "q must lie in": lambda: sj.percentile(X, 101),
    "k=6 must be from 0": lambda: sj.top_k_mask(X, 6),
    "quantile_method='nearer'": lambda: sj.quantile(X, 0.5, quantile_method="nearer"),
    "broadcast together": lambda: sj.clip(X, jnp.zeros(3)),
}


@each("message", list(BAD))
def test_raises_every_time(message):
    for _ in range(2):
        with pytest.raises((TypeError, ValueError), match=message):
            BAD[message]()


def test_takes_numbers_and_sequences():
    values = [0.5, 1.0, 0.25]
    expected = sj.sort(jnp.array(values))
    for x in (values, tuple(values), np.array(values), np.float32(values)):
        np.testing.assert_array_equal(sj.sort(x), expected)
    out = jax.jit(lambda a: sj.sort([a, 1.0, 2 * a]))(0.25)
    np.testing.assert_allclose(out, sj.sort(jnp.array([0.25, 1.0, 0.5])), rtol=1e-6)
    for x in (1, True, 1.0, np.float32(1), jnp.float32(1)):
        assert sj.relu(x).dtype == jnp.float32
        np.testing.assert_array_equal(sj.relu(x), sj.relu(1.0))
    # Numbers of Python's do not decide about the type.
    x = jnp.ones(3, jnp.bfloat16)
    assert sj.clip(x, 0.5, 2.0).dtype == sj.sort(x, softness=0.5).dtype == jnp.bfloat16
    assert sj.isclose(x, 1.0, rtol=0.5).dtype == jnp.bfloat16


def test_axes_may_be_numbers_of_numpy():
    x = X[None]
    np.testing.assert_array_equal(sj.max(x, np.int64(1)), sj.max(x, 1))
    np.testing.assert_array_equal(sj.max(x, (np.int8(0), 1)), sj.max(x, (0, 1)))
    np.testing.assert_array_equal(sj.top_k(X, np.int32(2))[0], sj.top_k(X, 2)[0])


@each("transform", [jax.jit, jax.grad, jax.jacfwd], fast=())
def test_no_tracer_is_kept(transform):
    def loss(a):
        mode = Weighted(a)
        kept = sj.sort(X, mode=mode)[1] + sj.relu(a, mode=mode)
        kept += sj.quantile(a * X, a, softness=a) + sj.where(a, X, a)[0]
        kept += sj.argmax(X, mode=Weighted(1.5, note=("b", 1)))[0]
        return kept + sj.top_k_mask(X, 2 * a)[0] + sj.greater_st(a, 0.3)

    expected = transform(loss)(0.75)
    jax.clear_caches()
    with jax.checking_leaks():
        assert_close(transform(loss)(0.75), expected, atol=1e-5)
    assert_close(jax.jit(transform(loss))(0.75), expected, atol=1e-5)


def test_programs_of_objects_do_not_add_up():
    assert _program.cache_info().maxsize is not None


def test_64_bits_come_and_go():
    x = np.array([0.2, 1.0, 0.7])
    narrow = sj.sort(x, softness=1 / 3)
    with jax.enable_x64(True):
        wide = sj.sort(x, softness=1 / 3)
        expected = jax.jit(lambda x: sj.sort(x, softness=1 / 3))(x)
    assert (narrow.dtype, wide.dtype) == (jnp.float32, jnp.float64)
    assert np.abs(np.asarray(wide) - np.asarray(expected)).max() < 1e-14
    assert 0 < np.abs(np.asarray(wide) - np.asarray(narrow)).max() < 1e-6
    again = sj.sort(x, softness=1 / 3)
    assert again.dtype == jnp.float32
    np.testing.assert_array_equal(again, narrow)


def test_promotion_is_that_of_the_moment():
    x, y = jnp.ones(3), jnp.ones(3, jnp.int32)
    sj.greater(x, y)
    with (
        jax.numpy_dtype_promotion("strict"),
        pytest.raises(jax.dtypes.TypePromotionError),
    ):
        sj.greater(x, y)


def _times(x, *, factor, notes=None):
    return factor * x


def test_constants_and_arguments():
    # Arrays among the options are arguments; Python's numbers are constants.
    assert dispatch(_times, 2.0, factor=jnp.arange(2.0)).tolist() == [0, 2]
    assert programs(lambda: dispatch(_times, 2.0, factor=np.ones(2))) == 0
    assert dispatch(_times, 2, factor=1).dtype == jnp.int32
    assert dispatch(_times, 2, factor=1.0).dtype == jnp.float32
    # What has no hash has no place to be kept at.
    size = _program.cache_info().currsize
    assert dispatch(_times, 2, factor=3, notes={1, 2}) == 6
    assert _program.cache_info().currsize == size
