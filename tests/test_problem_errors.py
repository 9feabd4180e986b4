"""Errors of problems, regularizers and adapters, which name the argument."""

import jax
import jax.numpy as jnp
import jaxopt
import numpy as np
import pytest
from parametrize import each

from softjax import solvers
from softjax.solvers import Entropy, PNorm, Scaled, Tsallis, solve

Z = np.array([0.9, 0.8, 0.7, 0.2])
SHORT, HERE = np.ones(3), np.ones(3, bool)
IDS = np.array([0, 1, 1, 0])

SHAPES = {
    "permutahedron_w": (
        "PermutahedronProjection: w of",
        lambda: solvers.PermutahedronProjection(Z, SHORT, 0.1),
    ),
    "permutahedron_where": (
        "PermutahedronProjection: where of",
        lambda: solvers.PermutahedronProjection(Z, Z, 0.1, HERE),
    ),
    "permutahedron_weights": (
        "PermutahedronProjection: weights of",
        lambda: solvers.PermutahedronProjection(Z, Z, 0.1, weights=SHORT),
    ),
    "simplex": (
        "SimplexProjection: where of",
        lambda: solvers.SimplexProjection(Z, 0.1, HERE),
    ),
    "hypersimplex": (
        "HypersimplexProjection: where of",
        lambda: solvers.HypersimplexProjection(Z, 2, 0.1, HERE),
    ),
    "segments": (
        "SegmentedSimplexProjection: where of",
        lambda: solvers.SegmentedSimplexProjection(Z, 0.1, IDS, 2, HERE),
    ),
    "majorization_z": (
        "MajorizationProjection: z of",
        lambda: solvers.MajorizationProjection(SHORT, Z, 0.1),
    ),
    "majorization_where": (
        "MajorizationProjection: where of",
        lambda: solvers.MajorizationProjection(Z, Z, 0.1, HERE),
    ),
    "fused": (
        "FusedSimplexProjection: where of",
        lambda: solvers.FusedSimplexProjection(Z, 0.1, 0.1, HERE),
    ),
}


@each("name", list(SHAPES))
def test_shapes(name):
    words, make = SHAPES[name]
    with pytest.raises(ValueError, match=rf"{words} .*\(3,\) must .* \(4,\)"):
        make()


@pytest.mark.parametrize("wrong", [-1.0, np.nan, np.inf])
def test_weights(wrong):
    weights = np.array([wrong, 1, 1, 1])
    for make in (
        lambda **k: solvers.SimplexProjection(Z, 0.1, **k),
        lambda **k: solvers.HypersimplexProjection(Z, 2, 0.1, **k),
        lambda **k: solvers.SegmentedSimplexProjection(Z, 0.1, IDS, 2, **k),
        lambda **k: solvers.SoftSortRows(None, np.sort(Z), 0.1, **k),
    ):
        with pytest.raises(ValueError, match="weights must be nonnegative and finite"):
            make(weights=weights)
    # What is masked does not count, nor is anything known of what is traced.
    where = np.arange(4) > 0
    solvers.SimplexProjection(Z, 0.1, where, weights=weights)
    jax.eval_shape(lambda w: solvers.SimplexProjection(Z, 0.1, weights=w), weights)


def test_strengths():
    for strength in (-0.5, jnp.array(-0.5), np.array([-0.5]), jnp.nan):
        for make in (
            solvers.FusedSimplexProjection,
            solvers.ClusteredSimplexProjection,
            lambda *args: solvers.GroupedSimplexProjection(*args, IDS),
            lambda *args: solvers.GroupLassoProjection(*args, IDS),
        ):
            with pytest.raises(ValueError, match="strength must be nonnegative"):
                make(Z, 0.1, strength)


def test_factors():
    for factor in ("a", None, True, 1j):
        with pytest.raises(TypeError, match="Scaled: factor must be a real number"):
            Scaled(PNorm(2), factor)
    for factor in (0.0, -1, np.inf, np.nan, jnp.array(-1.0)):
        with pytest.raises(ValueError, match="Scaled: factor must be positive"):
            Scaled(PNorm(2), factor)
    with pytest.raises(ValueError, match="factor must be a scalar"):
        Scaled(PNorm(2), jnp.ones(2))


@pytest.mark.slow
def test_bounds_of_the_entropy_alone():
    """Solvers need not look at the link, which thus has to be the one of the bounds."""
    problem = solvers.MajorizationProjection(Z, Z, 0.1)
    for regularizer in (Tsallis(1.0), Tsallis(jnp.array(1.0)), PNorm(2)):
        with pytest.raises(ValueError, match="made for the entropy"):
            solve(problem, regularizer)
    expected = solve(problem, "smooth").value
    value = solve(problem, Scaled(Entropy(), 1.0)).value
    np.testing.assert_array_equal(value, expected)


REFUSED = {
    "bisection": jaxopt.Bisection(jnp.sum, -1, 1),
    "fixed_point": jaxopt.FixedPointIteration(jnp.sum),
    "scipy": jaxopt.ScipyMinimize(fun=jnp.sum),
    "class_of_scipy": jaxopt.ScipyMinimize,
    "root_finder": jaxopt.Broyden,
    "least_squares": jaxopt.GaussNewton,
    "constrained": jaxopt.ProjectedGradient,
    "line_search": jaxopt.BacktrackingLineSearch(jnp.sum),
    "needs_more": jaxopt.OptaxSolver,
}


@each("name", list(REFUSED))
def test_solvers_that_do_not_minimise(name):
    cost, ones = np.abs(Z[:, None] - Z), np.ones(4)
    problem = solvers.TransportProjection(cost, ones, ones, 0.3)
    for solver in (REFUSED[name], solvers.JaxoptMinimiser(REFUSED[name])):
        with pytest.raises(TypeError, match=r"cannot solve.*jaxopt\.LBFGS"):
            solve(problem, "smooth", solver)


def test_converged_in_64_bits(x64):
    """A residual of a search that is not over yet is no convergence, small as it is."""
    cost = np.array([[0.1, 0.7, 0.3], [0.9, 0.2, 0.4], [0.5, 0.8, 0.0]])
    shares = np.array([0.2, 0.3, 0.5]), np.array([0.4, 0.4, 0.2])
    problem = solvers.TransportProjection(cost, *shares, 0.3)
    found = [
        solve(problem, "smooth", solvers.DualCoordinateAscent(1e-13, steps))
        for steps in (3, 5, 64)
    ]
    residuals = np.array([x.residual for x in found])
    assert np.any((residuals > 1e-11) & (residuals < 1e-5))
    assert [bool(x.converged) for x in found] == list(residuals <= 2e-13)
    assert residuals[-1] < 1e-11
