"""Functions with finite derivatives at the edge of their domain."""

import functools

import inputs
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from assertions import assert_close

import softjax as sj

# Name -> points inside the domain, first and second derivative there; points at or
# beyond its edge, values there.
CASES = {
    "sqrt": (
        [0.25, 4.0],
        lambda x: x**-0.5 / 2,
        lambda x: -(x**-1.5) / 4,
        [0.0, -1.0],
        [0, 0],
    ),
    "log": (
        [0.25, 1.0, 4.0],
        lambda x: 1 / x,
        lambda x: -1 / x**2,
        [0.0, -1.0],
        [0, 0],
    ),
    "arcsin": (
        [-0.5, 0.0, 0.7],
        lambda x: (1 - x**2) ** -0.5,
        lambda x: x * (1 - x**2) ** -1.5,
        [-1.0, 1.0, 2.0],
        [-np.pi / 2, np.pi / 2, np.pi / 2],
    ),
    "arccos": (
        [-0.5, 0.0, 0.7],
        lambda x: -((1 - x**2) ** -0.5),
        lambda x: -x * (1 - x**2) ** -1.5,
        [-1.0, 1.0, 2.0],
        [np.pi, 0, 0],
    ),
}


def slope(fn):
    """The derivative in forward mode, which `jax.grad` has in reverse mode."""
    return lambda x: jax.jvp(fn, (x,), (jnp.ones_like(x),))[1]


@pytest.mark.x64
@pytest.mark.parametrize("name", CASES)
def test_elementwise(name):
    inside, first, second, edge, values = CASES[name]
    fn = getattr(sj, name)

    @jax.jit
    @jax.vmap
    def derivatives(x):
        once = slope(fn)(x), jax.grad(fn)(x)
        twice = slope(slope(fn))(x), slope(jax.grad(fn))(x), jax.grad(jax.grad(fn))(x)
        return fn(x), once, twice

    inside = np.asarray(inside)
    x = jnp.asarray([*inside, *edge, jnp.nan])
    value, once, twice = jax.tree.map(np.asarray, derivatives(x))
    n = len(inside)
    assert_close(value[:-1], [*getattr(np, name)(inside), *values])
    assert np.isnan(value[-1])
    for derivative in once:
        assert_close(derivative[:n], first(inside), rtol=2e-6)
        np.testing.assert_array_equal(derivative[n:-1], 0)
    for derivative in twice:
        assert_close(derivative[:n], second(inside), rtol=2e-6)
        np.testing.assert_array_equal(derivative[n:-1], 0)


def test_div():
    # A small divisor, whose square underflows; then divisors of 0.
    x, y = np.float32([1, -3, 0, 0, 3]), np.float32([4, 0.5, 1e-30, 0, 0])

    @jax.jit
    @jax.vmap
    def derivatives(x, y):
        forward, backward = jax.jacfwd(sj.div, (0, 1)), jax.grad(sj.div, (0, 1))
        twice = jax.jacfwd(backward, (0, 1)), jax.jacrev(forward, (0, 1))
        once = forward(x, y), backward(x, y)
        return sj.div(x, y), once, [fn(x, y) for fn in twice]

    value, once, twice = derivatives(x, y)
    close = functools.partial(np.testing.assert_allclose, rtol=1e-6)
    close(value, [0.25, -6, 0, 0, 0])
    for by_x, by_y in once:
        close(by_x, [0.25, 2, 1e30, 0, 0])
        close(by_y, [-1 / 16, 12, 0, 0, 0])
    # There, the second derivative lies beyond the largest number.
    known = np.asarray([0, 1, 3, 4])
    for (xx, xy), (yx, yy) in twice:
        close(xx[known], [0, 0, 0, 0])
        close(xy[known], [-1 / 16, -4, 0, 0])
        close(yx[known], [-1 / 16, -4, 0, 0])
        close(yy[known], [1 / 32, -48, 0, 0])
    assert jnp.isnan(sj.div(jnp.nan, 0.0))


@pytest.mark.parametrize(("x", "y"), [(np.inf, 2.0), (1e30, 1e-30)])
def test_slopes_of_infinite_quotients(x, y):
    """In forward mode too, where a quotient meets a tangent of 0."""
    x, y = np.float32(x), np.float32(y)
    by_x = jax.jvp(lambda x: sj.div(x, y), (x,), (np.float32(1),))[1]
    np.testing.assert_allclose(by_x, 1 / y, rtol=1e-6)
    np.testing.assert_allclose(jax.grad(sj.div)(x, y), 1 / y, rtol=1e-6)
    assert jax.grad(sj.div, 1)(x, y) == 0


def test_norm():
    x = np.asarray([[3.0, 0.0], [4.0, 0.0]], np.float32)
    assert sj.norm(x) == 5
    np.testing.assert_array_equal(sj.norm(x, axis=0), [5, 0])
    assert sj.norm(x, axis=0, keepdims=True).shape == (1, 2)
    np.testing.assert_array_equal(sj.norm(x, 2, (0,)), [5, 0])
    far = jnp.asarray([jnp.inf, 1.0, -jnp.inf])
    assert sj.norm(far) == jnp.inf
    np.testing.assert_array_equal(jax.grad(sj.norm)(far), 0)
    with pytest.raises(ValueError, match=r"norm: ord=1 with axis=0 .* ord=2 along a"):
        sj.norm(x, ord=1, axis=0)


@pytest.mark.parametrize("axis", [None, 1, (0, 2)])
def test_norm_along_axes(axis):
    """Norms of an array, some of them 0, along one axis, several and all."""
    generator = inputs.rng("norm along axes")
    x, move = generator.normal(size=(2, 2, 3, 2)).astype(np.float32)
    x[:, 0] = x[..., 1] = 0
    value = np.sqrt((x**2).sum(axis, keepdims=True))
    weight = generator.normal(size=value.shape).astype(np.float32)
    direction = x / np.where(value == 0, 1, value)

    @jax.jit
    def derivatives(x, move, weight):
        norm = functools.partial(sj.norm, axis=axis, keepdims=True)
        out, tangent = jax.jvp(norm, (x,), (move,))
        return out, tangent, jax.vjp(norm, x)[1](weight)[0]

    actual = derivatives(x, move, weight)
    assert_close(actual[0], value)
    assert_close(actual[1], (direction * move).sum(axis, keepdims=True))
    assert_close(actual[2], direction * weight)


@pytest.mark.parametrize("scale", [1e-30, 1.0, 1e30])
def test_derivatives_of_norm(scale):
    """Against closed forms, also where squares under- or overflow; and at 0."""
    point = np.asarray([[3.0, 0.0, -4.0], [1.0, 2.0, 2.0], [0.0, 0.0, 0.0]])

    @jax.jit
    @jax.vmap
    def derivatives(x):
        forward, backward = jax.jacfwd(sj.norm), jax.grad(sj.norm)
        twice = jax.jacfwd(backward), jax.jacrev(backward), jax.jacfwd(forward)
        return sj.norm(x), (forward(x), backward(x)), [fn(x) for fn in twice]

    value, once, twice = derivatives((scale * point).astype(np.float32))
    size = np.asarray([5.0, 3.0, 0.0])
    first, second = np.zeros((3, 3)), np.zeros((3, 3, 3))
    for i in range(2):
        first[i] = point[i] / size[i]
        second[i] = (np.eye(3) - np.outer(first[i], first[i])) / size[i]
    assert_close(np.asarray(value) / np.float32(scale), size)
    for derivative in once:
        assert_close(derivative, first)
    for derivative in twice:
        assert_close(derivative * np.float32(scale), second)
