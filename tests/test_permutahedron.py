"""Projections onto permutahedra, against pooling one entry at a time in NumPy."""

import functools
import itertools
from collections.abc import Callable
from typing import NamedTuple

import helpers
import hypothesis
import hypothesis.extra.numpy as hnp
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import lineax as lx
import numpy as np
import optimistix as optx
import pytest
import scipy.optimize
import scipy.special
from cases import REGULARIZERS, Mixed, each, pick
from helpers import assert_close, finite_difference
from jax.flatten_util import ravel_pytree

import softjax as sj
from softjax.solvers import (
    Merging,
    PermutahedronProjection,
    PNorm,
    PoolAdjacentViolators,
    Regularizer,
    Scaled,
    SimplexProjection,
    Tsallis,
    choose_solver,
    get_regularizer,
    solve,
)

CASES = [case for case in REGULARIZERS if not case.bounded]
# For a few there is a faster one than that for all.
POOLED = pick(CASES, "smooth", "c0")
SOLVERS = [(case, None) for case in CASES] + [(case, "merging") for case in POOLED]
BOUNDED = [case for case in REGULARIZERS if case.bounded]
SIZES = [1, 2, 3, 5, 16, 17, 33, 100]
# Which of them are not slow.
FAST_SIZES = {
    "smooth": (5,),
    "c0": (33, 1),
    "c2": (5,),
}


def _slow(case, solver, n):
    fast = n in FAST_SIZES.get(case.name, ()) and (solver is None or n == 33)
    return [] if fast else [pytest.mark.slow]


each_solver = pytest.mark.parametrize(
    ("case", "solver", "n"),
    [
        pytest.param(
            case,
            solver,
            n,
            id=f"{case.name}-{solver}-{n}",
            marks=_slow(case, solver, n),
        )
        for case, solver in SOLVERS
        for n in SIZES
    ],
)


@functools.cache
def _solve(name: str, solver: str | None = None):
    (case,) = pick(REGULARIZERS, name)

    @jax.jit
    def compute(z, w, softness, where=None):
        problem = PermutahedronProjection(z, w, softness, where)
        solution = solve(problem, case.mode, solver)
        return dict(
            value=solution.value,
            residual=solution.residual,
            converged=solution.converged,
            steps=solution.steps,
        )

    return compute


def oracle(case, z, w, softness, where=None):
    return helpers.permutahedron_oracle(z, w, softness, case.link, case.at_zero, where)


def _inputs(n: int, positive: bool):
    """Rows of every kind, in the default type, with a softness each.

    `positive` excludes rows of w so negative that no link but exp tells them from -inf.
    """
    rng = helpers.rng("permutahedron", n)
    normal, other = rng.normal(size=(2, 16, n))
    rows = [
        (normal[0], other[0], 0.3),
        (normal[1], other[1], 3.0),
        (normal[2], other[2], 0.02),
        # In order and against it.
        (np.sort(normal[3]), np.sort(other[3]), 0.5),
        (-np.sort(-normal[4]), np.sort(other[4]), 0.5),
        # Constants, two values, and ties.
        (np.full(n, 0.7), other[5], 0.4),
        (normal[5], np.full(n, -0.7), 0.4),
        (np.sign(normal[6]), np.sign(other[6]), 1.0),
        (np.round(2 * normal[7]) / 2, np.round(2 * other[7]) / 2, 0.5),
        # Far from zero. Powers of two, so that quotients are exact.
        (1e6 + normal[8], other[8], 0.5),
        (-1e6 + normal[9], 1e6 + other[9], 0.25),
        # No mass, and negative.
        (normal[10], np.maximum(other[10], 0), 0.5),
        (normal[11], np.where(other[11] > 0.5, 0, other[11]), 2.0),
        # Next to hard, next to the mean, and far apart.
        (normal[12], other[12], 1e-4),
        (normal[13], other[13], 1e3),
        (1e6 * normal[14], 1e6 * np.abs(other[14]), 0.5),
    ]
    if not positive:
        rows.append((1e6 * normal[15], 1e6 * other[15], 0.5))
        rows.append((normal[15], -1e6 + other[15], 0.5))
    z, w, softness = zip(*rows, strict=True)
    softness = jnp.asarray(np.asarray(softness)[:, None])
    return jnp.asarray(np.stack(z)), jnp.asarray(np.stack(w)), softness


