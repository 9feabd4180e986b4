"""Maxima of semirings: transparent, masked, and differentiated within loops too."""

import functools

import inputs
import jax
import jax.numpy as jnp
import numpy as np
import oracles
import pytest
from assertions import assert_close, finite_difference
from parametrize import each

import softjax as sj
import softjax.structured as st

MODES = {
    **{name: name for name in ("smooth", "c0", "c1", "c2", "pseudohuber")},
    "steep": sj.solvers.Tsallis(3.0),
}


def _solution(name, x, softness):
    """The maximizer over the simplex and the maximum, which is transparent."""
    if name == "steep":
        y = oracles.entmax_oracle(x[None], np.array([[softness]]), 3.0)[0]
        return y, x @ y - softness * np.sum(y**3 - y) / 6
    y = oracles.simplex_oracle(x, softness, oracles.LINKS[name])
    r = oracles.PRIMAL[name]
    return y, x @ y - softness * (np.sum(r(y)) - r(np.ones(())))


@functools.partial(jax.jit, static_argnums=0)
def _looped(name, x, move, softness):
    """Maxima of columns, one within the other, with two orders of derivatives."""

    def value(x, softness):
        semiring = st.Regularized(MODES[name], softness)

        def step(state, row):
            pair = jnp.stack([state, row])
            return semiring.max(pair), semiring.max(row)

        state, ends = jax.lax.scan(step, x[0], x[1:])
        return semiring.max(state) + ends[0]

    both = jax.value_and_grad(value, (0, 1))
    still = jnp.zeros_like(softness)
    return jax.jvp(both, (x, softness), (move, still))


@each("name", list(MODES), fast=("c0",))
def test_derivatives_within_loops(name, x64):
    x, move = inputs.rng(name).normal(size=(2, 3, 4))
    softness = jnp.asarray(1.5)
    (value, (slopes, slope)), (value_move, (slopes_move, _)) = _looped(
        name, x, move, softness
    )

    def reference(x, softness):
        def largest(row):
            return _solution(name, row, softness)[1]

        state = x[0]
        for row in x[1:]:
            state = np.array([largest(pair) for pair in np.stack([state, row]).T])
        return largest(state) + largest(x[1])

    assert_close(value, reference(x, 1.5), atol=1e-9)
    moved = finite_difference(reference, (x, 1.5), (move, 0.0), 1e-3)
    assert_close(np.sum(np.asarray(slopes) * move), moved, atol=1e-7)
    assert_close(value_move, moved, atol=1e-7)
    assert_close(
        slope, finite_difference(reference, (x, 1.5), (0 * x, 1.0), 1e-3), atol=1e-7
    )

    def gradient(x):
        return _looped(name, x, move, softness)[0][1][0]

    assert_close(slopes_move, finite_difference(gradient, (x,), (move,)), atol=1e-6)


@each("name", list(MODES), fast=("smooth", "c0", "c1"))
def test_maximum_and_its_maximizer(name, x64):
    x = inputs.rng(name, "one").normal(size=5)
    absent = np.append(x, [st.ABSENT, -np.inf])
    semiring = st.Regularized(MODES[name], 0.7)
    value, y = jax.value_and_grad(semiring.max)(jnp.asarray(absent))
    expected, most = _solution(name, x, 0.7)
    assert_close(y, np.append(expected, [0, 0]), atol=1e-8)
    assert_close(value, most, atol=1e-9)


@each("name", list(MODES), fast=("smooth", "c0"))
def test_what_is_absent(name):
    semiring = st.Regularized(MODES[name], 0.7)

    @jax.jit
    def found(x):
        return jax.vmap(jax.value_and_grad(semiring.max))(x)

    gone = [st.ABSENT, 3 * st.ABSENT, -np.inf]
    one = [st.ABSENT, 0.3, -np.inf]
    value, y = found(jnp.asarray([gone, one, [1.0, np.nan, 0.0]]))
    np.testing.assert_array_equal(value[:2], np.float32([st.ABSENT, 0.3]))
    np.testing.assert_array_equal(y[:2], [[0, 0, 0], [0, 1, 0]])
    assert np.isnan(value[2])


@pytest.mark.slow
def test_ties_and_axes():
    x = jnp.asarray([[1.0, 3.0, 3.0], [2.0, 0.0, 3.0]])
    for axis, first in (
        (0, [[0, 1, 1], [1, 0, 0]]),
        (1, [[0, 1, 0], [0, 0, 1]]),
    ):
        hard = jax.grad(lambda x, axis=axis: jnp.sum(st.Hard().max(x, axis)))(x)
        np.testing.assert_array_equal(hard, first)
        np.testing.assert_array_equal(st.Hard().max(x, axis), np.max(x, axis))
        soft = jax.grad(
            lambda x, axis=axis: jnp.sum(st.Regularized("smooth", 0.5).max(x, axis))
        )(x)
        assert_close(soft, jax.nn.softmax(x / 0.5, axis))
        best = st.KBest(4).max(st.KBest(4).lift(x), axis)
        expected = -np.sort(-np.asarray(x), axis)
        np.testing.assert_array_equal(
            best[:, :2], np.moveaxis(expected, axis, -1)[:, :2]
        )
        rest = best[:, x.shape[axis] :]
        np.testing.assert_array_equal(rest, np.full(rest.shape, np.float32(st.ABSENT)))


def test_noise_belongs_to_a_place():
    """Equal candidates at different places, and in different lines, are independent."""
    key = jax.random.key(0)

    def drawn(key):
        semiring = st.Sampled("smooth", 1.0, key)

        def value(x):
            state = semiring.lift(x)
            first, second = semiring.max(state, 1), semiring.max(state, 1)
            return jnp.sum(first[..., 0]) + jnp.sum(second[:, 0] * jnp.arange(1, 5) * 4)

        # The second candidate of each of eight maxima.
        return jax.grad(value)(jnp.zeros((4, 2)))[:, 1]

    found = np.asarray(jax.jit(jax.vmap(drawn))(jax.random.split(key, 4000)))
    weights = 4.0 * np.arange(1, 5)
    ones = np.stack([found % 4, found // weights], axis=-1).reshape(len(found), -1)
    assert set(np.unique(ones)) == {0, 1}
    correlation = np.corrcoef(ones.T) - np.eye(8)
    assert np.abs(correlation).max() < 0.08
    assert np.abs(ones.mean(axis=0) - 0.5).max() < 0.04


@pytest.mark.parametrize("count", [1, 40])
def test_sparsemax_of_many(count, x64):
    x = inputs.rng("sparsemax", count).normal(size=count)
    for softness in (0.01, 1.0, 100.0):
        y = jax.grad(st.Regularized("c0", softness).max)(jnp.asarray(x))
        expected = oracles.simplex_oracle(x, softness, oracles.power_link(2.0))
        assert_close(y, expected)
