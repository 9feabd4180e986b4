"""Solvers of projections onto permutahedra: choice, failure and refusal."""

import jax
import jax.numpy as jnp
import numpy as np
import optimistix as optx
import pytest
from cases import REGULARIZERS
from parametrize import each, pick
from permutahedra import CASES, rows

import softjax as sj
from softjax.solvers import (
    DivideAndConquerIsotonic,
    PermutahedronProjection,
    PoolAdjacentViolators,
    Scaled,
    SimplexProjection,
    Tsallis,
    choose_solver,
    get_regularizer,
    solve,
)

BOUNDED = [case for case in REGULARIZERS if case.bounded]


def test_choice():
    problem = PermutahedronProjection(jnp.ones(3), jnp.ones(3), 0.1)
    for mode in ("smooth", "c0", "c2"):
        regularizer = get_regularizer(mode)
        for solver in ("merging", DivideAndConquerIsotonic()):
            assert (
                choose_solver(solver, problem, regularizer)
                == DivideAndConquerIsotonic()
            )
        default = (
            DivideAndConquerIsotonic() if mode == "c2" else PoolAdjacentViolators()
        )
        assert choose_solver(None, problem, regularizer) == default
    halved = Scaled(Tsallis(2.0), 0.5)
    assert choose_solver(None, problem, halved) == PoolAdjacentViolators()
    own = DivideAndConquerIsotonic(max_steps=3)
    assert choose_solver(own, problem, get_regularizer("c0")) is own


def test_too_few_steps_are_told():
    (case,) = pick(CASES, "c2")

    @jax.jit
    def run(*arrays):
        problem = PermutahedronProjection(*arrays)
        solution = solve(problem, case.mode, DivideAndConquerIsotonic(max_steps=1))
        return solution.value, solution.residual, solution.converged

    value, residual, converged = map(np.asarray, run(*rows(case, 2)))
    assert not np.all(converged)
    assert np.all(residual[~converged] > 1e-5)
    assert np.all(np.isfinite(value))


@pytest.mark.parametrize(
    "solver",
    [
        *("newton", "closed_form", "semi_dual", "sinkhorn", "alternating"),
        optx.Bisection(1e-6, 1e-6),
    ],
    ids=str,
)
def test_solvers_that_cannot(solver):
    problem = PermutahedronProjection(jnp.ones(3), jnp.ones(3), 0.1)
    pool = "'pool_adjacent_violators', "
    for mode, others in (("smooth", pool), ("c0", pool), ("c1", "")):
        with pytest.raises(TypeError, match="PermutahedronProjection") as error:
            solve(problem, mode, solver)
        assert str(error.value).endswith(f"Solvers that can: {others}'merging'.")
        with pytest.raises(TypeError, match=rf"can: {others}'merging'\."):
            sj.rank(np.ones(3), mode=mode, method="fast_soft_sort", solver=solver)
    with pytest.raises(TypeError, match=r"SimplexProjection.*'newton'"):
        solve(SimplexProjection(jnp.ones(3), 0.1), "c0", "merging")


@each("case", BOUNDED, fast=("cubic",))
def test_bounded_links_are_refused(case):
    problem = PermutahedronProjection(jnp.ones(3), jnp.ones(3), 0.1)
    name = type(case.regularizer).__name__
    message = rf"{name}\(\).*all positive numbers.*'smooth'"
    with pytest.raises(ValueError, match=message):
        solve(problem, case.mode)
    with pytest.raises(ValueError, match=name):
        jax.jit(lambda problem: solve(problem, case.mode).value)(problem)


def test_errors():
    problem = PermutahedronProjection(jnp.ones(3), jnp.ones(3), 0.1)
    with pytest.raises(TypeError, match=r"linear_solver.*Lineax.*'cg'"):
        solve(problem, "c0", linear_solver="cg")
    with pytest.raises(ValueError, match="z must have at least one axis"):
        PermutahedronProjection(jnp.ones(()), jnp.ones(()), 0.1)
