"""Weights of projections onto permutahedra: an entry stands for copies of it."""

import functools

import hypothesis
import hypothesis.extra.numpy as hnp
import hypothesis.strategies as st
import inputs
import jax
import jax.numpy as jnp
import numpy as np
import oracles
import pytest
import scipy.special
from assertions import assert_close, finite_difference
from cases import ALL_REGULARIZERS
from parametrize import each, pick
from permutahedra import CASES, oracle

from softjax.solvers import PermutahedronProjection, solve

FURTHER = pick(ALL_REGULARIZERS, "tsallis", "tsallis_3", "scaled", "tsallis_1")
SOLVERS = [(case, None) for case in [*CASES, *FURTHER]]
SOLVERS += [(case, "merging") for case in pick(CASES, "smooth", "c0")]
FAST = {("smooth", None), ("c0", None)}

each_solver = pytest.mark.parametrize(
    ("case", "solver"),
    [
        pytest.param(
            case,
            solver,
            id=f"{case.name}-{solver}",
            marks=[] if (case.name, solver) in FAST else [pytest.mark.slow],
        )
        for case, solver in SOLVERS
    ],
)
SOFTNESS = np.array([0.05, 0.3, 1.0, 3.0, 0.3])[:, None]
COUNTS = np.array(
    [[2, 1, 0, 3, 1, 0], [1, 0, 0, 4, 0, 2], [0, 0, 1, 0, 0, 0], [1, 1, 1, 1, 1, 1],
     [3, 2, 1, 2, 2, 5]]
)  # fmt: skip


def rows(name: str):
    """Entries with ties and weights, and w, which descends with z."""
    rng = inputs.rng("permutahedron weights", name)
    z, w, weights = rng.normal(size=(3, *COUNTS.shape))
    z[1, 3], z[4] = z[1, 5], np.round(z[4])
    order = np.argsort(-z, axis=-1, kind="stable")
    np.put_along_axis(w, order, -np.sort(-w), axis=-1)
    return z, w, np.where(COUNTS > 0, np.exp(weights), 0)


@functools.cache
def compiled(name: str, solver: str | None = None):
    (case,) = pick(ALL_REGULARIZERS, name)

    @jax.jit
    def compute(z, w, weights, softness, where=None):
        problem = PermutahedronProjection(z, w, softness, where, weights=weights)
        solution = solve(problem, case.mode, solver)
        return solution.value, solution.converged

    return compute


@each_solver
def test_whole_weights_are_copies(case, solver, x64):
    z, w, _ = rows("copies")
    value, converged = compiled(case.name, solver)(z, w, COUNTS, SOFTNESS)
    assert np.all(converged)
    for row, counts in enumerate(COUNTS):
        copies = (np.repeat(x, counts) for x in (z[row], w[row]))
        expected = oracle(case, *copies, SOFTNESS[row])
        assert_close(np.repeat(value[row], counts), expected, atol=1e-9)


@pytest.mark.x64
@each_solver
def test_any_weights(case, solver):
    """Weights of which 0 is the limit, and only ratios matter."""
    z, w, weights = (x.astype(np.zeros(()).dtype) for x in rows("any"))
    z, w, weights = (np.asarray(jnp.asarray(x)) for x in (z, w, weights))
    scores = np.asarray(jnp.asarray(z) / jnp.asarray(SOFTNESS), np.float64)
    expected = oracles.weighted_permutahedron_oracle(
        scores, w, weights, 1.0, case.link, case.at_zero
    )
    atol = 1e-5 if z.dtype == np.float32 else 1e-9
    for scale in (1.0, 1e-30, 1e30):
        value, converged = compiled(case.name, solver)(
            z, w, z.dtype.type(scale) * weights, SOFTNESS
        )
        assert value.dtype == z.dtype
        assert np.all(converged)
        assert_close(value, expected, atol=atol)


