"""Projections with regularizers that are not separable."""

import coupled
import inputs
import jax
import jax.numpy as jnp
import numpy as np
import oracles
import pytest
import scipy.optimize
from assertions import assert_close
from coupled import COUPLED, SIZE
from parametrize import each

import softjax as sj
from softjax import solvers
from softjax_solvers._kernels.total_variation import prox_total_variation

ROWS = np.array([[1, 1, 1, 1, 1], [1, 0, 1, 1, 0], [0, 0, 1, 0, 0]], bool)


def solved(case, mode, z, softness, strength, where):
    found = solvers.solve(case.make(z, softness, strength, where), mode)
    return found.value, found.converged


@each("case", COUPLED)
@pytest.mark.parametrize(
    "mode", ["c0", *(pytest.param(m, marks=pytest.mark.slow) for m in ("smooth", "c1"))]
)
def test_values(case, mode, x64):
    """Against quadratic programming, for masked rows too, whatever is masked."""
    if mode not in case.modes:
        pytest.skip(f"{case.name} is not for {mode}")
    rng = inputs.rng("coupled values")
    z = rng.normal(size=(3, 3, SIZE))
    hidden = np.where(ROWS, z, [[np.nan], [np.inf], [1e30]])
    solve = jax.jit(lambda *a: solved(case, mode, *a, ROWS))
    for softness in (0.3, 2.0):
        y, converged = map(np.asarray, solve(hidden, softness, case.strength))
        assert np.all(converged)
        assert np.all(y[:, ~ROWS] == 0)
        for row in np.ndindex(3, 3):
            (here,) = np.nonzero(ROWS[row[1]])
            args = mode, z[row][here], softness, case.strength, here
            assert_close(y[row][here], case.expected(*args), atol=2e-6)


METHODS = {
    "fused": sj.methods.Fused(0.3),
    "clustered": sj.methods.Clustered(0.15),
    "grouped": sj.methods.Grouped(jnp.asarray(coupled.GROUPS), 0.3),
    "group_lasso": sj.methods.GroupLasso(jnp.asarray(coupled.GROUPS), 0.3),
    "sparse": sj.methods.Sparse(2),
    "metric": sj.methods.Metric(coupled.METRIC),
    "norm": sj.methods.Normmax(),
}
OF_LARGEST = (sj.argmax, sj.argmin, sj.max, sj.min)


@each("case", COUPLED, fast=("sparse",))
def test_operators(case):
    """Soft indices are solutions, values their means; along any axis, with a mask."""
    x = inputs.rng("coupled operators").normal(size=(SIZE, 3)).astype(np.float32)
    x[0, 1] = np.nan
    keywords = dict(axis=0, mode="c0", softness=0.7, method=METHODS[case.name])
    found = [op(x, where=ROWS.T, **keywords) for op in OF_LARGEST]
    # Row 1 leaves out its second and last entry, and has NaN.
    assert np.all(np.isnan(found[2]) == [False, True, False])
    for k in (0, 2):
        (here,) = np.nonzero(ROWS[k])
        for sign, index, value in ((1, *found[::2]), (-1, *found[1::2])):
            args = "c0", sign * x[here, k].astype(float), 0.7, case.strength, here
            expected = case.expected(*args)
            assert_close(index[k, here], expected, atol=1e-5)
            assert_close(value[k], x[here, k] @ expected, atol=1e-5)
    gradient = jax.grad(lambda x: sj.max(x, **keywords).sum())(np.zeros((SIZE, 2)))
    assert np.all(np.isfinite(gradient))
    assert_close(sj.max(np.array([[3.0]]), **keywords | dict(method=_alone(case))), [3])


def _alone(case):
    """The method for a single element."""
    return {
        "grouped": sj.methods.Grouped(jnp.array([0]), 0.3),
        "group_lasso": sj.methods.GroupLasso(jnp.array([0]), 0.3),
        "sparse": sj.methods.Sparse(1),
        "metric": sj.methods.Metric(jnp.eye(1)),
    }.get(case.name, METHODS[case.name])


