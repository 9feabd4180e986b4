"""Reverse mode of soft structures: what a model is trained with."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from assertions import assert_close
from parametrize import each, pick
from structures import PROGRAMS, flat

import softjax.structured as st
from softjax.solvers import Tsallis

SOFTNESS = 0.8
MODES = {
    "smooth": "smooth",
    "c0": "c0",
    "c1": "c1",
    "pseudohuber": "pseudohuber",
    "tsallis": Tsallis(1.3),
    "steep": Tsallis(3.0),
}


def _arrays(case):
    """Scores close enough for a sparse mode, a move of them, and weights of parts."""
    return case.scores("near", scale=0.2), case.scores("move"), case.scores("weights")


@functools.partial(jax.jit, static_argnums=(0, 1))
def _both(case, mode, z, move, weights):
    """The derivative of weighted marginals along a move, in both modes, and its own."""

    def of_marginals(z, softness):
        keywords = dict(mode=MODES[mode], method="recursion", softness=softness)
        mu = st.argmax(case.structure, z, **keywords)
        terms = jax.tree.map(lambda w, m: jnp.sum(w * m), weights, mu)
        return sum(jax.tree.leaves(terms))

    softness = jnp.asarray(SOFTNESS)
    moves = move, jnp.ones_like(softness)
    forward = jax.jvp(of_marginals, (z, softness), moves)[1]
    slopes = jax.grad(of_marginals, argnums=(0, 1))(z, softness)
    return forward, slopes


@each("mode", list(MODES), fast=("c0", "steep"))
@each("case", PROGRAMS, fast=("chain",))
def test_reverse_is_forward(case, mode, x64):
    z, move, weights = _arrays(case)
    forward, (slope, in_softness) = _both(case, mode, z, move, weights)
    assert abs(forward) > 1e-3
    assert_close(flat(slope) @ flat(move) + in_softness, forward, atol=1e-9)


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["smooth", "c0", "c1"])
def test_gradients_of_gradients(mode, x64):
    """Reverse over reverse over reverse mode, as a gradient penalty has it."""
    (case,) = pick(PROGRAMS, "chain")
    z, move, weights = _arrays(case)

    def loss(z):
        keywords = dict(mode=mode, method="recursion", softness=SOFTNESS)
        mu = st.argmax(case.structure, z, **keywords)
        terms = jax.tree.map(lambda w, m: jnp.sum(w * m**2), weights, mu)
        return sum(jax.tree.leaves(terms))

    def penalty(z):
        return sum(jnp.sum(x**2) for x in jax.tree.leaves(jax.grad(loss)(z)))

    slope = jax.jit(jax.grad(penalty))(z)
    _, forward = jax.jit(lambda z: jax.jvp(penalty, (z,), (move,)))(z)
    assert abs(forward) > 1e-3
    np.testing.assert_allclose(flat(slope) @ flat(move), forward, rtol=1e-7)
