"""Optimal transport of rows that count: whole weights are copies, 0 is absence."""

import functools

import inputs
import jax
import jax.numpy as jnp
import numpy as np
import oracles
import pytest
from assertions import assert_close, finite_difference
from cases import REGULARIZERS
from parametrize import each, pick

import softjax as sj
from softjax.methods import OptimalTransport, Relaxation, Sample
from softjax.solvers import (
    ColumnMeans,
    DualCoordinateAscent,
    OTTSinkhorn,
    TransportProjection,
    evaluate,
    get_regularizer,
    solve,
)
from softjax_solvers._kernels.laplacian import balanced_solve

OT, RANKS = OptimalTransport(), OptimalTransport(cells=24)
_rng = inputs.rng("transport weights")
COST = _rng.normal(size=(5, 4)) ** 2
MU = _rng.uniform(0.5, 1.5, size=5)
COUNTS = np.array([2, 0, 1, 3, 1])
NU = _rng.dirichlet(np.full(4, 3.0)) * (COUNTS * MU).sum()
OWNER = np.repeat(np.arange(5), COUNTS)

MODES = pick(REGULARIZERS, "smooth", "c0", "c1", "c2", "quintic")


def oracle(cost, mu, nu, softness, link, weights=None, unit=None):
    """Plans of one copy, of any mass."""
    unit = np.sum(nu) if unit is None else unit
    shares = np.divide(mu, unit), np.divide(nu, unit)
    return unit * oracles.transport_oracle(cost, *shares, softness, link, weights)


@each("case", MODES, fast=("c0",))
@pytest.mark.parametrize(
    "solver", [None, DualCoordinateAscent(), OTTSinkhorn()], ids=["", "dual", "ott"]
)
def test_whole_weights_are_copies(x64, case, solver):
    if isinstance(solver, OTTSinkhorn) and case.name != "smooth":
        pytest.skip("for the entropy only")
    regularizer = get_regularizer(case.mode)

    @jax.jit
    def run(cost, mu, nu, weights):
        problem = TransportProjection(cost, mu, nu, 0.7, None, weights)
        found = solve(problem, regularizer, solver)
        means = evaluate(problem, regularizer, ColumnMeans(jnp.arange(1.0, 6)))
        value = problem.objective(found.value, regularizer)
        dual = problem.specialize(regularizer).dual_value(found.dual, regularizer)
        return found.value, found.converged, value, -0.7 * problem.mass[0] * dual, means

    plan, converged, value, dual, means = run(COST, MU, NU, COUNTS.astype(float))
    expected = oracle(COST[OWNER], MU[OWNER], NU, 0.7, case.link)
    assert converged
    assert_close(plan[OWNER], expected, atol=1e-7)
    assert_close(plan.sum(-1), MU)
    assert_close(COUNTS @ plan, NU, atol=1e-9)
    # The value of the copies, also by duality, and means over them.
    alone = TransportProjection(COST[OWNER], MU[OWNER], NU, 0.7)
    assert_close(value, alone.objective(jnp.asarray(expected), regularizer), atol=1e-6)
    assert_close(value, dual, atol=1e-6)
    assert_close(means, (OWNER + 1) @ expected / NU, atol=1e-6)


@each("case", MODES, fast=("c1",))
def test_any_weights(x64, case):
    weights = np.array([0.3, 0.0, 1.7, 1e-3, 0.9])
    nu = NU * (weights @ MU) / NU.sum()
    expected = oracle(COST, MU, nu, 0.7, case.link, weights, 2.5)
    for solver in (None, "alternating"):
        problem = TransportProjection(COST, MU, nu, 0.7, 2.5, weights)
        assert_close(solve(problem, case.mode, solver).value, expected, atol=1e-6)


