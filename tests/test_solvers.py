"""Solvers: they agree with the truth and with one another, or say that they failed."""

import contextlib
import functools

import helpers
import jax
import jax.numpy as jnp
import jaxopt
import numpy as np
import optimistix as optx
import pytest
from cases import ALL_REGULARIZERS, REGULARIZERS, SOLVERS, each, pick
from helpers import assert_close, finite_difference, simplex_oracle

import softjax as sj
from softjax.solvers import (
    ClosedForm,
    ConcaveDualProblem,
    DampedNewton,
    Entropy,
    HypersimplexProjection,
    MajorizationProjection,
    MaximizationProblem,
    Newton,
    OptimistixRootFinder,
    PermutahedronProjection,
    PNorm,
    PoolAdjacentViolators,
    Problem,
    Rowwise,
    ScalarDualProblem,
    SemiDual,
    SimplexProjection,
    Solution,
    Solver,
    SortedDeviationProjection,
    SortedDistanceProjection,
    TransportProjection,
    choose_solver,
    optimal_value,
    primal,
    solve,
)
from softjax_solvers._core.registry import ADAPTERS
from softjax_solvers._core.solver import Adapter

_rng = helpers.rng("solvers")
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
    # Those of Optimistix stop at a tolerance of 1e-6.
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
    rng = helpers.rng("hard inputs")
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
    """They end, say that they failed, and leave the other rows alone."""
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
    truth = simplex_oracle(np.asarray(problem.z), SOFTNESS, helpers.power_link(4 / 3))

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


# Sorted-distance projections


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
            problem = SortedDistanceProjection(None, support, 0.4)
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


def test_choice():
    simplex = SimplexProjection(jnp.ones(3), 0.1)
    rows = SortedDistanceProjection(None, jnp.ones(3), 0.1)
    assert choose_solver(None, simplex, Entropy()) == ClosedForm()
    assert choose_solver(None, simplex, PNorm(1.5)) == Newton()
    assert choose_solver("closed_form", simplex, PNorm(1.5)) == ClosedForm()
    assert choose_solver(None, rows, Entropy()) == ClosedForm()
    assert choose_solver("newton", rows, Entropy()) == Rowwise(Newton())
    assert choose_solver("closed_form", rows, PNorm(2)) == Rowwise(ClosedForm())
    own = Newton(max_steps=3)
    assert choose_solver(own, simplex, Entropy()) is own
    bisection = optx.Bisection(1e-3, 1e-3)
    adapted = choose_solver(bisection, simplex, Entropy())
    assert isinstance(adapted, OptimistixRootFinder)
    assert adapted.solver is bisection


# What comes back


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


# Errors


def _project(solver, mode="smooth"):
    return solve(SimplexProjection(jnp.ones(3), 0.1), mode, solver)


def test_class_in_place_of_an_instance():
    for cls in (Newton, ClosedForm, optx.Newton, optx.Bisection):
        with pytest.raises(TypeError, match=rf"{cls.__name__}\(") as error:
            _project(cls)
        assert "solver" in str(error.value)


def test_unknown_name():
    with pytest.raises(ValueError, match="'newtn'") as error:
        _project("newtn")
    message = str(error.value)
    assert "solver" in message
    assert "'newton'" in message
    assert "'closed_form'" in message


@pytest.mark.parametrize("wrong", [3, 1.5, ("newton",), jnp.ones(2), object()])
def test_no_solver_at_all(wrong):
    with pytest.raises(TypeError, match="solver must be"):
        _project(wrong)


@pytest.mark.parametrize("problem", [SimplexProjection, SortedDistanceProjection])
def test_solver_that_cannot(problem):
    args = (jnp.ones(3), 0.1)
    if problem is SortedDistanceProjection:
        args = (None, *args)
    for solver in ("closed_form", ClosedForm()):
        with pytest.raises(TypeError, match=problem.__name__) as error:
            solve(problem(*args), "c2", solver)
        message = str(error.value)
        assert "'newton'" in message
        assert "optimistix" in message
        assert "PNorm" in message
        assert "'closed_form', and" not in message


def _of_the_users_own(*bases):
    """A problem that is no more than those interfaces."""
    names = {name for base in bases for name in base.__abstractmethods__}
    methods = {name: lambda self, *args: args[0] for name in names}
    return type("Own", bases, methods)()


