"""The choice of a solver: defaults, names, and messages about those that cannot."""

import contextlib

import jax.numpy as jnp
import jaxopt
import optimistix as optx
import pytest
from cases import ALL_REGULARIZERS

from softjax.solvers import (
    ClosedForm,
    ConcaveDualProblem,
    DampedNewton,
    Entropy,
    HypersimplexProjection,
    LinearProgram,
    MajorizationProjection,
    MaximizationProblem,
    NeuralSortRows,
    Newton,
    OptimistixRootFinder,
    PermutahedronProjection,
    PNorm,
    PoolAdjacentViolators,
    Primal,
    Problem,
    ScalarDualProblem,
    SemiDual,
    SimplexProjection,
    SoftSortRows,
    Solver,
    TransportProjection,
    choose_solver,
    evaluate,
    optimal_value,
    solve,
)
from softjax_solvers._core.registry import ADAPTERS
from softjax_solvers._core.solver import Adapter


def test_choice():
    simplex = SimplexProjection(jnp.ones(3), 0.1)
    rows = SoftSortRows(None, jnp.ones(3), 0.1)
    assert choose_solver(None, simplex, Entropy()) == ClosedForm()
    assert choose_solver(None, simplex, PNorm(1.5)) == Newton()
    assert choose_solver("closed_form", simplex, PNorm(1.5)) == ClosedForm()
    assert choose_solver(None, rows, Entropy()) == ClosedForm()
    assert choose_solver("newton", rows, Entropy()) == Newton()
    assert choose_solver("closed_form", rows, PNorm(2)) == ClosedForm()
    own = Newton(max_steps=3)
    assert choose_solver(own, simplex, Entropy()) is own
    bisection = optx.Bisection(1e-3, 1e-3)
    adapted = choose_solver(bisection, simplex, Entropy())
    assert isinstance(adapted, OptimistixRootFinder)
    assert adapted.solver is bisection


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


@pytest.mark.parametrize("problem", [SimplexProjection, SoftSortRows])
def test_solver_that_cannot(problem):
    args = (jnp.ones(3), 0.1)
    if problem is SoftSortRows:
        args = (None, *args)
    for solver in ("closed_form", ClosedForm()):
        with pytest.raises(TypeError, match=problem.__name__) as error:
            solve(problem(*args), "c2", solver)
        message = str(error.value)
        assert "'newton'" in message
        assert "optimistix" in message
        assert "PNorm" in message
        assert "'closed_form', and" not in message


def test_unknown_mode():
    with pytest.raises(ValueError, match="'sooth'"):
        solve(SimplexProjection(jnp.ones(3), 0.1), "sooth")


class Refuses(Solver):
    """A solver that accepts no problem."""

    def accepts(self, problem, regularizer):
        return False

    def solve(self, problem, regularizer):
        raise NotImplementedError


def _of_the_users_own(*bases):
    """A problem that has the given interfaces, and nothing else."""
    names = {name for base in bases for name in base.__abstractmethods__}
    methods = {name: lambda self, *args: args[0] for name in names}
    return type("Own", bases, methods)()


_INTERFACES = {
    (Problem,): (),
    (MaximizationProblem,): (),
    (ConcaveDualProblem,): ("optimistix.BFGS", "jaxopt.LBFGS"),
    (ConcaveDualProblem, MaximizationProblem): ("optimistix.BFGS", "jaxopt.LBFGS"),
}


def _primal(problem, regularizer, solver):
    return evaluate(problem, regularizer, Primal(), solver)


@pytest.mark.parametrize("bases", _INTERFACES)
@pytest.mark.parametrize("call", [solve, _primal, optimal_value])
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


@pytest.mark.slow
def test_defaults_accept_what_they_are_the_default_of():
    """Default solvers, and those that messages name, accept what they are named for."""
    scalar = _of_the_users_own(ScalarDualProblem)
    ones = jnp.ones(3)
    problems = [
        scalar,
        SimplexProjection(ones, 0.1),
        HypersimplexProjection(ones, 2, 0.1),
        SoftSortRows(None, ones, 0.1),
        NeuralSortRows(None, ones, 0.1),
        TransportProjection(jnp.ones((3, 3)), ones, ones, 0.1),
        TransportProjection(jnp.ones((3, 40)), ones, jnp.ones(40) * 3 / 40, 0.1),
        PermutahedronProjection(ones, ones, 0.1),
        MajorizationProjection(ones, ones, 0.1),
        LinearProgram(ones, ones[None], 1.0, upper=1.0),
        LinearProgram(ones, G=ones[None], h=1.0, upper=1.0),
    ]
    for problem in problems:
        for case in ALL_REGULARIZERS:
            if isinstance(problem, PermutahedronProjection) and case.bounded:
                continue
            if isinstance(problem, MajorizationProjection) and case.name != "smooth":
                continue
            chosen = choose_solver(None, problem, case.regularizer)
            form = problem.specialize(case.regularizer)
            assert form.accepted_by(chosen, case.regularizer)
    assert choose_solver(None, scalar, PNorm(2)) == Newton()
    with pytest.raises(TypeError, match=r"'newton', .*optimistix\.Bisection"):
        solve(scalar, "c0", "merging")
    for plan in problems[5:7]:
        assert choose_solver(None, plan, Entropy()) == SemiDual()
    assert choose_solver(None, problems[7], PNorm(2)) == PoolAdjacentViolators()
    assert choose_solver(None, problems[8], Entropy()) == DampedNewton()
    examples = [adapter.example for pair in ADAPTERS.values() for adapter in pair]
    for example in examples:
        named = eval(example, {"optimistix": optx, "jaxopt": jaxopt})
        for problem in (scalar, problems[5]):
            with contextlib.suppress(TypeError):
                assert isinstance(choose_solver(named, problem, Entropy()), Adapter)
                break
        else:
            pytest.fail(f"{example} solves nothing.")
