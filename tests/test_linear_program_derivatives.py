"""Derivatives of linear programs in each argument, and the systems behind them."""

from typing import Any, cast

import inputs
import jax
import jax.numpy as jnp
import lineax as lx
import numpy as np
import pytest
from assertions import assert_close, finite_difference
from linear_programs import SMALL, grid_arcs
from parametrize import each, pick

import softjax as sj
from softjax.solvers import (
    Incidence,
    LinearProgram,
    LogPrimal,
    PNorm,
    ProjectedNewton,
    solve,
)
from softjax_solvers._kernels.normal_equations import (
    by_diagonal,
    singular_solver,
    solve_iteratively,
)
from softjax_solvers._operators.solve import linear_solve

_slow = pytest.mark.slow


def _program(arrays):
    A, b = arrays.get("A"), arrays.get("b")
    rest = {k: arrays[k] for k in ("G", "h", "upper") if k in arrays}
    return LinearProgram(arrays["z"], A, b, arrays["softness"], **rest)


def _regularizer(mode, arrays):
    return PNorm(arrays["p"]) if mode == "pnorm" else mode


def _arrays(program, mode):
    """All arrays of a program, where b moves with A on the support of y."""
    given = {k: x for k, x in program.constraints.items() if x is not None}
    given |= dict(z=program.z, softness=0.3)
    if mode == "pnorm":
        given["p"] = 1.6
    return {k: jnp.asarray(x) for k, x in given.items()}


@pytest.mark.parametrize("second", ["first", pytest.param("second", marks=_slow)])
@each("mode", ["smooth", "c0", "c1", "pnorm"], fast=())
@each("name", ["mixed", "knapsack"])
def test_each_argument(name, mode, second, x64):
    """First derivatives, in both modes, and Hessian-vector products."""
    (program,) = pick(SMALL, name)
    arrays = _arrays(program, mode)
    rng = inputs.rng(name, mode)
    moves = {k: jnp.asarray(rng.normal(size=x.shape)) for k, x in arrays.items()}
    weights = jnp.asarray(rng.normal(size=program.z.size))

    def value(arrays):
        return solve(_program(arrays), _regularizer(mode, arrays)).value

    def total(arrays):
        return weights @ value(arrays)

    @jax.jit
    def derivatives(arrays):
        gradient = jax.grad(total)
        y, jvp = jax.jvp(value, (arrays,), (moves,))
        out = dict(value=y, jvp=jvp, gradient=gradient(arrays))
        if second == "second":
            out["second"] = jax.jvp(gradient, (arrays,), (moves,))[1]
        return out

    out = derivatives(arrays)
    keys = list(arrays)

    def at(*args):
        return derivatives(dict(zip(keys, map(jnp.asarray, args), strict=True)))

    start = tuple(np.asarray(arrays[k]) for k in keys)
    for key in keys:
        one = tuple(np.asarray(moves[k]) * (k == key) for k in keys)
        expected = finite_difference(at, start, one, step=1e-5)["value"]
        along = jnp.sum(out["gradient"][key] * moves[key])
        assert_close(along, weights @ expected, atol=1e-7)
        # With the entropy, no bound of this program is reached.
        if key != "p" and (name, mode, key) != ("mixed", "smooth", "upper"):
            assert np.max(np.abs(expected)) > 1e-3, key
    expected = finite_difference(at, start, tuple(np.asarray(moves[k]) for k in keys))
    assert_close(out["jvp"], expected["value"], atol=1e-6)
    for key, found in out.get("second", {}).items():
        moved = expected["gradient"][key]
        atol = 1e-6 * (1 + np.max(np.abs(moved)))
        assert_close(found, moved, atol=atol)


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["smooth", "c1"])
def test_float32(mode):
    """Gradients are those of float64."""
    (program,) = pick(SMALL, "mixed")
    weights = inputs.rng("weights").normal(size=program.z.size)

    def gradients():
        def total(arrays):
            return weights @ solve(_program(arrays), mode).value

        return jax.jit(jax.grad(total))(_arrays(program, mode))

    single = gradients()
    with jax.enable_x64(True):
        double = gradients()
    for key, expected in jax.tree.map(np.asarray, double).items():
        assert single[key].dtype == np.float32
        scale = 1 + np.max(np.abs(expected))
        assert_close(np.asarray(single[key]) / scale, expected / scale, atol=3e-5)


@pytest.mark.slow
def test_rows_that_depend_on_each_other(x64):
    """A move of b that no flow follows is left out, in both modes alike."""
    tail, head, nodes = grid_arcs(3)
    (program,) = pick(SMALL, "grid")
    A = jnp.asarray(program.A)

    @jax.jit
    def derivatives(b):
        def value(b, A):
            return solve(LinearProgram(program.z, A, b, 0.5), "smooth").value

        def both(A):
            return jax.jacfwd(value)(b, A), jax.jacrev(value)(b, A)

        return both(A), both(Incidence(tail, head, nodes)), value(b, A)

    dense, sparse, y = derivatives(jnp.asarray(program.b))
    # The derivative of y = phi(t) along what keeps its sums.
    root = np.sqrt(np.asarray(y))
    within = np.linalg.pinv(program.A * root, rcond=1e-10)
    for forward, reverse in (dense, sparse):
        assert_close(forward, reverse, atol=1e-10)
        moved = root[:, None] * within @ program.A
        assert_close(forward @ program.A, moved, atol=1e-9)
        # All nodes alike: nothing leaves the graph.
        assert np.all(np.isfinite(forward))
        assert np.max(np.abs(forward)) < 3


