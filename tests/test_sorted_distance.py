"""SoftSort's rows, against dense projections; and that they never become dense."""

import functools

import helpers
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from cases import REGULARIZERS, each, pick
from helpers import assert_close, finite_difference, simplex_oracle, tolerance

from softjax.solvers import (
    PNorm,
    SimplexProjection,
    SortedDistanceProjection,
    expectation,
    solve,
)
from softjax_solvers.internal import (
    sort_with_permutation,
)

_SHORT = "softjax_solvers._problems.sorted_rows.distance._SHORT"


@pytest.fixture(params=["dense", "local"])
def rows(request, monkeypatch):
    """How the rows of a sample itself are worked on, which depends on its length."""
    monkeypatch.setattr(_SHORT, 1000 if request.param == "dense" else 0)
    return request.param


@functools.cache
def _solve(name: str, rows: str):
    (case,) = pick(REGULARIZERS, name)

    @jax.jit
    def compute(queries, support, softness, values, where=None):
        out = {}
        for key, q in dict(own=None, general=queries).items():
            problem = SortedDistanceProjection(q, support, softness, where)
            solution = solve(problem, case.mode)
            out[key] = dict(
                value=solution.value,
                expectation=solution.expectation(values),
                dual=solution.dual,
                residual=solution.residual,
                converged=solution.converged,
            )
        return out

    return compute


def _inputs():
    """Seven sorted numbers a row, four queries each, and a softness a row."""
    rng = helpers.rng("sorted distance")
    normal = np.sort(rng.normal(size=(10, 7)), axis=-1)
    softness = np.array([0.1, 1.0, 100.0, 1e-4, 1.0, 1e5, 0.5, 0.3, 0.2, 0.05])[:, None]
    support = normal.copy()
    support[3] = 0.3 + 1e-4 * normal[3]
    support[4] = 1e6 + normal[4]
    support[5] = 1e5 * normal[5] - 1e6
    # Ties, of some and of all; and two clusters.
    support[6] = [-1.0, -1.0, 0.0, 0.5, 0.5, 0.5, 0.75]
    support[7] = 2.0
    support[8] = [0.0, 1e-3, 2e-3, 5.0, 5.0, 5.1, 5.1]
    support[9] = np.arange(7)
    support = np.asarray(jnp.asarray(support))
    queries = rng.permuted(support, axis=-1)[:, :4].copy()
    # At an element, between two, and beyond the ends on either side.
    queries[:, 1] = (support[:, 2] + support[:, 3]) / 2
    queries[:, 2] = support[:, 0] - 2 * softness[:, 0]
    queries[:, 3] = support[:, -1] + 40 * softness[:, 0]
    values = rng.normal(size=support.shape)
    return [jnp.asarray(a) for a in (queries, support, softness, values)]


def filled(support, where):
    """With what stands for masked elements in their place."""
    if where is None:
        return support
    where, place = np.asarray(where), np.arange(support.shape[-1])
    last = np.maximum.accumulate(np.where(where, place, -1), axis=-1)
    source = np.where(last < 0, np.argmax(where, axis=-1)[..., None], last)
    return np.take_along_axis(support, source, axis=-1)


def check(case, rows, queries, support, softness, values, where=None):
    out = _solve(case.name, rows)(queries, support, softness, values, where)
    float64 = [np.asarray(a, np.float64) for a in (queries, support, softness, values)]
    q, s, tau, v = float64
    s = filled(s, where)
    for key, points in (("own", s), ("general", q)):
        z = -np.abs(points[..., :, None] - s[..., None, :])
        mask = None if where is None else np.asarray(where)[..., None, :]
        expected = simplex_oracle(z, tau[..., None], case.link, where=mask)
        mean = np.sum(expected * v[..., None, :], axis=-1)
        assert_close(out[key]["value"], expected)
        atol = 3 * tolerance(support.dtype)
        assert_close(out[key]["expectation"], mean, atol=atol)
        assert np.all(out[key]["converged"])
        assert out[key]["dual"].shape == points.shape
        assert out[key]["residual"].shape == points.shape


