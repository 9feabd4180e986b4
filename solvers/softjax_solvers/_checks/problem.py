"""Checks of a problem: of its solution, its methods and its derivatives."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, PyTree

from .._core.modes import get_regularizer
from .._core.problem import MaximizationProblem, Problem
from .._core.readout import Dual, Means, Primal
from .._core.regularizer import Regularizer
from .._core.solution import Solution
from .._core.solve import evaluate, solve
from .words import differ, distance_to_hull, report

_STEP = 1e-5
"""Step of differences, relative to numbers above 1."""

_APART = 1e-3
"""By how much a dual is moved, to see whether its residual says so."""

_TOWARD = 1e-6
"""Share of the way to a vertex, for the slope of the objective there."""


class ProblemReport(NamedTuple):
    """Findings of [`softjax.solvers.check_problem`][].

    **Attributes:**

    - `problems`: what is wrong, one sentence each; empty if nothing is.
    - `converged`: whether the solver says that its solution has converged.
    - `residual`: the largest one of that solution, NaN if there is none.
    - `gap`: the largest slope of the objective from the solution toward a vertex, which
        is not positive where it is concave and has its maximum; NaN if there are none.

    **Example:**

        >>> report = sj.solvers.ProblemReport((), True, 0.0, float("nan"))
        >>> print(report.consistent)
        True
        >>> print(report)
        consistent
        converged: yes, residual 0
        slope toward the vertices: not measured
    """

    problems: tuple[str, ...]
    converged: bool
    residual: float
    gap: float

    @property
    def consistent(self) -> bool:
        return not self.problems

    def __str__(self) -> str:
        gap = "not measured" if np.isnan(self.gap) else f"{self.gap:.1e}"
        converged = "yes" if self.converged else "no"
        lines = [
            f"converged: {converged}, residual {self.residual:.2g}",
            f"slope toward the vertices: {gap}",
        ]
        return report(self.problems, lines)


def check_problem(
    problem: Problem,
    regularizer: Regularizer | str = "smooth",
    solver: Any = None,
    *,
    vertices: PyTree[Array] | None = None,
    tolerance: float = 1e-4,
) -> ProblemReport:
    """Check that a problem is solved, and that its methods and derivatives agree.

    The solution makes `optimality` zero, and `residual` grows away from it; `jacobian`
    is the derivative of `optimality`; readouts are those of `primal`; derivatives in
    all arrays of the problem, forward and reverse, are those by finite differences; and
    `jax.jit` and `jax.vmap` change nothing. With `vertices`, the solution is a mean of
    them, and none is better than it by the `objective`. All is computed in 64 bits.
    Takes some seconds, as everything is compiled: best of a small problem, at scores
    without ties.

    **Arguments:**

    - `problem`: the one to check; its arrays must not be traced.
    - `regularizer`, `solver`: those of [`softjax.solvers.solve`][].
    - `vertices`: all vertices of the feasible set, as solutions with a leading axis;
        None if there are too many.
    - `tolerance`: by how much, relative to values above 1, numbers may disagree.

    **Returns:** a [`softjax.solvers.ProblemReport`][], to print or to look into.

    **Raises:** `TypeError` if it is no [`softjax.solvers.Problem`][].

    **Example:**

        >>> problem = sj.solvers.SimplexProjection(jnp.array([0.2, 1.0, 0.7]), 0.5)
        >>> print(sj.solvers.check_problem(problem, "c0").consistent)
        True
    """
    if not isinstance(problem, Problem):
        raise TypeError(f"check_problem takes an instance of Problem, got {problem!r}.")
    r = get_regularizer(regularizer)
    failed = ProblemReport((), False, np.nan, np.nan)
    with jax.enable_x64(True):
        problem, r = _in_64_bits((problem, r))
        try:
            found = solve(problem, r, solver)
            gap = np.nan
            problems = [*_check_solution(found, tolerance)]
            problems += _check_jacobian(found, tolerance)
            problems += _check_readouts(problem, found, solver, tolerance)
            problems += _check_derivatives(problem, r, solver, tolerance)
            if vertices is not None:
                vertices = _in_64_bits(jax.tree.map(jnp.asarray, vertices))
                hull = _Hull(problem, found, vertices)
                problems += hull.check(tolerance)
                gap = hull.gap
            residual = float(jnp.max(found.residual))
            done = bool(jnp.all(found.converged))
            return ProblemReport(tuple(problems), done, residual, gap)
        except Exception as error:
            # Whatever a user's methods raise is the finding.
            words = f"It raises {type(error).__name__}: {error}"
            return failed._replace(problems=(words,))


def _in_64_bits(tree: Any) -> Any:
    def widen(x):
        return x.astype(jnp.float64) if eqx.is_inexact_array(x) else x

    return jax.tree.map(widen, tree)


def _random(like: Any, seed: int) -> Any:
    return np.random.default_rng(seed).normal(size=like.shape)


def _check_solution(found: Solution, tolerance: float) -> Iterator[str]:
    """Findings about the optimality conditions at the dual, and next to it."""
    if not np.all(found.converged):
        yield (
            "The solver has not converged: its residual is "
            f"{float(jnp.max(found.residual)):.2g}."
        )
    if not np.all(np.isfinite(ravel_pytree(found.value)[0])):
        yield "The solution is not finite."
        return
    dual, unravel = ravel_pytree(found.dual)
    moved = dual + _APART * _random(dual, 0)

    @eqx.filter_jit
    def look(problem, r, dual):
        error, _ = ravel_pytree(problem.optimality(unravel(dual), r))
        y, _ = ravel_pytree(problem.primal(unravel(dual), r))
        return error, problem.residual(unravel(dual), r), y

    parts = found.problem, found.regularizer
    error, residual, y = map(np.asarray, look(*parts, dual))
    _, apart, other = map(np.asarray, look(*parts, moved))
    if np.any(residual < 0):
        yield f"residual is {residual.min():.3g}; it must be at least 0."
    yield from differ("optimality of the solution", error, 0 * error, tolerance)
    blind = np.max(apart) <= 10 * max(np.max(residual), 1e-12)
    if np.max(np.abs(y - other)) > _APART / 100 and blind:
        yield (
            "residual is as small at another dual, with another solution, as at the "
            "optimal one."
        )


def _check_jacobian(found: Solution, tolerance: float) -> Iterator[str]:
    """Findings about the derivative of `optimality` in the dual."""
    problem, dual = found.problem, found.dual
    if Dual in problem.fused or not jax.tree.leaves(dual):
        return  # What is not asked for.
    flat, unravel = ravel_pytree(dual)
    direction = _random(flat, 1)

    def optimality(dual):
        return problem.optimality(unravel(dual), found.regularizer)

    expected, _ = ravel_pytree(jax.jvp(optimality, (flat,), (direction,))[1])
    operator = problem.jacobian(dual, found.regularizer)
    got, _ = ravel_pytree(operator.mv(unravel(direction)))
    yield from differ("jacobian, times a direction,", got, expected, tolerance)


def _check_readouts(
    problem: Problem, found: Solution, solver: Any, tolerance: float
) -> Iterator[str]:
    """Findings about readouts, alone and mapped."""
    r = found.regularizer
    y = found.value

    def primal(problem):
        return evaluate(problem, r, Primal(), solver)

    yield from _each("evaluate(..., Primal())", primal(problem), y, tolerance)
    jitted = eqx.filter_jit(primal)(problem)
    yield from _each("The solution within jax.jit", jitted, y, tolerance)
    pair = jax.tree.map(lambda x: jnp.stack([x, x]) if eqx.is_array(x) else x, problem)
    mapped = eqx.filter_vmap(primal)(pair)
    second = jax.tree.map(lambda x: x[1], mapped)
    yield from _each("The solution within jax.vmap", second, y, tolerance)
    if eqx.is_array(y):
        values = _random(y[..., 0, :] if y.ndim > 1 else y, 2)
        values = values if y.ndim < 2 else values[..., None, :]
        got = evaluate(problem, r, Means(values), solver)
        expected = jnp.sum(y * values, axis=-1)
        weights = getattr(found.problem, "weights", None)
        if weights is None:
            yield from differ("Means(values), y @ values,", got, expected, tolerance)


def _each(name: str, got: PyTree, expected: PyTree, tolerance: float) -> Iterator[str]:
    pair = ravel_pytree(got)[0], ravel_pytree(expected)[0]
    yield from differ(name, *pair, tolerance)


def _check_derivatives(
    problem: Problem, regularizer: Regularizer, solver: Any, tolerance: float
) -> Iterator[str]:
    """Findings about derivatives of the solution, in one array after the other."""
    arrays, rest = eqx.partition((problem, regularizer), eqx.is_inexact_array)
    leaves, structure = jax.tree.flatten(arrays)
    names = [jax.tree_util.keystr(path) for path, _ in _paths(arrays)]

    @jax.jit
    def solution(leaves):
        tree = eqx.combine(jax.tree.unflatten(structure, leaves), rest)
        problem, regularizer = tree
        return ravel_pytree(evaluate(problem, regularizer, Primal(), solver))[0]

    directions = [_random(leaf, 3 + i) for i, leaf in enumerate(leaves)]
    back = _random(jax.eval_shape(solution, leaves), 2)

    @jax.jit
    def derivatives(leaves):
        _, pullback = jax.vjp(solution, leaves)
        (gradients,) = pullback(back)
        along = []
        for i, direction in enumerate(directions):
            moves = [jnp.zeros_like(leaf) for leaf in leaves]
            moves[i] = direction
            along.append(jax.jvp(solution, (leaves,), (moves,))[1])
        return along, gradients

    along, gradients = derivatives(leaves)
    for i, (name, leaf) in enumerate(zip(names, leaves, strict=True)):
        step = _STEP * max(1.0, float(np.max(np.abs(leaf), initial=0)))
        ends = []
        for sign in (1, -1):
            moved = leaf + sign * step * directions[i]
            ends.append(np.asarray(solution([*leaves[:i], moved, *leaves[i + 1 :]])))
        expected = (ends[0] - ends[1]) / (2 * step)
        name = name.removeprefix("[0]").removeprefix("[1]").removeprefix(".")
        words = f"The derivative of the solution in {name}, along a direction,"
        yield from differ(words, along[i], expected, tolerance)
        words = f"The reverse derivative of the solution in {name}"
        total = np.sum(np.asarray(gradients[i]) * directions[i])
        yield from differ(words, total, back @ np.asarray(along[i]), tolerance)


def _paths(tree: PyTree) -> list[tuple[Any, Any]]:
    return jax.tree_util.tree_flatten_with_path(tree)[0]


class _Hull:
    """A solution, beside the vertices of its feasible set."""

    def __init__(self, problem: Problem, found: Solution, vertices: PyTree[Array]):
        self.problem, self.found = problem, found
        self.vertices = np.asarray(jax.vmap(lambda v: ravel_pytree(v)[0])(vertices))
        y, self.unravel = ravel_pytree(found.value)
        self.y = np.asarray(y)
        self.gap = self.rise = np.nan
        if isinstance(problem, MaximizationProblem):
            self._compare()

    def _compare(self) -> None:
        """Measure the rise of the objective toward vertices, and at means of them."""
        problem: Any = self.problem

        @jax.jit
        def objective(flat):
            value = problem.objective(self.unravel(flat), self.found.regularizer)
            return jnp.sum(value)

        # Not by a gradient, which objectives with kinks have not.
        most = float(objective(self.y))
        steps = (self.y + _TOWARD * (v - self.y) for v in self.vertices)
        self.gap = max((float(objective(x)) - most) / _TOWARD for x in steps)
        rng = np.random.default_rng(4)
        mixtures = rng.dirichlet(np.ones(len(self.vertices)), 20) @ self.vertices
        self.rise = max(float(objective(x)) for x in mixtures) - most

    def check(self, tolerance: float) -> Iterator[str]:
        apart = distance_to_hull(self.y, self.vertices)
        if not apart <= tolerance:
            yield f"The solution is {apart:.2g} away from all means of the vertices."
        if self.gap > tolerance:
            yield (
                "The solution is not the maximum of objective: toward a vertex it "
                f"rises, with the slope {self.gap:.2g}."
            )
        if self.rise > tolerance:
            yield (
                "The solution is not the maximum of objective: elsewhere it is larger, "
                f"by {self.rise:.2g}."
            )
