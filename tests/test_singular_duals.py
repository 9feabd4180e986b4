"""Duals that are not unique: the implicit derivative is the one of minimum norm."""

import functools

import inputs
import jax
import jax.numpy as jnp
import lineax as lx
import numpy as np
import pytest
import scipy.linalg
from assertions import assert_close, finite_difference

from softjax.solvers import Means, Primal, Problem, Solution, Solver, evaluate, solve
from softjax_solvers._operators.pseudo_inverse import pseudo_solve


class Constrained(Problem):
    """`argmax <z, y> - R(y)` over `y >= 0` with `constraints @ y = goal`.

    The constraints may repeat one another: y = phi(z - constraints^T dual), and what
    they share is only determined in sum. Batch dimensions lead.
    """

    z: jax.Array
    constraints: jax.Array
    goal: jax.Array

    def primal(self, dual, regularizer):
        return regularizer.link(self.z - dual["of"] @ self.constraints)

    def optimality(self, dual, regularizer):
        y = self.primal(dual, regularizer)
        return dict(of=y @ self.constraints.T - self.goal)

    def residual(self, dual, regularizer):
        return jnp.max(jnp.abs(self.optimality(dual, regularizer)["of"]), axis=-1)


class MinimumNorm(Solver):
    """Newton's method, each step by NumPy's definition of a pseudo-inverse."""

    def accepts(self, problem, regularizer):
        return isinstance(problem, Constrained)

    def solve(self, problem, regularizer):
        def step(_, dual):
            y = problem.primal(dual, regularizer)
            a = problem.constraints
            jacobian = -jnp.einsum("ij,...j,kj->...ik", a, y, a)
            size = jnp.max(jnp.abs(jacobian), (-1, -2), keepdims=True)
            inverse = jnp.linalg.pinv(jacobian / size, rtol=1e-4)
            gap = problem.optimality(dual, regularizer)["of"] / size[..., 0]
            return dict(of=dual["of"] - jnp.einsum("...ij,...j->...i", inverse, gap))

        start = dict(of=jnp.zeros_like(problem.goal))
        dual = jax.lax.fori_loop(0, 40, step, start)
        residual = problem.residual(dual, regularizer)
        steps = jnp.asarray(40)
        return Solution(problem, regularizer, dual, steps, residual, residual < 1e-5)


# Two constraints, twice the first one, and their sum.
FREE = np.array([[1.0, 1, 1, 1], [0, 1, 2, 3]])
REPEAT = np.array([[1.0, 0], [0, 1], [2, 0], [1, 1]])
A = REPEAT @ FREE
WEIGHTS = np.cos(np.arange(4.0))


def _inputs(*batch, scale=1.0):
    rng = inputs.rng("singular", *batch)
    z, dz = rng.normal(size=(2, *batch, 4))
    # What the constraints allow, each time.
    goal = np.array([1.0, 1.3]) + 0.1 * rng.normal(size=(*batch, 2))
    goal, dgoal = (scale * x @ REPEAT.T for x in (goal, rng.normal(size=(*batch, 2))))
    return (z, goal), (dz, dgoal)


def _derivatives(linear_solver=None):
    def fn(z, goal):
        problem = Constrained(z, jnp.asarray(A, z.dtype), goal)
        return solve(problem, "smooth", MinimumNorm(), linear_solver)

    @jax.jit
    def compute(args, moves):
        def total(*args):
            found = fn(*args)
            return jnp.sum(jnp.asarray(WEIGHTS, found.value.dtype) * found.value)

        gradient = jax.grad(total, (0, 1))
        (value, dual), (dvalue, ddual) = jax.jvp(
            lambda *args: (fn(*args).value, fn(*args).dual["of"]), args, moves
        )
        _, second = jax.jvp(gradient, args, moves)
        out = dict(dual=dual, dvalue=dvalue, ddual=ddual, second=second)
        return out | dict(value=value, gradient=gradient(*args))

    return compute


def test_values_and_derivatives(x64):
    """Against finite differences, of the dual of minimum norm too."""
    args, moves = _inputs()
    compute = _derivatives()
    out = compute(args, moves)
    assert_close(A @ out["value"], args[1], atol=1e-10)
    slopes = finite_difference(lambda *args: compute(args, moves), args, moves)
    assert_close(out["dvalue"], slopes["value"], atol=1e-7)
    assert_close(out["ddual"], slopes["dual"], atol=1e-7)
    for found, expected in zip(out["second"], slopes["gradient"], strict=True):
        assert_close(found, expected, atol=1e-6)
    along = sum(np.sum(g * m) for g, m in zip(out["gradient"], moves, strict=True))
    assert_close(along, WEIGHTS @ out["dvalue"], atol=1e-9)


