from __future__ import annotations

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from .._core.problem import Problem
from .._core.regularizer import Regularizer
from .._core.solution import Solution
from .._core.solver import Solver
from .._kernels.arrays import eps, exact_einsum, safe_divide
from .._kernels.iteration import choose_tolerance, iterate
from .._kernels.places import over_taken
from .._kernels.reproducible import total
from .._kernels.semidefinite import semidefinite_solve
from .._platform.batches import any_true, anywhere
from .._problems.oracle import (
    OracleProjection,
    curvature,
    edges,
    free_to_move,
    gradient,
    rise,
)
from .frank_wolfe import (
    Answer,
    Set,
    conclude,
    consult,
    no_answer,
    no_vertices,
    search,
)

_CORRECTIONS = 40
"""Largest number of Newton steps between two vertices."""

_ASKS = 3
"""Number of vertices that join before a Newton step, which takes longer than they."""


_PLACES = 64
"""Least number of places for vertices, unless `max_atoms` is less."""

_MOST_PLACES = 256
"""Largest number of places by default, with a link that is not linear."""

_NUMBERS = 2**23
"""Most numbers in them, where they are more than the least."""


class _State(NamedTuple):
    found: Set
    gram: Float[Array, "m m"] | None  # inner products of vertices, for a linear link
    corrections: Int[Array, ""]  # since a vertex joined; 0 if the oracle is asked next
    steps: Int[Array, ""]
    done: Bool[Array, ""]