@each("case", pick(REGULARIZERS, "smooth", "c1", "c2"), fast=())
def test_derivatives(x64, case):
    """In all that a problem is given, also one-sided in a weight of 0."""
    weights = np.array([0.3, 0.0, 1.7, 1.1, 0.9])
    share = NU / NU.sum()

    @jax.jit
    def run(cost, mu, weights, softness):
        nu = share * jnp.sum(weights * mu)
        problem = TransportProjection(cost, mu, nu, softness, None, weights)
        index = weights[:, None] * solve(problem, case.mode).value
        means = evaluate(problem, case.mode, sj.solvers.Means(jnp.arange(4.0)))
        return index, means

    args = COST, MU, weights, np.asarray(0.7)
    rng = inputs.rng("directions")
    moves = [rng.normal(size=a.shape) for a in args]
    moves[2][1] = 0  # finite differences are two-sided
    tangent = jax.jit(lambda *args: jax.jvp(run, args, tuple(moves))[1])(*args)
    expected = finite_difference(run, args, moves, 1e-4)
    for actual, difference in zip(tangent, expected, strict=True):
        assert_close(actual, difference, atol=1e-6)

    def total(*args):
        index, means = run(*args)
        return jnp.sum(jnp.cos(jnp.arange(20.0)) * index.ravel()) + jnp.sum(means**2)

    gradient = jax.jit(jax.grad(total, (0, 1, 2, 3)))(*args)
    along = sum(np.sum(g * m) for g, m in zip(gradient, moves, strict=True))
    slope = jax.jit(lambda *args: jax.jvp(total, args, tuple(moves))[1])(*args)
    assert_close(along, slope, atol=1e-8)
    step = np.array([0, 1e-5, 0, 0, 0])
    ends = [float(total(COST, MU, weights + k * step, args[3])) for k in range(3)]
    right = (-3 * ends[0] + 4 * ends[1] - ends[2]) / 2e-5
    assert_close(np.asarray(gradient[2])[1], right, atol=1e-6)


def test_unbalanced_parts_of_a_graph():
    """The sum that is left of a part is shared by its nodes, as accurately."""
    rng = inputs.rng("parts")
    for m in (6, 30):
        edges = rng.uniform(1, 2, size=(m, m))
        edges = edges + edges.T
        side = np.arange(m) % 2
        edges = np.where((side == side[:, None]) & ~np.eye(m, dtype=bool), edges, 0)
        rhs = rng.normal(size=m) + 1
        degree = edges.sum(axis=1)
        laplacian = np.diag(degree) - edges
        expected, balanced = np.zeros(m), rhs.copy()
        for part in (side == 0, side == 1):
            balanced[part] -= degree[part] * rhs[part].sum() / degree[part].sum()
        expected = np.linalg.pinv(laplacian) @ balanced
        x, found = balanced_solve(jnp.float32(edges), jnp.float32(rhs))
        assert_close(found, balanced, atol=1e-3)
        x = np.asarray(x, float)
        for part in (side == 0, side == 1):
            assert_close((x - x[part].mean())[part], expected[part], atol=1e-4)


SAMPLES = np.array(
    [[2, 1, 0, 1, 1, 0], [0, 0, 4, 0, 2, 0], [0, 1, 0, 0, 0, 0], [3, 1, 2, 1, 0, 2]]
)
LEVELS = np.array([0.0, 0.3, 0.5, 1.0])
X = _rng.normal(size=SAMPLES.shape)


@functools.partial(jax.jit, static_argnums=0)
def operators(mode, x, mass, softness=0.3):
    relaxation = Relaxation(get_regularizer(mode), jnp.full(1, softness, x.dtype))
    sample = Sample(x, mass=mass)
    k = min(3, x.shape[-1])
    values, index = OT.top_k(sample, relaxation, k)
    levels = jnp.asarray(LEVELS, x.dtype)
    return dict(
        argsort=OT.argsort(sample, relaxation),
        sort=OT.sort(sample, relaxation),
        rank=RANKS.rank(sample, relaxation),
        argmax=OT.argmax(sample, relaxation),
        max=OT.max(sample, relaxation),
        top_k=values,
        top_k_index=index,
        quantile=OT.quantile(sample, relaxation, sample.quantile_cells(levels)),
        argmedian=OT.argmedian(sample, relaxation),
    )


