"""What `check_problem` says of problems, right and wrong ones."""

import itertools
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from parametrize import each
from test_own_polytope import MEMBER, BudgetProjection

from softjax import solvers
from softjax.solvers import check_problem

Z = jnp.asarray([0.3, 1.0, -0.2, 0.1, 0.6])
BUDGET = jnp.asarray([1.0, 0.8])
VERTICES = np.zeros((6, 5))
for _row, (_i, _j) in enumerate(itertools.product(range(3), (3, 4))):
    VERTICES[_row, _i], VERTICES[_row, _j] = BUDGET


def checked(kind, mode="smooth", **keywords):
    problem = kind(Z, jnp.asarray(0.5), jnp.asarray(MEMBER), BUDGET)
    return check_problem(problem, mode, **keywords)


def wrong(base, **methods):
    """A problem that differs in some methods."""
    return type("Wrong", (base,), methods)


def _of(name, change):
    """A method, of which the result is changed."""
    own = getattr(BudgetProjection, name)
    return {name: lambda self, *args: change(own(self, *args))}


def _constant(self, dual, regularizer):
    return 0 * dual[..., 0]


def _constant_in_z(self, dual, regularizer):
    still = jax.lax.stop_gradient(self.z)
    fixed = BudgetProjection(still, self.softness, self.member, self.budget)
    return fixed.optimality(dual, regularizer)


def _own_optimality(self, dual, regularizer):
    own = BudgetProjection(self.z, self.softness, self.member, self.budget)
    return own.optimality(dual, regularizer)


def _half_jacobian(self, dual, regularizer):
    own = BudgetProjection.jacobian(self, dual, regularizer)
    return 0.5 * own


class Lazy(solvers.Solver):
    """The dual 0, without a search."""

    def accepts(self, problem, regularizer):
        return True

    def solve(self, problem, regularizer):
        dual = jnp.zeros_like(problem.budget)
        residual = problem.residual(dual, regularizer)
        done = jnp.zeros(residual.shape, bool)
        zero = jnp.zeros((), jnp.int32)
        return solvers.Solution(problem, regularizer, dual, zero, residual, done)


WRONG = {
    "optimality": (_of("optimality", lambda x: x + 0.1), "away from all means"),
    "solver": (
        dict(default_solver=lambda self, r: Lazy()),
        "has not converged",
    ),
    "negative": (_of("residual", lambda x: x - 1.0), "at least 0"),
    "blind": (dict(residual=_constant), "residual is as small at another dual"),
    "objective": (_of("objective", lambda x: -x), "not the maximum of objective"),
    "jacobian": (dict(jacobian=_half_jacobian), "jacobian, times a direction"),
    "derivative": (
        dict(optimality=_constant_in_z),
        "derivative of the solution in z",
    ),
    "means": (
        dict(means=lambda self, dual, r, values: jnp.sum(values, axis=-1)),
        r"Means\(values\)",
    ),
    "hull": (
        _of("primal", lambda y: 1.2 * y) | dict(optimality=_own_optimality),
        "away from all means",
    ),
    "raises": (dict(primal=lambda *_: 1 / 0), "raises ZeroDivisionError"),
}


@pytest.mark.slow
def test_a_right_problem_is_consistent():
    report = checked(BudgetProjection, "c1", vertices=VERTICES)
    assert report.consistent, report
    assert report.converged
    assert report.gap < 1e-5
    assert str(report).startswith("consistent\nconverged: yes")


@each("name", list(WRONG), fast=("raises",))
def test_what_is_wrong_is_said(name):
    methods, words = WRONG[name]
    report = checked(wrong(BudgetProjection, **methods), vertices=VERTICES)
    assert not report.consistent
    assert any(re.search(words, problem) for problem in report.problems), report
    assert "problem(s):" in str(report)


def test_errors():
    with pytest.raises(TypeError, match="instance of Problem"):
        check_problem(Z)  # pyright: ignore
