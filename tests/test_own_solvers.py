"""Solvers and problems of the user's own."""

import inputs
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from assertions import assert_close, finite_difference
from jax.flatten_util import ravel_pytree

import softjax as sj
from softjax.solvers import (
    Problem,
    SimplexProjection,
    SoftSortRows,
    Solution,
    Solver,
    solve,
)

Z = inputs.rng("solvers").normal(size=5)


class Dumb(Solver):
    """Bisection from a wide bracket, as a user might write it."""

    def accepts(self, problem, regularizer):
        return isinstance(problem, SimplexProjection)

    def solve(self, problem, regularizer):
        def halve(_, bracket):
            lower, upper = bracket
            middle = (lower + upper) / 2
            below = problem.optimality(middle, regularizer) > 0
            return jnp.where(below, middle, lower), jnp.where(below, upper, middle)

        start = jnp.zeros(problem.z.shape[:-1], problem.z.dtype)
        bracket = (start - 10, start + 10)
        dual, _ = jax.lax.fori_loop(0, 60, halve, bracket)
        residual = problem.residual(dual, regularizer)
        steps = jnp.asarray(60)
        return Solution(problem, regularizer, dual, steps, residual, residual < 1e-5)


def test_solver_of_ones_own():
    z = jnp.asarray(Z, jnp.float32)

    @jax.jit
    def compute(z):
        def total(z, solver):
            return solve(SimplexProjection(z, 0.7), "c2", solver).value[0]

        return [jax.value_and_grad(total)(z, solver) for solver in (Dumb(), None)]

    (own, own_gradient), (default, gradient) = compute(z)
    assert_close(own, default)
    assert_close(own_gradient, gradient, atol=1e-5)
    assert_close(sj.argmax(z, softness=0.7, mode="c2", solver=Dumb())[0], default)
    rows = SoftSortRows(None, jnp.sort(z), 0.7)
    with pytest.raises(TypeError, match="Refuses"):
        solve(rows, "c2", Refuses())
    # What solves simplex projections solves rows of them.
    values = [solve(rows, "c2", s).expectation(z) for s in (Dumb(), None)]
    assert_close(*values, atol=1e-5)


class Refuses(Dumb):
    def accepts(self, problem, regularizer):
        return False


class Moments(Problem):
    """`argmax <z, y> - R(y)` with sum y = 1 and <moments, y> = mean, y >= 0.

    The dual is a dictionary of two scalars: y = phi(z - total - moment * moments).
    """

    z: jax.Array
    moments: jax.Array
    mean: jax.Array

    def primal(self, dual, regularizer):
        return regularizer.link(self.z - dual["total"] - dual["moment"] * self.moments)

    def optimality(self, dual, regularizer):
        y = self.primal(dual, regularizer)
        return dict(total=y.sum() - 1, moment=y @ self.moments - self.mean)

    def residual(self, dual, regularizer):
        residual = self.optimality(dual, regularizer)
        return jnp.abs(residual["total"]) + jnp.abs(residual["moment"])


class FullNewton(Solver):
    """Plain Newton on all of the dual, which the implicit rule must not see."""

    def accepts(self, problem, regularizer):
        return isinstance(problem, Moments)

    def solve(self, problem, regularizer):
        def step(_, dual):
            residual = problem.optimality(dual, regularizer)
            residual, unravel = ravel_pytree(residual)
            jacobian = problem.jacobian(dual, regularizer).as_matrix()
            change = unravel(jnp.linalg.solve(jacobian, residual))
            return jax.tree.map(lambda d, c: d - c, dual, change)

        start = dict(total=jnp.asarray(1.0), moment=jnp.asarray(0.0))
        dual = jax.lax.fori_loop(0, 40, step, start)
        residual = problem.residual(dual, regularizer)
        steps = jnp.asarray(40)
        return Solution(problem, regularizer, dual, steps, residual, residual < 1e-8)


def test_problem_of_ones_own(x64):
    """A dual that is a pytree, through the default implicit derivative."""
    rng = inputs.rng("moments")
    args = (rng.normal(size=4), np.arange(4.0), np.asarray(1.3))
    direction = tuple(rng.normal(size=np.shape(a)) for a in args)

    def fn(*args):
        problem = Moments(*map(jnp.asarray, args))
        return solve(problem, "smooth", FullNewton()).value

    @jax.jit
    def derivatives(*args):
        def total(*args):
            return jnp.sum(jnp.arange(1.0, 5) * fn(*args))

        gradient = jax.grad(total, (0, 1, 2))
        return dict(
            value=fn(*args),
            jvp=jax.jvp(fn, args, direction)[1],
            gradient=gradient(*args),
            second=jax.jvp(gradient, args, direction)[1],
        )

    args = tuple(map(jnp.asarray, args))
    direction = tuple(map(jnp.asarray, direction))
    out = derivatives(*args)
    y = np.asarray(out["value"])
    assert_close([y.sum(), y @ np.arange(4.0)], [1.0, 1.3], atol=1e-12)
    # It is the exponential family: log y - z is linear in the moments.
    assert_close(np.diff(np.log(y) - np.asarray(args[0]), n=2), np.zeros(2), atol=1e-9)
    expected = finite_difference(derivatives, args, direction)
    assert_close(out["jvp"], expected["value"], atol=1e-8)
    along = sum(np.sum(g * d) for g, d in zip(out["gradient"], direction, strict=True))
    assert_close(along, np.sum(np.arange(1.0, 5) * out["jvp"]), atol=1e-10)
    for a, b in zip(out["second"], expected["gradient"], strict=True):
        assert_close(a, b, atol=1e-7)