@pytest.mark.slow
@each("case", MODES[:3])
def test_samples_are_copies(x64, case):
    found = operators(case.mode, jnp.asarray(X), SAMPLES.astype(float))
    n = X.shape[-1]
    for row, counts in enumerate(SAMPLES):
        owner = np.repeat(np.arange(n), counts)
        merge = np.eye(n)[owner]
        copies = len(owner)
        expected = operators(case.mode, jnp.asarray(X[row][owner]), None)
        out = {name: np.asarray(value[row]) for name, value in found.items()}
        for name in ("argsort", "argmax", "top_k_index", "argmedian"):
            expected[name] = np.asarray(expected[name]) @ merge
        assert_close(out["rank"][owner], expected["rank"], atol=1e-7)
        if copies <= n:
            assert_close(out["argsort"][:copies], expected["argsort"], atol=1e-7)
        else:
            # The first units, as of top_k.
            relaxation = Relaxation(get_regularizer(case.mode), jnp.full(1, 0.3))
            alone = Sample(jnp.asarray(X[row][owner]))
            values, index = OT.top_k(alone, relaxation, n)
            assert_close(out["argsort"], np.asarray(index) @ merge, atol=1e-7)
            expected["sort"] = values
        size = min(copies, n)
        assert_close(out["sort"][:size], expected["sort"], atol=1e-7)
        assert np.all(out["sort"][size:] == 0)
        k = min(3, copies)
        for name in ("top_k", "top_k_index"):
            assert_close(out[name][:k], expected[name][:k], atol=1e-7)
        for name in ("argmax", "max", "quantile", "argmedian"):
            assert_close(out[name], expected[name], atol=1e-7)


@pytest.mark.slow
def test_any_mass(x64):
    """A unit of mass is an anchor, and the last one may be a part."""
    (case,) = pick(REGULARIZERS, "c0")
    x, mass = X[0], np.array([0.4, 1.3, 0.0, 0.8, 0.5, 0.6])  # 3.6 in all
    nu = np.array([1, 1, 1, 0.6])
    anchors = np.array([0, 1 / 2.6, 2 / 2.6, 1])
    cost = (-x[:, None] - anchors) ** 2
    plan = oracle(cost, np.ones(6), nu, 0.3, case.link, mass)
    sample = Sample(jnp.asarray(x), mass=jnp.asarray(mass))
    relaxation = Relaxation(get_regularizer("c0"), jnp.full(1, 0.3))
    index = OT.argsort(sample, relaxation)
    assert_close(index[:4], mass * plan.T / nu[:, None], atol=1e-7)
    assert np.all(index[4:] == 0)
    # Mean positions of one copy, also of what counts nothing.
    rank = plan @ [1, 2, 3, 3.8]
    assert_close(OT.rank(sample, relaxation), rank, atol=1e-7)


@pytest.mark.slow
@each("mode", ["smooth", "c1"])
def test_mass_beyond_the_elements(x64, mode):
    """Ranks are among units of mass, where the last one may be a part."""
    (case,) = pick(REGULARIZERS, mode)
    x, mass = X[0], np.array([1.4, 2.3, 0.0, 1.8, 0.7, 2.5])  # 8.7 in all
    cost = (-x[:, None] - np.minimum(np.arange(9) / 7.7, 1)) ** 2
    nu = np.append(np.ones(8), 0.7)
    plan = oracle(cost, np.ones(6), nu, 0.3, case.link, mass)
    sample = Sample(jnp.asarray(x), mass=jnp.asarray(mass))
    relaxation = Relaxation(get_regularizer(mode), jnp.full(1, 0.3))
    rank = plan @ np.append(np.arange(1, 9), 8.85)
    assert_close(RANKS.rank(sample, relaxation), rank, atol=1e-7)


