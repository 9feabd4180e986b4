"""Scores of -inf, of what can't be chosen: maxima and losses are those without it."""

import functools

import jax
import numpy as np
import pytest
from assertions import assert_close
from parametrize import each

from softjax import losses, solvers

SCORES = np.array([0.3, -np.inf, 1.0, -0.4, -np.inf], np.float32)
TARGET = np.array([0.2, 0.0, 0.8, 0.0, 0.0], np.float32)
MASK = np.array([1.0, 0.0, 1.0, 0.0, 0.0], np.float32)
WEIGHTS = np.array([2.0, 3.0, 1.0, 0.5, 1.0], np.float32)
HERE = np.isfinite(SCORES)


def simplex_loss(scores, target, softness, weights, **keywords):
    return losses.simplex_loss(
        scores, target, softness=softness, weights=weights, **keywords
    )


def top_k_loss(scores, target, softness, weights, **keywords):
    return losses.top_k_loss(
        scores, target, 2, softness=softness, weights=weights, **keywords
    )


CASES = {
    "simplex": (simplex_loss, TARGET),
    "ot": (functools.partial(top_k_loss, method="ot"), MASK),
    "hypersimplex": (functools.partial(top_k_loss, method="hypersimplex"), MASK),
}


@each("weighting", ["plain", "weighted"], fast=("plain",))
@each("mode", ["smooth", "c0", "c1"], fast=("smooth",))
@each("name", list(CASES))
def test_losses(name, mode, weighting):
    """With their derivatives in scores and softness."""
    loss, target = CASES[name]
    weighted = weighting == "weighted"
    weights = WEIGHTS if weighted else np.ones_like(WEIGHTS)
    if weighted and name != "simplex":
        target = target / weights  # a sum of k
    fn = jax.value_and_grad(functools.partial(loss, mode=mode), argnums=(0, 2))
    value, (slope, steep) = fn(SCORES, target, 0.7, weights)
    rows = SCORES[HERE], target[HERE], 0.7, weights[HERE]
    expected, (wanted, of_softness) = fn(*rows)
    assert_close(value, np.asarray(expected), atol=1e-5)
    assert_close(slope[HERE], np.asarray(wanted), atol=1e-5)
    assert np.all(slope[~HERE] == 0)
    assert_close(steep, np.asarray(of_softness), atol=1e-4)


@each("mode", ["smooth", "c0", "c1", "c2"], fast=("c1",))
@pytest.mark.parametrize("name", ["simplex", "hypersimplex"])
def test_projections(name, mode):
    """Solutions move with the softness as those without it do."""
    make = {
        "simplex": solvers.SimplexProjection,
        "hypersimplex": lambda z, softness: solvers.HypersimplexProjection(
            z, 2, softness
        ),
    }[name]

    def solution(softness, z):
        return solvers.solve(make(z, softness), mode).value

    slope = jax.jit(jax.jacobian(solution))
    bent = jax.jit(jax.jacfwd(jax.jacobian(solution)))
    for fn in (jax.jit(solution), slope, bent):
        found, expected = fn(0.7, SCORES), fn(0.7, SCORES[HERE])
        assert_close(found[HERE], np.asarray(expected), atol=2e-5)
        assert np.all(found[~HERE] == 0)


@pytest.mark.parametrize("mode", ["smooth", "c0"])
def test_transport_of_infinite_costs(mode):
    """Is that of costs so large that nothing is moved at them."""
    mu, nu = np.array([0.5, 0.5], np.float32), np.array([0.4, 0.3, 0.3], np.float32)

    @jax.value_and_grad
    def largest(softness, cost):
        problem = solvers.TransportProjection(cost, mu, nu, softness)
        return solvers.optimal_value(problem, mode)

    cost = np.array([[0.0, np.inf, 0.2], [0.4, 0.1, 0.3]], np.float32)
    value, slope = largest(0.5, cost)
    expected, wanted = largest(0.5, np.minimum(cost, 1e4))
    assert_close(value, np.asarray(expected), atol=1e-4)
    assert_close(slope, np.asarray(wanted), atol=1e-4)