REFUSED = {
    "sort": lambda **k: sj.sort(np.ones(3), **k),
    "argsort": lambda **k: sj.argsort(np.ones(3), **k),
    "rank": lambda **k: sj.rank(np.ones(3), **k),
    "top_k": lambda **k: sj.top_k(np.ones(3), 2, **k),
    "median": lambda **k: sj.median(np.ones(3), **k),
    "argmedian": lambda **k: sj.argmedian(np.ones(3), **k),
    "quantile": lambda **k: sj.quantile(np.ones(3), 0.3, **k),
    "argquantile": lambda **k: sj.argquantile(np.ones(3), 0.3, **k),
}


def test_what_cannot_be_served_is_refused():
    for name, call in REFUSED.items():
        with pytest.raises(TypeError, match=rf"Fused.*cannot serve {name}.*argmax"):
            call(method=sj.methods.Fused(0.1))
    x = np.ones(3)
    with pytest.raises(TypeError, match=r"mode=.*Fused.*method="):
        sj.argmax(x, mode=sj.methods.Fused(0.1))
    with pytest.raises(ValueError, match="takes no weights"):
        sj.argmax(x, weights=x, method=sj.methods.Fused(0.1))
    with pytest.raises(ValueError, match="linear link"):
        sj.argmax(x, method=sj.methods.GroupLasso(np.zeros(3, int), 0.1))
    with pytest.raises(ValueError, match="norm of a softjax"):
        sj.argmax(x, method=sj.methods.Normmax())


def test_errors():
    z = np.ones((2, 3))
    for make, words in (
        (lambda: solvers.FusedSimplexProjection(z, 1.0, -0.1), "strength must be"),
        (lambda: solvers.FusedSimplexProjection(z, 1.0, np.ones(3)), "strength of"),
        (lambda: solvers.FusedSimplexProjection(z, 1.0, 1.0, z[:, :2] > 0), "where of"),
        (lambda: solvers.SparseSimplexProjection(z, 4, 1.0), "k must be from 1 to 3"),
        (lambda: solvers.MetricSimplexProjection(z, 1.0, np.ones((2, 2))), "metric"),
        (
            lambda: solvers.GroupedSimplexProjection(z, 1.0, 1.0, np.ones(2, int)),
            "segment_ids",
        ),
    ):
        with pytest.raises(ValueError, match=words):
            make()
    with pytest.raises(TypeError, match="integer"):
        solvers.SparseSimplexProjection(z, 2.0, 1.0)
    with pytest.raises(TypeError, match="integers"):
        solvers.GroupedSimplexProjection(z, 1.0, 1.0, np.ones(3))


@each("case", COUPLED, fast=())
def test_fenchel_young_losses(case, x64):
    """Zero at the solution, with the gradient `y - target`; against the definition."""
    rng = inputs.rng("coupled losses")
    z, target = jnp.asarray(rng.normal(size=(2, SIZE))), rng.dirichlet(np.ones(SIZE))
    if case.name == "sparse":
        target = np.eye(SIZE)[1]

    @jax.jit
    def run(z, target):
        def loss(z, target):
            problem = case.make(z, 0.7, case.strength)
            return solvers.fenchel_young_loss(problem, target, "c0").sum()

        problem = case.make(z, 0.7, case.strength)
        y = solvers.evaluate(problem, "c0", solvers.Primal())
        values = [problem.objective(p, solvers.PNorm(2)) for p in (y, target)]
        return y, values, loss(z, y), jax.value_and_grad(loss)(z, target)

    y, (most, less), least, (loss, gradient) = run(z, np.tile(target, (2, 1)))
    assert_close(least, 0.0, atol=1e-12)
    assert_close(loss, np.sum(most - less), atol=1e-12)
    assert_close(gradient, y - target, atol=1e-9)
    if case.name in PENALTIES:
        z, y = np.asarray(z), np.asarray(y)
        own = [
            0.7 * (PENALTIES[case.name](p, case.strength) + np.sum(p * p) / 2)
            for p in (target, y[0])
        ]
        expected = (z[0] @ y[0] - own[1]) - (z[0] @ target - own[0])
        assert_close(most[0] - less[0], expected, atol=1e-12)