@pytest.mark.slow
@each("mode", ["smooth", "c0"])
def test_one_weight_sweeps(x64, mode):
    """No output jumps where the mass passes a whole number, nor is any NaN."""
    x = jnp.asarray(X[1])
    mass = np.array([0.5, 1.0, 0.8, 0.7, 1.0, 0.0])
    sweep = np.linspace(0, 4, 401)
    rows = np.tile(mass, (401, 1))
    rows[:, -1] = sweep  # of 4 to 8 in all, of which 6 is the number of elements
    values = operators(mode, jnp.broadcast_to(x, rows.shape), jnp.asarray(rows))
    more = ("quantile", "argmedian")
    for name in ("rank", "argmax", "max", "top_k", "top_k_index", *more):
        value = np.asarray(values[name])
        assert np.all(np.isfinite(value))
        assert np.max(np.abs(np.diff(value, axis=0))) < 0.08
    total = rows.sum(axis=-1)
    for name in ("sort", "argsort"):
        value = np.asarray(values[name])
        for i in range(6):  # a unit begins where the mass passes i
            steps = np.abs(np.diff(value[total > i + 1e-9, i], axis=0))
            assert np.max(steps) < 0.08


@pytest.mark.slow
@each("mode", ["smooth", "c0", "c1"])
def test_derivatives_of_samples(x64, mode):
    mass = _rng.uniform(0.2, 1.6, size=X.shape)
    mass[1] *= 3  # more than as many units as elements
    mass[2] *= 0.1  # less than a unit
    rng = inputs.rng("sample directions")
    moves = [rng.normal(size=X.shape), rng.normal(size=X.shape)]

    def run(x, mass):
        return operators(mode, x, mass)

    tangent = jax.jit(lambda *args: jax.jvp(run, args, tuple(moves))[1])(X, mass)
    expected = finite_difference(run, (X, mass), tuple(moves), 1e-5)
    for name, actual in tangent.items():
        assert_close(actual, expected[name], atol=2e-5)


@pytest.mark.slow
def test_single_precision():
    """Values and gradients without 64-bit numbers, also of whole weights."""
    x = np.float32(inputs.rng("single").normal(size=(3, 40)))
    mass = np.float32(inputs.rng("single mass").uniform(0, 1.8, size=x.shape))
    mass[1] = 1
    mass[2, ::3] = 0
    relaxations = {
        mode: functools.partial(Relaxation, get_regularizer(mode))
        for mode in ("smooth", "c1")
    }

    def run(mode, x, mass):
        def total(x, mass):
            relaxation = relaxations[mode](jnp.full(1, 0.1, x.dtype))
            values = OT.sort(Sample(x, mass=mass), relaxation)
            return jnp.sum(jnp.cos(jnp.arange(40)) * values), values

        return jax.jit(jax.grad(total, (0, 1), has_aux=True))(x, mass)

    for mode in relaxations:
        gradient, values = run(mode, x, mass)
        assert values.dtype == jnp.float32
        with jax.enable_x64(True):
            expected, exact = run(mode, np.float64(x), np.float64(mass))
        assert_close(values, exact, atol=3e-5)
        for g, e in zip(gradient, expected, strict=True):
            assert_close(g, e, atol=5e-3)


@pytest.mark.slow
def test_rows_of_no_weight():
    x = jnp.array([[0.3, 0.1, 0.7]] * 3)
    mass = jnp.array([[0.0, 0.0, 0.0], [0.0, 1e-6, 0.0], [0.1, 0.2, 0.3]])

    @jax.jit
    def run(x, mass):
        relaxation = Relaxation(get_regularizer("c0"), jnp.full(1, 0.1))

        def total(x, mass):
            sample = Sample(x, mass=mass)
            sort, rank = OT.sort(sample, relaxation), OT.rank(sample, relaxation)
            return jnp.sum(sort) + jnp.sum(rank), (sort, rank)

        return jax.grad(total, (0, 1), has_aux=True)(x, mass)

    gradient, (sort, rank) = run(x, mass)
    assert all(np.all(np.isfinite(g)) for g in gradient)
    assert_close(sort[:, 0], [0, 0.1, (0.1 * 0.3 + 0.2 * 0.1 + 0.3 * 0.7) / 0.6])
    assert np.all(np.isfinite(rank))


def test_errors():
    with pytest.raises(ValueError, match="TransportProjection: weights"):
        TransportProjection(COST, MU, NU, 1.0, None, np.ones(4))
