"""Functions with finite derivatives at the edge of their domain."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import assert_close

import softjax as sj

# Name -> points inside the domain, points at or beyond its edge, values there.
CASES = {
    "sqrt": ([0.25, 4.0], [0.0, -1.0], [0, 0]),
    "log": ([0.25, 4.0], [0.0, -1.0], [0, 0]),
    "arcsin": ([-0.5, 0.7], [-1.0, 1.0, 2.0], [-np.pi / 2, np.pi / 2, np.pi / 2]),
    "arccos": ([-0.5, 0.7], [-1.0, 1.0, 2.0], [np.pi, 0, 0]),
}


@pytest.mark.x64
@pytest.mark.parametrize("name", CASES)
def test_elementwise(name):
    inside, edge, values = CASES[name]
    fn, hard = getattr(sj, name), getattr(jnp, name)
    slope, second = jax.vmap(jax.grad(fn)), jax.vmap(jax.grad(jax.grad(fn)))
    inside, edge = jnp.asarray(inside), jnp.asarray(edge)
    assert_close(fn(inside), hard(inside))
    assert_close(slope(inside), jax.vmap(jax.grad(hard))(inside), atol=1e-5)
    assert_close(fn(edge), values)
    np.testing.assert_array_equal(slope(edge), 0)
    np.testing.assert_array_equal(second(edge), 0)
    assert jnp.isnan(fn(jnp.nan))


def test_div():
    gradient = jax.grad(sj.div, (0, 1))
    assert sj.div(1.0, 4.0) == 0.25
    assert gradient(1.0, 4.0) == (0.25, -1 / 16)
    for x in (0.0, 3.0):
        assert sj.div(x, 0.0) == 0
        assert gradient(x, 0.0) == (0, 0)
    assert jnp.isnan(sj.div(jnp.nan, 0.0))


def test_norm():
    x = np.asarray([[3.0, 0.0], [4.0, 0.0]], np.float32)
    assert sj.norm(x) == 5
    np.testing.assert_array_equal(sj.norm(x, axis=0), [5, 0])
    assert sj.norm(x, axis=0, keepdims=True).shape == (1, 2)
    gradient = jax.grad(lambda x: jnp.sum(sj.norm(x, axis=0)))(x)
    np.testing.assert_allclose(gradient, x / 5, rtol=1e-6)
    assert np.all(np.isfinite(jax.hessian(sj.norm)(np.zeros(3, np.float32))))