_INTERFACES = {
    (Problem,): (),
    (MaximizationProblem,): (),
    (ConcaveDualProblem,): ("optimistix.BFGS", "jaxopt.LBFGS"),
    (ConcaveDualProblem, MaximizationProblem): ("optimistix.BFGS", "jaxopt.LBFGS"),
}


@pytest.mark.parametrize("bases", _INTERFACES)
@pytest.mark.parametrize("call", [solve, primal, optimal_value])
def test_no_default_for_a_problem_of_the_users_own(bases, call):
    problem = _of_the_users_own(*bases)
    able = _INTERFACES[bases]
    if call is optimal_value and MaximizationProblem not in bases:
        with pytest.raises(TypeError, match=r"MaximizationProblem.*got a Own"):
            call(problem, "smooth")
        return
    said = "Solvers that can: " if able else "softjax.solvers.Solver of your own"
    for solver in (None, "newton", Refuses()):
        with pytest.raises(TypeError, match=r"solver=.*Own.*Entropy") as error:
            call(problem, "smooth", solver=solver)
        message = str(error.value)
        assert said in message
        assert all(name in message for name in able)
        assert ("optimistix.Bisection" in message) == (ScalarDualProblem in bases)
        assert "'newton'" not in message.split("Entropy")[1]


def test_defaults_accept_what_they_are_the_default_of():
    """Also of problems of the user's own, and with the solvers named in messages."""
    scalar = _of_the_users_own(ScalarDualProblem)
    ones = jnp.ones(3)
    problems = [
        scalar,
        SimplexProjection(ones, 0.1),
        HypersimplexProjection(ones, 2, 0.1),
        SortedDistanceProjection(None, ones, 0.1),
        SortedDeviationProjection(None, ones, 0.1),
        TransportProjection(jnp.ones((3, 3)), ones, ones, 0.1),
        TransportProjection(jnp.ones((3, 40)), ones, jnp.ones(40) * 3 / 40, 0.1),
        PermutahedronProjection(ones, ones, 0.1),
        MajorizationProjection(ones, ones, 0.1),
    ]
    for problem in problems:
        for case in ALL_REGULARIZERS:
            if isinstance(problem, PermutahedronProjection) and case.bounded:
                continue
            chosen = choose_solver(None, problem, case.regularizer)
            assert chosen.accepts(problem, case.regularizer)
    assert choose_solver(None, scalar, PNorm(2)) == Newton()
    with pytest.raises(TypeError, match=r"'newton', .*optimistix\.Bisection"):
        solve(scalar, "c0", "merging")
    dense, tall = problems[5:7]
    assert choose_solver(None, dense, Entropy()) == SemiDual()
    assert choose_solver(None, tall, Entropy()) == SemiDual(alternations=4)
    assert choose_solver(None, problems[7], PNorm(2)) == PoolAdjacentViolators()
    assert choose_solver(None, problems[8], Entropy()) == DampedNewton()
    examples = [adapter.example for pair in ADAPTERS.values() for adapter in pair]
    for example in examples:
        named = eval(example, {"optimistix": optx, "jaxopt": jaxopt})
        for problem in (scalar, dense):
            with contextlib.suppress(TypeError):
                assert isinstance(choose_solver(named, problem, Entropy()), Adapter)
                break
        else:
            pytest.fail(f"{example} solves nothing.")


def test_unknown_mode():
    with pytest.raises(ValueError, match="'sooth'"):
        solve(SimplexProjection(jnp.ones(3), 0.1), "sooth")


# A solver and a problem of one's own


class Dumb(Solver):
    """Bisection from a wide bracket, as a user might write it."""

    def accepts(self, problem, regularizer):
        return isinstance(problem, SimplexProjection)

    def solve(self, problem, regularizer):
        def halve(_, bracket):
            lower, upper = bracket
            middle = (lower + upper) / 2
            below = problem.optimality(middle, regularizer) > 0
            return jnp.where(below, middle, lower), jnp.where(below, upper, middle)

        start = jnp.zeros(problem.z.shape[:-1], problem.z.dtype)
        bracket = (start - 10, start + 10)
        dual, _ = jax.lax.fori_loop(0, 60, halve, bracket)
        residual = problem.residual(dual, regularizer)
        steps = jnp.asarray(60)
        return Solution(problem, regularizer, dual, steps, residual, residual < 1e-5)


