"""Scores of -inf in linear programs: entries that are not there."""

import jax
import jax.numpy as jnp
import numpy as np
import optimistix as optx
import pytest
from assertions import assert_close, finite_difference
from linear_programs import SMALL, Program
from parametrize import each

from softjax.solvers import (
    LinearProgram,
    Means,
    SimplexProjection,
    Value,
    evaluate,
    fenchel_young_loss,
    shortest_path,
    solve,
)

_COLUMNS = ("A", "G", "upper")
_SPARE = {"grid": 1, "knapsack": 2, "mixed": 5, "transport": 4}
"""An entry that solutions may do without."""


def without(program: Program, entry: int) -> dict:
    """Arguments of the program that has no such entry."""
    given = dict(program.constraints, z=program.z)
    for name in ("z", *_COLUMNS):
        if isinstance(given[name], np.ndarray):
            given[name] = np.delete(given[name], entry, axis=-1)
    return given


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["c0", "smooth"])
@each("program", SMALL)
def test_absent_entries_change_nothing(program, mode, x64):
    """Solutions, maxima and derivatives are those of the program without them."""
    entry = _SPARE[program.name]

    @jax.jit
    def run(given, softness, solver=None):
        given = dict(given)

        def problem(z, softness):
            others = {k: v for k, v in given.items() if k != "z"}
            return LinearProgram(z, softness=softness, **others)

        def total(z, softness):
            y = solve(problem(z, softness), mode).value
            return jnp.sum(jnp.sin(jnp.where(y > 0, 3 * y, 0)))

        found = solve(problem(given["z"], softness), mode)
        of_z, of_softness = jax.grad(total, (0, 1))(given["z"], softness)
        best = evaluate(problem(given["z"], softness), mode, Value())
        return (found.value, of_z), (of_softness, best), found.converged

    full = dict(program.constraints, z=program.z.copy())
    full["z"][entry] = -np.inf
    rows, numbers, converged = run(full, 0.7)
    expected_rows, expected, _ = run(without(program, entry), 0.7)
    assert converged
    for found, other in zip(rows, expected_rows, strict=True):
        assert found[entry] == 0
        assert_close(np.delete(found, entry), other, atol=1e-9)
    for found, other in zip(numbers, expected, strict=True):
        assert_close(found, other, atol=1e-9)


def test_the_largest_may_be_absent():
    """Values and gradients are those of the projection onto the simplex."""
    z, values = jnp.array([0.3, -jnp.inf, 0.9, 0.8]), jnp.arange(4.0)

    @jax.jit
    def run(z):
        def total(z, make):
            return evaluate(make(z), "smooth", Means(values))

        def program(z):
            return LinearProgram(z, jnp.ones((1, 4)), 1.0, 0.5)

        makers = program, lambda z: SimplexProjection(z, 0.5)
        return [jax.value_and_grad(total)(z, make) for make in makers]

    (mean, gradient), (expected, other) = run(z)
    assert_close(mean, expected)
    assert_close(gradient, other)
    assert gradient[1] == 0


@pytest.mark.slow
def test_nothing_is_left():
    """Equalities that only absent entries could meet: no solution, within few steps."""
    A, z = jnp.array([[1.0, 1.0, 0.0]]), jnp.array([-jnp.inf, -jnp.inf, 1.0])
    for mode in ("c0", "smooth"):
        found = solve(LinearProgram(z, A, 1.0, 0.5), mode)
        assert not found.converged
        assert found.steps < 20
        assert np.all(np.isfinite(found.value))
        np.testing.assert_array_equal(found.value[:2], 0)


@pytest.mark.slow
def test_a_minimiser_knows_of_them():
    z, A = jnp.array([0.3, -jnp.inf, 0.9, 0.8]), jnp.ones((1, 4))
    problem = LinearProgram(z, A, 1.0, 0.5)
    found = solve(problem, "c1", optx.BFGS(rtol=1e-7, atol=1e-7)).value
    assert_close(found, solve(problem, "c1").value, atol=1e-3)


@pytest.mark.slow
def test_losses_of_what_is_absent():
    """Infinite where the target has it, and else those of the rest."""
    z, A = jnp.array([0.3, -jnp.inf, 0.9]), jnp.ones((1, 3))
    losses = [
        fenchel_young_loss(LinearProgram(z, A, 1.0, 0.5), jnp.eye(3)[i], "c0")
        for i in range(3)
    ]
    rest = LinearProgram(z[jnp.array([0, 2])], A[:, :2], 1.0, 0.5)
    expected = [fenchel_young_loss(rest, jnp.eye(2)[i], "c0") for i in range(2)]
    assert np.isposinf(losses[1])
    assert_close([losses[0], losses[2]], expected)


@pytest.mark.slow
def test_a_road_that_is_closed(x64):
    """Of infinite cost, as if it were none."""
    tail, head = np.array([0, 0, 1, 1, 2]), np.array([1, 2, 2, 3, 3])
    cost, open_ = np.array([1.0, 3.0, np.inf, 4.0, 1.0]), [0, 1, 3, 4]
    graph = dict(source=0, target=3, softness=0.7, nodes=4)

    def path(cost):
        return shortest_path(cost, tail[open_], head[open_], **graph)

    flow = shortest_path(cost, tail, head, **graph)
    assert flow[2] == 0
    assert_close(flow[np.array(open_)], path(cost[open_]))
    gradient = jax.grad(
        lambda c: shortest_path(c, tail, head, **graph) @ jnp.arange(5.0)
    )(jnp.asarray(cost))
    direction = np.eye(4)[0]
    moved = finite_difference(path, (cost[open_],), (direction,))
    assert gradient[2] == 0
    assert_close(gradient[0], moved @ np.arange(5.0)[open_], atol=1e-7)
