"""Wolfe's algorithm in its plain form: what `ActiveSet` is to be compared with."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Bool, Float, Int

from softjax_solvers._kernels.semidefinite import factorize


class _State(NamedTuple):
    vertices: Float[Array, "m d"]
    gram: Float[Array, "m m"]
    weights: Float[Array, " m"]
    whole: Bool[Array, ""]  # whether the last step was not cut short
    steps: Int[Array, ""]
    done: Bool[Array, ""]


def plain_projection(
    oracle: Callable, softness: float, places: int, tolerance: float = 1e-5
) -> Callable[[Any], Any]:
    """`argmax_y <z, y> - softness |y|^2 / 2` over a hull, as a function of z.

    One vertex and one Newton step at a time, inner products that are kept, and the
    implicit derivative along the vertices. It does not ask whether the face goes on
    beyond them, and knows squares alone.

    References: Wolfe, "Finding the nearest point in a polytope", Mathematical
    Programming 11 (1976); Niculae, Martins, Blondel and Cardie, "SparseMAP", ICML 2018.
    """

    def ask(scores: Array, unravel: Callable) -> Array:
        return ravel_pytree(oracle(unravel(scores)))[0]

    def solve(z: Any) -> _State:
        flat, unravel = ravel_pytree(z)
        scores = flat / softness
        first = ask(scores, unravel)

        def query(state: _State) -> tuple[_State, Array]:
            vertices, gram, weights, *_ = state
            y = weights @ vertices
            vertex = ask(scores - y, unravel)
            known = jnp.any((weights > 0) & jnp.all(vertices == vertex, axis=1))
            free = jnp.argmin(weights)
            stop = ((vertex - y) @ (scores - y) <= tolerance) | known
            stop = stop | (weights[free] > 0)
            row = (vertices @ vertex).at[free].set(vertex @ vertex)
            joined = state._replace(
                vertices=vertices.at[free].set(vertex),
                gram=gram.at[free].set(row).at[:, free].set(row),
            )
            state = jax.tree.map(functools.partial(jnp.where, stop), state, joined)
            return state._replace(done=stop), jnp.where(stop, -1, free)

        def step(state: _State) -> _State:
            none = jnp.asarray(-1)
            state, new = jax.lax.cond(
                state.whole, query, lambda state: (state, none), state
            )
            vertices, gram, weights, *_ = state
            active = (weights > 0) | (jnp.arange(places) == new)
            heaviest, lead = jnp.argmax(weights), vertices @ scores
            better = (lead - lead[heaviest]) - (gram - gram[heaviest]) @ weights
            matrix = jnp.where(active[:, None] & active, _edges(gram, heaviest), 0)
            move = factorize(matrix).solve(jnp.where(active, better, 0))
            move = move.at[heaviest].add(-jnp.sum(move))
            ends = -weights / jnp.where(move < 0, move, -1)
            ends = jnp.where(move < 0, ends, jnp.inf)
            size = jnp.minimum(1, jnp.min(ends))
            moved = jnp.maximum(weights + size * move, 0)
            moved = jnp.where(ends <= size, 0, moved)
            moved = jnp.where(state.done, weights, moved / jnp.sum(moved))
            steps = state.steps + ~state.done
            return state._replace(weights=moved, whole=size >= 1, steps=steps)

        rows, none = jnp.zeros((places, flat.size)), jnp.zeros(places)
        state = _State(
            rows.at[0].set(first),
            jnp.zeros((places, places)).at[0, 0].set(first @ first),
            none.at[0].set(1),
            *(jnp.asarray(True), jnp.asarray(0), jnp.asarray(False)),
        )
        return jax.lax.while_loop(
            lambda state: ~state.done & (state.steps < 1000), step, state
        )

    @jax.custom_jvp
    def project(z: Any) -> Any:
        found = solve(z)
        return ravel_pytree(z)[1](found.weights @ found.vertices)

    @project.defjvp
    def _(primals: tuple, tangents: tuple) -> tuple[Any, Any]:
        unravel = ravel_pytree(primals[0])[1]
        vertices, gram, weights, *_ = jax.lax.stop_gradient(solve(*primals))
        heaviest, active = jnp.argmax(weights), weights > 0
        rows = jnp.where(active[:, None], vertices - vertices[heaviest], 0)
        matrix = jnp.where(active[:, None] & active, _edges(gram, heaviest), 0)
        change = jax.lax.custom_linear_solve(
            lambda x: matrix @ x,
            rows @ (ravel_pytree(tangents[0])[0] / softness),
            lambda _, rhs: factorize(matrix).solve(rhs),
            symmetric=True,
        )
        return unravel(weights @ vertices), unravel(change @ rows)

    return project


def _edges(gram: Float[Array, "m m"], heaviest: Array) -> Float[Array, "m m"]:
    """Inner products of edges from the heaviest vertex, by those of vertices."""
    from_it = gram - gram[heaviest]
    return from_it - from_it[:, heaviest, None]
