"""Fully corrective steps over a set of vertices: where to go, and how far."""

from __future__ import annotations

import abc
from typing import NamedTuple

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, PyTree

from .._core.regularizer import Regularizer
from .._kernels.arrays import eps, exact_einsum, safe_divide
from .._kernels.places import over_taken
from .._kernels.reproducible import total
from .._kernels.semidefinite import factorize
from .._platform.batches import any_true
from .._problems.finite_links import curvature, free_to_move, gradient
from .._problems.oracle import OracleProjection, edges, rise
from .frank_wolfe import Answer, Set, consult, no_answer, place_of, search

_CORRECTIONS = 40
"""Largest number of Newton steps between two vertices."""


class Proposal(NamedTuple):
    """A vertex, how far to go toward it, and what is to be remembered of it."""

    answer: Answer
    size: Float[Array, ""]
    note: PyTree[Array]


class Rule(eqx.Module):
    """Steps towards the solution of a problem, and what they remember of vertices."""

    problem: eqx.AbstractVar[OracleProjection]
    regularizer: eqx.AbstractVar[Regularizer]
    tolerance: eqx.AbstractVar[float]

    @abc.abstractmethod
    def start(self, found: Set) -> PyTree[Array]:
        """A memory of no vertices."""

    @abc.abstractmethod
    def ask(self, found: Set, memory: PyTree[Array], first: Array) -> Proposal:
        """The vertex to go toward; the `first` one is the best by scores alone."""

    @abc.abstractmethod
    def no_proposal(self, found: Set, memory: PyTree[Array]) -> Proposal:
        """Zeros like a proposal."""

    @abc.abstractmethod
    def remember(
        self, memory: PyTree[Array], place: Bool[Array, " m"], note: PyTree[Array]
    ) -> PyTree[Array]:
        """A memory of the vertex that joins at a place, if there is one."""

    @abc.abstractmethod
    def correct(
        self, found: Set, memory: PyTree[Array], corrections: Array
    ) -> tuple[Float[Array, " m"], Bool[Array, ""]]:
        """Weights after Newton's step, and whether it was the last at these vertices.

        They are not normalized. A set of fewer places has the first of them.
        """

    @abc.abstractmethod
    def products(self, found: Set, memory: PyTree[Array]) -> Array | None:
        """Inner products of edges from the heaviest vertex, if they are known."""


class _Products(NamedTuple):
    """Facts about vertices from which steps follow if r is a square."""

    gram: Float[Array, "m m"]  # inner products
    lead: Float[Array, " m"]  # by how much they are better than the first, at y = 0
    level: Float[Array, " m"]  # sums of absolute scores
    first: Float[Array, " d"]


class _Note(NamedTuple):
    """Facts about one more vertex."""

    products: Float[Array, " m"]
    lead: Float[Array, ""]
    level: Float[Array, ""]
    first: Float[Array, " d"]


class Squares(Rule):
    """With a linear link all follows from inner products, and one step is enough.

    Products of vertices of zeros and ones are integers, and exact.
    """

    problem: OracleProjection
    regularizer: Regularizer
    tolerance: float

    @property
    def bend(self) -> Float[Array, ""]:
        """r'', which is constant."""
        half = jnp.full((), 0.5, self.problem.scores.dtype)
        return curvature(self.regularizer, half)

    def start(self, found: Set) -> _Products:
        none = jnp.zeros_like(found.weights)
        gram = jnp.zeros((len(none), len(none)), none.dtype)
        return _Products(gram, none, none, jnp.zeros_like(self.problem.scores))

    def ask(self, found: Set, memory: _Products, first: Array) -> Proposal:
        scores, (vertices, weights, _) = self.problem.scores, found
        bend, slope = self.bend, gradient(self.regularizer, found.mean)
        vertex = self.problem.best(scores - jnp.where(first, 0, slope))

        def compare(size: int) -> tuple[Array, Array]:
            rows, rest = vertices[:size], (0, len(weights) - size)
            same = (weights[:size] > 0) & jnp.all(rows == vertex, axis=-1)
            products = exact_einsum("md,d->m", rows, vertex)
            return jnp.pad(products, rest), jnp.pad(same, rest)

        products, same = over_taken(weights > 0, compare, vertices.size)
        own = exact_einsum("d,d->", vertex, vertex)
        # Differences first: what vertices share may be large.
        origin = jnp.where(first, vertex, memory.first)
        apart = vertex - origin
        of_scores, of_slope, level = total(
            jnp.stack(
                [
                    apart * scores,
                    apart * gradient(self.regularizer, jnp.zeros_like(scores)),
                    vertex * jnp.abs(scores),
                ]
            )
        )
        lead = of_scores - of_slope
        reach = exact_einsum("mn,n->m", products - memory.gram, weights)
        better = (lead - memory.lead) - bend * reach
        # The mean of <v, v - u> - <v - u, y> over the vertices u is |v - y|^2.
        terms = jnp.stack([better, own - products - reach, memory.level])
        gain, squared, size = exact_einsum("km,m->k", terms, weights)
        answer = place_of(found, vertex, same, gain / jnp.maximum(size, 1))
        size = jnp.clip(safe_divide(gain, bend * squared), 0, 1)
        note = _Note(jnp.where(answer.place, own, products), lead, level, origin)
        return Proposal(answer, size, note)

    def no_proposal(self, found: Set, memory: _Products) -> Proposal:
        no = jnp.zeros_like(found.gap)
        note = _Note(jnp.zeros_like(found.weights), no, no, memory.first)
        return Proposal(no_answer(found), no, note)

    def remember(
        self, memory: _Products, place: Bool[Array, " m"], note: _Note
    ) -> _Products:
        new = place[:, None] | place
        column = jnp.where(place, note.products[:, None], note.products)
        return _Products(
            jnp.where(new, column, memory.gram),
            jnp.where(place, note.lead, memory.lead),
            jnp.where(place, note.level, memory.level),
            note.first,
        )

    def correct(
        self, found: Set, memory: _Products, corrections: Array
    ) -> tuple[Float[Array, " m"], Bool[Array, ""]]:
        weights, bend = found.weights, self.bend
        heaviest, from_it = _from_heaviest(weights, memory)
        reach = exact_einsum("mn,n->m", from_it, weights)
        lead = memory.lead[: len(weights)] - memory.lead[heaviest]
        better = lead - bend * reach
        matrix = bend * self.products(found, memory)
        move, _ = _newton(matrix, better, weights)
        size, ratio = _to_the_end(weights, move)
        return _moved(weights, move, size, ratio), size >= 1

    def products(self, found: Set, memory: _Products) -> Float[Array, "m m"]:
        heaviest, from_it = _from_heaviest(found.weights, memory)
        products, active = from_it - from_it[:, heaviest, None], found.weights > 0
        return jnp.where(active[:, None] & active, products, 0)


