"""Solutions of linear programs against SciPy, closed forms, and each other."""

import functools

import inputs
import jax
import jax.numpy as jnp
import linear_programs
import numpy as np
import oracles
import pytest
from assertions import assert_close
from cases import REGULARIZERS
from linear_programs import LARGE, SMALL, solved
from parametrize import each, pick

import softjax as sj
from softjax.solvers import (
    HypersimplexProjection,
    LinearProgram,
    ProjectedNewton,
    SimplexProjection,
    TransportProjection,
    solve,
)

MODES = ["smooth", "c0", "c1"]


def _pairs(fast: dict, programs=SMALL):
    return pytest.mark.parametrize(
        ("program", "mode"),
        [
            pytest.param(
                program,
                mode,
                id=f"{program.name}-{mode}",
                marks=[] if fast.get(program.name) == mode else [pytest.mark.slow],
            )
            for program in programs
            for mode in MODES
        ],
    )


@_pairs(dict(grid="c0", knapsack="c1", mixed="smooth"))
def test_primal_optimum(program, mode, x64):
    """Agreement with sequential quadratic programming, at moderate softness."""
    for softness in (1.0, 0.3):
        out = solved(program, mode, softness)
        expected = oracles.linear_program_oracle(
            mode, program.z, softness=softness, **program.constraints
        )
        assert out["converged"]
        assert_close(out["value"], expected, atol=3e-7)


@_pairs(dict(grid="c0", knapsack="c1", mixed="smooth"))
def test_hard_limit(program, mode, x64):
    """The vertex that the simplex method finds."""
    out = solved(program, mode, 1e-3)
    expected = oracles.vertex_oracle(program.z, **program.constraints)
    assert out["converged"]
    assert_close(out["value"], expected, atol=1e-7)


@_pairs({}, LARGE)
def test_float32(program, mode):
    """Converges at each softness, with the numbers of float64."""
    for softness, atol in ((1.0, 1e-5), (0.1, 1e-5), (0.01, 1e-4)):
        single = solved(program, mode, softness)
        with jax.enable_x64(True):
            double = solved(program, mode, softness)
        assert single["value"].dtype == np.float32
        assert single["converged"]
        assert double["converged"]
        assert double["residual"] < 3e-13
        assert max(single["steps"], double["steps"]) < 80
        assert_close(single["value"], double["value"], atol=atol)


@each("mode", MODES, fast=("c1",))
def test_closed_forms(mode, x64):
    """Batches of other projections, by the same constraints."""
    z = jnp.asarray(np.stack([LARGE[0].z, LARGE[1].z]))[:, :6]
    row, softness = jnp.ones((1, 6)), jnp.asarray([[0.3], [0.1]])
    plan = linear_programs.transport(3)
    cost, mu, nu = -plan.z.reshape(3, 3), plan.b[:3], plan.b[3:]
    # The mass of a plan is the unit of a transport's regularizer.
    mass = mu.sum()
    unit = {"smooth": 1.0, "c0": mass, "c1": mass**0.5}[mode]

    @jax.jit
    def compare():
        return (
            solve(LinearProgram(z, row, 1.0, softness), mode).value,
            solve(SimplexProjection(z, softness), mode).value,
            solve(LinearProgram(z, row, 2.0, softness, upper=1.0), mode).value,
            solve(HypersimplexProjection(z, 2, softness), mode).value,
            solve(LinearProgram(plan.z, plan.A, plan.b, 0.3), mode).value,
            solve(TransportProjection(cost, mu, nu, 0.3 * unit), mode).value.ravel(),
        )

    out = compare()
    for ours, theirs in zip(out[::2], out[1::2], strict=True):
        assert_close(ours, theirs, atol=1e-10)


