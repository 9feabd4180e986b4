from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from .._core.problem import Problem
from .._core.regularizer import Regularizer
from .._core.solution import Solution
from .._core.solver import Solver
from .._kernels.arrays import eps, exact_einsum
from .._kernels.iteration import choose_tolerance, iterate
from .._kernels.semidefinite import semidefinite_solve
from .._platform.batches import anywhere
from .._problems.oracle import (
    OracleProjection,
    curvature,
    edges,
    free_to_move,
    gradient,
    rise,
)
from .frank_wolfe import Set, conclude, consult, no_vertices, search

_CORRECTIONS = 40
"""Largest number of Newton steps between two vertices."""

_ASK = -1
"""Number of corrections that says that the oracle is asked next."""


class _State(NamedTuple):
    found: Set
    gram: Float[Array, "m m"] | None  # inner products of vertices, for a linear link
    corrections: Int[Array, ""]  # since a vertex joined
    steps: Int[Array, ""]
    done: Bool[Array, ""]


class ActiveSet(Solver[OracleProjection]):
    """Newton's method in the weights of a set of vertices that an oracle adds to.

    The vertex that is best in the direction of the gradient joins the set. Then the
    maximum over the set is found, by Newton's method in its affine hull with an exact
    search along each step, and vertices that lose all their weight leave the set. With
    a linear link a step is all of that, and the method is that of Wolfe (1976).

    **Arguments:**

    - `tolerance`: the duality gap to stop at, relative to `<|z|, y> / softness` where
        that is above 1; None for 4 units of rounding.
    - `max_atoms`: the largest number of vertices. If more are needed, the solution has
        not converged. Memory is that of so many solutions, or of as many as P may need,
        and the time of a step is that of their inner products.
    - `max_steps`: the number of steps after which the best iterate is returned.
    - `faces`: the largest number of vertices that a derivative asks for where scores
        tie, so that the solution is inside a face that is larger than the hull of its
        atoms. It asks for one more than it needs, usually for one.

    **Example:**

        >>> def simplex(scores):
        ...     return jax.nn.one_hot(jnp.argmax(scores), 3)
        ...
        >>> z = jnp.array([0.2, 1.0, 0.7])
        >>> problem = sj.solvers.OracleProjection(z, 0.5, simplex)
        >>> solver = sj.solvers.ActiveSet(max_atoms=3)
        >>> print(sj.solvers.solve(problem, "c0", solver).value)
        [0.  0.8 0.2]

    ??? cite

        Wolfe, "Finding the nearest point in a polytope", Mathematical Programming 11
        (1976); Niculae, Martins, Blondel and Cardie, "SparseMAP: differentiable sparse
        structured inference", ICML 2018.
    """

    tolerance: float | None = None
    max_atoms: int = 64
    max_steps: int = 1000
    faces: int = 64

    def accepts(self, problem: Problem, regularizer: Regularizer) -> bool:
        return isinstance(problem, OracleProjection)

    def solve(self, problem: OracleProjection, regularizer: Regularizer) -> Solution:
        scores = problem.scores
        tolerance = choose_tolerance(self.tolerance, 4, scores)
        linear = regularizer.structure().linear
        step = _to_the_maximum if linear else _toward_the_maximum
        # With a linear link vertices never depend on each other, and more are no use.
        most = (1 if linear else 2) * (scores.size + 1)
        start = no_vertices(problem, min(self.max_atoms, most))

        # The oracle is compiled once, as the first pass of the loop asks for the start.
        def advance(state: _State) -> _State:
            found, gram, corrections, steps, done = state
            first, ask, y = steps == 0, corrections == _ASK, found.mean
            slope = jnp.where(first, 0, gradient(regularizer, y))
            answer = consult(problem, found, slope, ask & ~done)
            gap = jnp.where(ask & ~first, answer.gap, found.gap)
            # A vertex that is there already is better by no more than rounding.
            over = ~(gap > tolerance) | answer.known | answer.full
            over = over & ask & ~first
            join = ask & ~over
            place = answer.place & join
            weights = found.weights
            vertices = jnp.where(place[:, None], answer.vertex, found.vertices)
            at = _Place(vertices, weights, gram, y, scores, slope, place, join, done)
            gram, taken = step(problem, regularizer, at, corrections)
            moved = jnp.maximum(weights + taken.size * taken.move, 0)
            moved = jnp.where(taken.ratio <= taken.size, 0, moved)
            moved = jnp.where(first, place, moved / jnp.sum(moved))
            stuck = join & ~(jnp.sum(moved, where=place) > 0)
            weights = jnp.where(over | stuck, weights, moved)
            corrections = jnp.where(join, 0, corrections + 1)
            corrections = jnp.where(taken.settled | first, _ASK, corrections)
            found = Set(vertices, weights, gap)
            return _State(found, gram, corrections, steps + 1, over | stuck)

        state = _State(
            start,
            _products(start.vertices, start.vertices) if linear else None,
            jnp.asarray(_ASK, jnp.int32),
            jnp.asarray(0, jnp.int32),
            ~jnp.all(jnp.isfinite(scores)),
        )
        state = iterate(advance, state, self.max_steps, scores)
        return conclude(
            problem, regularizer, state.found, self.faces, state.steps, self.tolerance
        )


