"""The median as the root of a sum of soft steps."""

import inputs
import jax
import jax.numpy as jnp
import numpy as np
import oracles
import pytest
import scipy.optimize
from assertions import assert_close
from cases import REGULARIZERS
from parametrize import each

import softjax as sj

SOFTNESS = 0.3


@each("case", REGULARIZERS, fast=("smooth", "c1"))
def test_value_and_derivatives(case, x64):
    x, v = inputs.rng("median", case.name).normal(size=(2, 5))

    def balance(m):
        facts = (case.link, *case.ends)
        return np.mean(oracles.heaviside_oracle(x - m, SOFTNESS, *facts)) - 0.5

    expected = scipy.optimize.brentq(balance, x.min() - 1, x.max() + 1, xtol=1e-13)

    @jax.jit
    def everything(x, softness):
        fn = lambda x, s: sj.median_newton(x, softness=s, mode=case.mode)  # noqa: E731
        return jax.jvp(jax.value_and_grad(fn, (0, 1)), (x, softness), (v, 0.1))

    h = 1e-6
    (value, (gx, gs)), (dot, _) = everything(x, SOFTNESS)
    assert_close(value, expected, atol=1e-9)
    assert_close(np.sum(gx * v) + 0.1 * gs, dot, atol=1e-10)
    (upper, _), _ = everything(x + h * v, SOFTNESS + 0.1 * h)
    (lower, _), _ = everything(x - h * v, SOFTNESS - 0.1 * h)
    assert_close(dot, (upper - lower) / (2 * h), atol=1e-7)


@pytest.mark.parametrize("mode", ["c0", "cubic", "smooth"])
def test_an_interval_of_roots_gives_its_midpoint(mode):
    x = np.asarray([3.0, -1.0, 0.5, 7.0], np.float32)
    fn = jax.jit(
        jax.value_and_grad(lambda x: sj.median_newton(x, softness=1e-3, mode=mode))
    )
    value, gradient = fn(x)
    assert value == 1.75
    np.testing.assert_allclose(gradient, [0.5, 0, 0.5, 0], atol=1e-6)


def test_edges():
    assert sj.median_newton(np.asarray([2.0], np.float32)) == 2
    assert sj.median_newton(np.full(4, 3.0, np.float32)) == 3
    x = np.asarray([[1.0, 2.0, 4.0], [1.0, np.nan, 4.0]], np.float32)
    out = sj.median_newton(x, axis=1, softness=1e-3, keepdims=True)
    assert out.shape == (2, 1)
    np.testing.assert_allclose(out[:, 0], [2, np.nan], atol=1e-3)
    gradient = jax.grad(lambda x: jnp.sum(sj.median_newton(x)))(np.ones(4))
    np.testing.assert_allclose(gradient, 0.25)