class ActiveSet(Solver[OracleProjection]):
    """Newton's method in the weights of a set of vertices that an oracle adds to.

    The vertex that is best in the direction of the gradient joins the set, with the
    weight that is best for it, and then two more. Then the maximum over the set is
    found, by Newton's method in its affine hull with an exact search along each step,
    and vertices that lose all their weight leave the set. With a linear link one such
    step is enough unless a vertex leaves, and the method is that of Wolfe (1976).

    **Arguments:**

    - `tolerance`: the duality gap to stop at, relative to `<|z|, y> / softness` where
        that is above 1; None for 4 units of rounding.
    - `max_atoms`: the largest number of vertices. If more are needed, the solution has
        not converged. None for 64 with a linear link, as that of `"c0"`, and else for
        256, or fewer, but 64, where they would be more than 2^23 numbers. Only the
        first 32 take part in steps as long as they are enough. Memory is that of so
        many solutions, or of as many as P may need, and the time of a step is that of
        their inner products.
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
    max_atoms: int | None = None
    max_steps: int = 1000
    faces: int | None = None

    def accepts(self, problem: Problem, regularizer: Regularizer) -> bool:
        return isinstance(problem, OracleProjection)

    def solve(self, problem: OracleProjection, regularizer: Regularizer) -> Solution:
        scores = problem.scores
        tolerance = choose_tolerance(self.tolerance, 4, scores)
        search = _Search(problem, regularizer, tolerance)
        state = search.start(_places(scores.size, self.max_atoms, search.linear))
        state = iterate(lambda s: search.advance(s), state, self.max_steps, scores)
        # The weights are exact up to rounding, other than the gap.
        limit = max(self.tolerance or 0.0, 128 * eps(scores))
        return conclude(
            problem, regularizer, state.found, self.faces, state.steps, limit
        )


def _places(scores: int, max_atoms: int | None, linear: bool) -> int:
    """The number of places for vertices."""
    # As many for small ones, so that rounding is the same with scores of padding.
    most = max(_PLACES, 2 * (scores + 1))
    if max_atoms is None:
        more = max(_PLACES, min(_MOST_PLACES, _NUMBERS // scores))
        max_atoms = _PLACES if linear else more
    return min(max_atoms, most)


class _Search(eqx.Module):
    """Steps towards the solution of a problem."""

    problem: OracleProjection
    regularizer: Regularizer
    tolerance: float

    @property
    def linear(self) -> bool:
        return self.regularizer.structure().linear

    @property
    def bend(self) -> Float[Array, ""]:
        """r'' of a linear link, which is constant."""
        half = jnp.full((), 0.5, self.problem.scores.dtype)
        return curvature(self.regularizer, half)

    def start(self, size: int) -> _State:
        found, none = no_vertices(self.problem, size), jnp.zeros((), jnp.int32)
        vertices = found.vertices
        gram = jnp.zeros((size, size), vertices.dtype) if self.linear else None
        done = ~jnp.all(jnp.isfinite(self.problem.scores))
        return _State(found, gram, none, none, done)

    def advance(self, state: _State) -> _State:
        """Further vertices, and Newton's step in the weights of all."""
        # The oracle is compiled once, as the first pass of the loop asks for the start.
        carry = state, jnp.asarray(False)
        state, over = jax.lax.fori_loop(
            0, _ASKS, lambda number, carry: self.approach(number, carry), carry
        )
        found = state.found

        def correct(size: int) -> tuple[Array, Array]:
            gram = None if state.gram is None else state.gram[:size, :size]
            first = Set(found.vertices[:size], found.weights[:size], found.gap)
            moved, settled = self.correct(first, gram, state.corrections)
            return jnp.pad(moved, (0, len(found.weights) - size)), settled

        moved, settled = over_taken(found.weights > 0, correct)
        weights = jnp.where(over, found.weights, moved / total(moved))
        corrections = jnp.where(settled, 0, state.corrections + 1)
        found = found._replace(weights=weights)
        return _State(found, state.gram, corrections, state.steps + 1, over)

    def approach(self, number: Array, carry: tuple[_State, Array]) -> tuple:
        """Ask for a vertex, and go toward it as far as is best."""
        state, over = carry
        found, gram, corrections, steps, done = state
        start = (steps == 0) & (number == 0)
        # A further one may depend on the others; the last places are kept free.
        count = jnp.sum(found.weights > 0)
        roomy = (number == 0) | (4 * count < 3 * len(found.weights))
        wanted = (corrections == 0) & roomy & ~over & ~done

        def ask() -> tuple[Answer, Array | None, Array]:
            y = found.mean
            slope = jnp.where(start, 0, gradient(self.regularizer, y))
            answer = consult(self.problem, found, y, slope)
            if gram is None:
                move, one = answer.vertex - y, jnp.ones_like(y[0])
                scores = self.problem.scores
                size = search(scores, self.regularizer, y, move, one)
                return answer, None, size
            squared, products = self.distance(found, gram, answer)
            better = answer.gap * self.problem.scale(y)
            size = jnp.clip(safe_divide(better, self.bend * squared), 0, 1)
            return answer, products, size

        def nothing() -> tuple[Answer, Array | None, Array]:
            products = None if gram is None else jnp.zeros_like(found.weights)
            return no_answer(found), products, jnp.zeros_like(found.gap)

        # A batch asks as long as any of it wants to.
        answer, products, size = jax.lax.cond(anywhere(wanted), ask, nothing)
        # What is best among its own vertices. One that is there already is better by no
        # more than rounding.
        best = wanted & ((number == 0) | (steps == 0)) & ~start
        end = ~(answer.gap > self.tolerance) | answer.known | answer.full | ~(size > 0)
        over = over | (best & end)
        gap = jnp.where(best, answer.gap, found.gap)
        join = wanted & ~over & ~answer.full & (start | (size > 0))
        place = answer.place & join
        size = jnp.where(start, 1, size)
        joined = (1 - size) * found.weights + size * place
        weights = jnp.where(join, joined, found.weights)
        # One row, and one column: of all, a copy would take longer than the oracle.
        index = jnp.argmax(answer.place)
        vertices = _with(found.vertices, index, answer.vertex, join, axis=0)
        if gram is not None and products is not None:
            new = place[:, None] | place
            gram = jnp.where(new, jnp.where(place, products[:, None], products), gram)
        found = Set(vertices, weights, gap)
        return _State(found, gram, corrections, steps, done), over

    def distance(
        self, found: Set, gram: Float[Array, "m m"], answer: Answer
    ) -> tuple[Float[Array, ""], Float[Array, " m"]]:
        """Squared distance of an answer from the mean, and its products with vertices.

        Products of vertices of zeros and ones are integers, and exact.
        """
        vertex = answer.vertex
        own = exact_einsum("d,d->", vertex, vertex)
        products = exact_einsum("md,d->m", found.vertices, vertex)
        along = products - exact_einsum("mn,n->m", gram, found.weights)
        squared = own - total(found.weights * (products + along))
        return squared, jnp.where(answer.place, own, products)

    def correct(
        self, found: Set, gram: Float[Array, "m m"] | None, corrections: Array
    ) -> tuple[Float[Array, " m"], Bool[Array, ""]]:
        """Weights after Newton's step, and whether it was the last at these vertices.

        They are not normalized.
        """
        scores, regularizer = self.problem.scores, self.regularizer
        vertices, weights, _ = found
        y = found.mean
        slope = gradient(regularizer, y)
        rows = edges(vertices, weights)
        rows = jnp.where(weights[:, None] > 0, rows, 0)
        if gram is None:
            matrix = _products(
                rows * curvature(regularizer, free_to_move(y, rows)), rows
            )
        else:
            matrix = self.bend * _of_edges(gram, weights)
        better = rise(rows, scores, slope)
        move, decrement = _newton(matrix, better, weights, weights > 0)
        size, ratio = _to_the_end(weights, move)
        if gram is not None:
            settled = size >= 1
        else:
            direction = exact_einsum("m,md->d", move, vertices)
            size = search(scores, regularizer, y, direction, size)
            # A step so short converges at once, unless it is rounding itself.
            rounding = 4 * eps(y) * self.problem.scale(y)
            settled = decrement <= jnp.maximum(eps(y) / 16, rounding**2)
            # Nor does it leave a gap, unless a weight cuts it short: that of a small
            # weight counts for little in the length, and in full for the gap. It is
            # squared by the step.
            best = jnp.max(jnp.where(weights > 0, better, -jnp.inf))
            apart = best - total(weights * better)
            settled &= apart**2 <= self.tolerance * self.problem.scale(y)
            settled &= ~any_true(ratio <= size)
            settled = settled | (corrections >= _CORRECTIONS) | ~(size > 0)
        moved = jnp.maximum(weights + size * move, 0)
        return jnp.where(ratio <= size, 0, moved), settled


def _to_the_end(
    weights: Float[Array, " m"], move: Float[Array, " m"]
) -> tuple[Float[Array, ""], Float[Array, " m"]]:
    """How much of a move keeps weights nonnegative, and what takes each to 0."""
    ratio = -weights / jnp.where(move < 0, move, -1)
    ratio = jnp.where(move < 0, ratio, jnp.inf)
    return jnp.minimum(jnp.min(ratio), 1), ratio


def _products(a: Float[Array, "m d"], b: Float[Array, "n d"]) -> Float[Array, "m n"]:
    return exact_einsum("md,nd->mn", a, b)


def _with(
    matrix: Float[Array, "m n"],
    index: Int[Array, ""],
    new: Float[Array, " k"],
    condition: Bool[Array, ""],
    axis: int,
) -> Float[Array, "m n"]:
    """A matrix with another row, or column of axis 1, if a condition holds."""
    old = jax.lax.dynamic_index_in_dim(matrix, index, axis, keepdims=False)
    new = jnp.where(condition, new, old)
    return jax.lax.dynamic_update_index_in_dim(matrix, new, index, axis)


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
