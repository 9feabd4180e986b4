"""Vertices that span the face of a polytope, of which an oracle knows the best."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from .._platform.batches import any_true, anywhere
from .arrays import eps, exact_einsum
from .iteration import iterate
from .semidefinite import Factor

_GAIN = 1e-3
"""Least part of a noise of order 1 that is more than the rounding of what cancels."""

_TRIES = 3
"""Tilts in a row that find nothing new, after some did, until the last is believed."""

_FINER = 16
"""Factor by which a tilt gets smaller that led away from the face."""


class Edges(NamedTuple):
    """From the heaviest of some vertices to each, and a factorization to solve with."""

    rows: Float[Array, "m d"]
    gram: Factor  # of their inner products

    def solve(
        self, rhs: Float[Array, " m"], refinements: int = 1
    ) -> Float[Array, " m"]:
        """An x in `rows @ rows.T @ x = rhs`."""

        # By the edges: inner products may be differences of those of vertices, in which
        # rounding is in proportion to what vertices share.
        def product(x: Float[Array, " m"]) -> Float[Array, " m"]:
            along = exact_einsum("m,md->d", x, self.rows)
            return exact_einsum("md,d->m", self.rows, along)

        return self.gram.solve(rhs, refinements, product)

    def without(self, x: Float[Array, " d"]) -> Float[Array, " d"]:
        """The part of x that is orthogonal to all edges."""
        along = self.solve(exact_einsum("md,d->m", self.rows, x))
        return x - exact_einsum("m,md->d", along, self.rows)


class Inquiry(NamedTuple):
    """How to find out whether the smallest face around a mean of vertices has others.

    Scores are tilted in a random direction that is orthogonal to all edges that are
    known. On the face that does not change which vertex is best, unless there is one
    that is not spanned yet: as the mean is inside of the face, such a vertex is then
    better.

    - `best`: the function from scores to the best vertex, which is nonnegative.
    - `scores`: those by which all vertices of the face are best.
    - `mean`: of vertices, of which the known `edges` are.
    """

    best: Callable[[Array], Array]
    scores: Float[Array, " d"]
    mean: Float[Array, " d"]
    edges: Edges

    @property
    def size(self) -> Float[Array, ""]:
        """The unit of tilts."""
        return jnp.max(jnp.abs(self.scores), initial=1, where=self.mean > 0)

    @property
    def noise(self) -> Float[Array, " d"]:
        numbers = np.random.default_rng(0).normal(size=self.scores.size)
        return jnp.asarray(numbers, self.scores.dtype)

    @property
    def first_tilt(self) -> Float[Array, ""]:
        return jnp.asarray(eps(self.scores) ** 0.5 / 4, self.scores.dtype)

    def ask(self, across: Float[Array, " d"], tilt: Float[Array, ""]) -> _Answer:
        """The best vertex by scores that are tilted across all that is known."""
        length = jnp.max(jnp.abs(across))
        across = across / jnp.maximum(length, _GAIN)
        vertex = self.best(self.scores + tilt * self.size * across)
        apart = vertex - self.mean
        on_face = -(self.scores @ apart) <= eps(self.scores) ** 0.75 * self.size
        # A part that the mean is without is absent from all of its face.
        on_face = on_face & ~any_true((self.mean <= 0) & (vertex > 0))
        new = on_face & (across @ apart > _GAIN)
        return _Answer(vertex, on_face, new, ~(length > _GAIN))

    def open(self) -> Bool[Array, ""]:
        """Whether there is more to ask than a first question."""
        answer = self.ask(self.edges.without(self.noise), self.first_tilt)
        closed = answer.nowhere | (answer.on_face & ~answer.new)
        return ~closed & jnp.all(jnp.isfinite(self.scores))


class _Answer(NamedTuple):
    vertex: Float[Array, " d"]
    on_face: Bool[Array, ""]
    new: Bool[Array, ""]  # whether it is on the face, and not spanned
    nowhere: Bool[Array, ""]  # whether all directions are known


class Face(NamedTuple):
    """Directions in which a face extends beyond the edges that are known.

    - `directions`: orthonormal, and orthogonal to the edges; 0 in rows not needed.
    - `spanned`: whether there are no further ones.
    """

    directions: Float[Array, "k d"]
    spanned: Bool[Array, ""]


class _State(NamedTuple):
    face: Face
    number: Int[Array, ""]  # of directions
    failures: Int[Array, ""]  # of tilts, since the last one that was of use
    tilt: Float[Array, ""]
    steps: Int[Array, ""]
    done: Bool[Array, ""]


def span_face(inquiry: Inquiry, count: int) -> Face:
    """At most `count` directions that complete the smallest face around a mean.

    Every answer adds a dimension, until one does not.
    """
    scores, edges, unit = inquiry.scores, inquiry.edges, eps(inquiry.scores)

    def unknown(x: Float[Array, " d"], directions: Array) -> Float[Array, " d"]:
        """The part of x that is orthogonal to all that is known."""

        def across(x: Float[Array, " d"]) -> Float[Array, " d"]:
            along = exact_einsum("kd,d->k", directions, x)
            return x - exact_einsum("k,kd->d", along, directions)

        # At first there are none.
        some = anywhere(directions[0] != 0)
        return jax.lax.cond(some, across, lambda x: x, edges.without(x))

    def ask(state: _State) -> _State:
        (directions, _), number, failures, tilt, steps, _ = state
        # What is left of the noise before is small across the face: it has been used.
        across = unknown(jnp.roll(inquiry.noise, steps), directions)
        answer = inquiry.ask(across, tilt)
        on_face, new, room = answer.on_face, answer.new, number < count

        def direction(apart: Float[Array, " d"]) -> Float[Array, " d"]:
            # Twice, as rounding of the first time is large beside what is left.
            apart = unknown(unknown(apart, directions), directions)
            return apart * jax.lax.rsqrt(jnp.maximum(apart @ apart, unit**2))

        adds = new & room
        apart = answer.vertex - inquiry.mean
        row = jax.lax.cond(anywhere(adds), direction, lambda x: x, apart)
        row = jnp.where(adds, row, directions[number])
        directions = jax.lax.dynamic_update_index_in_dim(directions, row, number, 0)
        tilt = jnp.where(on_face, tilt, tilt / _FINER)
        failures = jnp.where(new, 0, failures + on_face)
        spanned = (failures >= jnp.where(number > 0, _TRIES, 1)) | answer.nowhere
        spanned = spanned | ~(tilt > 32 * unit)
        face = Face(directions, spanned)
        done = spanned | (new & ~room)
        return _State(face, number + new, failures, tilt, steps + 1, done)

    none = jnp.zeros((), jnp.int32)
    directions = jnp.zeros((max(count, 1), scores.size), scores.dtype)
    state = _State(
        Face(directions, jnp.asarray(False)),
        *(none, none),
        inquiry.first_tilt,
        none,
        ~jnp.all(jnp.isfinite(scores)),
    )
    return iterate(ask, state, 2 * count + 2 * _TRIES, scores).face
