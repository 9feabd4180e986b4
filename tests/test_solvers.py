"""Solvers: they agree with the truth and with one another, or say that they failed."""

import functools

import inputs
import jax
import jax.numpy as jnp
import numpy as np
import optimistix as optx
import oracles
import pytest
from assertions import assert_close
from cases import REGULARIZERS, SOLVERS
from oracles import simplex_oracle
from parametrize import each, pick

from softjax import solvers
from softjax.solvers import (
    Newton,
    OptimistixRootFinder,
    SimplexProjection,
    SoftSortRows,
    Solution,
    solve,
)

_rng = inputs.rng("solvers")
Z = np.concatenate([_rng.normal(size=(4, 5)), np.array([[0.3] * 5, [1.0, 0, 1, 0, 1]])])
SOFTNESS = np.array([[0.1], [1.0], [10.0], [0.3], [0.2], [0.5]])
VALUES = _rng.normal(size=(6, 5))


@functools.cache
def _solve(solver: str, regularizer: str):
    (solver,) = pick(SOLVERS, solver)
    (case,) = pick(REGULARIZERS, regularizer)

    @jax.jit
    def compute(z, softness, values):
        def total(z, softness):
            solution = solve(SimplexProjection(z, softness), case.mode, solver.solver)
            mean = solution.expectation(values)
            return jnp.sum(mean), (solution.value, mean, solution.residual, solution)

        gradient = jax.grad(total, (0, 1), has_aux=True)
        gradient, (value, mean, residual, solution) = gradient(z, softness)
        return dict(
            gradient=gradient,
            value=value,
            expectation=mean,
            residual=residual,
            converged=solution.converged,
            steps=solution.steps,
        )

    return compute


def _matrix():
    own = ("smooth", "c0", "c1", "c2", "quintic", "pseudohuber")
    for solver in SOLVERS:
        for case in REGULARIZERS:
            if solver.solves(case):
                foreign = solver.name.startswith("optx")
                slow = case.name not in (("c0",) if foreign else own)
                yield pytest.param(
                    solver,
                    case,
                    id=f"{solver.name}-{case.name}",
                    marks=[pytest.mark.slow] if slow else [],
                )


@pytest.mark.parametrize(("solver", "case"), list(_matrix()))
def test_every_solver_with_every_regularizer(solver, case):
    z, softness, values = map(jnp.asarray, (Z, SOFTNESS, VALUES))
    out = _solve(solver.name, case.name)(z, softness, values)
    expected = simplex_oracle(z, softness, case.link)
    foreign, bracketed = solver.name.startswith("optx"), "Bisection" in solver.name
    # Solvers of Optimistix stop at a tolerance of 1e-6.
    atol = 1e-5 if foreign else None
    found = np.asarray(out["converged"])
    # Without a bracket nothing is promised for links that are not convex.
    assert np.all(found) or (foreign and not case.convex and not bracketed)
    assert_close(out["value"][found], expected[found], atol=atol)
    mean = np.sum(expected * np.asarray(values, np.float64), axis=-1)
    assert_close(out["expectation"][found], mean[found], atol=1e-5)
    assert np.all((out["steps"] >= 0) & (out["steps"] <= 256))
    # Derivatives do not depend on how the dual was found.
    default = _solve("default", case.name)(z, softness, values)
    smooth = found & (np.arange(6) < 4)  # the others lie on kinks of the p-norms
    for a, b in zip(out["gradient"], default["gradient"], strict=True):
        assert_close(a[smooth], b[smooth], atol=2e-4, rtol=2e-4)


@pytest.mark.parametrize("mode", ["smooth", "c0", "c1"])
def test_closed_form_and_newton_on_hard_inputs(mode):
    rng = inputs.rng("hard inputs")
    z = rng.normal(size=(5, 300)) * np.array([[1e-3], [1.0], [1e3], [1e6], [1.0]])
    z[4] = np.round(z[4])
    z, softness = jnp.asarray(z, jnp.float32), jnp.float32(0.3)
    (case,) = pick(REGULARIZERS, mode)
    expected = simplex_oracle(z, np.full((5, 1), softness), case.link)
    for solver in ("closed_form", "newton"):
        out = jax.jit(
            lambda z, s=solver: solve(SimplexProjection(z, softness), mode, s)
        )(z)
        assert np.all(out.converged)
        assert_close(out.value, expected)