@each("case", REGULARIZERS, fast=())
def test_regularizers(case, x64):
    """Every regularizer projects onto the hypersimplex, where y is bounded by 1."""
    z = jnp.asarray(LARGE[1].z)
    one = linear_programs.compiled(case.mode, upper=1.0)
    out = one(z, 0.3, dict(A=np.ones((1, 20)), b=np.array([5.0])))
    expected = solve(HypersimplexProjection(z, 5, 0.3), case.mode).value
    assert out["converged"]
    assert_close(out["value"], expected, atol=1e-7)


@pytest.mark.slow
def test_batches():
    """A batch axis, `vmap` and single programs agree; matrices may have one too."""
    (program,) = pick(SMALL, "mixed")
    z = jnp.asarray(np.stack([program.z, 0.5 - program.z]), jnp.float32)
    A = jnp.asarray(np.stack([program.A, 1.1 * program.A]), jnp.float32)
    b, G, h, upper = program.b, program.G, program.h, jnp.float32(0.9)

    @jax.jit
    def values(z, A):
        def single(z, A):
            return solve(LinearProgram(z, A, b, 0.2, G=G, h=h, upper=upper), "c1").value

        return single(z, A[0]), single(z, A), jax.vmap(single)(z, A)

    shared, own, mapped = values(z, A)
    assert_close(shared[0], own[0], atol=1e-5)
    assert_close(own, mapped, atol=1e-5)
    assert np.max(np.abs(shared[1] - own[1])) > 1e-2


@each("mode", MODES, fast=())
def test_infeasible_programs_say_so(mode):
    """In float32, where numbers overflow first; y and the dual stay finite."""
    row, z = np.asarray([[[1, 1, 0]], [[1, 2, 3]]], np.float32)
    twice = np.repeat(row, 2, axis=0)
    (grid,) = pick(SMALL, "grid")
    unbalanced = grid.b - np.eye(9)[-1]

    @jax.jit
    def compute():
        programs = [
            LinearProgram(z, twice, np.arange(1, 3), 0.1),
            LinearProgram(z, row, -1.0, 0.1),
            LinearProgram(z, row, 5.0, 0.1, upper=1.0),
            LinearProgram(z, softness=0.1, G=-row, h=-5.0, upper=1.0),
            LinearProgram(grid.z[None], grid.A, unbalanced, 0.1),
        ]
        found = [solve(program, mode) for program in programs]
        return [(s.converged, s.residual, s.value, s.dual, s.steps) for s in found]

    out = compute()
    # It is noticed by a certificate, and not where steps run out.
    assert max(steps[0] for *_, steps in out) < 12
    for converged, residual, y, dual, _ in out:
        assert not converged
        assert residual > 1e-2
        assert np.all(np.isfinite(y))
        assert np.all(np.isfinite(dual))


@pytest.mark.slow
@each("mode", MODES)
def test_unbalanced_flows_say_so(mode):
    """In a large grid, by conjugate gradients; a balanced one goes on."""
    tail, head, nodes = linear_programs.grid_arcs(12)
    z = -inputs.rng("unbalanced").uniform(0.2, 1, tail.size).astype(np.float32)
    A = sj.solvers.Incidence(tail, head, nodes)
    ends = np.eye(nodes)[[0, -1]]

    @jax.jit
    def compute(b):
        found = solve(LinearProgram(z, A, b, 0.1), mode)
        return found.converged, found.residual, found.value

    converged, *_ = compute(ends[0] - ends[1])
    assert converged
    converged, residual, y = compute(ends[0] - 0.5 * ends[1])
    assert not converged
    assert residual > 2e-3
    assert np.all(np.isfinite(y))


