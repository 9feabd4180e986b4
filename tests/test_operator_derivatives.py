"""Derivatives of operators in loops and under `vmap`, to second order."""

import inputs
import jax
import jax.numpy as jnp
import pytest
from assertions import assert_close
from cases import METHODS, REGULARIZERS
from parametrize import each, each_pair, pick

import softjax as sj


@each("operator", [sj.heaviside, sj.argmax], fast=("argmax",))
def test_second_derivatives_in_a_loop(operator, x64):
    """A derivative along a direction is the gradient times it, in any mode."""
    rng = inputs.rng("loop")
    x, direction = jnp.asarray(rng.normal(size=(2, 4)))

    def total(x, softness):
        def step(x, _):
            return x + operator(x, softness=softness, mode="c4") * x[::-1], None

        return jnp.cos(jnp.arange(4)) @ jax.lax.scan(step, x, None, length=2)[0]

    @jax.jit
    def derivatives(x, softness):
        both = jax.value_and_grad(total, (0, 1))
        return jax.jvp(both, (x, softness), (direction, 0.1))

    (_, (gradient, slope)), (along, _) = derivatives(x, 0.7)
    assert_close(along, gradient @ direction + 0.1 * slope, atol=1e-10)


# One method of either kind, by default.
_MAPPED = dict.fromkeys(METHODS) | {"softsort": "smooth", "fast_soft_sort": "c0"}


@pytest.mark.defaults
@each_pair(
    pick(REGULARIZERS, "smooth", "c0", "c1", "quintic"), _MAPPED | {"softsort": None}
)
def test_derivatives_of_mapped_operators(case, method):
    """Derivative of `vmap` and `vmap` of derivative, of what is compiled by itself."""
    rng = inputs.rng("mapped")
    x, move, weights = jnp.asarray(rng.normal(size=(3, 5)))

    def total(t):
        ordered = sj.sort(x + t * move, mode=case.mode, method=method, softness=0.3)
        return jnp.vdot(weights, ordered)

    t = jnp.asarray([-0.1, 0.0, 0.2])
    _, outside = jax.jvp(jax.vmap(total), (t,), (jnp.ones_like(t),))
    inside = jax.vmap(jax.grad(total))(t)
    assert_close(outside, inside, atol=1e-4)
    summed = jax.grad(lambda t: jnp.sum(jax.vmap(total)(t)))(t)
    assert_close(summed, inside, atol=1e-4)


@each_pair(pick(REGULARIZERS, "smooth"), _MAPPED)
def test_second_derivatives_of_mapped_operators(case, method):
    """Mixed derivatives of compiled operators: in the input, then in the softness."""
    x, move = jnp.asarray(inputs.rng("mapped", "twice").normal(size=(2, 5)))

    @jax.jit
    def slope(softness):
        def ranks(x):
            return sj.rank(x, mode=case.mode, method=method, softness=softness)

        return jax.jvp(ranks, (x,), (move,))[1]

    softness = jnp.asarray([0.3, 0.4])
    _, found = jax.jvp(jax.vmap(slope), (softness,), (jnp.ones(2),))
    expected = [jax.jvp(slope, (s,), (jnp.ones(()),))[1] for s in softness]
    assert_close(found, jnp.stack(expected), atol=1e-4)
