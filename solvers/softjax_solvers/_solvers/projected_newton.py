from __future__ import annotations

import dataclasses
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, PyTree

from .._core.problem import Problem
from .._core.regularizer import Regularizer
from .._core.solution import Solution
from .._core.solver import Solver
from .._kernels.arrays import eps
from .._kernels.iteration import choose_tolerance, iterate
from .._kernels.line_search import stationary_share
from .._kernels.normal_equations import by_diagonal, nearly_solve, solve_iteratively
from .._platform.batches import anywhere
from .._problems import Program
from .._problems.linear_program.anchor import Anchor
from .._problems.linear_program.matrix import Matrix

_STALLS = 3
"""Number of steps in a row without a gain after which rounding is reached."""

_FAR = 4
"""Multipliers, in units of the softness, from which on arguments lose digits."""

_LARGE = 100
"""Size of y, in units of the sum of right-hand sides, up to which none may fit."""

_LINEAR = ("auto", "cholesky", "cg")


class _Point(NamedTuple):
    x: Float[Array, "*batch m"]  # multipliers of rows of norm 1, at the level
    level: Float[Array, "*batch"]  # the softness in units of that of the program
    t: Float[Array, "*batch n"]
    gap: Float[Array, "*batch m"]  # the gradient, of the rows that are free to move
    free: Bool[Array, "*batch m"]
    residual: Float[Array, "*batch"]


class _State(NamedTuple):
    point: _Point
    anchor: Anchor  # from which multipliers of the point are measured
    radius: Float[Array, "*batch"]
    best: Float[Array, "*batch m"]
    least: Float[Array, "*batch"]  # the residual of the best
    stalls: Int[Array, "*batch"]
    stage: Int[Array, "*batch"]  # the number of steps at this level
    hopeless: Bool[Array, "*batch"]  # whether it is known that there is no solution
    steps: Int[Array, "*batch"]
    done: Bool[Array, "*batch"]


class ProjectedNewton(Solver[Program]):
    """Projected Newton method on the dual of a linear program.

    The dual is a convex function of the multipliers, of which those of inequalities are
    nonnegative. A step solves `(K diag(phi') K^T + s I) d = -gradient` for the rows
    that are free to move, with `s = |gradient| / radius`, and is searched for a slope
    of zero along its projection; the radius grows where the step went far, and shrinks
    where it did not. Sparse links leave rows without any curvature, which s makes up
    for. It begins at a softness at which scores are of order 1, and divides that by 4
    as soon as constraints hold by a tenth, down to that of the program. What
    multipliers take of scores is known to twice the digits. Where gaps, or
    right-hand sides out of reach of the equalities, prove by the lemma of Farkas that
    no y fits that is below 100 times the sum of the right-hand sides, it is done in a
    few steps; equalities of more than 128 rows may take as many as without.

    **Arguments:**

    - `tolerance`: the residual to stop at, that of rows of norm 1 relative to the
        largest of 1, y and the right-hand sides; None for 4 units of rounding.
    - `max_steps`: the number of steps after which the best iterate is returned.
    - `linear`: what solves linear systems, `"cholesky"` factors or the conjugate
        gradients, `"cg"`. `"auto"` factorizes up to 128 rows that are not of an
        operator of Lineax, of which only products are known.

    **Raises:** `ValueError` if `linear` is none of these.

    **Example:**

        >>> z, A = jnp.array([1.0, 2.0, 3.0]), jnp.ones((1, 3))
        >>> problem = sj.solvers.LinearProgram(z, A, 1.0, 0.5)
        >>> found = sj.solvers.solve(problem, "c1", sj.solvers.ProjectedNewton(1e-3))
        >>> print(found.value)
        [0. 0. 1.]

    ??? cite

        Bertsekas, "Projected Newton methods for optimization problems with simple
        constraints", SIAM Journal on Control and Optimization 20, 1982.

        Qi and Sun, "A nonsmooth version of Newton's method", Mathematical Programming
        58, 1993.
    """

    tolerance: float | None = None
    max_steps: int = 200
    linear: str = eqx.field(default="auto", static=True)

    def __check_init__(self) -> None:
        if self.linear not in _LINEAR:
            raise ValueError(
                f"ProjectedNewton: linear={self.linear!r} is not known. Allowed: "
                f"{', '.join(map(repr, _LINEAR))}."
            )

    def accepts(self, problem: Problem, regularizer: Regularizer) -> bool:
        return isinstance(problem, Program)

    def solve(self, problem: Program, regularizer: Regularizer) -> Solution:
        tolerance = choose_tolerance(self.tolerance, 4, problem.z)
        search = _Search(problem, regularizer, self.linear)
        state = search.start()
        if problem.rhs.shape[-1]:
            state = iterate(
                lambda state: search.advance(state, tolerance),
                state,
                self.max_steps,
                problem.z + jnp.sum(problem.rhs, axis=-1, keepdims=True),
            )
        # Those of the best point are all in the anchor, unless steps have run out.
        x, level, *_ = state.point
        dual = state.anchor.dual + level[..., None] * search.row_scale * x
        problem = problem.anchored(state.anchor)
        return problem.solution(dual, state.steps, regularizer, tolerance)


