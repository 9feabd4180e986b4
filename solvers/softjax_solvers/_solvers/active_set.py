from __future__ import annotations

from typing import NamedTuple

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
from .._platform.batches import any_true, anywhere
from .._problems.oracle import OracleProjection, curvature, edges, gradient
from .frank_wolfe import search

_CORRECTIONS = 40
"""Largest number of Newton steps between two vertices."""


class _State(NamedTuple):
    vertices: Float[Array, "m d"]
    weights: Float[Array, " m"]
    gram: Float[Array, "m m"] | None  # of the vertices, for a linear link
    gap: Float[Array, ""]  # relative, where the oracle was asked last
    corrections: Int[Array, ""]  # since then; -1 where the next step is to ask
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
        that is above 1; None for 16 units of rounding.
    - `max_atoms`: the largest number of vertices. If more are needed, the solution has
        not converged. Memory is that of so many solutions, and time per step that of
        their inner products.
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
        dtype, m = scores.dtype, self.max_atoms
        tolerance = choose_tolerance(self.tolerance, 16, scores)
        linear = regularizer.structure().linear
        places = jnp.arange(m)

        def advance(state: _State) -> _State:
            vertices, weights, gram = state.vertices, state.weights, state.gram
            first = state.steps == 0
            y = exact_einsum("m,md->d", weights, vertices)
            steep = scores - jnp.where(first, 0, gradient(regularizer, y))
            scale = problem.scale(y)
            ask = state.corrections < 0
            vertex = jax.lax.cond(
                anywhere(ask & ~state.done),
                lambda x: problem.best(x),
                jnp.zeros_like,
                steep,
            )
            gap = weights @ exact_einsum("md,d->m", vertex - vertices, steep) / scale
            gap = jnp.where(ask & ~first, gap, state.gap)
            known = any_true((weights > 0) & jnp.all(vertices == vertex, axis=-1))
            place = jnp.argmin(weights)
            full = weights[place] > 0
            over = ask & ~first & (~(gap > tolerance) | known | full)
            add = ask & ~over
            new = add & (places == place)
            vertices = jnp.where(new[:, None], vertex, vertices)
            if linear:
                products = exact_einsum("md,d->m", vertices, vertex)
                gram = jnp.where(new[:, None] | new, products[:, None], gram)
                gram = jnp.where(new[:, None], products, gram)
                gram = jnp.where(new, products[:, None], gram)
                active = (weights > 0) | new
                heaviest = jnp.argmax(weights)
                matrix = gram - gram[heaviest]
                matrix = matrix - matrix[:, heaviest][:, None]
                bend = curvature(regularizer, jnp.full((), 0.5, dtype))
                matrix = bend * jnp.where(active[:, None] & active, matrix, 0)
                rows = jnp.where(active[:, None], vertices - vertices[heaviest], 0)
                error = exact_einsum("md,d->m", rows, steep)
                move = semidefinite_solve(matrix, error)
                move = move.at[heaviest].add(-jnp.sum(move))
            else:
                raise NotImplementedError
            ratio = jnp.where(
                move < 0, -weights / jnp.where(move < 0, move, 1), jnp.inf
            )
            size = jnp.minimum(jnp.min(ratio), 1)
            moved = jnp.where(ratio <= size, 0, jnp.maximum(weights + size * move, 0))
            moved = jnp.where(first, new.astype(dtype), moved)
            moved = moved / jnp.sum(moved)
            stuck = add & (moved[place] <= 0)
            corrections = jnp.where((size >= 1) | stuck | first, -1, 1)
            return _State(
                vertices,
                jnp.where(over, weights, moved),
                gram,
                gap,
                corrections,
                state.steps + 1,
                over | stuck,
            )

        state = _State(
            jnp.zeros((m, scores.size), dtype),
            jnp.zeros(m, dtype),
            jnp.zeros((m, m), dtype) if linear else None,
            jnp.asarray(jnp.inf, dtype),
            jnp.asarray(-1, jnp.int32),
            jnp.asarray(0, jnp.int32),
            ~jnp.all(jnp.isfinite(scores)),
        )
        state = iterate(advance, state, self.max_steps, scores)
        bad = state.steps == 0
        weights = jnp.where(bad, jnp.nan, state.weights)
        gap = jnp.where(bad, jnp.nan, jnp.maximum(state.gap, 0))
        dual = problem.to_dual(state.vertices, weights, self.faces)
        limit = max(self.tolerance or 0.0, 128 * eps(gap))
        return Solution(problem, regularizer, dual, state.steps, gap, gap <= limit)
