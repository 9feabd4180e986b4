"""The table of all solvers: its exact gradients, and errors of early stops."""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import softjax as sj

ROOT = Path(__file__).parents[1]


@pytest.fixture
def side_by_side(monkeypatch):
    """The command, which is no part of what is installed."""
    monkeypatch.syspath_prepend(str(ROOT))
    pytest.importorskip("ott")
    from benchmarks import side_by_side

    return side_by_side


class Halving(sj.solvers.Solver):
    """Bisection, as a user's class that the command is given."""

    tolerance: float = 1e-6

    def accepts(self, problem, regularizer):
        return isinstance(problem, sj.solvers.ScalarDualProblem)

    def solve(self, problem, regularizer):
        def halve(state):
            steps, a, b = state
            x = (a + b) / 2
            low = problem.optimality(x, regularizer) > 0
            return steps + 1, jnp.where(low, x, a), jnp.where(low, b, x)

        def residual(a, b):
            return jnp.max(jnp.abs(problem.optimality((a + b) / 2, regularizer)))

        steps, a, b = jax.lax.while_loop(
            lambda s: (s[0] < 60) & (residual(*s[1:]) > self.tolerance),
            halve,
            (jnp.asarray(0), *problem.bracket(regularizer)),
        )
        dual, left = (a + b) / 2, residual(a, b)
        met = left <= self.tolerance
        return sj.solvers.Solution(problem, regularizer, dual, steps, left, met)


SOFTNESS = 6.0


def _case(side_by_side, mode):
    z = np.random.default_rng(3).normal(size=6)
    pose = lambda z: sj.solvers.SimplexProjection(z, SOFTNESS)  # noqa: E731
    return side_by_side.Case("small", mode, pose, z)


def _gradient(y, slope):
    """Gradient of `<cos(0, 1, ...), y>`, by the slopes `phi'` where y is projected."""
    w = np.cos(np.arange(len(y)))
    return slope * (w - slope @ w / slope.sum()) / SOFTNESS


def _threshold(z, links):
    """theta of `sum links(z / softness - theta) = 1`, by halving."""
    a, b = z.min() / SOFTNESS - 9, z.max() / SOFTNESS + 9
    for _ in range(200):
        x = (a + b) / 2
        a, b = (x, b) if links(z / SOFTNESS - x).sum() > 1 else (a, x)
    return a


LINKS = {
    "smooth": (np.exp, np.exp),
    "c0": (lambda t: np.maximum(t, 0), lambda t: (t > 0) * 1.0),
    "c1": (lambda t: np.maximum(t, 0) ** 2, lambda t: 2 * np.maximum(t, 0)),
}


@pytest.mark.slow
@pytest.mark.parametrize("mode", LINKS)
def test_exact_gradients_and_errors(side_by_side, mode, x64):
    """By closed forms, in NumPy: also of the solution that was stopped early."""
    case = _case(side_by_side, mode)
    link, slope = LINKS[mode]
    t = case.z / SOFTNESS - _threshold(case.z, link)
    exact = _gradient(link(t), slope(t))
    np.testing.assert_allclose(side_by_side.exact_gradient(case), exact, atol=1e-12)
    solvers = {"Halving": Halving, "sinkhorn": side_by_side.SOLVERS["semi_dual"]}
    rows = side_by_side.measure(case, solvers, (1e-1, 1e-6), repeats=1)
    assert [row.solver for row in rows] == ["Halving"] * 2  # the other takes it not
    assert all(row.residual <= row.tolerance for row in rows)
    assert rows[0].steps < rows[1].steps
    assert rows[1].error < 1e-5
    if mode == "c1":
        # The solution is normalized, and its gradient that of where it was stopped.
        problem = case.pose(jnp.asarray(case.z))
        r = sj.solvers.get_regularizer(mode)
        dual = Halving(1e-1).solve(problem, r).dual
        t = (case.z - case.z.max()) / SOFTNESS - float(dual)
        y, steep = link(t) / link(t).sum(), slope(t)
        w = np.cos(np.arange(6))
        total = link(t).sum()
        found = _early(steep, y, total, w)
        off = np.linalg.norm(found - exact) / np.linalg.norm(exact)
        np.testing.assert_allclose(rows[0].error, off, rtol=1e-6)


def _early(steep, y, total, w):
    """d <w, phi / sum phi> with the dual moving as it does at an optimum."""
    pinned = steep[:, None] * (np.eye(len(y)) - steep / steep.sum()) / SOFTNESS
    return pinned.T @ (w - w @ y) / total


@pytest.mark.slow
def test_all_solvers_of_all_problems(side_by_side, x64):
    """Each problem has a solver, each solver a problem, and none is far off."""
    seen = set()
    for case in side_by_side.CASES:
        rows = side_by_side.measure(case, tolerances=(1e-6,), repeats=1)
        assert rows, case
        assert min(row.error for row in rows) < 1e-6, case
        seen |= {row.solver for row in rows}
    assert seen == set(side_by_side.SOLVERS)


def test_table_and_names(side_by_side, tmp_path, monkeypatch):
    """A line each, a cell for each tolerance; names of a user's modules."""
    row = side_by_side.Row("p", "c0", "s", 1e-1, 3, 0.25, 1e-2, 2e-3)
    rows = [row, row._replace(tolerance=1e-6, steps=9, error=1e-9)]
    assert side_by_side.table(rows).splitlines() == [
        "| problem | solver | 1e-01 | 1e-06 |",
        "| --- | --- | --- | --- |",
        '| p, `"c0"` | s | 3; 0.25 ms; 1e-02; 2e-03 | 9; 0.25 ms; 1e-02; 1e-09 |',
    ]
    (tmp_path / "mine_of_a_user.py").write_text("NAME = 3")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend("")
    assert side_by_side.load("mine_of_a_user:NAME") == 3
    with pytest.raises(SystemExit, match="form module:name"):
        side_by_side.load("mine_of_a_user")