@each_solver
def test_derivatives(case, solver, x64):
    """In everything, also in weights of 0, at which they are one-sided."""
    args = rows("derivatives")
    rng = inputs.rng("direction")
    directions = [rng.normal(size=x.shape) for x in args]
    # A tie is one only as long as its entries move alike.
    directions[0] = np.ones_like(args[0]) * rng.normal(size=(len(args[0]), 1))
    directions[2] = np.abs(directions[2]) * (COUNTS > 0)
    some = rng.normal(size=args[0].shape)
    run = compiled(case.name, solver)

    def truth(*args):
        return oracles.weighted_permutahedron_oracle(
            *args, SOFTNESS, case.link, case.at_zero
        )

    @jax.jit
    def derivatives(args, directions):
        def gradient(args):
            return jax.grad(lambda a: jnp.sum(some * run(*a, SOFTNESS)[0]))(args)

        moved = jax.jvp(lambda a: run(*a, SOFTNESS)[0], (args,), (directions,))[1]
        return moved, *jax.jvp(gradient, (args,), (directions,))

    moved, gradient, turned = derivatives(args, tuple(directions))
    expected = finite_difference(truth, args, tuple(directions))
    assert_close(moved, expected, atol=1e-6)
    product = sum(np.vdot(g, d) for g, d in zip(gradient, directions, strict=True))
    assert_close(product, np.vdot(some, moved), atol=1e-9)
    assert all(np.all(np.isfinite(x)) for x in turned)
    # From 0 to one side, to second order; equals of no weight have no derivative.
    light, step = np.where(COUNTS[:2] == 0, directions[0][:2], 0), 1e-4
    light = np.abs(light)
    z, w, weights = (x[:2] for x in args)
    zero, one, two = (
        oracles.weighted_permutahedron_oracle(
            z, w, weights + i * step * light, SOFTNESS[:2], case.link, case.at_zero
        )
        for i in range(3)
    )
    slope = np.sum(some[:2] * (4 * one - two - 3 * zero)) / (2 * step)
    assert_close(np.vdot(gradient[2][:2], light), slope, atol=1e-5)
    # No weights at all are as good as equal ones.
    value, converged = run(args[0], args[1], np.zeros_like(args[0]), SOFTNESS)
    assert np.all(converged)
    assert_close(value, run(args[0], args[1], np.ones_like(value), SOFTNESS)[0])


@each("case", pick(CASES, "smooth", "c0", "c2"), fast=())
def test_masks(case):
    """Entries behind a mask are as good as not there, NaN and their weight included."""
    z, w, weights = rows("masks")
    where = inputs.rng("where").uniform(size=z.shape) < 0.6
    where[2], where[3] = False, True
    spoiled = [np.where(where, x, np.nan) for x in (z, w, weights)]
    softness, where = SOFTNESS.astype(z.dtype), jnp.asarray(where)

    @jax.jit
    def both(*args):
        def total(*args):
            value, _ = compiled(case.name)(*args, softness, where)
            return jnp.sum(jnp.sin(value)), value

        return jax.value_and_grad(total, (0, 1, 2), has_aux=True)(*args)

    (_, value), gradient = both(*spoiled)
    for row, here in enumerate(np.asarray(where)):
        kept = [x[row][here] for x in (z, w, weights)]
        expected = oracles.weighted_permutahedron_oracle(
            *kept, SOFTNESS[row], case.link, case.at_zero
        )
        assert_close(value[row][here], expected, atol=1e-5)
    assert np.all(np.asarray(value)[~where] == 0)
    for part in gradient:
        assert np.all(np.isfinite(part))
        assert np.all(np.asarray(part)[~where] == 0)


@each("case", pick(CASES, "c1", "c2"), fast=("c2",))
def test_a_block_of_zeros_shares_by_weight(case):
    """A block whose slopes all vanish, as of p < 2, still moves with w and weights."""
    z, w = np.zeros(2, np.float32), np.array([1.0, -1.0], np.float32)
    weights, softness = np.full(2, 2, np.float32), np.ones(1, np.float32)
    args, tangents = (w, weights), (np.float32([0.3, 0.6]), np.float32([0.1, 0.5]))

    @jax.jit
    def run(args, tangents):
        project = compiled(case.name)
        return jax.jvp(lambda *a: project(z, *a, softness)[0], args, tangents)

    value, moved = run(args, tangents)
    assert_close(value, np.zeros(2))
    # Of the mean of w.
    mean = (2 * (0.3 + 0.6) + 0.1 - 0.5) / 4
    assert_close(moved, [mean, mean])