class _Search(eqx.Module):
    """A program in rows of norm 1, and steps towards its dual."""

    problem: Program
    regularizer: Regularizer
    linear: str = eqx.field(static=True)
    row_scale: Float[Array, "*batch m"]
    pieces: Matrix  # the matrix of constraints, to twice the digits

    def __init__(self, problem: Program, regularizer: Regularizer, linear: str):
        self.problem, self.regularizer, self.linear = problem, regularizer, linear
        self.row_scale = problem.row_scale
        self.pieces = problem.matrix.in_pieces(problem.rhs)

    def apply(self, y: Float[Array, "*batch n"]) -> Float[Array, "*batch m"]:
        return self.row_scale * self.problem.matrix.apply(y)

    def apply_transpose(self, x: Float[Array, "*batch m"]) -> Float[Array, "*batch n"]:
        return self.problem.matrix.apply_transpose(self.row_scale * x)

    def unit(self, level: Array) -> Float[Array, "*batch 1"]:
        """The softness at a level."""
        return self.problem.softness * level[..., None]

    def scores(self, anchor: Anchor, level: Array) -> Float[Array, "*batch n"]:
        """Scores less what the anchor takes of them, in units of the softness."""
        return anchor.left / self.unit(level)

    def zero(self, anchor: Anchor, level: Array) -> Float[Array, "*batch m"]:
        """The x of multipliers 0."""
        return -anchor.multipliers.high / (self.unit(level) * self.row_scale)

    def above_zero(
        self, x: Float[Array, "*batch m"], anchor: Anchor, level: Float[Array, "*batch"]
    ) -> Float[Array, "*batch m"]:
        """Multipliers in units of x, 0 up to the rounding of their anchor."""
        zero = self.zero(anchor, level)
        return jnp.where(x - zero > 4 * eps(x) * jnp.abs(zero), x - zero, 0)

    def moved(
        self, anchor: Anchor, x: Float[Array, "*batch m"], level: Float[Array, "*batch"]
    ) -> Anchor:
        """The anchor at x."""
        problem = self.problem
        bound = ~problem.equality & ~(self.above_zero(x, anchor, level) > 0)
        move = self.unit(level) * self.row_scale * x
        return anchor.moved(move, bound, problem.z, problem.softness, self.pieces)

    def project(
        self, x: Float[Array, "*batch m"], zero: Float[Array, "*batch m"]
    ) -> Float[Array, "*batch m"]:
        return jnp.where(self.problem.equality, x, jnp.maximum(x, zero))

    def evaluate(
        self,
        x: Float[Array, "*batch m"],
        level: Float[Array, "*batch"],
        anchor: Anchor,
    ) -> _Point:
        problem = self.problem
        t = self.scores(anchor, level) - self.apply_transpose(x)
        y = problem.link(t, self.regularizer)
        gap = problem.gap(y)
        free = problem.binding(self.above_zero(x, anchor, level), gap)
        gap = jnp.where(free, gap, 0)
        residual = problem.relative(gap, y, self.row_scale)
        return _Point(x, level, t, self.row_scale * gap, free, residual)

    def start(self) -> _State:
        batch, dtype = self.problem.z.shape[:-1], self.problem.z.dtype
        x = jnp.zeros_like(self.problem.rhs)
        spread = jnp.max(jnp.abs(self.problem.scores), axis=-1)
        anchor = self.problem.anchoring()
        point = self.evaluate(x, jnp.maximum(spread / 4, 1), anchor)
        none = jnp.zeros(batch, jnp.int32)
        return _State(
            point,
            anchor,
            jnp.ones(batch, dtype),
            x,
            jnp.full(batch, jnp.inf, dtype),
            *(none, none),
            self.unbalanced(),
            none,
            jnp.isnan(point.residual),
        )

    def direction(
        self, point: _Point, radius: Float[Array, "*batch"], slope: Array
    ) -> Float[Array, "*batch m"]:
        size = jnp.max(jnp.abs(point.gap), axis=-1, initial=0)
        shift = (size / radius)[..., None]
        if self.factorizes:
            scale = self.row_scale
            gram = self.problem.matrix.gram(slope)
            gram = scale[..., :, None] * gram * scale[..., None, :]
            own = jnp.eye(gram.shape[-1], dtype=gram.dtype)
            return nearly_solve(gram + shift[..., None] * own, -point.gap, point.free)

        def apply(x):
            inner = slope * self.apply_transpose(x)
            return jnp.where(point.free, self.apply(inner) + shift * x, 0)

        diagonal = self.row_scale**2 * self.problem.matrix.diagonal(slope) + shift
        accuracy = jnp.clip(point.residual, 1e-4, 0.1)
        rows = point.gap.shape[-1]
        return solve_iteratively(
            apply, by_diagonal(diagonal), -point.gap, accuracy, 2 * rows + 20
        )

    def share(
        self, point: _Point, move: Array, anchor: Anchor
    ) -> Float[Array, "*batch"]:
        """The size of a step to where the slope along the projected move is zero."""
        problem, rhs = self.problem, self.row_scale * self.problem.rhs
        first = jnp.sum(point.gap * move, axis=-1)
        scores = self.scores(anchor, point.level)
        zero = self.zero(anchor, point.level)

        def total(move, fall, t):
            ahead, back = rhs * move, problem.link(t, self.regularizer) * fall
            size = jnp.sum(jnp.abs(ahead), axis=-1) + jnp.sum(jnp.abs(back), axis=-1)
            slope = jnp.sum(ahead, axis=-1) - jnp.sum(back, axis=-1)
            return slope, 4 * eps(t) * size

        if problem.equalities == rhs.shape[-1]:
            fall = self.apply_transpose(move)

            def along(share):
                return total(move, fall, point.t - share[..., None] * fall)
        else:

            def along(share):
                x = self.project(point.x + share[..., None] * move, zero)
                moving = jnp.where(problem.equality | (x > zero), move, 0)
                fall = self.apply_transpose(moving)
                return total(moving, fall, scores - self.apply_transpose(x))

        return stationary_share(along, first)

    def infeasible(self, x: Float[Array, "*batch m"]) -> Bool[Array, "*batch"]:
        """Whether x proves that there is no solution, but for a very large one.

        By the lemma of Farkas: `rhs.x > max_y (K y).x` over the bounds of y, for x that
        is at most 0 in inequalities.
        """
        problem, rhs = self.problem, self.row_scale * self.problem.rhs
        x = jnp.where(problem.equality, x, jnp.minimum(x, 0))
        size = jnp.max(jnp.abs(x), axis=-1, keepdims=True, initial=0)
        side = jnp.maximum(jnp.sum(jnp.abs(rhs), axis=-1, keepdims=True), 1)
        upper = jnp.minimum(problem.bound, _LARGE * side)
        rise = self.apply_transpose(x) + 4 * eps(x) * size
        most = jnp.sum(upper * jnp.maximum(rise, 0), axis=-1)
        terms = rhs * x
        rounding = 1e-3 * jnp.sum(jnp.abs(terms), axis=-1)
        return jnp.sum(terms, axis=-1) > most + rounding

    def unbalanced(self) -> Bool[Array, "*batch"]:
        """Whether no y at all has the right-hand sides of the equalities.

        What of them is out of reach is what the inverse enlarges most.
        """
        problem = self.problem
        if problem.equalities < 2:
            return jnp.zeros(problem.z.shape[:-1], bool)
        one = jnp.ones_like(problem.z)
        x = jnp.where(problem.equality, self.row_scale * problem.rhs, 0)
        if self.factorizes:
            scale = self.row_scale
            gram = self.problem.matrix.gram(one)
            gram = scale[..., :, None] * gram * scale[..., None, :]
            inside = jnp.broadcast_to(problem.equality, x.shape)
            for _ in range(2):
                x = nearly_solve(gram, x, inside)
                x = x / jnp.max(jnp.abs(x), axis=-1, keepdims=True, initial=1e-30)
        else:

            def apply(x):
                image = self.apply(self.apply_transpose(x))
                return jnp.where(problem.equality, image, 0)

            diagonal = self.row_scale**2 * problem.matrix.diagonal(one)
            rows = 2 * x.shape[-1] + 20
            precondition, accuracy = by_diagonal(diagonal), 4 * eps(x)
            x = x - apply(solve_iteratively(apply, precondition, x, accuracy, rows))
        return self.infeasible(x)

    @property
    def factorizes(self) -> bool:
        automatic = self.linear == "auto" and self.problem.matrix.factorizes
        return self.linear == "cholesky" or automatic

    def advance(self, state: _State, tolerance: float) -> _State:
        point, anchor = state.point, state.anchor
        slope = self.problem.slope(point.t, self.regularizer)
        move = self.direction(point, state.radius, slope)
        share = self.share(point, move, anchor)
        length = share * jnp.max(jnp.abs(move), axis=-1, initial=0)
        radius = jnp.where(
            share < 1 / 2,
            jnp.maximum(2 * length, state.radius / 4),
            jnp.maximum(2 * length, 4 * state.radius),
        )
        radius = jnp.where(share > 0, radius, state.radius / 16)
        radius = jnp.clip(radius, 1e-9, 1e9)
        zero = self.zero(anchor, point.level)
        x = self.project(point.x + share[..., None] * move, zero)
        # Multipliers that are so large leave no digits of t: there is no solution.
        size = jnp.max(jnp.abs(x - zero), axis=-1, initial=0)
        reach = 1 + jnp.max(jnp.abs(self.problem.scores), axis=-1) / point.level
        lost = size * eps(x) ** 0.5 > 100 * reach
        # The next softness, if this one has served.
        last = point.level == 1
        served = (point.residual <= 0.1) | (state.stage >= 20)
        served = ~last & (served | (state.hopeless & (state.stage >= 1)))
        level = jnp.where(served, jnp.maximum(point.level / 4, 1), point.level)
        x = (point.level / level)[..., None] * x
        new = self.evaluate(x, level, anchor)
        final, far = level == 1, jnp.max(jnp.abs(x), axis=-1, initial=0) > _FAR
        known = final & ~far & ~lost
        least = jnp.where(final & far, jnp.inf, state.least)
        better = known & (new.residual < least)
        gain = known & (2 * new.residual <= least)
        scores = jnp.abs(self.scores(anchor, level))
        rounding = tolerance * (1 + jnp.max(scores * slope, axis=-1))
        best = jnp.where(better[..., None], x, state.best)
        least = jnp.where(better, new.residual, least)
        stalled = ~gain & last & (least <= rounding)
        stalls = jnp.where(stalled, state.stalls + 1, 0)
        done = ~(least > tolerance) | (stalls >= _STALLS) | lost
        hopeless = state.hopeless | self.infeasible(new.gap)
        done = done | (final & hopeless)
        following = _State(
            *(new, anchor, radius, best, least, stalls),
            jnp.where(served, 0, state.stage + 1),
            *(hopeless, state.steps + 1, done),
        )
        moves = ~state.done & (served | far | done)
        following = self.anchored(following, moves)
        return _choose(state.done, state, following)

    def anchored(self, state: _State, moves: Bool[Array, "*batch"]) -> _State:
        """Multipliers measured anew from where they are, or from the best if done."""
        point = state.point
        found = state.done & jnp.isfinite(state.least)
        x = jnp.where(found[..., None], state.best, point.x)

        def moved() -> Anchor:
            new = self.moved(state.anchor, x, point.level)
            # At the end of a short way, without the last digits of multipliers.
            taken = self.unit(point.level) * self.apply_transpose(x)
            left = jnp.where(found[..., None], state.anchor.left - taken, new.left)
            new = dataclasses.replace(new, left=left)
            return _choose(moves, new, state.anchor)

        anchor = jax.lax.cond(anywhere(moves), moved, lambda: state.anchor)
        x, best = (jnp.where(moves[..., None], 0, x) for x in (point.x, state.best))
        return state._replace(point=point._replace(x=x), anchor=anchor, best=best)


def _choose(which: Bool[Array, "*batch"], one: PyTree, other: PyTree) -> PyTree:
    """A tree of arrays, some rows of which are those of another."""

    def choose(one: Array, other: Array) -> Array:
        shape = (*which.shape, *(1,) * (one.ndim - which.ndim))
        return jnp.where(which.reshape(shape), one, other)

    return jax.tree.map(choose, one, other)