class _Place(NamedTuple):
    """The place where a step starts."""

    vertices: Float[Array, "m d"]
    weights: Float[Array, " m"]
    gram: Any  # as of the state
    y: Float[Array, " d"]
    scores: Float[Array, " d"]
    slope: Float[Array, " d"]  # of r, at y
    place: Bool[Array, " m"]  # of the vertex that joins
    join: Bool[Array, ""]  # whether one does
    done: Bool[Array, ""]  # whether all that follows is of no use


class _Step(NamedTuple):
    move: Float[Array, " m"]
    size: Float[Array, ""]
    ratio: Float[Array, " m"]  # sizes that take weights to 0
    settled: Bool[Array, ""]  # whether the maximum over the set is found


def _to_the_maximum(
    problem: OracleProjection,
    regularizer: Regularizer,
    at: _Place,
    corrections: Int[Array, ""],
) -> tuple[Float[Array, "m m"], _Step]:
    """The step of a linear link: to the maximum in the hull, or to its boundary."""
    weights = at.weights
    gram = _with_products(at.gram, at.vertices, at.place)
    bend = curvature(regularizer, jnp.full((), 0.5, at.scores.dtype))
    matrix = bend * _of_edges(gram, weights)
    better = rise(edges(at.vertices, weights), at.scores, at.slope)
    move, _ = _newton(matrix, better, weights, (weights > 0) | at.place)
    size, ratio = _to_the_end(weights, move)
    return gram, _Step(move, size, ratio, size >= 1)


def _toward_the_maximum(
    problem: OracleProjection,
    regularizer: Regularizer,
    at: _Place,
    corrections: Int[Array, ""],
) -> tuple[None, _Step]:
    """The step of any other link: toward a new vertex, or Newton's."""
    vertices, weights, y = at.vertices, at.weights, at.y

    def correct():
        rows = edges(vertices, weights)
        rows = jnp.where(weights[:, None] > 0, rows, 0)
        bend = curvature(regularizer, free_to_move(y, rows))
        matrix = _products(rows * bend, rows)
        better = rise(rows, at.scores, at.slope)
        return _newton(matrix, better, weights, weights > 0)

    # By Newton's step the vertex could not join: r'' may be infinite at 0.
    toward = at.place - weights
    move, decrement = jax.lax.cond(
        anywhere(~at.join & ~at.done),
        correct,
        lambda: (toward, jnp.zeros((), toward.dtype)),
    )
    move = jnp.where(at.join, toward, move)
    size, ratio = _to_the_end(weights, move)
    direction = exact_einsum("m,md->d", move, vertices)
    size = search(at.scores, regularizer, y, direction, size)
    # A step so short converges at once, unless it is rounding itself.
    rounding = 4 * eps(y) * problem.scale(y)
    little = decrement <= jnp.maximum(eps(y) / 16, rounding**2)
    little = little | (corrections >= _CORRECTIONS) | ~(size > 0)
    return None, _Step(move, size, ratio, ~at.join & little)


def _to_the_end(
    weights: Float[Array, " m"], move: Float[Array, " m"]
) -> tuple[Float[Array, ""], Float[Array, " m"]]:
    """The part of a move that keeps weights nonnegative; what takes each to 0."""
    ratio = -weights / jnp.where(move < 0, move, -1)
    ratio = jnp.where(move < 0, ratio, jnp.inf)
    return jnp.minimum(jnp.min(ratio), 1), ratio


def _products(a: Float[Array, "m d"], b: Float[Array, "n d"]) -> Float[Array, "m n"]:
    return exact_einsum("md,nd->mn", a, b)


def _with_products(
    gram: Float[Array, "m m"],
    vertices: Float[Array, "m d"],
    place: Bool[Array, " m"],
) -> Float[Array, "m m"]:
    """Inner products, of a vertex that is new in a place too.

    Those of vertices of zeros and ones are integers, and exact.
    """
    vertex = jnp.sum(jnp.where(place[:, None], vertices, 0), axis=0)
    products = exact_einsum("md,d->m", vertices, vertex)
    gram = jnp.where(place[:, None], products, gram)
    return jnp.where(place, products[:, None], gram)


def _of_edges(
    gram: Float[Array, "m m"], weights: Float[Array, " m"]
) -> Float[Array, "m m"]:
    """Inner products of `edges`, from those of vertices."""
    heaviest = jnp.argmax(weights)
    from_it = gram - gram[heaviest]
    return from_it - from_it[:, heaviest, None]


def _newton(
    matrix: Float[Array, "m m"],
    better: Float[Array, " m"],
    weights: Float[Array, " m"],
    active: Bool[Array, " m"],
) -> tuple[Float[Array, " m"], Float[Array, ""]]:
    """Newton's step of the weights that are active, and its squared length."""
    better = jnp.where(active, better, 0)
    matrix = jnp.where(active[:, None] & active, matrix, 0)
    move = semidefinite_solve(matrix, better)
    return move.at[jnp.argmax(weights)].add(-jnp.sum(move)), better @ move