@each("mode", MODES, fast=("c0",))
def test_extreme_numbers(mode):
    """Large scores and softness of all sizes, and NaN, which stays in its program."""
    z = LARGE[0].z[:5].astype(np.float32)
    nan = np.where(np.arange(5) == 1, np.nan, z)
    scores = np.stack([1e6 * z, 1e6 * z, z, z, nan])
    softness = np.asarray([[1e3], [1e5], [1e-3], [1e3], [0.1]], np.float32)

    @jax.jit
    def compute(z):
        def total(z):
            found = solve(LinearProgram(z, jnp.ones((1, 5)), 1.0, softness), mode)
            return jnp.sum(found.value[:, 0]), found

        slope, found = jax.grad(total, has_aux=True)(z)
        wild = solve(LinearProgram(z[0], SMALL[0].A[:, :5], 0.1, 1e-3), mode)
        return slope, found.value, found.converged, wild.value, wild.steps

    slope, y, converged, wild, steps = compute(scores)
    expected = [
        oracles.simplex_oracle(row[None], tau, case.link)[0]
        for row, tau in zip(scores[:4], softness[:4, 0], strict=True)
        for case in pick(REGULARIZERS, mode)
    ]
    assert_close(y[:4], expected, atol=3e-4)
    assert converged.tolist() == [True, True, True, True, False]
    assert np.all(np.isfinite(slope[:4]))
    assert np.all(np.isnan(y[4]))
    assert np.all(np.isfinite(wild))
    assert steps <= 200


def test_degenerate_programs(x64):
    """No rows, y that is all 0, and no bound on y."""
    z = jnp.asarray([1.0, 2.0, -3.0])

    @jax.jit
    def compute():
        one = jnp.asarray([[1.0, -1.0, 0.0]])
        programs = dict(
            free=LinearProgram(z),
            bounded=LinearProgram(z, upper=jnp.asarray([0.5, jnp.inf, 0.0])),
            zero=LinearProgram(z, jnp.ones((1, 3)), 0.0),
            cone=LinearProgram(z, one, 0.0),
            never=LinearProgram(z, G=one, h=100.0),
        )
        found = {name: solve(program, "c0") for name, program in programs.items()}
        return {name: (s.value, s.converged) for name, s in found.items()}

    expected = dict(
        free=[10, 20, 0],
        bounded=[0.5, 20, 0],
        zero=[0, 0, 0],
        cone=[15, 15, 0],
        never=[10, 20, 0],
    )
    for name, (y, converged) in compute().items():
        assert converged, name
        assert_close(y, expected[name], atol=1e-9)


def test_losses_and_means(x64):
    (program,) = pick(SMALL, "mixed")
    given = program.constraints
    target = oracles.vertex_oracle(program.z, **given)
    values = jnp.arange(8.0)

    @jax.jit
    @functools.partial(jax.value_and_grad, has_aux=True)
    def compute(z):
        problem = LinearProgram(z, softness=0.3, **given)
        y = solve(problem, "c1").value
        loss = sj.solvers.fenchel_young_loss(problem, target, "c1")
        best = sj.solvers.optimal_value(problem, "c1")
        means = sj.solvers.Means(values)
        return loss, (y, best, sj.solvers.evaluate(problem, "c1", means))

    z = jnp.asarray(program.z)
    (loss, (y, best, mean)), slope = compute(z)
    assert_close(best, program.z @ y - 0.3 * np.sum(y**1.5) / 1.5, atol=1e-10)
    assert_close(mean, y @ values, atol=1e-10)
    assert loss > 1e-5
    assert_close(slope, y - target, atol=1e-9)


def test_tolerance_and_steps():
    (program,) = pick(SMALL, "grid")
    rough, none = ProjectedNewton(tolerance=0.05), ProjectedNewton(max_steps=0)

    @jax.jit
    def compute():
        problem = LinearProgram(program.z, program.A, program.b, 0.1)
        found = [solve(problem, "c0", solver) for solver in (None, rough, none)]
        return [(s.steps, s.residual, s.converged) for s in found]

    exact, rough, none = compute()
    assert 0 == none[0] < rough[0] < exact[0]
    assert exact[1] < 1e-5 < rough[1] < 0.05 < none[1]
    assert [bool(x[2]) for x in (exact, rough, none)] == [True, True, False]
