"""Sorting that is smooth at ties: its parts, its problem, its ranks."""

import functools
import itertools
from fractions import Fraction

import inputs
import jax
import jax.numpy as jnp
import jaxopt
import lineax as lx
import numpy as np
import optimistix as optx
import oracles
import pytest
from assertions import assert_close, tolerance
from oracles import majorization_oracle

import softjax as sj
from softjax.solvers import MajorizationProjection, PNorm, solve
from softjax_solvers._kernels.fourth_differences import eliminate
from softjax_solvers._kernels.subsets import centered_inclusion_probabilities
from softjax_solvers.internal import (
    centered_inclusion_probabilities_of_sizes,
    log_subset_sums,
)

N = 6
Z = np.linspace(1, 0, N)
_rng = inputs.rng("smooth sort")
_ROWS = [
    (_rng.normal(size=N), 0.1),
    (_rng.normal(size=N), 2.0),
    (_rng.normal(size=N), 30.0),
    (np.zeros(N), 0.5),
    (np.array([1.0, 1.0, 0.5, 0.5, 0.5, -1.0]), 0.05),
    (np.array([1.0, 1.0, 0.5, 0.5, 0.5, -1.0]), 1e-3),
    (1e6 + _rng.normal(size=N), 0.3),
    (np.array([1e4, 0.4, 0.1, 0.1, -0.2, -0.3]), 0.3),
    (np.array([0.4, 0.1, 0.1, -0.2, -0.3, -1e4]), 0.3),
    (1e3 * _rng.normal(size=N), 10.0),
]
W = -np.sort(-np.stack([w for w, _ in _ROWS]).astype(np.float32), axis=-1)
SOFTNESS = np.array([[s] for _, s in _ROWS], np.float32)
WHERE = np.arange(N) < np.resize([6, 5, 1, 3, 2], (len(W), 1))


@pytest.mark.x64
@pytest.mark.parametrize(
    "n", [*(pytest.param(n, marks=pytest.mark.slow) for n in (1, 2, 5)), 9]
)
def test_subset_sums(n):
    """Logarithms of sums over subsets, and their derivative, against enumeration."""
    scale = np.array([[0.0], [1.0], [30.0], [1e4]])
    x = -np.sort(-scale * inputs.rng("subsets").normal(size=(4, n)), axis=-1)
    for offset in (0, 1000):
        # What JAX has of it.
        rows = np.asarray(jnp.asarray(x + offset), np.float64)
        largest = np.cumsum(rows, axis=-1)
        expected = np.stack([oracles.subset_sums_oracle(row) for row in rows])
        sums = jax.jit(log_subset_sums)(rows)
        assert_close(sums, expected - largest, atol=2 * tolerance(sums.dtype))
        included = np.stack([oracles.inclusion_oracle(row) for row in rows])
        more = jax.jit(centered_inclusion_probabilities)(rows)
        assert_close(more, included - np.tri(n))
        jacobian = jax.jacrev(lambda x: log_subset_sums(x).sum(0))(jnp.asarray(rows))
        assert_close(jnp.moveaxis(jacobian, 1, 0), more, atol=1e-6)
        jacobian = jax.jacfwd(lambda x: log_subset_sums(x).sum(0))(jnp.asarray(rows))
        assert_close(jnp.moveaxis(jacobian, 1, 0), more, atol=1e-6)
        sizes = np.broadcast_to(np.arange(n) % 3 != 1, rows.shape)
        total = np.sum((included - np.tri(n)) * sizes[..., None], axis=-2)
        assert_close(
            centered_inclusion_probabilities_of_sizes(jnp.asarray(rows), sizes), total
        )


# By default, `test_operators.py` has derivatives of ranks, which are such sums.
@pytest.mark.slow
def test_derivatives_of_sums_of_inclusion_probabilities():
    """Derivatives are those of plain sums, forward and reverse, to second order."""
    x = jnp.asarray([[2.0, 1.0, 1.0, 0.3, -1.0], [0.1, 0.0, -0.1, -0.2, -5.0]])
    sizes = jnp.asarray([True, False, True, True, False])
    where = jnp.arange(5) < jnp.asarray([[5], [4]])

    def fast(x):
        return centered_inclusion_probabilities_of_sizes(
            x, jnp.broadcast_to(sizes, x.shape), where
        )

    def plain(x):
        more = centered_inclusion_probabilities(x, where)
        return jnp.sum(more, axis=-2, where=sizes[:, None])

    assert_close(fast(x), plain(x))
    expected = jax.jit(jax.jacfwd(plain))(x)
    for jacobian in (jax.jacfwd, jax.jacrev):
        assert_close(jax.jit(jacobian(fast))(x), expected)
    twice = jax.jit(jax.jacfwd(jax.jacfwd(plain)))(x)
    for outer, inner in itertools.product((jax.jacfwd, jax.jacrev), repeat=2):
        assert_close(jax.jit(outer(inner(fast)))(x), twice, atol=1e-5)


