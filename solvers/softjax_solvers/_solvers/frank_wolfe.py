from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from .._core.problem import Problem
from .._core.regularizer import Regularizer
from .._core.solution import Solution
from .._core.solver import Solver
from .._kernels.arrays import eps, safe_divide
from .._kernels.derivatives import derivative
from .._kernels.iteration import iterate
from .._kernels.places import over_taken
from .._kernels.reproducible import mean, total
from .._kernels.roots import bracketed_newton
from .._platform.batches import any_true, anywhere
from .._problems.finite_links import curvature, free_to_move, gradient
from .._problems.oracle import OracleProjection, rise


class Set(NamedTuple):
    """Vertices in so many places, and what is known about their mean."""

    vertices: Float[Array, "m d"]
    weights: Float[Array, " m"]  # 0 where a place is free
    gap: Float[Array, ""]  # relative, where the oracle was asked last

    @property
    def mean(self) -> Float[Array, " d"]:
        def of_places(size: int) -> Array:
            return mean(self.weights[:size], self.vertices[:size])

        return over_taken(self.weights > 0, of_places, self.vertices.size)


class Answer(NamedTuple):
    """Answer of the oracle about a set."""

    vertex: Float[Array, " d"]
    place: Bool[Array, " m"]  # where it is, or else a free place if there is one
    known: Bool[Array, ""]  # whether it is there
    full: Bool[Array, ""]  # whether there is no place for it
    gap: Float[Array, ""]


def no_vertices(problem: OracleProjection, size: int) -> Set:
    if size < 1:
        raise ValueError(f"max_atoms must be at least 1, got {size}.")
    scores = problem.scores
    weights = jnp.zeros(size, scores.dtype)
    vertices = jnp.zeros((size, scores.size), scores.dtype)
    return Set(vertices, weights, jnp.asarray(jnp.inf, scores.dtype))


def no_answer(found: Set) -> Answer:
    """Zeros like an answer, where nothing was asked."""
    nowhere, no = found.weights < 0, jnp.asarray(False)
    return Answer(
        jnp.zeros_like(found.vertices[0]), nowhere, no, no, jnp.zeros_like(found.gap)
    )


def consult(
    problem: OracleProjection,
    found: Set,
    y: Float[Array, " d"],
    slope: Float[Array, " d"],
) -> Answer:
    """Ask the oracle for the best by scores less the slope of r, at the mean y."""
    vertices, weights, _ = found
    vertex = problem.best(problem.scores - slope)
    scale = problem.scale(y)

    def compare(size: int) -> tuple[Array, Array]:
        # Differences first: what vertices share may be large.
        better = rise(vertex - vertices[:size], problem.scores, slope)
        gap = total(weights[:size] * better) / scale
        same = (weights[:size] > 0) & jnp.all(vertices[:size] == vertex, axis=-1)
        return gap, jnp.pad(same, (0, len(weights) - size))

    gap, same = over_taken(weights > 0, compare, vertices.size)
    return place_of(found, vertex, same, gap)


def place_of(
    found: Set, vertex: Float[Array, " d"], same: Bool[Array, " m"], gap: Array
) -> Answer:
    """An answer that is the `same` as a vertex of a set, or else takes a free place."""
    weights, known = found.weights, any_true(same)
    free = jnp.argmin(weights)
    place = jnp.where(known, same, jnp.arange(len(weights)) == free)
    return Answer(vertex, place, known, ~known & (weights[free] > 0), gap)


def search(
    scores: Float[Array, " d"],
    regularizer: Regularizer,
    y: Float[Array, " d"],
    move: Float[Array, " d"],
    upper: Float[Array, ""],
) -> Float[Array, ""]:
    """The best multiple of a move, between 0 and `upper`."""
    if regularizer.structure().linear:
        bend = curvature(regularizer, jnp.full((), 0.5, y.dtype))
        better = move @ scores - move @ gradient(regularizer, y)
        return jnp.clip(safe_divide(better, bend * (move @ move)), 0, upper)

    inside = free_to_move(y, move)

    def gain(size: Float[Array, ""]) -> Float[Array, ""]:
        there = jnp.maximum(inside + size * move, 0)
        slope = gradient(regularizer, there)
        return move @ scores - move @ slope

    rounding = 4 * eps(y) * (jnp.abs(move) @ jnp.abs(scores) + 1)
    return bracketed_newton(
        lambda size: derivative(gain, size),
        jnp.zeros_like(upper),
        upper,
        jnp.minimum(upper, 1),
        tolerance=rounding,  # pyright: ignore
    ).point