def test_nan_stays_in_its_row():
    z, w, weights = rows("nan")
    clean, _ = compiled("c0")(z, w, weights, SOFTNESS)
    weights[1, 2] = np.nan
    spoiled, converged = compiled("c0")(z, w, weights, SOFTNESS)
    bad = np.arange(len(z)) == 1
    np.testing.assert_array_equal(spoiled[~bad], clean[~bad])
    assert np.all(np.isnan(spoiled[bad]))
    np.testing.assert_array_equal(converged, ~bad)


_numbers = hnp.arrays(np.float32, (2, 8), elements=st.floats(-3, 3, width=32))


@hypothesis.given(zw=_numbers, weights=_numbers, share=st.floats(0, 1, width=32))
def test_an_entry_in_two_parts(zw, weights, share):
    """Weights a and b of equal entries are a weight a + b of one."""
    z, w = np.float32(zw[0]), -np.sort(-zw[1])
    z = -np.sort(-z)
    z[4], w[4] = z[3], w[3]  # two equal entries
    whole = np.abs(weights[0]) + np.float32(1e-2)
    parts = whole.copy()
    whole[4] = 0
    parts[3], parts[4] = share * whole[3], (1 - share) * whole[3]
    (one, first), (other, second) = (
        compiled("c0")(z, w, m, np.ones(1, np.float32)) for m in (whole, parts)
    )
    assert np.all(first & second)
    assert_close(one, other, atol=1e-5)


@each("case", pick(CASES, "smooth", "c1"), fast=("smooth",))
def test_copies_at_distances(case, x64):
    """The w of copies lie around w_i, and are pooled as the copies are."""
    rng = inputs.rng("spacing")
    z, counts = rng.normal(size=5), np.array([3, 1, 2, 1, 4])
    order = np.argsort(-z)
    owner = np.repeat(order, counts[order])

    @jax.jit
    def run(args, tangents):
        def project(w, weights, spacing):
            keywords = dict(weights=weights, spacing=spacing)
            problem = PermutahedronProjection(z, w, 0.7, **keywords)
            return solve(problem, case.mode).value

        return jax.jvp(project, args, tangents)

    for spacing in (0.1, 2.5):
        place = spacing * np.arange(len(owner))[::-1]
        w = np.array([place[owner == i].mean() for i in range(5)])
        args = w, counts.astype(float), np.array([spacing])
        tangents = rng.normal(size=5), rng.normal(size=5), rng.normal(size=1)
        value, moved = run(args, tangents)
        expected = oracle(case, np.repeat(z, counts), place, 0.7)
        assert_close(np.repeat(value, counts), expected, atol=1e-9)
        (expected, _) = finite_difference(lambda *a: run(a, a), args, tangents)
        assert_close(moved, expected, atol=1e-7)


def test_many_copies_have_the_mean_exponential_of_an_interval(x64):
    def wide():
        keywords = dict(weights=1e9, spacing=3e-9)
        problem = PermutahedronProjection(np.zeros(1), np.zeros(1), 1.0, **keywords)
        return solve(problem, "smooth").value

    mean = np.log(scipy.special.expm1(3.0) / 3) - 1.5
    assert_close(jax.jit(wide)(), [mean], atol=1e-8)


def test_the_objective_is_that_of_copies(x64):
    z, w, counts = np.array([1.0, 0.2]), np.array([0.7, -0.4]), np.array([3, 2])

    @jax.jit
    def run(y):
        one = PermutahedronProjection(z, w, 0.5, weights=counts)
        copies = [np.repeat(x, counts) for x in (z, w)]
        best = solve(one, "c1")
        r = best.regularizer
        others = PermutahedronProjection(*copies, 0.5).objective(y[owner], r)
        return others, *(one.objective(x, r) for x in (y, best.value, w))

    owner = np.repeat(np.arange(2), counts)
    of_copies, of_one, largest, feasible = run(np.array([0.3, -0.2]))
    assert_close(of_one, of_copies)
    assert largest >= feasible


def test_distances_without_a_closed_form():
    (case,) = pick(CASES, "user_gradient")
    ones = jnp.ones(3)
    problem = PermutahedronProjection(ones, ones, 0.1, weights=ones, spacing=0.5)
    with pytest.raises(ValueError, match=r"Mixed.*positive everywhere.*'smooth', 'c0'"):
        solve(problem, case.mode)
