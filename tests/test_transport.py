"""Optimal transport: plans against an independent dual solve, solvers, derivatives."""

import functools
import os
import subprocess
import sys

import inputs
import jax
import jax.numpy as jnp
import lineax as lx
import numpy as np
import optimistix as optx
import oracles
import pytest
from assertions import assert_close, finite_difference
from cases import REGULARIZERS, TRANSPORT_SOLVERS
from parametrize import each, pick

import softjax as sj
from softjax.solvers import (
    DualCoordinateAscent,
    OTTSinkhorn,
    SemiDual,
    SimplexProjection,
    TransportProjection,
    solve,
)

_rng = inputs.rng("transport")
COST = _rng.normal(size=(2, 5, 3)) ** 2
MU = _rng.dirichlet(np.full(5, 3.0))
NU = _rng.dirichlet(np.full(3, 3.0), size=2)
SOFTNESS = np.array([0.4, 3.0])


@functools.cache
def oracle(name: str) -> np.ndarray:
    (case,) = pick(REGULARIZERS, name)
    return np.stack(
        [
            oracles.transport_oracle(c, MU, nu, tau, case.link)
            for c, nu, tau in zip(COST, NU, SOFTNESS, strict=True)
        ]
    )


def plan(case, solver=None, linear_solver=None):
    @jax.jit
    def run(cost, mu, nu, softness):
        def total(cost, softness):
            problem = TransportProjection(cost, mu, nu, softness)
            solution = solve(problem, case.mode, solver, linear_solver)
            return jnp.sum(jnp.cos(jnp.arange(30)) * solution.value.ravel()), solution

        gradient = jax.grad(total, (0, 1), has_aux=True)
        gradient, solution = gradient(cost, softness)
        return solution.value, solution.residual, solution.converged, gradient

    return run(*map(jnp.asarray, (COST, MU, NU, SOFTNESS)))


@pytest.mark.x64
@each("case", REGULARIZERS, fast=("smooth", "c0"))
def test_plans(case):
    value, residual, converged, _ = plan(case)
    assert_close(value, oracle(case.name), atol=1e-5)
    assert np.all(converged)
    assert np.all(residual < 1e-5)
    # Rows sum to their marginals exactly, columns up to the residual.
    assert_close(value.sum(-1), np.broadcast_to(MU, (2, 5)), atol=1e-6)
    assert_close(value.sum(-2), NU, atol=1e-5)


_SLOW = ("optx.LBFGS", "optx.BFGS", "jaxopt.LBFGS", "jaxopt.BFGS", "started")
_SLOW += ("sinkhorn",)


def _matrix():
    for solver in TRANSPORT_SOLVERS[1:]:
        for case in pick(REGULARIZERS, "smooth", "c0", "c1", "c2", "user_link"):
            if solver.solves(case):
                fast = case.name == ("smooth" if solver.entropy_only else "c1")
                fast = fast and solver.name not in _SLOW
                yield pytest.param(
                    solver,
                    case,
                    id=f"{solver.name}-{case.name}",
                    marks=[] if fast else [pytest.mark.slow],
                )


@pytest.mark.parametrize(("solver", "case"), list(_matrix()))
def test_solvers(solver, case):
    value, residual, converged, gradient = plan(case, solver.solver)
    # A minimiser stops where its function only changes by rounding, and says so.
    assert np.all(converged | (residual > 1e-5))
    assert np.all(residual < 5e-3)
    assert_close(value, oracle(case.name), atol=solver.atol)
    # Derivatives do not depend on how the dual was found.
    for a, b in zip(gradient, plan(case)[3], strict=True):
        assert_close(a, b, atol=max(5e-3, 50 * solver.atol))


@each("case", pick(REGULARIZERS, "smooth", "c1"), fast=())
def test_linear_solvers(case):
    expected = plan(case)[3]
    for linear_solver in (lx.Cholesky(), lx.LU(), lx.CG(rtol=1e-7, atol=1e-9)):
        gradient = plan(case, linear_solver=linear_solver)[3]
        for a, b in zip(gradient, expected, strict=True):
            assert_close(a, b, atol=1e-4)


