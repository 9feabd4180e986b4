"""Transport of many points on a line, by the entries of its plan near the diagonal."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from oracles import exp_link, line_oracle, power_link
from oracles.line import dense_line_plan

import softjax as sj
import softjax.methods._line as line
from softjax_solvers._kernels.bands import fold_sums, reach
from softjax_solvers.internal import BandedTransport, MeanPlaces

N = 20
LINKS = {
    "c0": power_link(2),
    "c1": power_link(3 / 2),
    "c2": power_link(4 / 3),
    "smooth": exp_link,
}
X = np.sort(np.random.default_rng(0).normal(size=N))
X[3] = X[4]  # a tie
WEIGHTS = np.random.default_rng(1).normal(size=(2, N))


def slowly(cases):
    return [pytest.param(*case, marks=pytest.mark.slow) for case in cases]


def banded(x, softness, mode):
    """Values, places and plan; one element before and two after take no part."""
    padded = jnp.concatenate([x[:1] - 1, x, x[-1:], x[-1:] + 5])
    problem = BandedTransport.on_line(padded, softness, 1, N)
    found = sj.solvers.solve(problem, mode)
    values = found.read(sj.solvers.ColumnMeans(padded))
    places = found.read(MeanPlaces(jnp.zeros(1, jnp.int32)))
    return values, places, found.value, found.converged


def truth(x, softness, mode):
    """Values and places by the plan of a reference."""
    plan = line_oracle(-x, np.ones(N, int), softness, LINKS[mode])
    return plan @ x, np.arange(N) @ plan, plan


@pytest.mark.parametrize(
    ("mode", "softness"),
    [
        ("c0", 0.1),
        *slowly(
            [(m, s) for m in LINKS for s in (1.0, 0.1, 0.01) if (m, s) != ("c0", 0.1)]
        ),
    ],
)
def test_values(mode, softness, x64):
    found = jax.jit(banded, static_argnums=2)(X, softness, mode)
    values, places, plan, converged = map(np.asarray, found)
    want_values, want_places, want_plan = truth(X, softness, mode)
    assert converged
    np.testing.assert_allclose(values[1:-2], want_values, atol=1e-8)
    np.testing.assert_allclose(places[1:-2], want_places, atol=1e-7)
    np.testing.assert_allclose(plan[1:-2, 1:-2], want_plan.T, atol=1e-7)
    # Others stay where they are.
    np.testing.assert_array_equal(values[[0, -1]], [X[0] - 1, X[-1] + 5])
    np.testing.assert_array_equal(places[[0, -1]], [-1, N + 1])
    np.testing.assert_array_equal(plan[0], np.eye(N + 3)[0])


@pytest.mark.slow
@pytest.mark.parametrize("mode", list(LINKS))
def test_derivatives(mode, x64):
    step, softness = 1e-4, 0.2
    x = X + 0.01 * np.arange(N)

    def loss(x, softness):
        values, places, *_ = banded(x, softness, mode)
        return jnp.vdot(WEIGHTS[0], values[1:-2]) + jnp.vdot(WEIGHTS[1], places[1:-2])

    def want(x, softness):
        values, places, _ = truth(x, softness, mode)
        return WEIGHTS[0] @ values + WEIGHTS[1] @ places

    def central(fn):
        return (fn(step) - fn(-step)) / (2 * step)

    of_x, of_softness = jax.jit(jax.grad(loss, argnums=(0, 1)))(x, softness)
    for i in (0, 7, N - 1):
        e = np.eye(N)[i]
        slope = central(lambda h, e=e: want(x + h * e, softness))
        np.testing.assert_allclose(of_x[i], slope, rtol=1e-4, atol=1e-5)
    slope = central(lambda h: want(x, softness + h))
    np.testing.assert_allclose(of_softness, slope, rtol=1e-4, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize(("mode", "reverse"), [("c2", True), ("smooth", False)])
def test_second_derivatives(mode, reverse, x64):
    step, softness, move = 1e-3, 0.2, np.sin(np.arange(N))

    def loss(x):
        return jnp.vdot(WEIGHTS[0], banded(x, softness, mode)[0][1:-2])

    def slope(x):
        return jax.grad(loss)(x) @ move

    def curve(x):
        if reverse:
            return jax.grad(slope)(x) @ move
        return jax.jvp(slope, (x,), (move,))[1]

    ends = [
        WEIGHTS[0] @ truth(X + h * move, softness, mode)[0] for h in (-step, 0, step)
    ]
    want = (ends[0] - 2 * ends[1] + ends[2]) / step**2
    np.testing.assert_allclose(jax.jit(curve)(X), want, rtol=2e-3)


def test_sums_over_a_band(x64):
    rng = np.random.default_rng(2)
    n = 9
    f, g, x = rng.normal(size=(3, n))
    spacing = rng.uniform(size=n - 1)
    place = np.append(0, np.cumsum(spacing))
    # Costs by their definition: sums of what is beyond thresholds half way.
    between = (place[1:] + place[:-1]) / 2
    t = f[:, None] + g
    for i in range(n):
        for j in range(n):
            passed = between[min(i, j) : max(i, j)]
            t[i, j] -= abs(passed - place[i]).sum()
    beside = np.arange(n) - np.arange(n)[:, None]

    def terms(entry):
        return jnp.exp(entry.t) * entry.beside * entry.other[1], entry.t * 0 + 1

    for by_rows, want in (
        (True, (np.exp(t) * beside) @ x),
        (False, x @ (np.exp(t) * -beside)),
    ):
        own, other = ((f,), (g, x)) if by_rows else ((g,), (f, x))
        own, other = jax.tree.map(jnp.asarray, (own, other))
        sums = jax.jit(
            lambda blocks, own=own, other=other, by_rows=by_rows: fold_sums(
                terms, own, other, jnp.asarray(spacing), by_rows, blocks, 2
            )
        )
        np.testing.assert_allclose(sums(jnp.int32(n))[0], want, rtol=1e-12)
    inside = jnp.ones(n, bool)
    top, blocks = jax.jit(reach)(
        jnp.asarray(g), inside, jnp.asarray(spacing), jnp.full(1, 2.0)
    )
    tops = (t - f[:, None]).max(axis=1)
    np.testing.assert_allclose(top, tops, rtol=1e-12)
    near = abs(beside)[t - f[:, None] > tops[:, None] - 2].max()
    assert 2 * blocks >= near


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["c0", "c1"])
def test_operators(mode):
    n = 530
    x = np.random.default_rng(3).permutation(np.random.default_rng(4).normal(size=n))
    x = x.astype(np.float32)
    where = np.random.default_rng(5).uniform(size=n) < 0.9
    x[:2], where[:3] = [np.inf, -np.inf], True
    soft = functools.partial(sj.sort, method="ot", mode=mode, where=where)
    index = sj.argsort(x, method="ot", mode=mode, where=where)
    finite = where & np.isfinite(x)
    count = finite.sum()
    rows = np.asarray(index)[1 : count + 1]
    np.testing.assert_allclose(rows.sum(axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(rows[:, finite].sum(axis=0), 1, atol=1e-4)
    values = rows[:, finite] @ x[finite]
    np.testing.assert_allclose(soft(x)[1 : count + 1], values, atol=1e-5)
    ranks = sj.rank(x, method="ot", mode=mode, where=where, descending=False)
    places = np.arange(2, count + 2) @ rows[:, finite]
    np.testing.assert_allclose(ranks[finite], places, atol=2e-2)
    # By a solver that is told, plans are dense.
    dense = soft(x, solver="semi_dual")
    np.testing.assert_allclose(soft(x)[: count + 2], dense[: count + 2], atol=1e-5)
    assert soft(x)[0] == -np.inf
    assert soft(x)[count + 1] == np.inf


@pytest.mark.slow
def test_what_nodes_do_not_resolve(monkeypatch):
    # As beyond 4096 elements, where there is no dense plan.
    monkeypatch.setattr(line, "_DENSE", 0)
    monkeypatch.setattr(line, "_boxes", lambda n: 5)
    x = np.sort(np.random.default_rng(6).normal(size=590)).astype(np.float32)
    weights = np.cos(np.arange(590))

    def loss(x):
        out = sj.sort(x, softness=0.003, method="ot")
        return jnp.vdot(out, weights.astype(np.float32)), out

    (_, out), slope = jax.jit(jax.value_and_grad(loss, has_aux=True))(x)
    plan = dense_line_plan(x, 0.003)
    np.testing.assert_allclose(out, plan.T @ x, atol=float(1e-5 * np.ptp(x)))
    step, move = 1e-5, np.sin(np.arange(590))

    def end(h):
        moved = x + h * move
        return weights @ (dense_line_plan(moved, 0.003).T @ moved)

    want = (end(step) - end(-step)) / (2 * step)
    np.testing.assert_allclose(slope @ move, want, rtol=2e-3)
