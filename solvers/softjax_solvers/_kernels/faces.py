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


def span_face(
    best: Callable[[Array], Array],
    scores: Float[Array, " d"],
    vertices: Float[Array, "m d"],
    weights: Float[Array, " m"],
    gram: Factor,
    count: int,
) -> Face:
    """Directions that complete the smallest face around a mean of vertices.

    Scores are tilted in a random direction that is orthogonal to all that is known. On
    the face that does not change which vertex is best, unless there is one that is not
    spanned yet: as the mean is inside of the face, such a vertex is then better. So
    every answer adds a dimension, until one does not.

    **Arguments:**

    - `best`: the function from scores to the best vertex, which is nonnegative.
    - `scores`: those by which all vertices of the face are best.
    - `vertices`, `weights`: what the mean is of, with copies of the heaviest vertex in
        places of weight 0.
    - `gram`: the factorization of inner products of edges from the heaviest vertex.
    - `count`: the largest number of directions.
    """
    unit = eps(scores)
    origin = vertices[jnp.argmax(weights)]
    edges, mean = vertices - origin, exact_einsum("m,md->d", weights, vertices)
    size = jnp.max(jnp.abs(scores), initial=1, where=mean > 0)
    numbers = np.random.default_rng(0).normal(size=scores.size)
    numbers = jnp.asarray(numbers, scores.dtype)

    def unknown(x: Float[Array, " d"], directions: Array) -> Float[Array, " d"]:
        """The part of x that is orthogonal to all that is known."""
        along = gram.solve(exact_einsum("md,d->m", edges, x))
        x = x - exact_einsum("m,md->d", along, edges)

        def across(x: Float[Array, " d"]) -> Float[Array, " d"]:
            along = exact_einsum("kd,d->k", directions, x)
            return x - exact_einsum("k,kd->d", along, directions)

        # Usually there are none.
        return jax.lax.cond(anywhere(directions[0] != 0), across, lambda x: x, x)

    def ask(state: _State) -> _State:
        (directions, _), number, failures, tilt, steps, _ = state
        # What is left of the noise before is small across the face: it has been used.
        across = unknown(jnp.roll(numbers, steps), directions)
        length = jnp.max(jnp.abs(across))
        across = across / jnp.maximum(length, _GAIN)
        vertex = best(scores + tilt * size * across)
        apart = vertex - mean
        on_face = -(scores @ apart) <= unit**0.75 * size
        # A part that the mean is without is absent from all of its face.
        on_face = on_face & ~any_true((mean <= 0) & (vertex > 0))
        new = on_face & (across @ apart > _GAIN)
        room = number < count

        def direction(apart: Float[Array, " d"]) -> Float[Array, " d"]:
            # Twice, as rounding of the first time is large beside what is left.
            apart = unknown(unknown(apart, directions), directions)
            return apart * jax.lax.rsqrt(jnp.maximum(apart @ apart, unit**2))

        adds = new & room
        row = jax.lax.cond(anywhere(adds), direction, lambda x: x, vertex - origin)
        row = jnp.where(adds, row, directions[number])
        directions = jax.lax.dynamic_update_index_in_dim(directions, row, number, 0)
        tilt = jnp.where(on_face, tilt, tilt / _FINER)
        failures = jnp.where(new, 0, failures + on_face)
        spanned = (failures >= jnp.where(number > 0, _TRIES, 1)) | ~(length > _GAIN)
        spanned = spanned | ~(tilt > 32 * unit)
        face = Face(directions, spanned)
        done = spanned | (new & ~room)
        return _State(face, number + new, failures, tilt, steps + 1, done)

    none = jnp.zeros((), jnp.int32)
    directions = jnp.zeros((max(count, 1), scores.size), scores.dtype)
    state = _State(
        Face(directions, jnp.asarray(False)),
        *(none, none),
        jnp.asarray(unit**0.5 / 4, scores.dtype),
        none,
        ~jnp.all(jnp.isfinite(scores)),
    )
    return iterate(ask, state, 2 * count + 2 * _TRIES, scores).face
