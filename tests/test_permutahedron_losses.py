"""Fenchel-Young losses of projections onto a permutahedron, with numbers below 0."""

import itertools

import inputs
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from assertions import assert_close, finite_difference
from parametrize import each

from softjax.solvers import (
    Entropy,
    PermutahedronProjection,
    PNorm,
    Scaled,
    Sum,
    Tsallis,
    fenchel_young_loss,
    optimal_value,
    solve,
)

Z = np.array([0.3, -0.2, 0.9, 0.4])
ROWS = {"signed": [-2.0, 0.0, 1.0, -0.3], "positive": [2.0, 0.5, 1.0, 0.7]}


REGULARIZERS = {
    "tsallis_1.5": Tsallis(1.5),
    "c0": PNorm(2),
    "c1": PNorm(1.5),
    "tsallis_2": Tsallis(2.0),
    "tsallis_3": Tsallis(3.0),
    "scaled": Scaled(Tsallis(1.7), 0.6),
}


@each("name", list(ROWS), fast=("signed",))
@each("mode", list(REGULARIZERS), fast=("tsallis_1.5",))
def test_losses(name, mode, x64):
    """Nonnegative, 0 at the solution, and with the gradient `y - target`."""
    w, regularizer = np.array(ROWS[name]), REGULARIZERS[mode]
    vertices = np.array(list(itertools.permutations(w)))
    shares = inputs.rng("mixtures").dirichlet(np.full(len(vertices), 0.1), 20)
    targets = jnp.asarray(np.concatenate([shares @ vertices, vertices[:8]]))

    @jax.jit
    def run(z, softness):
        problem = PermutahedronProjection(z, w, softness)
        solution = solve(problem, regularizer).value

        def loss(z, softness, target):
            problem = PermutahedronProjection(z, w, softness)
            return fenchel_young_loss(problem, target, regularizer)

        losses = jax.vmap(lambda target: loss(z, softness, target))(targets)
        slopes = jax.grad(loss, (0, 1))(z, softness, targets[0])
        return losses, slopes, solution, loss(z, softness, solution)

    losses, (of_z, of_softness), solution, least = run(Z, 0.8)
    assert np.all(np.asarray(losses) > 1e-6)
    assert_close(least, 0, atol=1e-12)
    assert_close(of_z, solution - targets[0], atol=1e-9)
    move = np.array([0.3, -1.0, 0.2, 0.7]), 0.4
    expected = finite_difference(lambda *args: run(*args)[0][0], (Z, 0.8), move)
    assert_close(move[0] @ of_z + move[1] * of_softness, expected, atol=1e-7)


@pytest.mark.slow
def test_parameters_that_are_traced(x64):
    """Losses by a traced parameter: those of the number, and NaN where that raises."""
    problem = PermutahedronProjection(Z, np.array(ROWS["signed"]), 0.8)

    def value(alpha, make):
        return optimal_value(problem, make(alpha))

    found, slope = jax.jit(jax.value_and_grad(lambda a: value(a, Tsallis)))(1.5)
    assert_close(found, value(1.5, Tsallis), atol=1e-9)
    expected = finite_difference(lambda a: value(float(a), Tsallis), (1.5,), (1.0,))
    assert_close(slope, expected, atol=1e-6)

    def mixed(factor):
        return Sum(Entropy(), Scaled(PNorm(2), factor))

    with pytest.raises(ValueError, match=r"r'\(0\) is finite"):
        value(2.0, mixed)
    assert np.isnan(jax.jit(lambda factor: value(factor, mixed))(2.0))
