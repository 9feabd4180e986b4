"""Transport of many points on a line by few nodes, against its dense plan."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from oracles.line import dense_line_gradients, dense_line_plan

import softjax as sj
from softjax_solvers._kernels.boxes import choose_edges
from softjax_solvers._kernels.chebyshev import (
    gauss_of_equal_distances,
    interpolate,
    moments,
    nodes,
)
from softjax_solvers.internal import CompressedTransport, MeanPlaces

N = 600
BOXES = 5
ENTROPY = sj.solvers.Entropy()

rng = np.random.default_rng(0)
INPUTS = {
    "normal": rng.normal(size=N),
    "uniform": rng.uniform(size=N),
    "clusters": np.append(rng.normal(size=300) / 100, 3 + rng.normal(size=300) / 10),
    "ties": np.where(rng.uniform(size=N) < 0.5, 0.3, rng.uniform(size=N)),
    "levels": np.round(10 * rng.uniform(size=N)) / 10,
    "cauchy": rng.standard_cauchy(size=N),
    "constant": np.full(N, 1.5),
}
WEIGHTS = rng.normal(size=N)

# Input and softness that few nodes resolve.
RESOLVED = [("normal", 0.1), ("ties", 0.1), ("clusters", 1.0), ("constant", 0.1)]
RESOLVED_TOO = [
    *[(name, 10.0) for name in ("normal", "uniform", "clusters", "ties", "levels")],
    *[(name, 1.0) for name in ("normal", "uniform", "ties", "levels")],
    ("uniform", 0.1),
    ("levels", 0.1),
    ("levels", 0.03),
    ("uniform", 0.01),
]
# The same of nodes that are as many as points.
DENSE_ONLY = [
    ("normal", 0.01),
    ("normal", 0.001),
    ("ties", 0.001),
    ("levels", 0.001),
    ("cauchy", 1.0),
    ("cauchy", 0.1),
]


def slowly(cases):
    return [pytest.param(*case, marks=pytest.mark.slow) for case in cases]


def ascending(name) -> np.ndarray:
    return np.sort(INPUTS[name]).astype(np.float32)


@functools.partial(jax.jit, static_argnums=2)
def results(x, softness, boxes):
    """Values, places, how they change, and whether they are resolved."""
    weights = jnp.asarray(WEIGHTS, x.dtype)

    def read(x, softness):
        problem = CompressedTransport.on_line(x, softness, ENTROPY, boxes)
        found = sj.solvers.solve(problem, ENTROPY)
        values = found.read(sj.solvers.ColumnMeans(x))
        places = found.read(MeanPlaces(jnp.zeros(1, jnp.int32))) / (N - 1)
        out = jnp.stack([values, places])
        return out @ weights, (out, found.converged)

    pullback, (out, converged) = jax.vjp(read, x, softness, has_aux=True)[1:]
    slopes = jax.vmap(pullback)(jnp.eye(2, dtype=x.dtype))
    return out, slopes, converged


def errors(name, softness, boxes):
    """Errors of values and places over the range, of slopes over the largest."""
    x = ascending(name)
    plan = dense_line_plan(x, softness)
    slopes = dense_line_gradients(x, plan, softness, WEIGHTS)
    out, (of_x, of_softness), converged = jax.tree.map(
        np.asarray, results(x, jnp.float32(softness), boxes)
    )
    values = abs(out[0] - plan.T @ x).max() / max(np.ptp(x), 1)
    places = abs(out[1] - plan @ np.linspace(0, 1, N)).max()
    steep = []
    for i, kind in enumerate(("values", "places")):
        steep.append(abs(of_x[i] - slopes[kind]).max() / abs(slopes[kind]).max())
        want = slopes[f"{kind} softness"]
        steep.append(abs(of_softness[i] - want) / max(abs(want), 1))
    return max(values, places), max(steep), bool(converged)


@pytest.mark.parametrize(("name", "softness"), [*RESOLVED, *slowly(RESOLVED_TOO)])
def test_few_nodes(name, softness):
    error, steep, converged = errors(name, softness, BOXES)
    assert converged
    assert error < 2e-6
    assert steep < 1e-3


@pytest.mark.parametrize(("name", "softness"), slowly(DENSE_ONLY))
def test_all_points_as_nodes(name, softness):
    error, steep, converged = errors(name, softness, -(-N // 16))
    assert converged
    assert error < 1e-5
    assert steep < 1e-3


@pytest.mark.parametrize(
    ("name", "softness"),
    [("normal", 0.003), ("cauchy", 0.1), ("clusters", 0.01), ("normal", 1e-6)],
)
def test_what_is_not_resolved_says_so(name, softness):
    *_, converged = results(ascending(name), jnp.float32(softness), BOXES)
    assert not converged


def test_gauss_rules_are_exact():
    for p, counts in ((8, (8, 9, 40)), (16, (16, 17, 100, 100_000))):
        for count in counts:
            places, weights = gauss_of_equal_distances(jnp.float32(count), p)
            assert weights.min() > 0
            points = (2 * np.arange(count) + 1) / count - 1
            for degree in (0, 1, 2, 5, 2 * p - 2):
                got = weights @ places**degree
                np.testing.assert_allclose(got, np.mean(points**degree), atol=3e-7)


@pytest.mark.slow
def test_polynomials_in_boxes():
    p, box = 10, np.repeat([0, 2], 30)
    s = jnp.asarray(np.tile(np.linspace(-1, 1, 30), 2), jnp.float32)
    functions = np.stack([np.exp(nodes(p)), nodes(p), np.sin(nodes(p))])
    values, box_ = jnp.asarray(functions, jnp.float32), jnp.asarray(box)
    t = np.asarray(s, np.float64)
    want = np.where(box == 0, np.exp(t), np.sin(t))
    slope = np.where(box == 0, np.exp(t), np.cos(t))
    curve = np.where(box == 0, np.exp(t), -np.sin(t))

    @jax.jit
    def both(s):
        def total(s):
            return jnp.sum(values * moments(s, jnp.ones_like(s), box_, 3, p))

        def spread(s):
            return interpolate(s, values, box_)

        first = jax.jvp(spread, (s,), (jnp.ones_like(s),))
        second = jax.jvp(jax.grad(total), (s,), (jnp.ones_like(s),))
        return total(s), *first, *second

    total, out, out_slope, total_slope, total_curve = both(s)
    np.testing.assert_allclose(total, want.sum(), rtol=1e-5)
    np.testing.assert_allclose(out, want, atol=1e-5)
    np.testing.assert_allclose(out_slope, slope, atol=1e-4)
    np.testing.assert_allclose(total_slope, slope, atol=1e-4)
    np.testing.assert_allclose(total_curve, curve, atol=5e-3)


@pytest.mark.parametrize("name", ["normal", "ties", "cauchy"])
def test_boxes_are_small_or_have_few_points(name):
    start, count, p, softness = 7, N - 20, 16, 0.1
    x = jnp.asarray(ascending(name))
    edges = jax.jit(choose_edges, static_argnums=(4, 5))(
        x, jnp.float32(softness), jnp.int32(start), jnp.int32(count), 40, p
    )
    assert edges[0] == start
    assert edges[-1] == start + count
    lengths = np.diff(edges)
    assert np.all(lengths >= 0)
    first = np.asarray(edges)[:-1][lengths > 0]
    last = np.asarray(edges)[1:][lengths > 0] - 1
    size = (last - first + 1) / count
    width = np.asarray(x)[last] - np.asarray(x)[first]
    assert np.all((size * count <= p) | (width * size <= 2 * softness))


@pytest.mark.parametrize(
    ("operator", "softness"),
    [
        pytest.param("sort", 0.1, marks=pytest.mark.slow),
        ("sort", 0.003),
        pytest.param("rank", 0.1, marks=pytest.mark.slow),
        pytest.param("rank", 0.003, marks=pytest.mark.slow),
    ],
)
def test_operators(operator, softness):
    # Elements in any order, behind a mask, and infinite ones.
    x = np.random.default_rng(1).permutation(INPUTS["normal"]).astype(np.float32)
    where = np.random.default_rng(2).uniform(size=N) < 0.9
    x[:2], where[:3] = [np.inf, -np.inf], True
    out = getattr(sj, operator)(x, softness=softness, method="ot", where=where)
    finite = where & np.isfinite(x)
    order = np.argsort(x[finite])
    plan = dense_line_plan(x[finite][order], softness)
    count = len(plan)
    if operator == "sort":
        np.testing.assert_allclose(
            out[1 : count + 1],
            plan.T @ x[finite][order],
            atol=float(1e-5 * np.ptp(x[finite])),
        )
        assert out[0] == -np.inf
        assert out[count + 1] == np.inf
        return
    want = np.empty(count)
    want[order] = count - plan @ np.arange(count) + 1  # behind the one that is inf
    np.testing.assert_allclose(out[finite], want, atol=1e-5 * count)


@pytest.mark.slow
def test_batches_and_second_derivatives():
    x = np.random.default_rng(1).permutation(INPUTS["normal"]).astype(np.float32)
    rows = np.stack([x, 2 * x[::-1]])
    softness = np.array([0.1, 0.2], np.float32)[:, None]
    soft = functools.partial(sj.sort, method="ot")
    out = soft(rows, softness=softness)
    mapped = jax.jit(jax.vmap(lambda x, s: soft(x, softness=s)))
    np.testing.assert_allclose(mapped(rows, softness[:, 0]), out, atol=1e-5)
    # The plan of twice the points is that of twice the softness.
    np.testing.assert_allclose(out[1], 2 * out[0], atol=2e-5)

    direction = np.random.default_rng(3).normal(size=N)
    weights = jnp.asarray(WEIGHTS, jnp.float32)

    def slope(x):
        return jax.grad(lambda x: jnp.vdot(soft(x), weights))(x)

    ordered = np.sort(x)
    got = jax.jit(lambda x, v: jax.jvp(slope, (x,), (v,))[1])(
        ordered, direction.astype(np.float32)
    )
    step = 1e-5

    def end(sign):
        x = ordered + sign * step * direction
        plan = dense_line_plan(x, 0.1)
        return dense_line_gradients(x, plan, 0.1, WEIGHTS)["values"]

    want = (end(1) - end(-1)) / (2 * step)
    np.testing.assert_allclose(got, want, atol=2e-3 * abs(want).max())


@pytest.mark.slow
def test_dense_plans_are_searched_for_once():
    # The gradient forms a plan again, from potentials that are kept.
    def loss(x):
        return jnp.vdot(sj.sort(x, method="ot"), jnp.asarray(WEIGHTS, x.dtype))

    jaxpr = str(jax.make_jaxpr(jax.grad(loss))(INPUTS["normal"].astype(np.float32)))
    # Potentials of nodes, and those of the plan.
    assert jaxpr.count(" while[") == 2


def test_only_where_nothing_else_is_asked_for():
    # Programs with dense plans have an array of all pairs, others none.
    def largest(**keywords):
        fn = functools.partial(sj.sort, method="ot", **keywords)
        jaxpr = jax.make_jaxpr(fn)(np.zeros(8192, np.float32))
        return "8192,8192" in str(jaxpr)

    assert not largest()
    assert largest(solver="semi_dual")
    assert not largest(mode="c0")
    assert largest(mode=sj.solvers.PNorm(jnp.asarray(1.5)))