def inputs(case, n: int):
    return _inputs(n, positive=case.name == "user_gradient")


def assert_projections(out, expected, w):
    """Up to rounding, relative to the largest |w| of a row."""
    value = np.asarray(out["value"])
    atol = 1e-5 if value.dtype == np.float32 else 1e-9
    scale = np.max(np.abs(np.asarray(w, np.float64)), axis=-1, keepdims=True)
    scale = np.where(scale > 0, scale, 1)
    assert_close(value / scale, expected / scale, atol=atol)
    assert np.all(out["converged"])
    assert np.all(out["residual"] <= 1e3 * np.finfo(value.dtype).eps)
    assert value.dtype == w.dtype


@pytest.mark.x64
@each_solver
def test_values(case, solver, n):
    z, w, softness = inputs(case, n)
    out = _solve(case.name, solver)(z, w, softness)
    # Of what the inputs are after rounding.
    scores = np.asarray(z / softness, np.float64)
    expected = oracle(case, scores, w, 1.0)
    assert_projections(out, expected, w)
    assert out["residual"].shape == out["converged"].shape == z.shape[:1]
    assert jnp.issubdtype(out["steps"].dtype, jnp.integer)


@pytest.mark.parametrize(
    "n", [*SIZES[:-1], pytest.param(SIZES[-1], marks=pytest.mark.slow)]
)
def test_the_reference(n):
    """For p = 2, pooling is the isotonic regression of SciPy."""
    (case,) = pick(CASES, "c0")
    z, w, softness = (np.asarray(a, np.float64) for a in inputs(case, n))
    order = np.argsort(-z, axis=-1, kind="stable")
    s = np.take_along_axis(z, order, axis=-1) / softness
    gaps = s + np.sort(-w, axis=-1)
    fits = [scipy.optimize.isotonic_regression(g, increasing=False).x for g in gaps]
    expected = np.zeros_like(z)
    np.put_along_axis(expected, order, s - np.stack(fits), axis=-1)
    scale = np.max(np.abs(s), axis=-1, keepdims=True)
    found = oracle(case, z, w, softness)
    assert_close(found / scale, expected / scale, atol=1e-12)


@pytest.mark.slow
def test_it_is_the_closest_point(x64):
    """Over all permutations and many mixtures of them, for p = 2."""
    rng = helpers.rng("closest")
    z, w = rng.normal(size=(2, 4))
    y = np.asarray(_solve("c0")(z, w, 0.7)["value"])
    corners = np.stack([w[list(p)] for p in itertools.permutations(range(4))])
    others = np.concatenate([corners, rng.dirichlet(np.full(24, 0.2), 500) @ corners])
    # The angle at the projection is obtuse.
    assert np.all((others - y) @ (z / 0.7 - y) <= 1e-12)
    weights = scipy.optimize.nnls(
        np.vstack([corners.T, np.ones(24)]), np.append(y, 1.0)
    )
    assert weights[1] < 1e-12


@pytest.mark.x64
@each_solver
def test_masks(case, solver, n):
    """As if what is masked were not there, whatever it is."""
    z, w, softness = inputs(case, n)
    rng = helpers.rng("mask")
    where = rng.uniform(size=z.shape) < rng.uniform(size=(len(z), 1))
    where[0] = False
    where[1] = np.arange(n) == n // 8
    where[2] = True
    far = np.resize([1e30, -1e30, 5.0], z.shape).astype(z.dtype)
    z, w = jnp.where(where, z, far), jnp.where(where, w, -far)
    out = _solve(case.name, solver)(z, w, softness, jnp.asarray(where))
    scores = np.asarray(z / softness, np.float64)
    expected = oracle(case, scores, w, 1.0, where)
    assert_projections(out, expected, jnp.where(where, w, 0))
    assert np.all(np.asarray(out["value"])[~where] == 0)