@pytest.mark.slow
def test_subset_sums_without_some():
    x = jnp.asarray([3.0, 2.0, 1.5, 0.0, 7.0])
    where = jnp.arange(5) < 3
    assert_close(log_subset_sums(x, where)[:3], log_subset_sums(x[:3]))
    more = centered_inclusion_probabilities(x, where)
    assert_close(more[:3, :3], centered_inclusion_probabilities(x[:3]))
    assert_close(more[:3, 3:], np.zeros((3, 2)))


@functools.cache
def _solve(solver=None):
    @jax.jit
    def compute(w, softness, where):
        solution = solve(
            MajorizationProjection(Z, w, softness, where), "smooth", solver
        )
        return solution, solution.value

    return compute


@pytest.mark.x64
def test_values():
    for where in (np.ones(W.shape, bool), WHERE):
        solution, y = _solve()(jnp.asarray(W, float), SOFTNESS.astype(float), where)
        for i, (w, softness) in enumerate(zip(W, SOFTNESS[:, 0], strict=True)):
            m = where[i].sum()
            expected = np.zeros(N)
            expected[:m] = majorization_oracle(Z[:m], w[:m], float(softness))
            # An outlier costs the others little.
            scale = np.maximum(1 + 1e-3 * np.ptp(w[:m]), np.abs(expected))
            assert_close(y[i] / scale, expected / scale)
            assert np.all(np.diff(y[i, :m]) <= 0)
            rounding = 32 * np.finfo(y.dtype).eps
            size = np.max(np.abs(w[:m]))
            total = np.sum(w[:m], dtype=np.float64)
            out = np.sum(np.asarray(y[i], np.float64))
            assert_close(out, total, atol=(softness + size) * rounding)
        assert np.all(solution.converged)
        # Far from an outlier, exponents have a long way to go.
        outlier = np.ptp(W, axis=-1) > 1e3 * np.median(np.abs(W), axis=-1)
        assert np.sum(outlier) == 2
        assert np.all(solution.steps <= np.where(outlier, 64, 16))


@pytest.mark.parametrize(
    ("solver", "atol"),
    [
        ("damped_newton", 3e-6),
        ("conjugate_gradients", 3e-6),
        pytest.param(optx.LBFGS(rtol=1e-7, atol=1e-7), 1e-3, marks=pytest.mark.slow),
        pytest.param(optx.BFGS(rtol=1e-7, atol=1e-7), 1e-3, marks=pytest.mark.slow),
        pytest.param(jaxopt.LBFGS, 1e-3, marks=pytest.mark.slow),
    ],
)
def test_solvers(solver, atol):
    """Each finds what the first rows, of usual scales, have for an answer."""
    solution, y = _solve(solver)(W[:5], SOFTNESS[:5], np.ones((5, N), bool))
    for row, w, softness in zip(y, W, SOFTNESS[:, 0], strict=False):
        expected = majorization_oracle(Z, w, float(softness))
        assert_close(row, expected, atol=atol * max(1, np.max(np.abs(expected))))
    # Minimisers may stop a little early, in which case they say so.
    assert np.mean(solution.converged) >= 0.8


@pytest.mark.slow
def test_clusters():
    """Many elements of few values, or whose gaps differ by many powers of ten."""
    rng = inputs.rng("clusters")
    few, even = np.round(2 * rng.normal(size=512)) / 2, rng.uniform(size=512)
    w = -np.sort(-np.stack([few, even]), axis=-1).astype(np.float32)
    softness = np.array([[1e-3], [1e-2]], np.float32)
    problem = MajorizationProjection(np.linspace(1, 0, 512), w, softness)
    solution = jax.jit(lambda problem: solve(problem, "smooth"))(problem)
    assert np.all(solution.converged)
    assert np.all(solution.steps <= 64)


