from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from .._core.problem import Problem
from .._core.regularizer import Regularizer
from .._core.solution import Solution
from .._core.solver import Solver
from .._kernels.arrays import eps, exact_einsum, safe_divide
from .._kernels.iteration import choose_tolerance, iterate
from .._kernels.laplacian import direct_solve
from .._platform.batches import any_true
from .._problems import Potentials, Transport
from .dual_coordinate_ascent import alternation


class _Point(NamedTuple):
    dual: Potentials
    gap: Float[Array, "*batch m"]  # the marginals of the columns, less their sums
    error: Float[Array, "*batch"]


_FEW_COLUMNS = 16
"""Largest number of columns with which Newton's method needs no alternations first."""

_SCALINGS = 3
"""Largest number of first steps that scale columns of several times their sums."""

_STALLS = 3
"""Number of stalled steps in a row after which a row is done."""


class _State(NamedTuple):
    point: _Point
    step: Float[Array, "*batch m"]  # to take next, up to a constant
    radius: Float[Array, "*batch"]
    steps: Int[Array, "*batch"]
    stalls: Int[Array, "*batch"]  # in a row, `_STALLS` if done

    @property
    def done(self) -> Bool[Array, "*batch"]:
        return self.stalls == _STALLS


class SemiDual(Solver[Transport]):
    """Newton's method on the semi-dual of a transport problem, made for few columns.

    Each row's potential is eliminated, in closed form or by a scalar root find. What
    remains is concave in the m potentials of the columns, and its Hessian is the
    Laplacian of a graph on them. A step solves `(Laplacian + s I) d = gap` with
    `s = min(nu) error / radius`; the radius grows fourfold after a good step and
    shrinks so after a bad one, which is undone. A step is good if the dual and the
    error both get better; with weights of rows, also if the dual surely does. With the
    entropy, a Newton step from far above divides the sum of a column by e at best, so
    the first steps scale columns instead, as long as one has more than twice its sum.

    **Arguments:**

    - `tolerance`: the largest error of a column's sum, relative to its marginal, to
        stop at; None for 32 units of rounding.
    - `max_steps`: the number of steps after which the best iterate is returned.
    - `alternations`: the number of first steps that are steps of
        [`softjax.solvers.DualCoordinateAscent`][]. None for 4 with many columns and the
        entropy, which usually leaves nothing to do, and else 0.

    **Example:**

        >>> x = jnp.array([0.2, 1.0, 0.7])
        >>> print(sj.sort(x, method="ot", solver=sj.solvers.SemiDual(tolerance=1e-3)))
        [0.235 0.718 0.947]
    """

    tolerance: float | None = None
    max_steps: int = 64
    alternations: int | None = None

    def accepts(self, problem: Problem, regularizer: Regularizer) -> bool:
        return isinstance(problem, Transport)

    def solve(self, problem: Transport, regularizer: Regularizer) -> Solution:
        dtype = problem.cost.dtype
        tolerance = choose_tolerance(self.tolerance, 32, problem.cost)
        *batch, n, m = problem.cost.shape
        rate: Any = regularizer.structure().rate
        exponential = rate is not None
        alternations = self.alternations
        if alternations is None:
            alternations = 4 if exponential and m > _FEW_COLUMNS else 0
        scalings = _SCALINGS if exponential and not alternations else 0

        def evaluate(g, start):
            dual = Potentials(problem.fit_rows(g, regularizer, start), g)
            gap = problem.column_residual(dual, regularizer)
            return _Point(dual, gap, problem.feasibility_error(gap))

        columns = problem.column_shares
        total = jnp.sum(columns, axis=-1, keepdims=True)
        smallest = jnp.min(jnp.where(columns > 0, columns, 1), axis=-1)

        def newton(point: _Point, radius):
            gap = point.gap / problem.mass
            # What rounding leaves of their sum would move all potentials alike, and the
            # further, the weaker the ground is: until differences are rounded off.
            excess = jnp.sum(gap, axis=-1, keepdims=True)
            gap = gap - excess * safe_divide(columns, total)
            ground = smallest * safe_divide(point.error, radius)
            ground = jnp.broadcast_to(ground[..., None], gap.shape)
            edges = problem.edges(point.dual, regularizer)
            # Steps need not be accurate, as the next gap is computed anew.
            return direct_solve(edges, ground, gap, refinements=0)

        def far(error, steps):
            return (error > 1) & (steps < scalings)

        def scale(point: _Point):
            # Next to nothing is known of what has less than that of its sum.
            least = 64 * eps(columns) * columns
            found = jnp.maximum(columns - point.gap / problem.mass, least)
            moves = columns > 0
            ratio = jnp.where(moves, columns, 1) / jnp.where(moves, found, 1)
            return jnp.log(ratio) / rate

        def advise(point: _Point, radius, steps):
            step = newton(point, radius)
            if not scalings:
                return step
            return jnp.where(far(point.error, steps)[..., None], scale(point), step)

        def alternate(point: _Point, radius, steps):
            return alternation(problem, regularizer, point.dual) - point.dual.g

        # The plan is compiled once, as the first pass of the loop evaluates the start.
        def advance(state: _State) -> _State:
            old = state.point
            step = state.step - state.step[..., :1]
            new = evaluate(old.dual.g + step, old.dual.f)
            progress = exact_einsum("...j,...j->...", old.gap / 2 + new.gap, step)
            # The start has nothing to be compared with, and alternations and scalings
            # always ascend.
            free = (state.steps < alternations) | far(old.error, state.steps)
            # Close to rounding, that decides on the sign of what the dual gains.
            close = old.error <= 30 * tolerance
            good = ((progress >= 0) | close) & (new.error <= old.error)
            if problem.weights is not None:
                # Columns of very different marginals, such as parts of a unit: the
                # largest relative error may have to grow on the way.
                good |= exact_einsum("...j,...j->...", new.gap, step) >= 0
            good = jnp.where(free, jnp.isfinite(new.error), good)
            take = good & ~state.done

            def choose(new, old):
                shape = (*batch, *(1,) * (new.ndim - len(batch)))
                return jnp.where(take.reshape(shape), new, old)

            point = jax.tree.map(choose, new, old)
            factor = jnp.where(free, 1, jnp.where(good, 4, 1 / 4))
            radius = factor.astype(dtype) * state.radius
            # Rounding is reached where the error is small and no longer falls, which a
            # single step that goes too far does not show.
            stalled = (2 * new.error > old.error) & close
            stalls = jnp.where(stalled & ~free, state.stalls + 1, 0)
            done = state.done | ~(point.error > tolerance)
            stalls = jnp.where(done, _STALLS, stalls)
            steps = state.steps + ~state.done
            # One test for all rows, as those that are not done have made as many steps.
            early = any_true((stalls < _STALLS) & (steps < alternations))
            kinds = [advise, alternate] if alternations else [advise]
            step = jax.lax.switch(
                jnp.where(any_true(stalls < _STALLS), 1 + early, 0),
                [lambda *_: state.step, *kinds],
                point,
                radius,
                steps,
            )
            return _State(point, step, radius, steps, stalls)

        nothing = jnp.zeros((*batch, m), dtype)
        dual = Potentials(jnp.zeros((*batch, n), dtype), nothing)
        state = _State(
            _Point(dual, nothing, jnp.full(batch, jnp.inf, dtype)),
            nothing,
            jnp.broadcast_to(problem.dual_scale(regularizer), batch),
            jnp.full(batch, -1, jnp.int32),
            jnp.zeros(batch, jnp.int32),
        )
        state = iterate(advance, state, self.max_steps, problem.cost)
        dual, _, error = state.point
        return problem.solution(dual, state.steps, error, regularizer, tolerance)