@each("solver", SOLVERS)
@each("case", pick(REGULARIZERS, "smooth", "c0"))
def test_rows_with_nan(solver, case):
    """Rows with NaN end, say that they failed, and leave the other rows alone."""
    args = [jnp.asarray(a, jnp.float32) for a in (Z, SOFTNESS, VALUES)]
    compute = _solve(solver.name, case.name)
    clean = compute(*args)
    args[0] = args[0].at[1, 2].set(jnp.nan).at[4].set(jnp.nan)
    args[1] = args[1].at[3].set(jnp.nan)
    out = compute(*args)
    bad = np.isin(np.arange(6), [1, 3, 4])
    np.testing.assert_array_equal(out["converged"], ~bad)
    assert np.all(np.isnan(out["expectation"][bad]))
    for key in ("value", "expectation"):
        np.testing.assert_array_equal(out[key][~bad], clean[key][~bad])
    for a, b in zip(out["gradient"], clean["gradient"], strict=True):
        np.testing.assert_array_equal(a[~bad], b[~bad])


_OTHERS = {
    "Chord": optx.Chord(rtol=1e-6, atol=1e-6),
    "GaussNewton": optx.GaussNewton(rtol=1e-6, atol=1e-6),
    "BFGS": optx.BFGS(rtol=1e-6, atol=1e-6),
    "LBFGS": optx.LBFGS(rtol=1e-6, atol=1e-6),
    "NelderMead": optx.NelderMead(rtol=1e-6, atol=1e-6),
    "GradientDescent": optx.GradientDescent(learning_rate=1e-3, rtol=1e-6, atol=1e-6),
}


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(
            name,
            marks=[] if name == "Chord" else [pytest.mark.slow],
        )
        for name in _OTHERS
    ],
)
@pytest.mark.parametrize("mode", ["smooth", "pseudohuber"])
def test_failure_is_told(name, mode):
    """Solvers that need not converge here: `converged` says which rows they solved."""
    z, softness = jnp.asarray(Z, jnp.float32), jnp.asarray(SOFTNESS, jnp.float32)

    @jax.jit
    def compute(z):
        return solve(SimplexProjection(z, softness), mode, _OTHERS[name])

    solution = compute(z)
    (case,) = pick(REGULARIZERS, mode)
    truth = simplex_oracle(z, softness, case.link)
    # The unnormalized solution shows how good the dual is.
    scores = (z - z.max(-1, keepdims=True)) / softness
    y = case.link(np.asarray(scores, np.float64) - np.asarray(solution.dual)[:, None])
    converged = np.asarray(solution.converged)
    assert_close(np.abs(y.sum(-1) - 1), solution.residual, atol=2e-5, rtol=1e-4)
    assert np.all(np.asarray(solution.residual)[converged] <= 1e-3)
    assert not np.any(np.asarray(solution.residual)[~converged] <= 1e-4)
    assert_close(np.asarray(solution.value)[converged], truth[converged], atol=2e-3)
    assert np.all(np.isfinite(solution.value))


def test_too_few_steps_are_told():
    problem = SimplexProjection(jnp.asarray(Z, jnp.float32), SOFTNESS)
    truth = simplex_oracle(np.asarray(problem.z), SOFTNESS, oracles.power_link(4 / 3))

    @jax.jit
    def run(problem):
        return [
            solve(problem, "c2", solver)
            for solver in (
                Newton(max_steps=1),
                Newton(max_steps=64),
                Newton(tolerance=1e-2),
                OptimistixRootFinder(optx.Bisection(1e-6, 1e-6), max_steps=2),
            )
        ]

    few, many, loose, bisection = run(problem)
    assert not np.all(few.converged)
    assert np.all(np.asarray(few.residual)[~few.converged] > 1e-4)
    assert np.all(few.steps <= 1)
    assert np.all(many.converged)
    assert np.all(loose.converged)
    assert np.all(loose.residual <= 1e-2)
    assert np.sum(loose.steps) < np.sum(many.steps)
    assert_close(loose.value, truth, atol=1e-2)
    assert not np.all(bisection.converged)
    for solution in (few, bisection):
        good = np.asarray(solution.converged)
        assert_close(np.asarray(solution.value)[good], truth[good], atol=1e-3)