@each("case", CASES, fast=("c0",))
def test_nan_stays_in_its_row(case):
    n, *_ = FAST_SIZES.get(case.name, (5,))
    z, w, softness = inputs(case, n)
    clean = _solve(case.name)(z, w, softness)
    spoiled = _solve(case.name)(
        z.at[2, n // 2].set(jnp.nan).at[9].set(jnp.nan),
        w.at[4, 0].set(jnp.nan),
        softness.at[5].set(jnp.nan),
    )
    bad = np.isin(np.arange(len(z)), [2, 4, 5, 9])
    for key in ("value", "residual"):
        np.testing.assert_array_equal(spoiled[key][~bad], clean[key][~bad])
    assert np.all(np.any(np.isnan(spoiled["value"][bad]), axis=-1))
    np.testing.assert_array_equal(spoiled["converged"], ~bad)


@pytest.mark.slow
def test_batches():
    """Any shape before the last axis; w and softness broadcast."""
    rng = helpers.rng("batches")
    z = rng.normal(size=(2, 3, 5)).astype(np.float32)
    w = rng.normal(size=(3, 5)).astype(np.float32)
    softness = rng.uniform(0.2, 2, size=(2, 1, 1)).astype(np.float32)

    @jax.jit
    def project(z, w, softness):
        solution = solve(PermutahedronProjection(z, w, softness), "c0")
        return solution.value, solution.expectation(w), solution.converged

    value, mean, converged = project(z, w, softness)
    wide = (np.broadcast_to(a, z.shape) for a in (z, w))
    (case,) = pick(CASES, "c0")
    expected = oracle(case, *wide, np.broadcast_to(softness, (2, 3, 1)))
    assert_close(value, expected, atol=1e-5)
    assert_close(mean, np.sum(expected * w, axis=-1), atol=1e-5)
    assert converged.shape == (2, 3)


@pytest.mark.slow
def test_vmap():
    rng = helpers.rng("vmap")
    z, w = rng.normal(size=(2, 3, 5)), rng.normal(size=(3, 5))

    def project(z, w):
        return solve(PermutahedronProjection(z, w, 0.4), "c2").value

    @jax.jit
    def everything(z, w):
        mapped = jax.vmap(jax.vmap(project), (0, None))
        slope = jax.grad(lambda w: jnp.sum(jnp.sin(mapped(z, w))))(w)
        return mapped(z, w), slope

    value, slope = everything(z, w)
    assert_close(value, jax.jit(project)(z, w), atol=1e-6)
    whole = jax.grad(lambda w: jnp.sum(jnp.sin(project(z, w))))
    assert_close(slope, jax.jit(whole)(w), atol=1e-5)


def test_empty_batches_and_integers():
    @functools.partial(jax.jit, static_argnums=2)
    def project(z, w, mode):
        return solve(PermutahedronProjection(z, w, 1), mode).value

    assert project(jnp.zeros((0, 2)), jnp.ones(2), "c0").shape == (0, 2)
    assert project(jnp.zeros((2, 0, 1)), jnp.ones(1), "smooth").shape == (2, 0, 1)
    value = project(jnp.asarray([1, 5, 1]), jnp.asarray([3, 0, 1]), "c0")
    assert value.dtype == jnp.zeros(()).dtype
    assert_close(value, [0.5, 3.0, 0.5])


@pytest.mark.slow
def test_sorted_inputs():
    """Rows that are known to be in order need not be sorted."""
    z, w, softness = inputs(*pick(CASES, "c0"), 5)
    z, w = (-jnp.sort(-a, axis=-1) for a in (z, w))

    @jax.jit
    def project(z, w, softness):
        keywords = dict(z_is_sorted=True, w_is_sorted=True)
        problem = PermutahedronProjection(z, w, softness, **keywords)
        return solve(problem, "c0").value

    expected = _solve("c0")(z, w, softness)["value"]
    assert_close(project(z, w, softness), expected, atol=1e-6, rtol=1e-6)


# The shape of rows that are compiled above.
_rows = hnp.arrays(np.float32, (18, 33), elements=st.floats(-4, 4, width=32))


@pytest.mark.parametrize(
    "mode", ["c0", *(pytest.param(m, marks=pytest.mark.slow) for m in ("c1", "c2"))]
)
@hypothesis.given(z=_rows, w=_rows, exponent=st.integers(-6, 6))
def test_majorization(mode, z, w, exponent):
    """y lies in the permutahedron and has the order of z."""
    softness = np.full((18, 1), 2.0**exponent, np.float32)
    out = _solve(mode)(*map(jnp.asarray, (z, w, softness)))
    y = np.asarray(out["value"], np.float64)
    assert np.all(out["converged"])
    assert_close(y.sum(-1), w.astype(np.float64).sum(-1), atol=1e-4)
    largest, bound = (np.cumsum(-np.sort(-a, axis=-1), axis=-1) for a in (y, w))
    assert np.all(largest <= bound + 1e-4)
    ordered = np.take_along_axis(y, np.argsort(z, axis=-1), axis=-1)
    assert np.all(np.diff(ordered, axis=-1) >= -1e-5)


# Derivatives


class Parametric(NamedTuple):
    """A regularizer of a parameter that is differentiated too, and what it is made of.

    `make` and `link` take the parameters by name.
    """

    name: str
    make: Callable[..., Regularizer]
    link: Callable[..., helpers.Link]
    at_zero: float
    parameters: dict


def _mixed_link(weight):
    return lambda t: helpers.mixed_link(t + np.log(weight)) / weight


PARAMETRIC = [
    *(
        Parametric(
            case.name, lambda c=case: c.regularizer, lambda c=case: c.link,
            case.at_zero, {},
        )
        for case in CASES
    ),
    Parametric("pnorm_p", PNorm, helpers.power_link, 0.0, dict(p=np.array(1.37))),
    Parametric(
        "user_weight", Mixed, _mixed_link, -np.inf, dict(weight=np.array(1.6))
    ),
]  # fmt: skip


@each("case", PARAMETRIC, fast=("pnorm_p",))
def test_derivatives(case, x64):
    """With respect to everything, in every direction at once, of the reference."""
    rng = helpers.rng("derivatives", case.name)
    arrays = dict(
        z=rng.normal(size=(3, 4)),
        w=rng.normal(size=(3, 4)),
        softness=np.array([[0.4], [1.1], [6.0]]),
    )
    x, unravel = ravel_pytree(jax.tree.map(jnp.asarray, arrays | case.parameters))
    direction = jnp.asarray(rng.normal(size=x.shape))
    weights = rng.normal(size=12)

    def fn(x):
        parts = unravel(x)
        problem = PermutahedronProjection(*(parts.pop(name) for name in arrays))
        return solve(problem, case.make(**parts)).value.ravel()

    def truth(x):
        parts = jax.tree.map(np.asarray, unravel(jnp.asarray(x)))
        rest = [parts.pop(name) for name in arrays]
        link = case.link(**parts)
        return helpers.permutahedron_oracle(*rest, link, case.at_zero).ravel()

    @jax.jit
    def derivatives(x):
        def total(x):
            value = fn(x)
            return weights @ value, value

        gradient = jax.grad(total, has_aux=True)
        return jax.jvp(gradient, (x,), (direction,))

    (gradient, value), (product, dot) = derivatives(x)
    (value_dot,) = finite_difference(lambda x: (truth(x),), (x,), (direction,))
    assert_close(value, truth(x), atol=1e-9)
    assert_close(dot, value_dot, atol=1e-7)
    assert_close(gradient @ direction, weights @ dot, atol=1e-10)
    for i in range(0, x.size, 3):
        (entry,) = finite_difference(
            lambda x: (weights @ truth(x),), (x,), (np.eye(x.size)[i],)
        )
        assert_close(gradient[i], entry, atol=1e-7)
    moved, _ = finite_difference(lambda x: derivatives(x)[0], (x,), (direction,))
    assert_close(product, moved, atol=1e-6, rtol=1e-6)


@each("case", pick(CASES, "c0", "c1", "c2", "user_link"), fast=())
def test_derivatives_where_a_block_is_zero(case):
    """There the dual has no derivative for p < 2, and the projection has."""
    z = jnp.asarray([[4.0, 0.0, -4.0], [1.0, 1.0, -9.0], [0.0, 0.0, 0.0]])
    w = jnp.asarray([[0.0, 0.0, 0.0], [1.0, -1.0, -1.0], [0.0, 0.0, 0.0]])
    w_dot = jnp.asarray([[0.3, 0.2, 0.1], [0.5, 0.1, 0.7], [0.4, 0.2, 0.0]])

    def project(z, w):
        return solve(PermutahedronProjection(z, w, 1.0), case.mode).value

    @jax.jit
    def derivatives(z, w):
        value, dot = jax.jvp(lambda w: project(z, w), (w,), (w_dot,))
        gradient = jax.grad(lambda *args: jnp.sum(project(*args)), (0, 1))
        return value, dot, gradient(z, w)

    value, dot, gradient = derivatives(z, w)
    zero, shared = [0.0, 0.0, 0.0], [0.3, 0.3, 0.7]
    assert_close(value, [zero, [0.0, 0.0, -1.0], zero])
    # Blocks of one follow their entry; a block of equals shares.
    assert_close(dot[:2], [[0.3, 0.2, 0.1], shared], atol=1e-6)
    for part in gradient:
        assert np.all(np.isfinite(part))
    # y adds up to what w does, whatever z.
    assert_close(gradient[0], np.zeros((3, 3)), atol=1e-6)
    assert_close(gradient[1], np.ones((3, 3)), atol=1e-6)


def test_blocks_of_which_only_the_largest_counts():
    """In a sum of exponentials, others vanish: they are in the block all the same."""
    z = jnp.asarray([[40.0, 0.0], [40.0, 0.0], [0.0, 40.0], [1.0, 0.0]])
    w = jnp.asarray([[100.0, 0.0], [0.0, 1e3], [0.0, 100.0], [30.0, 0.0]])

    @jax.jit
    def run(z, w):
        def total(z, w):
            solution = solve(PermutahedronProjection(z, w, 1.0), "smooth")
            smaller = jnp.sum(jnp.min(solution.value, axis=-1))
            return smaller, (solution.value, solution.converged)

        return jax.grad(total, (0, 1), has_aux=True)(z, w)

    (by_z, by_w), (value, converged) = run(z, w)
    (case,) = pick(CASES, "smooth")
    assert_close(value, oracle(case, z, w, 1.0), atol=1e-5, rtol=1e-6)
    assert np.all(converged)
    # The smaller y is s_min - LSE(s) + LSE(w).
    share = scipy.special.softmax(z, axis=-1)
    assert_close(by_z, (np.asarray(z) == z.min(-1, keepdims=True)) - share, atol=1e-6)
    assert_close(by_w, scipy.special.softmax(w, axis=-1), atol=1e-6)


@each("scale", [1e2, 1e4, 1e6], fast=("1000000.0",))
def test_blocks_that_hide_others(scale):
    """A block at the value of a pool hides in a sum of exponentials where it ends."""
    z, w = helpers.rng("hidden").normal(size=(2, 64, 33))
    z, w = jnp.asarray(scale * z), jnp.asarray(scale * np.abs(w))
    (case,) = pick(CASES, "smooth")
    out = _solve(case.name)(z, w, 0.5)
    scores = np.asarray(z / 0.5, np.float64)
    assert_projections(out, oracle(case, scores, w, 1.0), w)


@each("case", CASES, fast=())
def test_gradients_stay_finite(case):
    """For all of the inputs above, and what is masked has no influence."""
    z, w, softness = inputs(case, 3)
    where = helpers.rng("finite").uniform(size=z.shape) < 0.7

    @jax.jit
    def gradient(z, w, softness):
        def total(z, w, softness):
            problem = PermutahedronProjection(z, w, softness, where)
            return jnp.sum(jnp.sin(solve(problem, case.mode).value))

        return jax.grad(total, (0, 1, 2))(z, w, softness)

    out = gradient(z, w, softness)
    for part in out:
        assert np.all(np.isfinite(part))
    for part in out[:2]:
        assert np.all(np.asarray(part)[~where] == 0)


# Solvers and errors


def test_choice():
    problem = PermutahedronProjection(jnp.ones(3), jnp.ones(3), 0.1)
    for mode in ("smooth", "c0", "c2"):
        regularizer = get_regularizer(mode)
        for solver in ("merging", Merging()):
            assert choose_solver(solver, problem, regularizer) == Merging()
        default = Merging() if mode == "c2" else PoolAdjacentViolators()
        assert choose_solver(None, problem, regularizer) == default
    halved = Scaled(Tsallis(2.0), 0.5)
    assert choose_solver(None, problem, halved) == PoolAdjacentViolators()
    own = Merging(max_steps=3)
    assert choose_solver(own, problem, get_regularizer("c0")) is own


def test_too_few_steps_are_told():
    (case,) = pick(CASES, "c2")

    @jax.jit
    def run(*arrays):
        problem = PermutahedronProjection(*arrays)
        solution = solve(problem, case.mode, Merging(max_steps=1))
        return solution.value, solution.residual, solution.converged

    value, residual, converged = map(np.asarray, run(*inputs(case, 2)))
    assert not np.all(converged)
    assert np.all(residual[~converged] > 1e-5)
    assert np.all(np.isfinite(value))


@pytest.mark.parametrize(
    "solver",
    [
        *("newton", "closed_form", "semi_dual", "sinkhorn", "alternating"),
        optx.Bisection(1e-6, 1e-6),
    ],
    ids=str,
)
def test_solvers_that_cannot(solver):
    problem = PermutahedronProjection(jnp.ones(3), jnp.ones(3), 0.1)
    pool = "'pool_adjacent_violators', "
    for mode, others in (("smooth", pool), ("c0", pool), ("c1", "")):
        with pytest.raises(TypeError, match="PermutahedronProjection") as error:
            solve(problem, mode, solver)
        assert str(error.value).endswith(f"Solvers that can: {others}'merging'.")
        with pytest.raises(TypeError, match=rf"can: {others}'merging'\."):
            sj.rank(np.ones(3), mode=mode, method="fast_soft_sort", solver=solver)
    with pytest.raises(TypeError, match=r"SimplexProjection.*'newton'"):
        solve(SimplexProjection(jnp.ones(3), 0.1), "c0", "merging")


@each("case", BOUNDED, fast=("cubic",))
def test_bounded_links_are_refused(case):
    problem = PermutahedronProjection(jnp.ones(3), jnp.ones(3), 0.1)
    name = type(case.regularizer).__name__
    message = rf"{name}\(\).*all positive numbers.*'smooth'"
    with pytest.raises(ValueError, match=message):
        solve(problem, case.mode)
    with pytest.raises(ValueError, match=name):
        jax.jit(lambda problem: solve(problem, case.mode).value)(problem)


def test_errors():
    problem = PermutahedronProjection(jnp.ones(3), jnp.ones(3), 0.1)
    for linear_solver in (lx.CG(1e-6, 1e-6), "cg"):
        with pytest.raises(TypeError, match=r"linear_solver.*Pass None"):
            solve(problem, "c0", linear_solver=linear_solver)
    with pytest.raises(ValueError, match="z must have at least one axis"):
        PermutahedronProjection(jnp.ones(()), jnp.ones(()), 0.1)
