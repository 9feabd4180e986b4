"""Derivatives of projections onto permutahedra, against those of the reference."""

from collections.abc import Callable
from typing import NamedTuple

import inputs
import jax
import jax.numpy as jnp
import numpy as np
import oracles
import scipy.special
from assertions import assert_close, finite_difference
from cases import Mixed
from jax.flatten_util import ravel_pytree
from parametrize import each, pick
from permutahedra import CASES, oracle, rows

from softjax.solvers import PermutahedronProjection, PNorm, Regularizer, solve


class Parametric(NamedTuple):
    """A regularizer of a parameter that is differentiated too, and what it is made of.

    `make` and `link` take the parameters by name.
    """

    name: str
    make: Callable[..., Regularizer]
    link: Callable[..., oracles.Link]
    at_zero: float
    parameters: dict


def _mixed_link(weight):
    return lambda t: oracles.mixed_link(t + np.log(weight)) / weight


PARAMETRIC = [
    *(
        Parametric(
            case.name, lambda c=case: c.regularizer, lambda c=case: c.link,
            case.at_zero, {},
        )
        for case in CASES
    ),
    Parametric("pnorm_p", PNorm, oracles.power_link, 0.0, dict(p=np.array(1.37))),
    Parametric(
        "user_weight", Mixed, _mixed_link, -np.inf, dict(weight=np.array(1.6))
    ),
]  # fmt: skip


@each("case", PARAMETRIC, fast=())
def test_derivatives(case, x64):
    """Derivatives in everything, in every direction at once, of the reference."""
    rng = inputs.rng("derivatives", case.name)
    arrays = dict(
        z=rng.normal(size=(3, 4)),
        w=rng.normal(size=(3, 4)),
        softness=np.array([[0.4], [1.1], [6.0]]),
    )
    x, unravel = ravel_pytree(jax.tree.map(jnp.asarray, arrays | case.parameters))
    direction = jnp.asarray(rng.normal(size=x.shape))
    weights = rng.normal(size=12)

    def fn(x):
        parts = unravel(x)
        problem = PermutahedronProjection(*(parts.pop(name) for name in arrays))
        return solve(problem, case.make(**parts)).value.ravel()

    def truth(x):
        parts = jax.tree.map(np.asarray, unravel(jnp.asarray(x)))
        rest = [parts.pop(name) for name in arrays]
        link = case.link(**parts)
        return oracles.permutahedron_oracle(*rest, link, case.at_zero).ravel()

    @jax.jit
    def derivatives(x):
        def total(x):
            value = fn(x)
            return weights @ value, value

        gradient = jax.grad(total, has_aux=True)
        return jax.jvp(gradient, (x,), (direction,))

    (gradient, value), (product, dot) = derivatives(x)
    (value_dot,) = finite_difference(lambda x: (truth(x),), (x,), (direction,))
    assert_close(value, truth(x), atol=1e-9)
    assert_close(dot, value_dot, atol=1e-7)
    assert_close(gradient @ direction, weights @ dot, atol=1e-10)
    for i in range(0, x.size, 3):
        (entry,) = finite_difference(
            lambda x: (weights @ truth(x),), (x,), (np.eye(x.size)[i],)
        )
        assert_close(gradient[i], entry, atol=1e-7)
    moved, _ = finite_difference(lambda x: derivatives(x)[0], (x,), (direction,))
    assert_close(product, moved, atol=1e-6, rtol=1e-6)


@each("case", pick(CASES, "c0", "c1", "c2", "user_link"), fast=())
def test_derivatives_where_a_block_is_zero(case):
    """There the dual has no derivative for p < 2, and the projection has."""
    z = jnp.asarray([[4.0, 0.0, -4.0], [1.0, 1.0, -9.0], [0.0, 0.0, 0.0]])
    w = jnp.asarray([[0.0, 0.0, 0.0], [1.0, -1.0, -1.0], [0.0, 0.0, 0.0]])
    w_dot = jnp.asarray([[0.3, 0.2, 0.1], [0.5, 0.1, 0.7], [0.4, 0.2, 0.0]])

    def project(z, w):
        return solve(PermutahedronProjection(z, w, 1.0), case.mode).value

    @jax.jit
    def derivatives(z, w):
        value, dot = jax.jvp(lambda w: project(z, w), (w,), (w_dot,))
        gradient = jax.grad(lambda *args: jnp.sum(project(*args)), (0, 1))
        return value, dot, gradient(z, w)

    value, dot, gradient = derivatives(z, w)
    zero, shared = [0.0, 0.0, 0.0], [0.3, 0.3, 0.7]
    assert_close(value, [zero, [0.0, 0.0, -1.0], zero])
    # Blocks of one follow their entry; a block of equals shares.
    assert_close(dot[:2], [[0.3, 0.2, 0.1], shared], atol=1e-6)
    for part in gradient:
        assert np.all(np.isfinite(part))
    # y adds up to what w does, whatever z.
    assert_close(gradient[0], np.zeros((3, 3)), atol=1e-6)
    assert_close(gradient[1], np.ones((3, 3)), atol=1e-6)


def test_blocks_of_which_only_the_largest_counts():
    """In a sum of exponentials, others vanish: they are in the block all the same."""
    z = jnp.asarray([[40.0, 0.0], [40.0, 0.0], [0.0, 40.0], [1.0, 0.0]])
    w = jnp.asarray([[100.0, 0.0], [0.0, 1e3], [0.0, 100.0], [30.0, 0.0]])

    @jax.jit
    def run(z, w):
        def total(z, w):
            solution = solve(PermutahedronProjection(z, w, 1.0), "smooth")
            smaller = jnp.sum(jnp.min(solution.value, axis=-1))
            return smaller, (solution.value, solution.converged)

        return jax.grad(total, (0, 1), has_aux=True)(z, w)

    (by_z, by_w), (value, converged) = run(z, w)
    (case,) = pick(CASES, "smooth")
    assert_close(value, oracle(case, z, w, 1.0), atol=1e-5, rtol=1e-6)
    assert np.all(converged)
    # The smaller y is s_min - LSE(s) + LSE(w).
    share = scipy.special.softmax(z, axis=-1)
    assert_close(by_z, (np.asarray(z) == z.min(-1, keepdims=True)) - share, atol=1e-6)
    assert_close(by_w, scipy.special.softmax(w, axis=-1), atol=1e-6)


@each("case", CASES, fast=())
def test_gradients_stay_finite(case):
    """Gradients at rows of every kind; masked entries have no influence."""
    z, w, softness = rows(case, 3)
    where = inputs.rng("finite").uniform(size=z.shape) < 0.7

    @jax.jit
    def gradient(z, w, softness):
        def total(z, w, softness):
            problem = PermutahedronProjection(z, w, softness, where)
            return jnp.sum(jnp.sin(solve(problem, case.mode).value))

        return jax.grad(total, (0, 1, 2))(z, w, softness)

    out = gradient(z, w, softness)
    for part in out:
        assert np.all(np.isfinite(part))
    for part in out[:2]:
        assert np.all(np.asarray(part)[~where] == 0)