def test_early_stop_says_so():
    solver = sj.solvers.ConjugateGradients(max_steps=1)
    solution, y = _solve(solver)(W, SOFTNESS, np.ones(W.shape, bool))
    assert np.all(np.isfinite(y))
    assert not np.any(solution.converged[:2])


def fourth_differences(inner, outer, rhs):
    """x in `(L diag(inner) L + diag(outer)) x = rhs`, in exact arithmetic."""
    m = len(rhs)

    def differences(k):
        return {j: 2 - 3 * abs(j - k) for j in range(max(k - 1, 0), min(k + 2, m))}

    rows = []
    for k in range(m):
        row = {k: Fraction(float(outer[k]))}
        for j, sign in differences(k).items():
            for i, other in differences(j).items():
                row[i] = row.get(i, 0) + sign * other * Fraction(float(inner[j]))
        rows.append((row, Fraction(float(rhs[k]))))
    for k, (pivot, right) in enumerate(rows):
        for j in range(k + 1, min(k + 3, m)):
            row, rest = rows[j]
            factor = row.pop(k, Fraction(0)) / pivot[k]
            for i, x in pivot.items():
                if i > k:
                    row[i] = row.get(i, 0) - factor * x
            rows[j] = row, rest - factor * right
    x = [Fraction(0)] * m
    for k, (row, rest) in reversed(list(enumerate(rows))):
        rest -= sum(entry * x[i] for i, entry in row.items() if i > k)
        x[k] = rest / row[k]
    return np.array([float(x) for x in x])


@pytest.mark.parametrize("spread", [0, 4, 12])
def test_elimination(spread):
    """To rounding, whatever the condition; of rows that end early, too."""
    rng = inputs.rng("elimination", spread)
    m, sizes = 40, (40, 40, 1, 2, 23)
    inner, outer = np.exp(spread * rng.normal(size=(2, 5, m))).astype(np.float32)
    inner[1], outer[1] = 1, 1e-7
    rhs = rng.normal(size=(5, m)).astype(np.float32)
    inside = np.arange(m) < np.array(sizes)[:, None]
    x = jax.jit(eliminate)(inner, outer, rhs, inside)
    for k, size in enumerate(sizes):
        rows = (row[k, :size] for row in (inner, outer, rhs))
        expected = fourth_differences(*rows)
        scale = np.max(np.abs(expected))
        assert_close(x[k, :size] / scale, expected / scale, atol=4e-6)
        np.testing.assert_array_equal(x[k, size:], rhs[k, size:])


def test_elimination_where_the_condition_is_bad():
    """At a condition of 1e8, a difference of large numbers would be seen."""
    m = 300
    inner, outer = np.ones((1, m), np.float32), np.full((1, m), 2.0**-20, np.float32)
    rhs = np.ones((1, m), np.float32)
    x = jax.jit(eliminate)(inner, outer, rhs, np.ones((1, m), bool))
    expected = fourth_differences(inner[0], outer[0], rhs[0])
    assert_close(x[0] / expected, np.ones(m), atol=5e-6)


@pytest.mark.slow
@pytest.mark.parametrize("linear_solver", [lx.CG(1e-6, 1e-6), lx.GMRES(1e-6, 1e-6)])
def test_linear_solver(linear_solver):
    weights = jnp.arange(N) ** 2.0

    def value(w, linear_solver=None):
        problem = MajorizationProjection(Z, w, SOFTNESS[:2])
        return jnp.sum(weights * solve(problem, "smooth", None, linear_solver).value)

    expected = jax.grad(value)(jnp.asarray(W[:2]))
    other = jax.grad(functools.partial(value, linear_solver=linear_solver))
    assert_close(other(jnp.asarray(W[:2])), expected, atol=1e-4)