def _from_heaviest(
    weights: Float[Array, " m"], memory: _Products
) -> tuple[Int[Array, ""], Float[Array, "m m"]]:
    """The heaviest vertex, and products of edges from it with the first vertices."""
    size, heaviest = len(weights), jnp.argmax(weights)
    return heaviest, memory.gram[:size, :size] - memory.gram[heaviest, :size]


class AnyLink(Rule):
    """Newton's method for any link, which remembers nothing."""

    problem: OracleProjection
    regularizer: Regularizer
    tolerance: float

    def start(self, found: Set) -> None:
        return None

    def ask(self, found: Set, memory: None, first: Array) -> Proposal:
        y = found.mean
        slope = jnp.where(first, 0, gradient(self.regularizer, y))
        answer = consult(self.problem, found, y, slope)
        move, one = answer.vertex - y, jnp.ones_like(y[0])
        size = search(self.problem.scores, self.regularizer, y, move, one)
        return Proposal(answer, size, None)

    def no_proposal(self, found: Set, memory: None) -> Proposal:
        return Proposal(no_answer(found), jnp.zeros_like(found.gap), None)

    def remember(self, memory: None, place: Bool[Array, " m"], note: None) -> None:
        return None

    def correct(
        self, found: Set, memory: None, corrections: Array
    ) -> tuple[Float[Array, " m"], Bool[Array, ""]]:
        scores, regularizer = self.problem.scores, self.regularizer
        vertices, weights, _ = found
        y = found.mean
        slope = gradient(regularizer, y)
        rows = edges(vertices, weights)
        rows = jnp.where(weights[:, None] > 0, rows, 0)
        bend = curvature(regularizer, free_to_move(y, rows))
        better = rise(rows, scores, slope)
        matrix = exact_einsum("md,nd->mn", rows * bend, rows)
        move, decrement = _newton(matrix, better, weights)
        size, ratio = _to_the_end(weights, move)
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
        return _moved(weights, move, size, ratio), settled

    def products(self, found: Set, memory: None) -> None:
        return None


def _to_the_end(
    weights: Float[Array, " m"], move: Float[Array, " m"]
) -> tuple[Float[Array, ""], Float[Array, " m"]]:
    """How much of a move keeps weights nonnegative, and what takes each to 0."""
    ratio = -weights / jnp.where(move < 0, move, -1)
    ratio = jnp.where(move < 0, ratio, jnp.inf)
    return jnp.minimum(jnp.min(ratio), 1), ratio


def _moved(
    weights: Float[Array, " m"],
    move: Float[Array, " m"],
    size: Float[Array, ""],
    ratio: Float[Array, " m"],
) -> Float[Array, " m"]:
    """Weights after so much of a move, 0 where that takes them there."""
    return jnp.where(ratio <= size, 0, jnp.maximum(weights + size * move, 0))


def _newton(
    matrix: Float[Array, "m m"],
    better: Float[Array, " m"],
    weights: Float[Array, " m"],
) -> tuple[Float[Array, " m"], Float[Array, ""]]:
    """Newton's step of the weights that are positive, and its squared length.

    The matrix is 0 in rows and columns of the others.
    """
    better = jnp.where(weights > 0, better, 0)
    move = factorize(matrix).solve(better)
    return move.at[jnp.argmax(weights)].add(-jnp.sum(move)), better @ move
