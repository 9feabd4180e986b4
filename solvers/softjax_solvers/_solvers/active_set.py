from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, PyTree

from .._core.problem import Problem
from .._core.regularizer import Regularizer
from .._core.solution import Solution
from .._core.solver import Solver
from .._kernels.arrays import eps
from .._kernels.iteration import choose_tolerance, iterate
from .._kernels.places import over_taken
from .._platform.batches import anywhere
from .._problems.oracle import OracleProjection
from .corrective import AnyLink, Rule, Squares
from .frank_wolfe import Set, conclude, no_vertices

_ASKS = 3
"""Most vertices that join before a Newton step, of which fewer are needed then."""

_PLACES = 64
"""Least number of places for vertices, unless `max_atoms` is less."""

_MOST_PLACES = 256
"""Largest number of places by default, with a link that is not linear."""

_NUMBERS = 2**23
"""Most numbers in them, where they are more than the least."""


class _State(NamedTuple):
    found: Set
    memory: PyTree[Array]  # what a rule knows of the vertices
    corrections: Int[Array, ""]  # since a vertex joined; 0 if the oracle is asked next
    held: Int[Array, ""]  # number of vertices where the oracle was asked last
    steps: Int[Array, ""]
    done: Bool[Array, ""]


class ActiveSet(Solver[OracleProjection]):
    """Newton's method in the weights of a set of vertices that an oracle adds to.

    The vertex that is best in the direction of the gradient joins the set, with the
    weight that is best for it, and then up to two more. Then the maximum over the set
    is found, by Newton's method in its affine hull with an exact search along each
    step, and vertices that lose all their weight leave the set. With a linear link one
    such step is enough unless a vertex leaves, and the method is that of Wolfe (1976).

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
        linear = regularizer.structure().linear
        rule = (Squares if linear else AnyLink)(problem, regularizer, tolerance)
        found = no_vertices(problem, _places(scores.size, self.max_atoms, linear))
        none, done = jnp.zeros((), jnp.int32), ~jnp.all(jnp.isfinite(scores))
        held = jnp.full_like(none, -_ASKS)
        state = _State(found, rule.start(found), none, held, none, done)
        state = iterate(lambda s: _advance(rule, s), state, self.max_steps, scores)
        # The weights are exact up to rounding, other than the gap.
        limit = max(self.tolerance or 0.0, 128 * eps(scores))
        found, products = state.found, rule.products(state.found, state.memory)
        return conclude(
            problem, regularizer, found, self.faces, state.steps, limit, products
        )


def _places(scores: int, max_atoms: int | None, linear: bool) -> int:
    """The number of places for vertices."""
    # As many for small ones, so that rounding is the same with scores of padding.
    most = max(_PLACES, 2 * (scores + 1))
    if max_atoms is None:
        more = max(_PLACES, min(_MOST_PLACES, _NUMBERS // scores))
        max_atoms = _PLACES if linear else more
    return min(max_atoms, most)


def _advance(rule: Rule, state: _State) -> _State:
    """Further vertices, and Newton's step in the weights of all."""
    # The oracle is compiled once, as the first pass of the loop asks for the start.
    asked = state.corrections == 0
    count = jnp.sum(state.found.weights > 0, dtype=jnp.int32)
    # One more than stayed: near the solution, most of several would leave at once.
    asks = jnp.where(asked, jnp.clip(count - state.held + 1, 1, _ASKS), 0)
    state = state._replace(held=jnp.where(asked, count, state.held))
    # One bound for a batch.
    most = sum(anywhere(asks > i).astype(jnp.int32) for i in range(_ASKS))
    state, over = jax.lax.fori_loop(
        0,
        most,
        lambda number, carry: _approach(rule, number, asks, carry),
        (state, jnp.asarray(False)),
    )
    found, memory, corrections, held, steps, _ = state

    def correct(size: int) -> tuple[Array, Array]:
        first = Set(found.vertices[:size], found.weights[:size], found.gap)
        moved, settled = rule.correct(first, memory, corrections)
        moved = moved / jnp.sum(moved)
        return jnp.pad(moved, (0, len(found.weights) - size)), settled

    moved, settled = jax.lax.cond(
        anywhere(~over),
        lambda: over_taken(found.weights > 0, correct),
        lambda: (found.weights, over),
    )
    weights = jnp.where(over, found.weights, moved)
    corrections = jnp.where(settled, 0, corrections + 1)
    found = found._replace(weights=weights)
    return _State(found, memory, corrections, held, steps + 1, over)


def _approach(
    rule: Rule, number: Array, asks: Array, carry: tuple[_State, Array]
) -> tuple:
    """Ask for a vertex, and go toward it as far as is best."""
    state, over = carry
    found, memory, corrections, held, steps, done = state
    start = (steps == 0) & (number == 0)
    # A further one may depend on the others; the last places are kept free.
    count = jnp.sum(found.weights > 0)
    roomy = (number == 0) | (4 * count < 3 * len(found.weights))
    wanted = (number < asks) & roomy & ~over & ~done
    # A batch asks as long as any of it wants to.
    answer, size, note = jax.lax.cond(
        anywhere(wanted),
        lambda: rule.ask(found, memory, start),
        lambda: rule.no_proposal(found, memory),
    )
    # What is best among its own vertices. One that is there already is better by no
    # more than rounding.
    best = wanted & ((number == 0) | (steps == 0)) & ~start
    end = ~(answer.gap > rule.tolerance) | answer.known | answer.full | ~(size > 0)
    over = over | (best & end)
    gap = jnp.where(best, answer.gap, found.gap)
    join = wanted & ~over & ~answer.full & (start | (size > 0))
    place = answer.place & join
    size = jnp.where(start, 1, size)
    joined = (1 - size) * found.weights + size * place
    weights = jnp.where(join, joined, found.weights)
    # One row: of all, a copy would take longer than the oracle.
    index = jnp.argmax(answer.place)
    vertices = _with(found.vertices, index, answer.vertex, join)
    found = Set(vertices, weights, gap)
    memory = rule.remember(memory, place, note)
    return _State(found, memory, corrections, held, steps, done), over


def _with(
    matrix: Float[Array, "m n"],
    index: Int[Array, ""],
    new: Float[Array, " n"],
    condition: Bool[Array, ""],
) -> Float[Array, "m n"]:
    """A matrix with another row, if a condition holds."""
    old = jax.lax.dynamic_index_in_dim(matrix, index, keepdims=False)
    new = jnp.where(condition, new, old)
    return jax.lax.dynamic_update_index_in_dim(matrix, new, index, 0)
