"""Linear recurrences, against loops in float64."""

import functools

import inputs
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from assertions import assert_close, finite_difference

from softjax_solvers._kernels.scans import (
    _recursive_doubling,
    _sequential,
    linear_recurrence,
)


def loop(a, b, reverse):
    """`h_i = a_i h_{i-1} + b_i` in float64, or from the other end."""
    a, b = np.broadcast_arrays(np.asarray(a, np.float64), np.asarray(b, np.float64))
    h = np.zeros_like(b)
    state = np.zeros(b.shape[:-1])
    indices = range(b.shape[-1])
    for i in reversed(indices) if reverse else indices:
        state = a[..., i] * state + b[..., i]
        h[..., i] = state
    return h


both_ways = pytest.mark.parametrize("reverse", [False, True])


@pytest.mark.x64
@both_ways
@pytest.mark.parametrize("shape", [(1,), (2,), (7,), (3, 64), (2, 1, 33)])
def test_values(shape, reverse):
    rng = inputs.rng("recurrence", len(shape))
    a, b = jnp.asarray(rng.uniform(-1, 1, size=(2, *shape)))
    h = linear_recurrence(a, b, reverse=reverse)
    assert_close(h, loop(a, b, reverse))


@pytest.mark.parametrize("solve", [_sequential, _recursive_doubling])
@pytest.mark.parametrize("n", [1, 2, 7, 64, 100])
def test_on_any_device(solve, n):
    """Recurrences on a CPU and elsewhere, any number of sums in each direction."""
    rng = inputs.rng("any device", n)
    a, b, c, d = rng.uniform(-1, 1, size=(4, 2, n))
    a[:, 0] = 0
    rows = [tuple(map(jnp.asarray, rows)) for rows in ((b, c), (d,))]
    (h, k), (r,) = solve(jnp.asarray(a), *rows)
    after = np.append(a[:, 1:], np.zeros((2, 1)), axis=-1)
    for found, expected in (
        (h, loop(a, b, False)),
        (k, loop(a, c, False)),
        (r, loop(after, d, True)),
    ):
        assert_close(found, expected)


@both_ways
def test_long_products_do_not_drift(reverse):
    # Factors next to 1, and factors of 0, which cut the recurrence.
    rng = inputs.rng("drift")
    a = 1 - rng.uniform(0, 1e-3, size=5000)
    a[::977] = 0
    a, b = jnp.asarray(a), jnp.asarray(rng.uniform(0, 1, size=5000))
    h = linear_recurrence(a, b, reverse=reverse)
    assert_close(h, loop(a, b, reverse), atol=0, rtol=2e-5)


@both_ways
def test_derivatives(reverse, x64):
    rng = inputs.rng("recurrence", "derivatives")
    a, b, a_dot, b_dot, weights = rng.uniform(-1, 1, size=(5, 2, 6))
    recurrence = functools.partial(linear_recurrence, reverse=reverse)

    @jax.jit
    def derivatives(a, b):
        def total(a, b):
            return jnp.sum(weights * recurrence(a, b) ** 2)

        def along(a, b):
            return jax.jvp(total, (a, b), (a_dot, b_dot))[1]

        _, tangent = jax.jvp(recurrence, (a, b), (a_dot, b_dot))
        gradient = jax.grad(total, (0, 1))
        return dict(
            tangent=tangent,
            gradient=gradient(a, b),
            forward_over_reverse=jax.jvp(gradient, (a, b), (a_dot, b_dot))[1],
            reverse_over_forward=jax.grad(along, (0, 1))(a, b),
            forward_over_forward=jax.jvp(along, (a, b), (a_dot, b_dot))[1],
            batched=jax.vmap(recurrence)(a, b),
        )

    out = derivatives(a, b)
    args, tangents = (a, b), (a_dot, b_dot)

    def squares(a, b):
        return np.sum(weights * loop(a, b, reverse) ** 2)

    expected = finite_difference(lambda a, b: loop(a, b, reverse), args, tangents)
    assert_close(out["tangent"], expected, atol=1e-9)
    along = sum(np.sum(g * t) for g, t in zip(out["gradient"], tangents, strict=True))
    assert_close(along, finite_difference(squares, args, tangents), atol=1e-8)
    expected = finite_difference(
        lambda a, b: derivatives(a, b)["gradient"], args, tangents
    )
    for key in ("forward_over_reverse", "reverse_over_forward"):
        for part, reference in zip(out[key], expected, strict=True):
            assert_close(part, reference, atol=1e-8)
    twice = sum(np.sum(g * t) for g, t in zip(expected, tangents, strict=True))
    assert_close(out["forward_over_forward"], twice, atol=1e-8)
    assert_close(out["batched"], loop(a, b, reverse))