@pytest.mark.slow
def test_a_line_is_a_transport_problem(x64):
    """Costs up to potentials have the same plan, and the same derivatives."""
    x = jnp.asarray(_rng.normal(size=(2, 5)))
    anchors, counts = np.asarray([-0.2, 0.3, 1.1]), np.asarray([1, 3, 1])

    def on_line(x, softness):
        return solve(TransportProjection.on_line(x, anchors, counts, softness), "c1")

    def plain(x, softness):
        cost = (x[..., :, None] - anchors) ** 2
        return solve(TransportProjection(cost, np.ones(5), counts, softness), "c1")

    @functools.partial(jax.jit, static_argnums=0)
    def run(fn):
        return (
            fn(x, 0.3).value,
            jax.jacrev(lambda x: fn(x, 0.3).value)(x),
            jax.jacfwd(lambda t: fn(x, t).value)(0.3),
        )

    for a, b in zip(run(on_line), run(plain), strict=True):
        assert_close(a, b, atol=1e-8)


_PARTS = """
import jax, jax.numpy as jnp, numpy as np, sys
import softjax as sj

x, moves = np.load(sys.argv[1]).values()
gradient = jax.grad(lambda x: jnp.sum(sj.sort(x, method="ot", mode="c0") ** 2))(x)
print(*np.einsum("bn,mbn->m", gradient, moves))
"""


@pytest.mark.slow
def test_derivatives_where_parts_just_come_apart(tmp_path):
    # A sparse plan falls into parts, and a solver often ends where one entry between
    # two of them is 0 but for rounding. A program of its own, as what a compiler rounds
    # differently in different places depends on what is optimized, and here little is.
    x = inputs.rng("parts").normal(size=(16, 100)).astype(np.float32)
    moves = np.stack([np.ones_like(x), inputs.rng("parts", 1).normal(size=x.shape)])
    np.savez(tmp_path / "parts.npz", x=x, moves=moves)
    environment = {k: v for k, v in os.environ.items() if k != "XLA_FLAGS"}
    done = subprocess.run(
        [sys.executable, "-c", _PARTS, tmp_path / "parts.npz"],
        capture_output=True,
        text=True,
        env=environment | {"JAX_ENABLE_X64": "0"},
        check=True,
    )

    @jax.jit
    def total(x):
        return jnp.sum(sj.sort(x, method="ot", mode="c0") ** 2)

    for found, move in zip(map(float, done.stdout.split()), moves, strict=True):
        with jax.enable_x64(True):
            expected = finite_difference(total, (x,), (move,), 1e-6)
        assert_close(found, expected, atol=2e-2)


@each("mode", ["smooth", "c0", "c2"], fast=("smooth",))
def test_marginals_without_mass(mode):
    mu, nu = np.asarray([0.5, 0, 0.5]), np.asarray([0.25, 0.75, 0, 0])
    cost = np.arange(12.0).reshape(3, 4) ** 1.5

    @jax.jit
    def run(cost):
        def total(cost):
            value = solve(TransportProjection(cost, mu, nu, 1.0), mode).value
            return jnp.sum(value**2), value

        return jax.grad(total, has_aux=True)(cost)

    gradient, value = run(jnp.asarray(cost))
    small = solve(TransportProjection(cost[::2, :2], mu[::2], nu[:2], 1.0), mode).value
    assert_close(value[::2, :2], small, atol=1e-6)
    assert np.all(np.asarray(value)[1] == 0)
    assert np.all(np.asarray(value)[:, 2:] == 0)
    assert np.all(np.isfinite(gradient))


@each("case", REGULARIZERS, fast=())
def test_single_rows_and_columns(case):
    """Only one plan has these marginals."""
    for n, m in ((1, 1), (1, 3), (3, 1)):
        mu, nu = np.full(n, 1 / n), np.full(m, 1 / m)
        cost = np.arange(float(n * m)).reshape(n, m)
        solution = solve(TransportProjection(cost, mu, nu, 0.5), case.mode)
        assert_close(solution.value, mu[:, None] * nu, atol=2e-6)
        assert np.all(solution.converged)


