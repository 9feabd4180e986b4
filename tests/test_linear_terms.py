"""Terms that all feasible vectors share, and the logarithms of solutions."""

import functools

import inputs
import jax
import numpy as np
import pytest
from assertions import assert_close
from parametrize import each
from projections import PROJECTIONS, SIZE

from softjax import solvers
from softjax.solvers import LogPrimal, Regularizer, get_regularizer, solve
from softjax_solvers._regularizers.transformed import Transformed

Z = inputs.rng("linear terms").normal(size=(2, SIZE))
_FAST = ("simplex", "group_lasso", "signed_permutahedron")
_MODES = ["c0", *(pytest.param(m, marks=pytest.mark.slow) for m in ("smooth", "c1"))]


class Shifted(Transformed):
    """`r(y) + linear y`."""

    regularizer: Regularizer
    linear: float

    def parts(self):
        return self.regularizer, 1.0, self.linear


@functools.cache
def solutions(case, mode):
    """Values and their logarithms, by a regularizer with linear terms and without."""
    r = get_regularizer(mode)

    @jax.jit
    def run(z):
        problem = case.make(z, 0.7)
        found = [solve(problem, s) for s in (r, Shifted(r, 1.3), Shifted(r, -0.4))]
        return [(x.value, x.read(LogPrimal()), x.converged) for x in found]

    return [tuple(map(np.asarray, parts)) for parts in run(Z)]


def _check_mode(case, mode):
    if mode not in case.modes:
        pytest.skip(f"{case.name} is not for {mode}")


@each("case", PROJECTIONS, fast=_FAST)
@pytest.mark.parametrize("mode", _MODES)
def test_linear_terms_change_nothing(case, mode, x64):
    """They add up to a constant where the sum of y is fixed."""
    _check_mode(case, mode)
    (expected, _, converged), *others = solutions(case, mode)
    assert np.all(converged)
    for value, _, converged in others:
        assert np.all(converged)
        assert_close(value, expected, atol=1e-9)


@each("case", PROJECTIONS, fast=_FAST)
@pytest.mark.parametrize("mode", _MODES)
def test_logarithms_are_those_of_the_solution(case, mode, x64):
    _check_mode(case, mode)
    for value, logs, _ in solutions(case, mode):
        assert_close(np.exp(logs), np.maximum(value, 0), atol=1e-12)


def test_group_lasso_of_an_entropy_with_a_line():
    """By a link that leaves 0 below 0, it is the one of the Euclidean distance."""
    z, groups = np.array([0.9, 0.8, 0.7, 0.2]), np.array([0, 0, 1, 1])
    problem = solvers.GroupLassoProjection(z, 1.0, 0.5, groups)
    value = solve(problem, solvers.Tsallis(2.0)).value
    assert_close(value, solve(problem, "c0").value, atol=1e-6)
    assert_close(value, [0.44766, 0.39328, 0.13279, 0.02627], atol=1e-5)
    # Of a multiple, at a multiple of the softness, which the strength is not one of.
    twice = solve(problem, solvers.Scaled(solvers.Tsallis(2.0), 2.0)).value
    other = solvers.GroupLassoProjection(z, 2.0, 0.25, groups)
    assert_close(twice, solve(other, "c0").value, atol=1e-6)