def test_solver_of_ones_own():
    z = jnp.asarray(Z[0], jnp.float32)

    @jax.jit
    def compute(z):
        def total(z, solver):
            return solve(SimplexProjection(z, 0.7), "c2", solver).value[0]

        return [jax.value_and_grad(total)(z, solver) for solver in (Dumb(), None)]

    (own, own_gradient), (default, gradient) = compute(z)
    assert_close(own, default)
    assert_close(own_gradient, gradient, atol=1e-5)
    assert_close(sj.argmax(z, softness=0.7, mode="c2", solver=Dumb())[0], default)
    rows = SortedDistanceProjection(None, jnp.sort(z), 0.7)
    with pytest.raises(TypeError, match="Refuses"):
        solve(rows, "c2", Refuses())
    # What solves simplex projections solves rows of them.
    values = [solve(rows, "c2", s).expectation(z) for s in (Dumb(), None)]
    assert_close(*values, atol=1e-5)


class Refuses(Dumb):
    def accepts(self, problem, regularizer):
        return False


class Moments(Problem):
    """`argmax <z, y> - R(y)` with sum y = 1 and <moments, y> = mean, y >= 0.

    The dual is a dictionary of two scalars: y = phi(z - total - moment * moments).
    """

    z: jax.Array
    moments: jax.Array
    mean: jax.Array

    def primal(self, dual, regularizer):
        return regularizer.link(self.z - dual["total"] - dual["moment"] * self.moments)

    def optimality(self, dual, regularizer):
        y = self.primal(dual, regularizer)
        return dict(total=y.sum() - 1, moment=y @ self.moments - self.mean)

    def expectation(self, dual, regularizer, values):
        return self.primal(dual, regularizer) @ values

    def residual(self, dual, regularizer):
        residual = self.optimality(dual, regularizer)
        return jnp.abs(residual["total"]) + jnp.abs(residual["moment"])


class FullNewton(Solver):
    """Plain Newton on all of the dual, which the implicit rule must not see."""

    def accepts(self, problem, regularizer):
        return isinstance(problem, Moments)

    def solve(self, problem, regularizer):
        def step(_, dual):
            residual = problem.optimality(dual, regularizer)
            change = problem.dual_tangent(dual, regularizer, residual)
            return jax.tree.map(lambda d, c: d + c, dual, change)

        start = dict(total=jnp.asarray(1.0), moment=jnp.asarray(0.0))
        dual = jax.lax.fori_loop(0, 40, step, start)
        residual = problem.residual(dual, regularizer)
        steps = jnp.asarray(40)
        return Solution(problem, regularizer, dual, steps, residual, residual < 1e-8)


def test_problem_of_ones_own(x64):
    """A dual that is a pytree, through the default implicit derivative."""
    rng = helpers.rng("moments")
    args = (rng.normal(size=4), np.arange(4.0), np.asarray(1.3))
    direction = tuple(rng.normal(size=np.shape(a)) for a in args)

    def fn(*args):
        problem = Moments(*map(jnp.asarray, args))
        return solve(problem, "smooth", FullNewton()).value

    @jax.jit
    def derivatives(*args):
        def total(*args):
            return jnp.sum(jnp.arange(1.0, 5) * fn(*args))

        gradient = jax.grad(total, (0, 1, 2))
        return dict(
            value=fn(*args),
            jvp=jax.jvp(fn, args, direction)[1],
            gradient=gradient(*args),
            second=jax.jvp(gradient, args, direction)[1],
        )

    args = tuple(map(jnp.asarray, args))
    direction = tuple(map(jnp.asarray, direction))
    out = derivatives(*args)
    y = np.asarray(out["value"])
    assert_close([y.sum(), y @ np.arange(4.0)], [1.0, 1.3], atol=1e-12)
    # It is the exponential family: log y - z is linear in the moments.
    assert_close(np.diff(np.log(y) - np.asarray(args[0]), n=2), np.zeros(2), atol=1e-9)
    expected = finite_difference(derivatives, args, direction)
    assert_close(out["jvp"], expected["value"], atol=1e-8)
    along = sum(np.sum(g * d) for g, d in zip(out["gradient"], direction, strict=True))
    assert_close(along, np.sum(np.arange(1.0, 5) * out["jvp"]), atol=1e-10)
    for a, b in zip(out["second"], expected["gradient"], strict=True):
        assert_close(a, b, atol=1e-7)