@pytest.mark.parametrize(
    "name",
    [
        "newton",
        "optx.Newton",
        pytest.param("optx.Bisection", marks=pytest.mark.slow),
        pytest.param("optx.LevenbergMarquardt", marks=pytest.mark.slow),
    ],
)
@each("mode", ["smooth", "c1"], fast=("c1",))
def test_solvers_of_rows(name, mode):
    (solver,) = pick(SOLVERS, name)
    support = jnp.sort(jnp.asarray(Z, jnp.float32), axis=-1)

    @jax.jit
    def compute(support):
        def total(support, solver=None):
            problem = SoftSortRows(None, support, 0.4)
            solution = solve(problem, mode, solver)
            mean = solution.expectation(support)
            return jnp.sum(mean**2), (mean, solution.converged, solution.dual)

        gradient = jax.value_and_grad(total, has_aux=True)
        return gradient(support), gradient(support, solver.solver)

    (default, gradient), (own, own_gradient) = compute(support)
    assert np.all(own[1][1])
    for a, b in zip(own[1], default[1], strict=True):
        assert_close(a, b, atol=1e-5)
    assert_close(own_gradient, gradient, atol=1e-4)


def test_solution_fields():
    problem = SimplexProjection(jnp.asarray(Z, jnp.float32), jnp.float32(0.5))
    for mode, solver in (
        ("c2", None),
        ("smooth", None),
        ("c2", optx.Newton(1e-6, 1e-6)),
    ):
        solution = jax.jit(lambda p, m=mode, s=solver: solve(p, m, s))(problem)
        assert isinstance(solution, Solution)
        assert solution.value.shape == (6, 5)
        assert solution.dual.shape == solution.residual.shape == (6,)
        assert solution.converged.shape == (6,)
        assert solution.converged.dtype == bool
        assert solution.steps.shape in ((), (6,))
        assert jnp.issubdtype(solution.steps.dtype, jnp.integer)
        assert solution.value.dtype == solution.dual.dtype == jnp.float32
        expected = np.sum(np.asarray(solution.value) * np.arange(5), axis=-1)
        mean = solution.expectation(jnp.arange(5.0))
        assert_close(mean, expected, atol=1e-5)


def test_diagnostics_carry_no_derivative():
    def diagnostics(z):
        solution = solve(SimplexProjection(z, 0.5), "c1")
        return solution.residual

    jacobian = jax.jit(jax.jacfwd(diagnostics))(jnp.asarray(Z[0]))
    assert np.all(np.asarray(jacobian) == 0)


# Every way in which a problem takes a softness.
WITH_SOFTNESS = {
    "simplex": lambda tau: SimplexProjection(Z, tau),
    "hypersimplex": lambda tau: solvers.HypersimplexProjection(Z, 2, tau),
    "segments": lambda tau: solvers.SegmentedSimplexProjection(
        Z[0], tau, np.zeros(5, int), 1
    ),
    "softsort": lambda tau: SoftSortRows(Z, Z, tau),
    "permutahedron": lambda tau: solvers.PermutahedronProjection(Z, Z, tau),
    "transport": lambda tau: solvers.TransportProjection(
        np.eye(2), np.ones(2), np.ones(2), tau
    ),
    "linear program": lambda tau: solvers.LinearProgram(
        Z[0], np.ones((1, 5)), np.ones(1), tau
    ),
    "oracle": lambda tau: solvers.OracleProjection(Z[0], tau, lambda z: z),
    "majorization": lambda tau: solvers.MajorizationProjection(Z[0], Z[0], tau),
}


@each("problem", list(WITH_SOFTNESS), fast=("simplex",))
def test_softness_is_positive(problem):
    make = WITH_SOFTNESS[problem]
    for softness in (0.0, -0.5, np.nan, jnp.asarray(-1.0)):
        with pytest.raises(ValueError, match=f"softness must be positive.* {softness}"):
            make(softness)