@pytest.mark.parametrize("rank", [2, 5])
def test_singular_systems(rank, x64):
    """Solvers are exact within the range, and symmetric; rows of 0 are left alone."""
    rng = inputs.rng("singular", rank)
    factor = rng.normal(size=(3, 6, rank)) * np.array([1, 1e-3, 1, 10, 1, 1])[:, None]
    factor[:, 2] = 0
    matrix = jnp.asarray(factor @ factor.swapaxes(-1, -2))
    inside = jnp.ones((3, 6), bool)
    rhs = jnp.asarray(rng.normal(size=(3, 6)))

    @jax.jit
    def compute(rhs):
        within = jnp.einsum("...ij,...j->...i", matrix, rhs)
        direct = singular_solver(matrix, inside)
        return (
            within,
            direct(within),
            direct(rhs),
            jax.vmap(lambda i: direct(jnp.broadcast_to(jnp.eye(6)[i], (3, 6))))(
                jnp.arange(6)
            ),
            solve_iteratively(
                lambda x: jnp.einsum("...ij,...j->...i", matrix, x),
                by_diagonal(jnp.diagonal(matrix, axis1=-2, axis2=-1)),
                within,
                1e-15,
                50,
            ),
        )

    within, x, any_x, inverse, iterated = compute(rhs)
    for found in (x, iterated):
        assert_close(np.einsum("bij,bj->bi", matrix, found), within, atol=1e-8)
        assert np.all(found[:, 2] == 0)
    # Rank and range are kept for any right-hand side.
    assert np.max(np.abs(any_x)) < 1e9
    inverse = np.moveaxis(np.asarray(inverse), 0, -1)
    scale = np.max(np.abs(inverse))
    assert_close(inverse / scale, inverse.swapaxes(-1, -2) / scale, atol=1e-9)


@pytest.mark.slow
def test_default_and_given_linear_solvers(x64):
    """Factors, conjugate gradients, Lineax, and the dense system of the derivative."""
    (program,) = pick(SMALL, "mixed")
    arrays = _arrays(program, "c1")
    operator = lx.MatrixLinearOperator(arrays["A"])
    given = lx.AutoLinearSolver(well_posed=None)

    @jax.jit
    def compute(arrays):
        def total(arrays, linear_solver=None):
            found = solve(_program(arrays), "c1", None, linear_solver)
            return jnp.sum(jnp.sin(5 * found.value))

        problem = _program(arrays)
        found = solve(problem, "c1")
        r, solved = found.regularizer, cast(Any, found.problem)
        shift = jnp.where(solved.active(found.dual), jnp.arange(1.0, 5), 0)
        tangents = [
            linear_solve(system, shift)
            for system in (
                found.problem.jacobian(found.dual, r),
                sj.solvers.Problem.jacobian(found.problem, found.dual, r),
            )
        ]

        def total_of(z, **others):
            return total(dict(arrays, z=z, **others))

        gradient = jax.grad(total_of)(arrays["z"])
        by_operator = jax.grad(lambda z: total_of(z, A=operator))(arrays["z"])
        by_given = jax.grad(lambda z: total(dict(arrays, z=z), given))(arrays["z"])
        optimality = solved.optimality(found.dual, r)
        return optimality, tangents, gradient, (by_operator, by_given)

    optimality, (ours, general), gradient, others = compute(arrays)
    # Also of the inequality that does not bind.
    assert_close(optimality, np.zeros(4), atol=1e-12)
    assert np.sum(np.abs(ours) > 0) == 3
    assert_close(ours, general, atol=1e-9)
    for other in others:
        assert_close(other, gradient, atol=1e-9)


@pytest.mark.slow
def test_solvers_give_the_same_derivative(x64):
    (program,) = pick(SMALL, "grid")

    @jax.jit
    def gradients(z):
        def total(z, solver):
            y = solve(LinearProgram(z, program.A, program.b, 0.3), "c1", solver).value
            return jnp.sum(jnp.cos(y))

        solvers = None, ProjectedNewton(linear="cg"), ProjectedNewton(linear="cholesky")
        return [jax.grad(total)(z, solver) for solver in solvers]

    first, *others = gradients(program.z)
    for other in others:
        assert_close(first, other, atol=1e-9)


def test_logarithms(x64):
    """The gradient of a logarithm of the solution, also in the softness."""
    z, A = jnp.array([0.3, 0.9, 0.8]), jnp.ones((1, 3))

    def total(z, softness, read):
        found = solve(LinearProgram(z, A, 1.0, softness), "smooth")
        return jnp.sum(jnp.arange(3.0) * read(found))

    def of_value(found):
        return jnp.log(found.value)

    @jax.jit
    def gradients(z, softness):
        gradient = jax.grad(total, (0, 1))
        readers = (lambda found: found.read(LogPrimal())), of_value
        return [gradient(z, softness, read) for read in readers]

    found, expected = gradients(z, 0.5)
    for one, other in zip(found, expected, strict=True):
        assert_close(one, other, atol=1e-9)