PENALTIES = {
    "fused": lambda y, a: a * oracles.pieces_value(y, oracles.steps(SIZE)),
    "clustered": lambda y, a: a * oracles.pieces_value(y, oracles.pairs(SIZE)),
    "grouped": lambda y, a: a * oracles.pieces_value(y, oracles.tops(coupled.GROUPS)),
    "group_lasso": lambda y, a: (
        a * sum(np.linalg.norm(y[g == coupled.GROUPS]) for g in (0, 1))
    ),
    "metric": lambda y, a: y @ coupled.METRIC @ y / 2,
}


@pytest.mark.parametrize("n", [6, pytest.param(60, marks=pytest.mark.slow)])
def test_total_variation(n):
    """Rows with ties, outliers and gaps, in float32, against bounded least squares."""
    rng = inputs.rng("total variation")
    x = rng.normal(size=(12, n)).astype(np.float32)
    x[:4] = np.round(x[:4])
    x[4, 2], x[5] = 1e3, 0.5
    where = np.ones(x.shape, bool)
    where[6:9] = rng.random((3, n)) < 0.6
    strength = rng.choice([0.0, 0.05, 0.4, 3.0], size=(12, 1)).astype(np.float32)
    w = np.asarray(jax.jit(prox_total_variation)(x, strength, where))
    for row, here in enumerate(where):
        some = x[row, here].astype(float)
        edges = np.diff(np.eye(len(some)), axis=0)
        bound = float(strength[row, 0]) + 1e-12
        if len(edges):
            dual = scipy.optimize.lsq_linear(
                edges.T, some, (-bound, bound), method="bvls", tol=1e-14
            ).x
            some = some - edges.T @ dual
        assert_close(w[row, here], some, atol=1e-5 * max(1, np.abs(some).max() / 10))


@pytest.mark.slow
def test_strong_metrics_converge_or_say_so(x64):
    """A metric that outweighs R is reached in stages."""
    rng = inputs.rng("strong metric")
    root = rng.normal(size=(8, 6))
    z = rng.normal(size=(3, 8))

    @jax.jit
    def run(z, metric):
        problem = solvers.MetricSimplexProjection(z, 0.1, metric)
        found = solvers.solve(problem, "c0")
        few = solvers.solve(problem, "c0", solvers.MetricNewton(max_steps=1))
        return found.value, found.converged, few.converged

    metric = 30 * root @ root.T
    y, converged, few = run(z, metric)
    assert np.all(converged)
    assert not np.any(few)
    for row in range(3):
        args = lambda y: y @ metric @ y / 2, lambda y: metric @ y
        expected = oracles.smooth_oracle("c0", z[row], 0.1, *args)
        assert_close(y[row], expected, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("strength", [0.02, 0.5, 20.0])
def test_total_variation_of_long_rows(strength):
    """Sums of x - w are within the strength, which they reach where w steps."""
    n, rng = 2000, inputs.rng("long rows")
    rows = [
        rng.normal(size=n),
        np.round(rng.normal(size=n)),
        np.linspace(-1, 1, n),
        np.tile([1.0, -1.0], n // 2) * np.linspace(0, 1, n),
        np.repeat(rng.normal(size=n // 100), 100) + 0.1 * rng.normal(size=n),
    ]
    x = np.stack(rows).astype(np.float32)
    bound = np.full((len(x), 1), strength, np.float32)
    w = jax.jit(prox_total_variation)(x, bound, np.ones(x.shape, bool))
    w = np.asarray(w, np.float64)
    sums = np.cumsum(x - w, axis=-1)
    steps = np.diff(w)
    error = 1e-4 * max(1, strength)
    assert np.all(np.abs(sums) <= strength + error)
    assert np.all(np.abs(sums[:, -1]) <= error)
    stepping = np.abs(steps) > 1e-4
    reached = np.abs(sums[:, :-1] + strength * np.sign(steps)) <= error
    assert np.all(reached | ~stepping)