@pytest.mark.x64
@each("case", REGULARIZERS, fast=("smooth", "c0"))
def test_values(case, rows):
    check(case, rows, *_inputs())


@pytest.mark.x64
@each("case", REGULARIZERS, fast=("smooth", "c0"))
def test_masks(case, rows):
    queries, support, softness, values = _inputs()
    where = helpers.rng("sorted mask").uniform(size=support.shape) < 0.6
    where[0] = [False, False, True, False, False, False, False]
    where[1] = True
    where[6:8, 3] = True
    values = jnp.where(where, values, 1e30)
    check(case, rows, queries, support, softness, values, jnp.asarray(where))


def test_nan_stays_in_its_row(rows):
    for name in ("smooth", "c2"):
        queries, support, softness, values = _inputs()
        clean = _solve(name, rows)(queries, support, softness, values)
        support = support.at[1, 3].set(jnp.nan).at[7].set(jnp.nan)
        spoiled = _solve(name, rows)(
            queries, support, softness.at[4].set(jnp.nan), values
        )
        bad = np.isin(np.arange(10), [1, 4, 7])
        for kind in ("own", "general"):
            for key in ("expectation", "converged"):
                np.testing.assert_array_equal(
                    spoiled[kind][key][~bad], clean[kind][key][~bad]
                )
            assert np.all(np.any(np.isnan(spoiled[kind]["expectation"][bad]), axis=-1))


# The entropy's recurrences, at sizes where rounding would show


def _laplace_means(queries, support, softness, values):
    """The plain dense formula, in the type of its arguments."""
    scores = (
        -jnp.abs(queries[..., :, None] - support[..., None, :]) / softness[..., None]
    )
    return jnp.sum(jax.nn.softmax(scores, axis=-1) * values[..., None, :], axis=-1)


def _many(n=700):
    rng = helpers.rng("many")
    support = np.sort(np.stack([rng.normal(size=n), 1e3 * rng.standard_cauchy(n)]))
    queries = np.stack([rng.normal(size=50), 1e3 * rng.standard_cauchy(50)])
    values = rng.normal(size=support.shape)
    return [jnp.asarray(a) for a in (queries, support, np.full((2, 1), 0.1), values)]


@jax.jit
def _entropy(queries, support, softness, values):
    means = []
    for q in (None, queries):
        problem = SortedDistanceProjection(q, support, softness)
        means.append(solve(problem, "smooth").expectation(values))
    return means


@pytest.mark.x64
def test_recurrences_against_the_dense_formula():
    args = _many()
    own, general = _entropy(*args)
    exact = [np.asarray(a, np.float64) for a in args]
    with helpers.x64():
        q, s, tau, v = map(jnp.asarray, exact)
        expected = [_laplace_means(p, s, tau, v) for p in (s, q)]
    assert_close(own, expected[0], atol=5 * tolerance(own.dtype))
    assert_close(general, expected[1], atol=5 * tolerance(own.dtype))


def test_derivatives_of_the_recurrences(x64):
    """Away from ties, all of them, against autodiff of the plain formula."""
    queries, support, softness, values = _many(40)
    queries, weights = queries[:, :9], helpers.rng("weights").normal(size=(2, 49))

    def total(means):
        return jnp.sum(weights * jnp.concatenate(means, axis=-1))

    def dense(queries, support, softness, values):
        points = (support, queries)
        return total([_laplace_means(q, support, softness, values) for q in points])

    def fast(queries, support, softness, values):
        return total(_entropy(queries, support, softness, values))

    def derivatives(fn):
        gradient = jax.grad(fn, (0, 1, 2, 3))
        direction = (queries, jnp.sin(support), softness, values)
        args = (queries, support, softness, values)
        return [gradient(*args), jax.jvp(gradient, args, direction)[1]]

    actual, expected = jax.jit(lambda: [derivatives(fast), derivatives(dense)])()
    for got, true in zip(actual, expected, strict=True):
        for a, b in zip(got, true, strict=True):
            # Distances of 1e6 softness leave some rounding in the dense formula.
            assert_close(a, b, atol=1e-7, rtol=1e-9)


