"""Projections with penalties: at strength 0, and scores of minus infinity."""

import coupled
import inputs
import jax
import jax.numpy as jnp
import numpy as np
from assertions import assert_close
from coupled import COUPLED, SIZE
from parametrize import each, pick
from projections import PROJECTIONS

from softjax.solvers import Means, Primal, evaluate, optimal_value

_rng = inputs.rng("limits")
Z, VALUES = _rng.normal(size=(2, SIZE))
NEAR = np.array([0.9, 0.75, 0.8, 0.7, 0.6])
LOW = 1e3
"""So far below that the y of no link in these tests is above 0."""

WITH_STRENGTH = pick(COUPLED, "fused", "clustered", "grouped", "group_lasso")


@each("case", WITH_STRENGTH, fast=("grouped",))
def test_derivative_in_the_strength_at_zero(case, x64):
    """Against a difference to one side, as there are no strengths below 0."""
    for mode in case.modes[:2]:

        @jax.jit
        def run(strengths, mode=mode):
            def solution(strength):
                return evaluate(case.make(NEAR, 1.5, strength), mode, Primal())

            ones = jnp.ones_like(strengths)
            both = jax.vmap(lambda s, one: jax.jvp(solution, (s,), (one,)))
            reverse = jax.vmap(jax.jacrev(solution))(strengths)
            return *both(strengths, ones), reverse

        h = 1e-4
        y, forward, reverse = map(np.asarray, run(jnp.array([0, 1e-9, h, 2 * h])))
        # Of second order.
        expected = (4 * y[2] - y[3] - 3 * y[0]) / (2 * h)
        assert np.max(np.abs(expected)) > 1e-2
        for slopes in (forward, reverse):
            assert_close(slopes[:2], np.stack(2 * [expected]), atol=1e-6)


def _removed(z):
    """Scores with some of minus infinity, inside and at an end."""
    return jnp.stack([z.at[2].set(-jnp.inf), z.at[:2].set(-jnp.inf)])


WITHOUT = pick(PROJECTIONS, "simplex", "weighted_simplex", "segments", "hypersimplex")


@each(
    "case",
    [*COUPLED, *WITHOUT],
    fast=("fused", "group_lasso"),
)
def test_scores_of_minus_infinity(case, x64):
    """They are the limit of low ones, and have no part in what is differentiated."""
    own = isinstance(case, coupled.Coupled)
    for mode in case.modes[:2]:

        @jax.jit
        def run(z, softness, mode=mode):
            def make(z, softness):
                parts = (case.strength,) if own else ()
                return case.make(z, softness, *parts)

            def total(z, softness):
                return jnp.sum(optimal_value(make(z, softness), mode))

            def mean(z, softness):
                means = evaluate(make(z, softness), mode, Means(VALUES))
                return jnp.sum(
                    means * jnp.arange(1.0, 1 + means.size).reshape(means.shape)
                )

            y = evaluate(make(z, softness), mode, Primal())
            reads = (jax.value_and_grad(f, (0, 1)) for f in (total, mean))
            return y, *(read(z, softness) for read in reads)

        z = _removed(jnp.asarray(Z))
        found = run(z, jnp.float64(0.7))
        expected = run(jnp.where(jnp.isinf(z), -LOW, z), jnp.float64(0.7))
        for x, y in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
            assert_close(x, y, atol=1e-9)
        assert np.all(np.asarray(found[0])[np.isinf(z)] == 0)
        if own and case.name != "fused":  # where a neighbour of 0 is left
            where, z = np.isfinite(z), jnp.asarray([Z, Z])
            problem = case.make(z, 0.7, case.strength, where)
            assert_close(found[0], evaluate(problem, mode, Primal()), atol=1e-9)


@each("mode", ["c0", "smooth"], fast=("c0",))
def test_blocks_next_to_minus_infinity(mode, x64):
    """A neighbour of 0 pulls down, at most by the strength, whatever is in between."""
    (case,) = pick(COUPLED, "fused")
    z = np.array([[0.3, 0.4, -np.inf, -np.inf, 0.5, 0.2], [0.1, *(4 * [-np.inf]), 0.3]])
    low = np.where(np.isinf(z), -LOW, z)
    found, expected = (
        evaluate(case.make(jnp.asarray(x), 0.9, 0.2), mode, Primal()) for x in (z, low)
    )
    assert_close(found, expected, atol=1e-9)