def conclude(
    problem: OracleProjection,
    regularizer: Regularizer,
    found: Set,
    faces: int | None,
    steps: Int[Array, ""],
    limit: Float[Array, ""] | float,
    products: Float[Array, "m m"] | None = None,
) -> Solution:
    """The solution that is the mean of a set; NaN if that has no vertices.

    It has converged if its gap is at most `limit`.
    """
    some = steps > 0
    weights = jnp.where(some, found.weights, jnp.nan)
    gap = jnp.where(some, jnp.maximum(found.gap, 0), jnp.nan)
    dual = problem.to_dual(found.vertices, weights, faces, products)
    return Solution(problem, regularizer, dual, steps, gap, gap <= limit)


class _State(NamedTuple):
    found: Set
    steps: Int[Array, ""]
    done: Bool[Array, ""]


class FrankWolfe(Solver[OracleProjection]):
    """Pairwise conditional gradients: weight moves from the worst vertex to the best.

    A step asks the oracle for the best vertex in the direction of the gradient, and
    moves weight to it from the worst of those that have some, as much as is best. No
    linear systems are solved. Convergence is linear: slower than that of
    [`softjax.solvers.ActiveSet`][] by far, unless few vertices have weight.

    **Arguments:**

    - `tolerance`: the duality gap to stop at, relative to `<|z|, y> / softness` where
        that is above 1. The distance from the solution is only in proportion to the
        root of the gap: with `r(y) = y^2 / 2` its square is at most twice the gap over
        softness. None for a gap by which it is at most 4 roots of a unit of rounding,
        1.4e-3 in float32; a solution that rounding keeps from that has not converged.
    - `max_atoms`: the largest number of vertices of positive weight. If more are
        needed, the solution has not converged.
    - `max_steps`: the number of steps after which the best iterate is returned.
    - `faces`: as of [`softjax.solvers.ActiveSet`][].

    **Example:**

        >>> def simplex(scores):
        ...     return jax.nn.one_hot(jnp.argmax(scores), 3)
        ...
        >>> z = jnp.array([0.2, 1.0, 0.7])
        >>> problem = sj.solvers.OracleProjection(z, 0.5, simplex)
        >>> solver = sj.solvers.FrankWolfe(max_atoms=3)
        >>> print(sj.solvers.solve(problem, "c0", solver).value)
        [0.  0.8 0.2]

    ??? cite

        Lacoste-Julien and Jaggi, "On the global linear convergence of Frank-Wolfe
        optimization variants", NeurIPS 2015.
    """

    tolerance: float | None = None
    max_atoms: int = 64
    max_steps: int = 1000
    faces: int | None = None

    def accepts(self, problem: Problem, regularizer: Regularizer) -> bool:
        return isinstance(problem, OracleProjection)

    def solve(self, problem: OracleProjection, regularizer: Regularizer) -> Solution:
        scores = problem.scores
        # By the curvature of r, of which the gap is half, times a squared distance.
        ends = jnp.asarray([0.5, 1], scores.dtype)
        closest = 8 * eps(scores) * jnp.min(curvature(regularizer, ends))

        def limit(y: Float[Array, " d"]) -> Float[Array, ""] | float:
            if self.tolerance is None:
                return closest / problem.scale(y)
            return self.tolerance

        # The oracle is compiled once, as the first pass of the loop asks for the start.
        def advance(state: _State) -> _State:
            found, steps, _ = state
            vertices, weights, _ = found
            first, y = steps == 0, found.mean
            slope = jnp.where(first, 0, gradient(regularizer, y))
            # A batch asks as long as any of it wants to.
            answer = jax.lax.cond(
                anywhere(~state.done),
                lambda: consult(problem, found, y, slope),
                lambda: no_answer(found),
            )
            least = jnp.maximum(limit(y), eps(y) / 2)
            over = ~(answer.gap > least) | answer.full
            held = rise(vertices, scores, slope)
            held = jnp.where(weights > 0, held, jnp.inf)
            worst = jnp.arange(len(weights)) == jnp.argmin(held)
            upper = jnp.sum(jnp.where(worst, weights, 0))
            move = answer.vertex - vertices[jnp.argmin(held)]
            size = search(scores, regularizer, y, move, upper)
            moved = jnp.where(worst & (size >= upper), 0, weights - size * worst)
            moved = moved + size * answer.place
            moved = jnp.where(first, answer.place, moved / jnp.sum(moved))
            joined = jnp.where(answer.place[:, None], answer.vertex, vertices)
            stays = over & ~first
            new = Set(
                jnp.where(stays, vertices, joined),
                jnp.where(stays, weights, moved),
                jnp.where(first, found.gap, answer.gap),
            )
            stuck = ~(size > 0) & ~first
            return _State(new, steps + 1, stays | stuck)

        state = _State(
            no_vertices(problem, self.max_atoms),
            jnp.asarray(0, jnp.int32),
            ~jnp.all(jnp.isfinite(scores)),
        )
        found, steps, _ = iterate(advance, state, self.max_steps, scores)
        return conclude(
            problem, regularizer, found, self.faces, steps, limit(found.mean)
        )