@pytest.mark.slow
def test_in_float32_and_in_a_batch():
    """Rows of any size keep their derivatives beside the others of a batch."""
    scales = np.array([1.0, 1e-8, 1e-4])[:, None]
    args, moves = _inputs(3, scale=scales)
    single = [jnp.asarray(a, jnp.float32) for a in args]
    out = _derivatives()(
        tuple(single), tuple(jnp.asarray(m, jnp.float32) for m in moves)
    )
    with jax.enable_x64(True):
        expected = [
            _derivatives()(
                tuple(jnp.asarray(a[i]) for a in args),
                tuple(jnp.asarray(m[i]) for m in moves),
            )
            for i in range(3)
        ]
    for i, truth in enumerate(expected):
        mine = jax.tree.map(lambda x, i=i: np.asarray(x[i], np.float64), out)
        for found, wanted in zip(
            jax.tree.leaves(mine), jax.tree.leaves(truth), strict=True
        ):
            wanted = np.asarray(wanted)
            size = np.max(np.abs(wanted))
            assert_close(found / size, wanted / size, atol=1e-3)


@pytest.mark.parametrize(
    "batch", [(), pytest.param((2,), marks=pytest.mark.slow), (0,)]
)
def test_all_ways_to_ask(batch):
    """Mapped or in a batch, as values, primal or expectation."""
    (z, goal), (dz, _) = _inputs(*batch)
    z, goal, dz = (jnp.asarray(x, jnp.float32) for x in (z, goal, dz))
    values = jnp.asarray(WEIGHTS, jnp.float32)

    @functools.partial(jax.jit, static_argnums=0)
    def slope(how, z):
        def call(z, goal):
            problem = Constrained(z, jnp.asarray(A, z.dtype), goal)
            args = (problem, "smooth")
            if how == "expectation":
                return evaluate(*args, Means(values), MinimumNorm())
            if how == "primal":
                return evaluate(*args, Primal(), MinimumNorm()) @ values
            return solve(*args, MinimumNorm()).value @ values

        if how == "mapped" and batch:
            call = jax.vmap(call)
        return jax.jvp(lambda z: call(z, goal), (z,), (dz,))

    expected = slope("value", z)
    assert np.all(np.isfinite(expected))
    for how in ("primal", "expectation", "mapped"):
        for found, wanted in zip(slope(how, z), expected, strict=True):
            assert_close(found, wanted, atol=1e-5)


def test_a_linear_solver_of_the_users_is_taken(monkeypatch):
    asked = []
    init = lx.SVD.init

    def spy(self, *args):
        asked.append(self.rcond)
        return init(self, *args)

    monkeypatch.setattr(lx.SVD, "init", spy)
    args, moves = (tuple(jnp.asarray(x, jnp.float32) for x in xs) for xs in _inputs())
    found = _derivatives(lx.SVD(rcond=1e-4))(args, moves)
    assert set(asked) == {1e-4}
    asked.clear()
    expected = _derivatives()(args, moves)
    assert not asked
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        assert_close(a, b, atol=1e-4)


def test_nan_keeps_to_its_row():
    """In values, gradients and second derivatives, none of which raises."""
    args, moves = ([jnp.asarray(x, jnp.float32) for x in xs] for xs in _inputs(3))
    compute = _derivatives()
    clean = compute(tuple(args), tuple(moves))
    args[0] = args[0].at[1, 2].set(jnp.nan)
    out = compute(tuple(args), tuple(moves))
    for found, expected in zip(
        jax.tree.leaves(out), jax.tree.leaves(clean), strict=True
    ):
        assert np.all(np.isnan(found[1]))
        assert_close(found[::2], expected[::2], atol=1e-5)


def test_blocks_of_any_pattern():
    """Chains, empty rows and triangular blocks, each with a scale of its own."""
    rng = inputs.rng("blocks")
    chain = np.eye(5, k=1) + np.eye(5, k=-1)  # singular
    blocks = [1e6 * chain, np.zeros((1, 1)), 1e-6 * np.triu(rng.normal(size=(3, 3)))]
    blocks.append(1e-3 * np.ones((2, 2)))
    matrix = scipy.linalg.block_diag(*blocks)
    order = rng.permutation(len(matrix))
    rhs = matrix @ rng.normal(size=len(matrix))
    inverses = [np.linalg.pinv(block) for block in blocks]
    expected = scipy.linalg.block_diag(*inverses) @ rhs
    moved = jnp.asarray(matrix[np.ix_(order, order)], jnp.float32)
    out = jax.jit(pseudo_solve)(moved, jnp.asarray(rhs[order], jnp.float32))
    assert_close(out, expected[order], atol=1e-4)