EXTREMES = np.asarray(
    [
        [0.0, 0.0, 0.0, 0.0, 0.0, 0.0],
        [1.0, 0.0, 1.0, 0.0, 1.0, 0.0],
        [1e6, -1e6, 3.0, 4.0, 0.0, 1e6],
        [0.3, 0.2, 0.1, 0.30001, 0.0, -0.3],
    ],
    np.float32,
)


@each("case", pick(REGULARIZERS, "smooth", "c0", "c1", "c2"), fast=("smooth",))
def test_extremes(case):
    """Ties, values of 1e6, next to hard and next to uniform: finite, and marginals."""

    @jax.jit
    def run(x, softness):
        def total(x):
            keywords = dict(softness=softness, mode=case.mode, method="ot")
            index = sj.argsort(x, **keywords)
            largest = sj.argmax(x, axis=-1, **keywords)
            return jnp.sum(index**2) + jnp.sum(largest**2), (index, largest)

        return jax.grad(total, has_aux=True)(x)

    for softness in (1e-4, 0.1, 100.0):
        gradient, (index, largest) = run(EXTREMES, softness)
        assert np.all(np.isfinite(gradient))
        assert_close(index.sum(-1), np.ones((4, 6)), atol=1e-4)
        assert_close(index.sum(-2), np.ones((4, 6)), atol=1e-4)
        assert_close(largest.sum(-1), np.ones(4), atol=1e-4)


def test_failure_is_told():
    """Too few steps: the best iterate, and no error inside a compiled function."""
    x = jnp.linspace(0, 1, 40)
    counts = np.asarray([20, 20])

    @jax.jit
    def run(x):
        problem = TransportProjection.on_line(x, [0.0, 1.0], counts, 10.0)
        return [
            solve(problem, mode, solver)
            for mode, solver in (
                ("c1", SemiDual(max_steps=0)),
                ("c1", DualCoordinateAscent(max_steps=1)),
                ("smooth", OTTSinkhorn(max_steps=1, tolerance=1e-12)),
                ("smooth", optx.GradientDescent(1e-6, rtol=1e-9, atol=1e-9)),
            )
        ]

    for solution in run(x**3)[:3]:
        assert np.all(np.isfinite(solution.value))
        assert solution.converged == (solution.residual <= 1e-4)


@each("tolerance", [1e-1, 1e-2, 1e-3], fast=("0.001",))
def test_sinkhorn_stops_where_it_has_converged(tolerance):
    """At the error that its solution is judged by, of columns of any share."""
    nu = np.array([0.3, 0.3, 0.2, 0.1, 0.05, 0.03, 0.015, 0.005])
    cost = inputs.rng("skewed").normal(size=(6, 8))
    problem = TransportProjection(cost, np.full(6, 1 / 6), nu, 0.1)
    found = solve(problem, "smooth", OTTSinkhorn(tolerance=tolerance))
    assert found.converged
    sums = np.asarray(found.value).sum(axis=0)
    assert np.max(np.abs(sums / nu - 1)) <= 1.01 * tolerance
    assert found.steps < 2000


def test_errors():
    problem = TransportProjection(COST, MU, NU, 1.0)
    with pytest.raises(TypeError, match=r"OTTSinkhorn.*Transport.*PNorm.*'semi"):
        solve(problem, "c0", OTTSinkhorn())
    with pytest.raises(TypeError, match=r"closed_form.*alternating"):
        solve(problem, "c0", "closed_form")
    with pytest.raises(TypeError, match="TransportProjection"):
        solve(problem, "smooth", optx.Bisection(rtol=1e-6, atol=1e-6))
    with pytest.raises(TypeError, match=r"linear_solver.*Lineax"):
        solve(problem, "c0", linear_solver="cg")
    with pytest.raises(TypeError, match="semi_dual"):
        solve(SimplexProjection(MU, 1.0), "c0", "semi_dual")
    for name, arguments in (
        ("mu", (COST, MU[:4], NU, 1.0)),
        ("nu", (COST, MU, NU[0, :2], 1.0)),
        ("softness", (COST, MU, NU, np.ones(3))),
        ("cost", (MU, MU, NU, 1.0)),
    ):
        with pytest.raises(ValueError, match=f"TransportProjection: {name}"):
            TransportProjection(*arguments)
