"""Problems and solvers of `benchmarks.side_by_side`: a line adds one to the table."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import jaxopt
import numpy as np
import optimistix as optx

from softjax.solvers import (
    ActiveSet,
    ClosedForm,
    ConjugateGradients,
    DampedNewton,
    DivideAndConquerIsotonic,
    DualCoordinateAscent,
    FrankWolfe,
    FusedSimplexProjection,
    HypersimplexProjection,
    JaxoptMinimiser,
    LinearProgram,
    MajorizationProjection,
    MetricNewton,
    MetricSimplexProjection,
    Newton,
    OptimistixMinimiser,
    OptimistixRootFinder,
    OracleProjection,
    OTTSinkhorn,
    PermutahedronProjection,
    PoolAdjacentViolators,
    Problem,
    ProjectedNewton,
    SemiDual,
    SimplexProjection,
    SoftSortRows,
    Solution,
    Solver,
    TransportProjection,
)


class Case(NamedTuple):
    """A problem for given scores, with a mode: what solvers are compared on."""

    name: str
    mode: str
    pose: Callable[[jax.Array], Problem]
    z: np.ndarray


class ProjectedGradient(Solver[SimplexProjection]):
    """JAXopt's accelerated projected gradients on the simplex, for y itself.

    They need a finite slope of r at 0, which the entropy does not have. The dual is the
    mean under y of what all entries of the solution have in common.
    """

    tolerance: float = 1e-6
    max_steps: int = 2000

    def accepts(self, problem, regularizer):
        return isinstance(problem, SimplexProjection) and problem.z.ndim == 1

    def solve(self, problem, regularizer):
        def loss(y):
            return jnp.sum(regularizer.value(y) - problem.scores * y)

        descent = jaxopt.ProjectedGradient(
            loss,
            lambda y, _: jaxopt.projection.projection_simplex(y),
            maxiter=self.max_steps,
            tol=self.tolerance,
            implicit_diff=False,
        )
        n = problem.z.size
        y, state = descent.run(jnp.full(n, 1 / n, problem.z.dtype))
        dual = jnp.sum(y * (problem.scores - regularizer.gradient(y)))
        residual = problem.residual(dual, regularizer)
        met = residual <= self.tolerance
        return Solution(problem, regularizer, dual, state.iter_num, residual, met)


def optimistix_root(kind: type, **options: Any) -> Callable[[float], Solver]:
    return lambda tol: OptimistixRootFinder(kind(rtol=tol, atol=tol, **options))


def optimistix_minimiser(kind: type) -> Callable[[float], Solver]:
    return lambda tol: OptimistixMinimiser(kind(rtol=tol, atol=tol))


def jaxopt_minimiser(kind: Any) -> Callable[[float], Solver]:
    return lambda tol: JaxoptMinimiser(kind(fun=jnp.sum, tol=tol, maxiter=500))


# What makes a solver of a tolerance, by name. Whether it takes a problem, it says.
SOLVERS: dict[str, Callable[[float], Solver]] = {
    "closed_form": lambda tol: ClosedForm(),
    "newton": Newton,
    "optimistix.Newton": optimistix_root(optx.Newton),
    "optimistix.Bisection": optimistix_root(optx.Bisection),
    "optimistix.LevenbergMarquardt": optimistix_root(optx.LevenbergMarquardt),
    "projected gradient (JAXopt)": ProjectedGradient,
    "semi_dual": SemiDual,
    "alternating": DualCoordinateAscent,
    "sinkhorn (OTT-JAX)": OTTSinkhorn,
    "pool_adjacent_violators": lambda tol: PoolAdjacentViolators(),
    "merging": lambda tol: DivideAndConquerIsotonic(),
    "damped_newton": DampedNewton,
    "conjugate_gradients": ConjugateGradients,
    "projected_newton": ProjectedNewton,
    "metric_newton": MetricNewton,
    "active_set": ActiveSet,
    "frank_wolfe": lambda tol: FrankWolfe(tol, max_steps=3000),
    "optimistix.LBFGS": optimistix_minimiser(optx.LBFGS),
    "jaxopt.LBFGS": jaxopt_minimiser(jaxopt.LBFGS),
    "jaxopt.GradientDescent": jaxopt_minimiser(jaxopt.GradientDescent),
}

N = 64
_RNG = np.random.default_rng(0)
_ROW = _RNG.normal(size=N)
_LONG = _RNG.normal(size=2048)
_FEW = _RNG.normal(size=16)
_SIDES = np.stack([np.ones(N), np.linspace(0, 1, N)])
_WEIGHTS = np.arange(N, 0.0, -1) / N
_METRIC = np.eye(16) + 0.5 * np.ones((16, 16))


def _transport(z):
    anchors = jnp.linspace(0, 1, 4)
    masses = jnp.full(4, N / 4)
    return TransportProjection.on_line(jax.nn.sigmoid(z), anchors, masses, 0.1)


def _vertex(scores):
    return jax.nn.one_hot(jnp.argmax(scores), len(scores), dtype=scores.dtype)


def _program(z):
    return LinearProgram(z, _SIDES, jnp.asarray([1.0, 0.4]), 0.5, upper=0.2)


CASES = [
    Case("simplex", "smooth", lambda z: SimplexProjection(z, 0.5), _LONG),
    Case("simplex", "c0", lambda z: SimplexProjection(z, 5.0), _LONG),
    Case("simplex", "c1", lambda z: SimplexProjection(z, 3.0), _LONG),
    Case("hypersimplex", "c1", lambda z: HypersimplexProjection(z, 99, 1.0), _LONG),
    Case("softsort rows", "c1", lambda z: SoftSortRows(None, jnp.sort(z), 0.5), _FEW),
    Case("transport", "smooth", _transport, _ROW),
    Case("transport", "c1", _transport, _ROW),
    Case(
        "permutahedron",
        "c0",
        lambda z: PermutahedronProjection(z, jnp.asarray(_WEIGHTS), 3.0),
        _ROW,
    ),
    Case(
        "majorization",
        "smooth",
        lambda z: MajorizationProjection(jnp.asarray(_WEIGHTS), jnp.sort(z)[::-1], 0.3),
        _ROW,
    ),
    Case("linear program", "c0", _program, _ROW),
    Case(
        "oracle of a simplex", "c0", lambda z: OracleProjection(z, 5.0, _vertex), _ROW
    ),
    Case(
        "simplex, metric",
        "smooth",
        lambda z: MetricSimplexProjection(z, 0.5, _METRIC),
        _FEW,
    ),
    Case("simplex, fused", "c1", lambda z: FusedSimplexProjection(z, 3.0, 0.05), _ROW),
]
