"""SoftSort by windows of neighbours, narrow and wide."""

import functools

import inputs
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from assertions import assert_close, finite_difference, tolerance
from cases import REGULARIZERS
from oracles import simplex_oracle
from parametrize import each, pick

from softjax.solvers import Means, SoftSortRows, evaluate, solve


def _spread(n=150):
    """Samples whose windows are narrow, wide, of all elements, and of very few."""
    rng = inputs.rng("spread")
    support = np.stack(
        [
            rng.normal(size=n),
            np.round(rng.normal(size=n), 1),
            np.full(n, -0.7),
            rng.standard_cauchy(n),
            np.repeat([-1.0, 2.0], n // 2) + 1e-3 * rng.normal(size=n),
        ]
    )
    values = rng.normal(size=support.shape)
    softness = np.array([0.1, 0.33, 1.0, 0.2, 1e-3])[:, None]
    return [np.asarray(jnp.asarray(a)) for a in (np.sort(support), softness, values)]


@functools.cache
def _means(name: str):
    (case,) = pick(REGULARIZERS, name)

    @jax.jit
    def compute(support, softness, values):
        solution = solve(SoftSortRows(None, support, softness), case.mode)
        return solution.expectation(values), solution.converged, solution.steps

    return compute


@pytest.mark.x64
@each("case", REGULARIZERS, fast=("c0", "c2"))
def test_windows(case):
    support, softness, values = _spread()
    means, converged, _ = _means(case.name)(support, softness, values)
    s, tau, v = (np.asarray(a, np.float64) for a in (support, softness, values))
    z = -np.abs(s[:, :, None] - s[:, None, :])
    y = simplex_oracle(z, tau[..., None], case.link)
    expected = np.sum(y * v[:, None, :], axis=-1)
    assert np.all(converged)
    assert_close(means, expected, atol=5 * tolerance(support.dtype))


@each("case", pick(REGULARIZERS, "c0", "c1", "c2"))
def test_windows_take_few_steps(case):
    _, _, steps = _means(case.name)(*_spread())
    assert np.max(steps) <= 8


@each("case", REGULARIZERS, fast=())
def test_derivatives_of_windows(case, x64):
    """Against central differences of values, and of gradients."""
    support, softness, values = _spread(80)
    # Apart from ties, where some of the sparse ones have kinks.
    rows = [0, 3, 4]
    args = tuple(jnp.asarray(a[rows]) for a in (support, softness, values))
    weights, *moves = (
        inputs.rng("moves", k).normal(size=a.shape)
        for k, a in enumerate((support[rows], *args))
    )
    moves[0] *= np.min(np.diff(args[0]), axis=-1, keepdims=True)
    moves[1] *= 0.1 * args[1]
    args, moves = (*args, jnp.asarray(weights)), (*moves, np.zeros_like(weights))

    def total(support, softness, values, weights):
        problem = SoftSortRows(None, support, softness)
        return jnp.sum(weights * evaluate(problem, case.mode, Means(values)), axis=-1)

    @jax.jit
    def compute(args):
        one = lambda *args: jnp.sum(total(*args))  # noqa: E731
        gradient = jax.grad(one, (0, 1, 2, 3))
        return (
            total(*args),
            jax.jvp(total, args, tuple(moves))[1],
            gradient(*args),
            jax.jvp(gradient, args, tuple(moves))[1],
            jax.vmap(gradient)(*args),
        )

    def differences(index):
        return finite_difference(
            lambda *args: compute(args)[index], args, tuple(moves), step=1e-4
        )

    _, forward, gradient, hessian, mapped = compute(args)
    reverse = sum(np.sum(g * m, axis=-1) for g, m in zip(gradient, moves, strict=True))
    assert_close(forward, differences(0), atol=1e-6, rtol=1e-5)
    assert_close(reverse, forward, atol=1e-10, rtol=1e-9)
    for a, b in zip(mapped, gradient, strict=True):
        assert_close(a, b, atol=1e-10, rtol=1e-9)
    if case.name != "c0":
        expected = jax.tree.leaves(differences(2))
        for a, b in zip(hessian, expected, strict=True):
            assert_close(a, b, atol=1e-3, rtol=1e-3)


@each("case", pick(REGULARIZERS, "smooth", "c1"), fast=("smooth",))
def test_one_step_and_two(case, x64):
    """`expectation` is `solve(...).expectation`, and so are all its derivatives."""
    support, softness, values = _spread(70)
    args = support[[0, 3]], softness[[0, 3]], values[[0, 3]]

    def two(problem, values):
        return solve(problem, case.mode).expectation(values)

    def one(problem, values):
        return evaluate(problem, case.mode, Means(values))

    def gradient(mean):
        def total(support, softness, values):
            problem = SoftSortRows(None, support, softness)
            return jnp.sum(jnp.cos(mean(problem, values)))

        return jax.value_and_grad(total, (0, 1, 2))

    actual, expected = jax.jit(lambda *a: (gradient(one)(*a), gradient(two)(*a)))(*args)
    for a, b in zip(jax.tree.leaves(actual), jax.tree.leaves(expected), strict=True):
        assert_close(a, b, atol=1e-9, rtol=1e-9)
