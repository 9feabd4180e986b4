from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from .._core.problem import Problem
from .._core.regularizer import Regularizer
from .._core.solution import Solution
from .._core.solver import Solver
from .._kernels.arrays import eps, exact_einsum, safe_divide
from .._kernels.iteration import choose_tolerance, iterate
from .._kernels.reproducible import total
from .._kernels.semidefinite import semidefinite_solve
from .._platform.batches import any_true
from .._problems.oracle import (
    OracleProjection,
    curvature,
    edges,
    free_to_move,
    gradient,
    rise,
)
from .frank_wolfe import Answer, Set, conclude, consult, no_vertices, search

_CORRECTIONS = 40
"""Largest number of Newton steps between two vertices."""

_ASKS = 2
"""Number of vertices that join before a Newton step, which takes longer than they."""


_PLACES = 64
"""Least number of places for vertices, unless `max_atoms` is less."""


class _State(NamedTuple):
    found: Set
    gram: Float[Array, "m m"] | None  # inner products of vertices, for a linear link
    corrections: Int[Array, ""]  # since a vertex joined; 0 if the oracle is asked next
    steps: Int[Array, ""]
    done: Bool[Array, ""]


class ActiveSet(Solver[OracleProjection]):
    """Newton's method in the weights of a set of vertices that an oracle adds to.

    The vertex that is best in the direction of the gradient joins the set, with the
    weight that is best for it, and then a second one. Then the maximum over the set is
    found, by Newton's method in its affine hull with an exact search along each step,
    and vertices that lose all their weight leave the set. With a linear link one such
    step is enough unless a vertex leaves, and the method is that of Wolfe (1976).

    **Arguments:**

    - `tolerance`: the duality gap to stop at, relative to `<|z|, y> / softness` where
        that is above 1; None for 4 units of rounding.
    - `max_atoms`: the largest number of vertices. If more are needed, the solution has
        not converged. Memory is that of so many solutions, or of as many as P may need,
        and the time of a step is that of their inner products.
    - `max_steps`: the number of steps after which the best iterate is returned.
    - `faces`: the largest number of further directions that a derivative asks for
        where scores tie, so that the solution is inside a face that is larger than the
        hull of its atoms; memory is that of so many solutions. None for 64, and for as
        many as there are scores up to 724. Usually one question tells that there are
        none. `OracleProjection.spanned` says whether they are enough.

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
    faces: int | None = None

    def accepts(self, problem: Problem, regularizer: Regularizer) -> bool:
        return isinstance(problem, OracleProjection)

    def solve(self, problem: OracleProjection, regularizer: Regularizer) -> Solution:
        scores = problem.scores
        tolerance = choose_tolerance(self.tolerance, 4, scores)
        linear = regularizer.structure().linear
        # As many for small ones, so that rounding is the same with scores of padding.
        most = max(_PLACES, 2 * (scores.size + 1))
        start = no_vertices(problem, min(self.max_atoms, most))
        constant = curvature(regularizer, jnp.full((), 0.5, scores.dtype))

        def approach(number: Array, carry: tuple[_State, Array]) -> tuple:
            """Ask for a vertex, and go toward it as far as is best."""
            state, over = carry
            found, gram, corrections, steps, done = state
            start, y = (steps == 0) & (number == 0), found.mean
            # A second one may depend on the others; the last places are kept free.
            count = jnp.sum(found.weights > 0)
            roomy = (number == 0) | (4 * count < 3 * len(found.weights))
            wanted = (corrections == 0) & roomy & ~over & ~done
            slope = jnp.where(start, 0, gradient(regularizer, y))
            answer = consult(problem, found, slope, wanted)
            toward = answer.place - found.weights
            if linear:
                gram = _with_products(gram, found.vertices, answer)  # pyright: ignore
                length = constant * total(
                    toward * exact_einsum("mn,n->m", gram, toward)
                )
                rise_toward = answer.gap * problem.scale(y)
                size = jnp.clip(safe_divide(rise_toward, length), 0, 1)
            else:
                move = answer.vertex - y
                size = search(scores, regularizer, y, move, jnp.ones_like(y[0]))
            # What is best among its own vertices. One that is there already is better
            # by no more than rounding.
            best = wanted & ((number == 0) | (steps == 0)) & ~start
            end = ~(answer.gap > tolerance) | answer.known | answer.full | ~(size > 0)
            over = over | (best & end)
            gap = jnp.where(best, answer.gap, found.gap)
            join = wanted & ~over & ~answer.full & (start | (size > 0))
            place = answer.place & join
            size = jnp.where(start, 1, size)
            joined = (1 - size) * found.weights + size * place
            weights = jnp.where(join, joined, found.weights)
            vertices = jnp.where(place[:, None], answer.vertex, found.vertices)
            if linear:
                gram = jnp.where(join, gram, carry[0].gram)  # pyright: ignore
            found = Set(vertices, weights, gap)
            return _State(found, gram, corrections, steps, done), over

        # The oracle is compiled once, as the first pass of the loop asks for the start.
        def advance(state: _State) -> _State:
            carry = state, jnp.asarray(False)
            state, over = jax.lax.fori_loop(0, _ASKS, approach, carry)
            found, gram, corrections, steps, _ = state
            vertices, weights, gap = found
            y = found.mean
            slope = gradient(regularizer, y)
            rows = edges(vertices, weights)
            rows = jnp.where(weights[:, None] > 0, rows, 0)
            if linear:
                matrix = constant * _of_edges(gram, weights)  # pyright: ignore
            else:
                bend = curvature(regularizer, free_to_move(y, rows))
                matrix = _products(rows * bend, rows)
            better = rise(rows, scores, slope)
            move, decrement = _newton(matrix, better, weights, weights > 0)
            size, ratio = _to_the_end(weights, move)
            if linear:
                settled = size >= 1
            else:
                direction = exact_einsum("m,md->d", move, vertices)
                size = search(scores, regularizer, y, direction, size)
                # A step so short converges at once, unless it is rounding itself.
                rounding = 4 * eps(y) * problem.scale(y)
                settled = decrement <= jnp.maximum(eps(y) / 16, rounding**2)
                # Nor does it leave a gap, unless a weight cuts it short: that of a
                # small weight counts for little in the length, and in full for the
                # gap. It is squared by the step.
                best = jnp.max(jnp.where(weights > 0, better, -jnp.inf))
                apart = best - total(weights * better)
                settled &= apart**2 <= tolerance * problem.scale(y)
                settled &= ~any_true(ratio <= size)
                settled = settled | (corrections >= _CORRECTIONS) | ~(size > 0)
            moved = jnp.maximum(weights + size * move, 0)
            moved = jnp.where(ratio <= size, 0, moved)
            weights = jnp.where(over, weights, moved / total(moved))
            corrections = jnp.where(settled, 0, corrections + 1)
            found = Set(vertices, weights, gap)
            return _State(found, gram, corrections, steps + 1, over)

        none = jnp.zeros((), jnp.int32)
        state = _State(
            start,
            _products(start.vertices, start.vertices) if linear else None,
            none,
            none,
            ~jnp.all(jnp.isfinite(scores)),
        )
        state = iterate(advance, state, self.max_steps, scores)
        # The weights are exact up to rounding, other than the gap.
        limit = max(self.tolerance or 0.0, 128 * eps(scores))
        return conclude(
            problem, regularizer, state.found, self.faces, state.steps, limit
        )


def _to_the_end(
    weights: Float[Array, " m"], move: Float[Array, " m"]
) -> tuple[Float[Array, ""], Float[Array, " m"]]:
    """How much of a move keeps weights nonnegative, and what takes each to 0."""
    ratio = -weights / jnp.where(move < 0, move, -1)
    ratio = jnp.where(move < 0, ratio, jnp.inf)
    return jnp.minimum(jnp.min(ratio), 1), ratio


def _products(a: Float[Array, "m d"], b: Float[Array, "n d"]) -> Float[Array, "m n"]:
    return exact_einsum("md,nd->mn", a, b)


def _with_products(
    gram: Float[Array, "m m"], vertices: Float[Array, "m d"], answer: Answer
) -> Float[Array, "m m"]:
    """Inner products, of an answer in its place too.

    Those of vertices of zeros and ones are integers, and exact.
    """
    place, vertex = answer.place, answer.vertex
    products = exact_einsum("md,d->m", vertices, vertex)
    products = jnp.where(place, exact_einsum("d,d->", vertex, vertex), products)
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