# Ties: |d| counts as having the derivative 0 at d = 0, whichever of two equals is first


_TIED = dict(
    support=np.array([-0.3, 0.2, 0.2, 0.2, 0.55, 0.9, 0.9]),
    queries=np.array([-0.6, 0.2, 0.9, 0.4]),
    values=np.array([0.3, -1.2, 0.8, 0.1, 1.5, -0.4, 2.0]),
)


@each("masked", [False, True], fast=("False",))
@each("case", REGULARIZERS, fast=("c1",))
def test_derivatives_at_ties(case, masked, rows, x64):
    """Central differences of the dense formula, which are even in each |d|."""
    where = np.array([True, False, True, True, True, True, True]) if masked else None
    softness = 0.8

    def compute(queries, support, values):
        problem = SortedDistanceProjection(queries, support, softness, where)
        return expectation(problem, case.mode, values)

    def reference(queries, support, values):
        points = support if queries is None else queries
        z = -np.abs(points[:, None] - support)
        y = simplex_oracle(z, [softness], case.link, where=where)
        return y @ values

    support, queries, values = _TIED["support"], _TIED["queries"], _TIED["values"]
    jacobians = jax.jit(
        lambda q, s, v: (
            jax.jacrev(lambda s: compute(None, s, v))(s),
            jax.jacfwd(lambda s: compute(None, s, v))(s),
            jax.jacrev(compute, (0, 1))(q, s, v),
            jax.jacfwd(compute, (0, 1))(q, s, v),
        )
    )
    own, own_forward, general, general_forward = jacobians(queries, support, values)
    # The reference also holds where a step brings the support out of order.
    step = 1e-6
    expected = np.stack(
        [
            finite_difference(
                lambda s: reference(None, s, values), (support,), (e,), step=step
            )
            for e in np.eye(support.size)
        ],
        axis=-1,
    )
    shown = slice(None) if where is None else where
    assert_close(own[shown], expected[shown], atol=2e-5)
    assert_close(own_forward, own, atol=1e-12)
    for argument, point in ((0, queries), (1, support)):

        def moved(x, argument=argument):
            args = [queries, support]
            args[argument] = x
            return reference(*args, values)

        expected = np.stack(
            [
                finite_difference(moved, (point,), (e,), step=step)
                for e in np.eye(point.size)
            ],
            axis=-1,
        )
        assert_close(general[argument], expected, atol=2e-5)
        assert_close(general_forward[argument], general[argument], atol=1e-12)


@each("case", pick(REGULARIZERS, "smooth", "c0", "c2"), fast=("smooth",))
def test_equal_elements_are_interchangeable(case, rows):
    """Gradients of a symmetric function of unsorted numbers are equal for equals."""

    def total(x):
        support, _ = sort_with_permutation(x)
        problem = SortedDistanceProjection(None, support, 0.7)
        return jnp.sum(solve(problem, case.mode).expectation(support) ** 3)

    x = jnp.asarray([0.5, -0.2, 0.5, 0.9, 0.5, -0.2])
    out = np.asarray(jax.jit(jax.vmap(jax.grad(total)))(jnp.stack([x, x[::-1]])))
    assert_close(out[1, ::-1], out[0], atol=1e-5)


# Windows of neighbours


