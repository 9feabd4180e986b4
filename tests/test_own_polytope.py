"""A polytope of a user's own: its problem, solver, derivative and operator, in a file.

`argmax <z, y> - softness R(y)` over y >= 0 of which each group has its own sum.
"""

import inputs
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from assertions import assert_close, finite_difference

import softjax as sj


class BudgetProjection(sj.solvers.MaximizationProblem):
    """`y = phi(z / softness - theta)`, with one theta for each group of entries.

    - `z`: `*batch n`; `softness`: a scalar.
    - `member`: `groups n`, 1 where an entry is of a group, and else 0.
    - `budget`: `*batch groups`.
    """

    z: jax.Array
    softness: jax.Array
    member: jax.Array
    budget: jax.Array

    def primal(self, dual, regularizer):
        return regularizer.link(self.z / self.softness - dual @ self.member)

    def optimality(self, dual, regularizer):
        return self.primal(dual, regularizer) @ self.member.T - self.budget

    def residual(self, dual, regularizer):
        return jnp.max(jnp.abs(self.optimality(dual, regularizer)), axis=-1)

    def objective(self, y, regularizer):
        return jnp.sum(self.z * y - self.softness * regularizer.value(y), axis=-1)

    def default_solver(self, regularizer):
        return GroupByGroup()


class GroupByGroup(sj.solvers.Solver):
    """A root of each group's equation, by the root finder of the library."""

    def accepts(self, problem, regularizer):
        return isinstance(problem, BudgetProjection)

    def solve(self, problem, regularizer):
        scores = problem.z / problem.softness
        reach = jnp.max(jnp.abs(scores)) + 10
        start = jnp.zeros_like(problem.budget)
        dual = sj.solvers.find_root(
            lambda dual, _: problem.optimality(dual, regularizer),
            None,
            start - reach,
            start + reach,
            start,
        )
        residual = problem.residual(dual, regularizer)
        steps = jnp.zeros((), jnp.int32)
        return sj.solvers.Solution(
            problem, regularizer, dual, steps, residual, residual < 1e-4
        )


def spend(z, member, budget, softness=0.1, mode="smooth"):
    """Spend the budget of each group on its best entries."""
    problem = BudgetProjection(z, softness, member, budget)
    return sj.solvers.evaluate(problem, mode, sj.solvers.Primal())


MEMBER = np.array([[1.0, 1, 1, 0, 0], [0, 0, 0, 1, 1]])


def _inputs(*batch):
    rng = inputs.rng("budgets")
    return rng.normal(size=(*batch, 5)), rng.uniform(0.5, 0.9, size=(*batch, 2))


@pytest.mark.parametrize("mode", ["smooth", "c1"])
def test_values_are_those_of_simplices(mode, x64):
    """Each group is a simplex with budgets of 1."""
    z, _ = _inputs(3)
    y = spend(jnp.asarray(z), jnp.asarray(MEMBER), jnp.ones((3, 2)), 0.3, mode)
    for group in (slice(0, 3), slice(3, 5)):
        expected = sj.argmax(jnp.asarray(z[:, group]), -1, mode=mode, softness=0.3)
        assert_close(y[:, group], expected, atol=1e-9)


@pytest.mark.parametrize("mode", ["smooth", "c1"])
def test_derivatives(mode, x64):
    """In scores, softness and budgets, forward, reverse and second ones."""
    z, budget = _inputs(2)
    args = tuple(map(jnp.asarray, (z, budget, 0.3)))
    rng = inputs.rng("directions")
    direction = tuple(jnp.asarray(rng.normal(size=np.shape(a))) for a in args)
    weights = jnp.asarray(rng.normal(size=5))

    def total(z, budget, softness):
        member = jnp.asarray(MEMBER)
        return jnp.sum(weights * spend(z, member, budget, softness, mode))

    @jax.jit
    def derivatives(*args):
        gradient = jax.grad(total, (0, 1, 2))
        return dict(
            value=total(*args),
            jvp=jax.jvp(total, args, direction)[1],
            gradient=gradient(*args),
            second=jax.jvp(gradient, args, direction)[1],
        )

    out = derivatives(*args)
    expected = finite_difference(derivatives, args, direction)
    assert_close(out["jvp"], expected["value"], atol=1e-7)
    along = sum(jnp.sum(g * d) for g, d in zip(out["gradient"], direction, strict=True))
    assert_close(along, out["jvp"], atol=1e-10)
    for a, b in zip(out["second"], expected["gradient"], strict=True):
        assert_close(a, b, atol=1e-5)


def test_losses_and_errors():
    z, budget = (jnp.asarray(x, jnp.float32) for x in _inputs())
    problem = BudgetProjection(z, 0.3, jnp.asarray(MEMBER, jnp.float32), budget)
    target = sj.solvers.solve(problem, "smooth").value
    loss = sj.solvers.fenchel_young_loss(problem, target, "smooth")
    assert_close(loss, 0.0, atol=1e-5)
    mapped = jax.vmap(lambda z: spend(z, problem.member, budget, 0.3))
    assert_close(mapped(jnp.stack([z, z]))[1], target, atol=1e-5)
    with pytest.raises(TypeError, match=r"solver='newton'.*BudgetProjection"):
        sj.solvers.solve(problem, "smooth", "newton")