@pytest.mark.x64
@pytest.mark.slow
@pytest.mark.parametrize("operator", [sj.sort, sj.rank])
def test_smooth_where_elements_are_equal(operator, x64):
    """Derivatives of orders 1 to 3 along a path through a tie, from both sides."""
    x = jnp.asarray([0.3, 0.3, -0.1, 0.9, 0.3])
    v = jnp.asarray([1.0, -0.7, 0.0, 0.2, 0.1])
    weights = jnp.asarray([1.0, -2.0, 0.5, 3.0, 0.7])

    def fn(t):
        out = operator(x + t * v, softness=0.3, method="smooth_sort")
        return jnp.sum(weights * out)

    derivatives = [fn]
    for _ in range(3):
        derivatives.append(jax.jacfwd(derivatives[-1]))
    derivatives = [jax.jit(d) for d in derivatives]
    h = 1e-6
    for lower, upper in itertools.pairwise(derivatives):
        at_tie = upper(0.0)
        scale = 1 + abs(float(at_tie))
        # Continuous, and the slope of the one before, on each side.
        for side in (-1, 1):
            assert_close(upper(side * h), at_tie, atol=1e-3 * scale)
            slope = (lower(side * h) - lower(0.0)) / (side * h)
            assert_close(slope, at_tie, atol=1e-3 * scale)


@pytest.mark.slow
def test_equal_elements_have_equal_ranks():
    x = jnp.asarray([0.5, 2.0, 0.5, -1.0, 0.5])
    ranks = sj.rank(x, softness=0.2, method="smooth_sort")
    assert_close(ranks[jnp.asarray([0, 2, 4])], np.full(3, ranks[0]), atol=1e-6)
    assert_close(jnp.sum(ranks), np.asarray(15.0), atol=1e-5)
    gradient = jax.grad(lambda x: sj.sort(x, softness=0.2, method="smooth_sort")[1])(x)
    assert_close(gradient[jnp.asarray([2, 4])], np.full(2, gradient[0]), atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("operator", [sj.sort, sj.rank])
def test_many_elements_in_float32(operator):
    """Values and gradients as in float64."""
    x = inputs.rng("many").normal(size=(2, 300)).astype(np.float32)
    x[1] = np.round(x[1], 1)
    weights = inputs.rng("weights").normal(size=(2, 300)).astype(np.float32)

    def fn(x):
        out = operator(x, axis=-1, method="smooth_sort")
        return jnp.sum(weights * out), out

    compute = jax.grad(fn, has_aux=True)
    gradient, out = jax.jit(compute)(x)
    with jax.enable_x64(True):
        exact_gradient, exact = jax.jit(compute)(x.astype(np.float64))
    scale = float(np.max(np.abs(exact)))
    assert_close(out / scale, exact / scale, atol=2e-5)
    scale = float(np.max(np.abs(exact_gradient)))
    assert_close(gradient / scale, exact_gradient / scale, atol=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize("softness", [1e-4, 1e-2, 100.0])
def test_extremes(softness):
    """Finite values and gradients, and convergence, whatever the scale."""
    rows = np.stack(
        [np.linspace(-1, 1, 5) * scale for scale in (0, 1e-6, 1, 1e3, 1e6)]
    ).astype(np.float32)

    @jax.jit
    def compute(x):
        def total(x):
            values = sj.sort(x, softness=softness, method="smooth_sort")
            ranks = sj.rank(x, softness=softness, method="smooth_sort")
            return jnp.sum(values**2) + jnp.sum(ranks**2), (values, ranks)

        gradient, (values, ranks) = jax.grad(total, has_aux=True)(x)
        anchors = jnp.linspace(1, 0, 5)
        solution = solve(
            MajorizationProjection(anchors, x[:, ::-1], softness), "smooth"
        )
        return gradient, values, ranks, solution.converged

    gradient, values, ranks, converged = compute(rows)
    assert np.all(np.isfinite(gradient))
    assert np.all(np.diff(values) >= 0)
    assert np.all((ranks >= 1 - 1e-4) & (ranks <= 5 + 1e-4))
    assert np.all(converged)


def test_what_is_refused():
    x = jnp.asarray([1.0, 3.0, 2.0])
    with pytest.raises(TypeError, match=r"'newton'.*'conjugate_gradients'.*optimistix"):
        sj.sort(x, method="smooth_sort", solver="newton")
    with pytest.raises(TypeError, match="closed form"):
        sj.rank(x, method="smooth_sort", solver="conjugate_gradients")
    with pytest.raises(ValueError, match=r"made for the entropy.*PNorm.*'smooth'"):
        solve(MajorizationProjection(Z, W[0], 0.1), PNorm(2))
    with pytest.raises(ValueError, match=r"at least one entry.*\(2, 0\)"):
        MajorizationProjection(jnp.zeros((2, 0)), jnp.zeros((2, 0)), 0.1)
