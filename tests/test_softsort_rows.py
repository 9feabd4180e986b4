"""SoftSort's rows, against dense projections: values, masks, ties and chunks."""

import functools

import inputs
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from assertions import assert_close, finite_difference, tolerance
from cases import REGULARIZERS
from oracles import simplex_oracle
from parametrize import each, pick

from softjax.solvers import (
    Means,
    PNorm,
    SimplexProjection,
    SoftSortRows,
    evaluate,
    solve,
)
from softjax_solvers.internal import sort_with_permutation

_SHORT = "softjax_solvers._problems.sorted_rows.softsort.SHORT"


@pytest.fixture(params=["dense", "local"])
def rows(request, monkeypatch):
    """The form in which rows of a sample are worked on, which depends on its length."""
    monkeypatch.setattr(_SHORT, 1000 if request.param == "dense" else 0)
    return request.param


@functools.cache
def _solve(name: str, rows: str):
    (case,) = pick(REGULARIZERS, name)

    @jax.jit
    def compute(queries, support, softness, values, where=None):
        out = {}
        for key, q in dict(own=None, general=queries).items():
            problem = SoftSortRows(q, support, softness, where)
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
    rng = inputs.rng("sorted distance")
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
    """The support with stand-ins in the place of masked elements."""
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
        # Rows of elements behind the last have no meaning.
        last = np.ones(points.shape, bool)
        if key == "own" and where is not None:
            last = np.maximum.accumulate(np.asarray(where)[:, ::-1], axis=-1)[:, ::-1]
        assert_close(np.asarray(out[key]["value"])[last], expected[last])
        atol = 3 * tolerance(support.dtype)
        assert_close(np.asarray(out[key]["expectation"])[last], mean[last], atol=atol)
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
    where = inputs.rng("sorted mask").uniform(size=support.shape) < 0.6
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


# Ties: |d| counts as having the derivative 0 at d = 0, whichever of two equals is first


_TIED = dict(
    support=np.array([-0.3, 0.2, 0.2, 0.2, 0.55, 0.9, 0.9]),
    queries=np.array([-0.6, 0.2, 0.9, 0.4]),
    values=np.array([0.3, -1.2, 0.8, 0.1, 1.5, -0.4, 2.0]),
)


@each("masked", [False, True], fast=())
@each("case", REGULARIZERS, fast=("c1",))
def test_derivatives_at_ties(case, masked, rows, x64):
    """Central differences of the dense formula, which are even in each |d|."""
    where = np.array([True, False, True, True, True, True, True]) if masked else None
    softness = 0.8

    def compute(queries, support, values):
        problem = SoftSortRows(queries, support, softness, where)
        return evaluate(problem, case.mode, Means(values))

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
        problem = SoftSortRows(None, support, 0.7)
        return jnp.sum(solve(problem, case.mode).expectation(support) ** 3)

    x = jnp.asarray([0.5, -0.2, 0.5, 0.9, 0.5, -0.2])
    out = np.asarray(jax.jit(jax.vmap(jax.grad(total)))(jnp.stack([x, x[::-1]])))
    assert_close(out[1, ::-1], out[0], atol=1e-5)


@each("case", pick(REGULARIZERS, "c1", "pseudohuber"), fast=())
def test_chunks_change_nothing(case, monkeypatch):
    queries, support, softness, values = _inputs()

    def compute(queries, support, softness, values):
        means = []
        for q in (None, queries):
            solution = solve(SoftSortRows(q, support, softness), case.mode)
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


def test_rows_are_simplex_projections():
    queries, support, softness, _ = _inputs()
    problem = SoftSortRows(queries, support, softness)
    rows = problem.rows(problem.points)
    assert isinstance(rows, SimplexProjection)
    assert rows.z.shape == (10, 4, 7)
    project = jax.jit(lambda p: solve(p, PNorm(1.5)).value)
    assert_close(project(problem), project(rows), atol=1e-6)


@pytest.mark.parametrize("mode", ["smooth", "c0"])
def test_shapes(mode):
    @jax.jit
    def compute(support, values):
        solution = solve(SoftSortRows(None, support, 0.1), mode)
        return solution.value, solution.expectation(values)

    support = jnp.sort(jnp.asarray(inputs.rng("shapes").normal(size=(2, 3, 5))))
    for shape in [(2, 3, 5), (0, 3), (1,)]:
        value, expectation = compute(
            jnp.resize(support, shape), jnp.full(shape[-1], 4.0)
        )
        assert value.shape == (*shape, shape[-1])
        assert_close(expectation, np.full(shape, 4.0), atol=1e-5)