def _spread(n=150):
    """Samples whose windows are narrow, wide, of all elements, and of very few."""
    rng = helpers.rng("spread")
    support = np.stack(
        [
            rng.normal(size=n),
            np.round(rng.normal(size=n), 1),
            np.full(n, -0.7),
            rng.standard_cauchy(n),
            np.repeat([-1.0, 2.0], n // 2) + 1e-3 * rng.normal(size=n),
        ]
    )
    values = rng.normal(size=support.shape)
    softness = np.array([0.1, 0.33, 1.0, 0.2, 1e-3])[:, None]
    return [np.asarray(jnp.asarray(a)) for a in (np.sort(support), softness, values)]


@functools.cache
def _means(name: str):
    (case,) = pick(REGULARIZERS, name)

    @jax.jit
    def compute(support, softness, values):
        solution = solve(SortedDistanceProjection(None, support, softness), case.mode)
        return solution.expectation(values), solution.converged, solution.steps

    return compute


@pytest.mark.x64
@each("case", REGULARIZERS, fast=("c0", "c2"))
def test_windows(case):
    support, softness, values = _spread()
    means, converged, _ = _means(case.name)(support, softness, values)
    s, tau, v = (np.asarray(a, np.float64) for a in (support, softness, values))
    z = -np.abs(s[:, :, None] - s[:, None, :])
    y = simplex_oracle(z, tau[..., None], case.link)
    expected = np.sum(y * v[:, None, :], axis=-1)
    assert np.all(converged)
    assert_close(means, expected, atol=5 * tolerance(support.dtype))


@each("case", pick(REGULARIZERS, "c0", "c1", "c2"))
def test_windows_take_few_steps(case):
    _, _, steps = _means(case.name)(*_spread())
    assert np.max(steps) <= 8


@each("case", REGULARIZERS, fast=())
def test_derivatives_of_windows(case, x64):
    """Against central differences of values, and of gradients."""
    support, softness, values = _spread(80)
    # Apart from ties, where some of the sparse ones have kinks.
    rows = [0, 3, 4]
    args = tuple(jnp.asarray(a[rows]) for a in (support, softness, values))
    weights, *moves = (
        helpers.rng("moves", k).normal(size=a.shape)
        for k, a in enumerate((support[rows], *args))
    )
    moves[0] *= np.min(np.diff(args[0]), axis=-1, keepdims=True)
    moves[1] *= 0.1 * args[1]
    args, moves = (*args, jnp.asarray(weights)), (*moves, np.zeros_like(weights))

    def total(support, softness, values, weights):
        problem = SortedDistanceProjection(None, support, softness)
        return jnp.sum(weights * expectation(problem, case.mode, values), axis=-1)

    @jax.jit
    def compute(args):
        one = lambda *args: jnp.sum(total(*args))  # noqa: E731
        gradient = jax.grad(one, (0, 1, 2, 3))
        return (
            total(*args),
            jax.jvp(total, args, tuple(moves))[1],
            gradient(*args),
            jax.jvp(gradient, args, tuple(moves))[1],
            jax.vmap(gradient)(*args),
        )

    def differences(index):
        return finite_difference(
            lambda *args: compute(args)[index], args, tuple(moves), step=1e-4
        )

    _, forward, gradient, hessian, mapped = compute(args)
    reverse = sum(np.sum(g * m, axis=-1) for g, m in zip(gradient, moves, strict=True))
    assert_close(forward, differences(0), atol=1e-6, rtol=1e-5)
    assert_close(reverse, forward, atol=1e-10, rtol=1e-9)
    for a, b in zip(mapped, gradient, strict=True):
        assert_close(a, b, atol=1e-10, rtol=1e-9)
    if case.name != "c0":
        expected = jax.tree.leaves(differences(2))
        for a, b in zip(hessian, expected, strict=True):
            assert_close(a, b, atol=1e-3, rtol=1e-3)


@each("case", pick(REGULARIZERS, "smooth", "c1"), fast=("smooth",))
def test_one_step_and_two(case, x64):
    """`expectation` is `solve(...).expectation`, and so are all its derivatives."""
    support, softness, values = _spread(70)
    args = support[[0, 3]], softness[[0, 3]], values[[0, 3]]

    def two(problem, values):
        return solve(problem, case.mode).expectation(values)

    def one(problem, values):
        return expectation(problem, case.mode, values)

    def gradient(mean):
        def total(support, softness, values):
            problem = SortedDistanceProjection(None, support, softness)
            return jnp.sum(jnp.cos(mean(problem, values)))

        return jax.value_and_grad(total, (0, 1, 2))

    actual, expected = jax.jit(lambda *a: (gradient(one)(*a), gradient(two)(*a)))(*args)
    for a, b in zip(jax.tree.leaves(actual), jax.tree.leaves(expected), strict=True):
        assert_close(a, b, atol=1e-9, rtol=1e-9)


# Chunks and memory


@each("case", pick(REGULARIZERS, "c1", "pseudohuber"), fast=())
def test_chunks_change_nothing(case, monkeypatch):
    queries, support, softness, values = _inputs()

    def compute(queries, support, softness, values):
        means = []
        for q in (None, queries):
            solution = solve(SortedDistanceProjection(q, support, softness), case.mode)
            means.append(solution.expectation(values))
            means.append(solution.dual)
        return means

    def everything():
        # A new function, as the block size is no part of what `jit` remembers.
        def total(*args):
            means = compute(*args)
            return sum(jnp.sum(jnp.sin(m)) for m in means), means

        gradient = jax.value_and_grad(total, (0, 1, 2, 3), has_aux=True)
        return jax.jit(gradient)(queries, support, softness, values)

    (_, whole), gradient = everything()
    # Room for three rows of every one of the ten problems.
    monkeypatch.setattr("softjax_solvers._kernels.chunks._BLOCK", 3 * support.size)
    (_, chunked), chunked_gradient = everything()
    for a, b in zip(chunked, whole, strict=True):
        assert_close(a, b, atol=1e-6, rtol=1e-6)
    for a, b in zip(chunked_gradient, gradient, strict=True):
        assert np.all(np.isfinite(a))
        assert_close(a, b, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize(
    ("mode", "limit"),
    [("smooth", 300), pytest.param("c0", 2000, marks=pytest.mark.slow)],
)
@pytest.mark.parametrize("differentiate", [False, True])
def test_memory_is_linear(mode, limit, differentiate):
    """At n = 100,000 a dense matrix would take 4e5 bytes for each element."""
    n = 100_000

    def total(x):
        problem = SortedDistanceProjection(None, x, 0.1)
        return jnp.sum(solve(problem, mode).expectation(x) ** 2)

    fn = jax.grad(total) if differentiate else total
    x = jax.ShapeDtypeStruct((n,), jnp.float32)
    memory = jax.jit(fn).lower(x).compile().memory_analysis()
    assert memory.temp_size_in_bytes < limit * n


@pytest.mark.slow
def test_a_hundred_thousand_numbers():
    """One row in a thousand, against the dense formula."""
    rng = helpers.rng("hundred thousand")
    x = np.sort(rng.normal(size=100_000)).astype(np.float32)
    values = rng.normal(size=x.size).astype(np.float32)
    problem = SortedDistanceProjection(None, jnp.asarray(x), 0.01)
    means = np.asarray(solve(problem, "smooth").expectation(jnp.asarray(values)))
    exact, weights = x.astype(np.float64), values.astype(np.float64)
    rows = np.exp(-np.abs(exact[::1000, None] - exact) / 0.01)
    assert_close(means[::1000], rows @ weights / rows.sum(-1), atol=3e-6)


def test_rows_are_simplex_projections():
    queries, support, softness, _ = _inputs()
    problem = SortedDistanceProjection(queries, support, softness)
    rows = problem.rows(problem.points)
    assert isinstance(rows, SimplexProjection)
    assert rows.z.shape == (10, 4, 7)
    project = jax.jit(lambda p: solve(p, PNorm(1.5)).value)
    assert_close(project(problem), project(rows), atol=1e-6)


@pytest.mark.parametrize("mode", ["smooth", "c0"])
def test_shapes(mode):
    @jax.jit
    def compute(support, values):
        solution = solve(SortedDistanceProjection(None, support, 0.1), mode)
        return solution.value, solution.expectation(values)

    support = jnp.sort(jnp.asarray(helpers.rng("shapes").normal(size=(2, 3, 5))))
    for shape in [(2, 3, 5), (0, 3), (1,)]:
        value, expectation = compute(
            jnp.resize(support, shape), jnp.full(shape[-1], 4.0)
        )
        assert value.shape == (*shape, shape[-1])
        assert_close(expectation, np.full(shape, 4.0), atol=1e-5)
