"""Vertices that span the face of a polytope, of which an oracle knows the best."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from .._platform.batches import any_true
from .arrays import eps, exact_einsum
from .iteration import iterate
from .semidefinite import semidefinite_solve

_GAIN = 1e-3
"""Least part of a noise of order 1 that is more than the rounding of what cancels."""

_FINER = 16
"""Factor by which a tilt gets smaller that led away from the face."""


class _State(NamedTuple):
    vertices: Float[Array, "m d"]
    gram: Float[Array, "m m"]  # of the edges from the heaviest vertex to all
    free: Bool[Array, " m"]  # places
    tilt: Float[Array, ""]
    steps: Int[Array, ""]
    done: Bool[Array, ""]


def span_face(
    best: Callable[[Array], Array],
    scores: Float[Array, " d"],
    vertices: Float[Array, "m d"],
    weights: Float[Array, " m"],
    count: int,
) -> Float[Array, "m d"]:
    """Vertices that span the smallest face around a mean of vertices.

    Scores are tilted in a random direction that is orthogonal to all edges. On the face
    that does not change which vertex is best, unless there is one that is not spanned
    yet: as the mean is inside of the face, such a vertex is then better. So every
    answer adds a dimension, and the first that does not is the last.

    **Arguments:**

    - `best`: the function from scores to the best vertex, which is nonnegative.
    - `scores`: those by which all vertices of the face are best.
    - `vertices`, `weights`: what the mean is of, with copies of the heaviest vertex in
        places of weight 0. These take what is added.
    - `count`: the largest number of times to ask.
    """
    unit, places = eps(scores), jnp.arange(len(weights))
    origin = vertices[jnp.argmax(weights)]
    mean = exact_einsum("m,md->d", weights, vertices)
    size = jnp.max(jnp.abs(scores), initial=1, where=mean > 0)
    numbers = np.random.default_rng(0).normal(size=scores.size)
    numbers = jnp.asarray(numbers, scores.dtype)

    def ask(state: _State) -> _State:
        vertices, gram, free, tilt, steps, _ = state
        # What is left of the noise before is small across the face: it has been used.
        noise = jnp.roll(numbers, steps)
        edges = vertices - origin
        along = exact_einsum("md,d->m", edges, noise)
        along = semidefinite_solve(gram, along, refinements=2)
        across = noise - exact_einsum("m,md->d", along, edges)
        length = jnp.max(jnp.abs(across))
        across = across / jnp.maximum(length, _GAIN)
        vertex = best(scores + tilt * size * across)
        apart = vertex - mean
        on_face = -(scores @ apart) <= unit**0.75 * size
        # A part that the mean is without is absent from all of its face.
        on_face = on_face & ~any_true((mean <= 0) & (vertex > 0))
        new = on_face & (across @ apart > _GAIN)
        place = new & (places == jnp.argmax(free))
        vertices = jnp.where(place[:, None], vertex, vertices)
        products = exact_einsum("md,d->m", vertices - origin, vertex - origin)
        gram = jnp.where(place[:, None], products, gram)
        gram = jnp.where(place, products[:, None], gram)
        free = free & ~place
        tilt = jnp.where(on_face, tilt, tilt / _FINER)
        over = (on_face & ~new) | ~(length > _GAIN) | ~any_true(free)
        over = over | ~(tilt > 32 * unit)
        return _State(vertices, gram, free, tilt, steps + 1, over)

    edges, free = vertices - origin, ~(weights > 0)
    state = _State(
        vertices,
        exact_einsum("md,nd->mn", edges, edges),
        free,
        jnp.asarray(unit**0.5 / 4, scores.dtype),
        jnp.asarray(0, jnp.int32),
        ~any_true(free) | ~jnp.all(jnp.isfinite(scores)),
    )
    return iterate(ask, state, count, scores).vertices
