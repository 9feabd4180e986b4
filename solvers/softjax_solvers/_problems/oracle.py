from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Bool, Float, PyTree

from .._core.precision import common_type
from .._core.problem import MaximizationProblem
from .._core.readout import Dual, Means, Moves, Primal
from .._core.regularizer import Regularizer
from .._core.rows import check_softness
from .._core.solution import Solution
from .._kernels.arrays import exact_einsum, inexact, working_type
from .._kernels.derivatives import stop_gradient, tangent_of
from .._kernels.faces import Edges, Face, Inquiry, span_face
from .._kernels.reproducible import mean, products, total
from .._kernels.semidefinite import factorize, solve_rows
from .._platform.batches import anywhere
from .callables import Oracle
from .finite_links import curvature, free_to_move, gradient

_FACES = 64
"""Largest number of directions of a face that are looked for, by default."""

_FACE_NUMBERS = 2**19
"""Most numbers in them where that allows for more directions."""

_REFINEMENTS = 2
"""Number of times that derivatives of weights are refined."""


class Atoms(eqx.Module):
    """A solution as a mean of vertices: the dual of an `OracleProjection`.

    **Attributes:**

    - `vertices`: a pytree of the structure of the scores, with a leading axis of m.
    - `weights`: `m`, nonnegative, of sum 1. A vertex of weight 0 is a copy of the
        heaviest, in a place that was not needed.
    - `faces`: the largest number of further directions of a face that a derivative
        asks for; None for its default.
    - `products`: `m x m`, the inner products of edges from the heaviest vertex to each,
        if the solver knows them.

    **Example:**

        >>> def simplex(scores):
        ...     return jax.nn.one_hot(jnp.argmax(scores), 3)
        ...
        >>> z = jnp.array([0.2, 1.0, 0.7])
        >>> problem = sj.solvers.OracleProjection(z, 0.5, simplex)
        >>> solver = sj.solvers.ActiveSet(max_atoms=3)
        >>> atoms = sj.solvers.solve(problem, "c0", solver).dual
        >>> print(atoms.weights @ atoms.vertices)
        [0.  0.8 0.2]
    """

    vertices: PyTree[Array]
    weights: Float[Array, " m"]
    faces: int | None = eqx.field(static=True)
    products: Float[Array, "m m"] | None = None


class OracleProjection(MaximizationProblem):
    """`argmax_{y in P} <z, y> - softness R(y)`, with P the hull of an oracle's answers.

    The oracle maximizes a linear function: of scores, it returns a vertex v of P for
    which `<scores, v>` is largest. All else about P is found out by asking. The
    solution is a mean of a few vertices, the dual [`softjax.solvers.Atoms`][]; it has
    the structure of z, and so have values of [`softjax.solvers.Means`][] and targets of
    losses. The marginals of structures are such solutions (SparseMAP).

    This is one problem, whatever the shape of z: batches are made by `jax.vmap`.

    **Arguments:**

    - `z`: a pytree of arrays of any shapes.
    - `softness`: positive, a scalar.
    - `oracle`: a function from a pytree like z to a vertex, of the same structure and
        shapes, whose entries are nonnegative; and at most 1 with a link that is
        bounded. A plain function has to be hashable, and a new one, such as a lambda
        in a function that is called again, is compiled anew. It may be a pytree
        instead, as an `equinox.Module` and a bound method of one are: arrays in it may
        be traced. They count as constant in derivatives. What cannot be traced is
        called by `jax.pure_callback`. NaN never reaches the oracle.

    Regularizers with finite `r'(0)` are exact for any number of vertices. With others,
    such as the entropy, solutions have full support, which takes about as many vertices
    as P has dimensions; r' is that of at least 1e-20. Scores are compared up to their
    rounding: of those of 1e6 times the softness, differences below about 0.1 softness
    are lost, and with them what softness makes of structures that tie.

    With a linear link and vertices of zeros and ones, all sums over entries are exact,
    so that scores of entries that no vertex has change nothing, to the last bit, up to
    2^14 entries. Derivatives are those at the face that the solution is inside of,
    which takes as many answers as it has dimensions beyond its vertices; `spanned` says
    whether there were enough.

    **Example:**

        >>> def path(scores):  # the better of two ways, of two steps each
        ...     upper, lower = scores
        ...     best = jnp.where(upper.sum() >= lower.sum(), 1.0, 0.0)
        ...     return jnp.full(2, best), jnp.full(2, 1 - best)
        ...
        >>> z = (jnp.array([0.3, 0.2]), jnp.array([0.1, 0.3]))
        >>> problem = sj.solvers.OracleProjection(z, 0.5, path)
        >>> upper, lower = sj.solvers.solve(problem, "c0").value
        >>> print(upper, lower)
        [0.55 0.55] [0.45 0.45]

    ??? cite

        Niculae, Martins, Blondel and Cardie, "SparseMAP: differentiable sparse
        structured inference", ICML 2018.
    """

    z: PyTree[Array]
    softness: Float[Array, ""]
    oracle: Oracle

    def __init__(self, z: Any, softness: Array | float, oracle: Callable):
        self.z = jax.tree.map(inexact, z)
        scores, _ = ravel_pytree(self.z)
        if scores.size == 0:
            raise ValueError("OracleProjection: z must have at least one entry.")
        check_softness(softness)
        self.softness = inexact(softness).astype(working_type(scores.dtype))
        if self.softness.shape != ():
            raise ValueError(
                "OracleProjection: softness must be a scalar, got shape "
                f"{self.softness.shape}. Use jax.vmap for a batch of problems."
            )
        self.oracle = oracle if isinstance(oracle, Oracle) else Oracle(oracle)

    @property
    def dtype(self) -> jnp.dtype:
        return common_type(self.z)

    @property
    def scores(self) -> Float[Array, " d"]:
        """`z / softness`, as a vector."""
        return ravel_pytree(self.z)[0] / self.softness

    def unravel(self, y: Float[Array, " d"]) -> PyTree[Array]:
        """A vector in the structure of z."""
        return ravel_pytree(self.z)[1](y)

    def ravel(self, y: PyTree[Array], name: str) -> Float[Array, " d"]:
        """A pytree like z as a vector.

        **Raises:** `ValueError` if it is of another structure, or of other shapes.
        """

        def shapes(tree):
            return jax.tree.map(jnp.shape, tree)

        if shapes(y) != shapes(self.z):
            raise ValueError(
                f"OracleProjection: {name} must have the structure and shapes of z, "
                f"{shapes(self.z)}, got {shapes(y)}."
            )
        like = jax.tree.map(lambda x, z: jnp.asarray(x, z.dtype), y, self.z)
        return ravel_pytree(like)[0]

    def best(self, scores: Float[Array, " d"]) -> Float[Array, " d"]:
        """The vertex that the oracle finds best, without a derivative."""
        scores = jax.lax.stop_gradient(scores)
        # What loops over scores may never end with NaN.
        scores = jnp.where(jnp.isfinite(scores), scores, 0)
        vertex = self.oracle(self.unravel(scores))
        return jax.lax.stop_gradient(self.ravel(vertex, "what the oracle returns"))

    def to_dual(
        self,
        vertices: Float[Array, "m d"],
        weights: Float[Array, " m"],
        faces: int | None,
        products: Float[Array, "m m"] | None = None,
    ) -> Atoms:
        """Vertices as rows, in the structure of z."""
        heaviest = vertices[jnp.argmax(weights)]
        vertices = jnp.where(weights[:, None] > 0, vertices, heaviest)
        return Atoms(jax.vmap(self.unravel)(vertices), weights, faces, products)

    def vertices(self, dual: Atoms) -> Float[Array, "m d"]:
        """The vertices of a dual, as rows."""
        return jax.vmap(lambda v: ravel_pytree(v)[0])(dual.vertices)

    def flat_primal(self, dual: Atoms) -> Float[Array, " d"]:
        return mean(dual.weights, self.vertices(dual))

    def primal(self, dual: Atoms, regularizer: Regularizer) -> PyTree[Array]:
        return self.unravel(self.flat_primal(dual))

    def means(
        self, dual: Atoms, regularizer: Regularizer, values: PyTree[Array]
    ) -> Float[Array, ""]:
        """`<y, values>`, of values like z."""
        return self.flat_primal(dual) @ self.ravel(values, "values")

    def optimality(self, dual: Atoms, regularizer: Regularizer) -> Atoms:
        """By how much each vertex is better than the heaviest, where y is."""
        slope = gradient(regularizer, self.flat_primal(dual))
        error = rise(edges(self.vertices(dual), dual.weights), self.scores, slope)
        return _of_weights(dual, error)

    def residual(self, dual: Atoms, regularizer: Regularizer) -> Float[Array, ""]:
        """The duality gap, relative to `<|z|, y> / softness` where that is above 1."""
        y = self.flat_primal(dual)
        slope = gradient(regularizer, y)
        apart = self.best(self.scores - slope) - self.vertices(dual)
        gap = dual.weights @ rise(apart, self.scores, slope)
        return jnp.maximum(gap, 0) / self.scale(y)

    def scale(self, y: Float[Array, " d"]) -> Float[Array, ""]:
        """The size of the numbers of which gaps are differences."""
        return jnp.maximum(total(jnp.abs(self.scores) * y), 1)

    def objective(self, y: PyTree[Array], regularizer: Regularizer) -> Float[Array, ""]:
        flat = self.ravel(y, "a solution or target")
        z, _ = ravel_pytree(self.z)
        return z @ flat - self.softness * jnp.sum(regularizer.value(flat))

    def default_solver(self, regularizer: Regularizer) -> str:
        return "active_set"

    def edges(self, dual: Atoms) -> Edges:
        """Edges from the heaviest vertex, without derivatives."""
        dual = stop_gradient(dual)
        rows, products = edges(self.vertices(dual), dual.weights), dual.products
        if products is None:
            products = exact_einsum("md,nd->mn", rows, rows)
        return Edges(rows, factorize(products))

    def inquiry(self, dual: Atoms, regularizer: Regularizer, known: Edges) -> Inquiry:
        """How to find the face that a solution is inside of, beyond its vertices."""
        dual, regularizer = stop_gradient((dual, regularizer))
        y = exact_einsum("m,md->d", dual.weights, self.vertices(dual))
        scores = jax.lax.stop_gradient(self.scores)
        return Inquiry(self.best, scores - gradient(regularizer, y), y, known)

    def face(self, inquiry: Inquiry, faces: int | None) -> Face:
        """The face of an inquiry."""
        size = inquiry.scores.size
        most = min(size, max(_FACES, _FACE_NUMBERS // size))
        return span_face(inquiry, most if faces is None else faces)

    def spanned(self, dual: Atoms, regularizer: Regularizer) -> Bool[Array, ""]:
        """Whether `faces` directions are enough for derivatives to be complete.

        If not, derivatives are those along a part of the face.
        """
        inquiry = self.inquiry(dual, regularizer, self.edges(dual))
        return self.face(inquiry, dual.faces).spanned

    def on_face(self, solution: Solution, moves: Moves) -> tuple[Array, Array]:
        """y and its tangent, as vectors, on the face that the solution is inside of."""
        regularizer = solution.regularizer

        def at(dual: Atoms, known: Edges | None = None) -> tuple[Array, Array]:
            here = solution.at(self, regularizer, dual)
            return self.flat_primal_and_tangents(here, moves, known)[:2]

        dual = stop_gradient(solution.dual)
        known = self.edges(dual)
        # With a linear link, r'' is the same for all entries.
        same = known if regularizer.structure().linear else None
        if dual.faces == 0:
            return at(dual, same)
        inquiry = self.inquiry(dual, regularizer, known)

        # What is kept for a gradient of one branch is filled with zeros by the other.
        @jax.checkpoint
        def with_directions() -> tuple[Array, Array]:
            directions, _ = self.face(inquiry, dual.faces)
            weights, vertices = dual.weights, self.vertices(dual)
            points = vertices[jnp.argmax(weights)] + directions
            vertices = jnp.concatenate([vertices, points])
            weights = jnp.concatenate([weights, jnp.zeros_like(points[:, 0])])
            return at(Atoms(jax.vmap(self.unravel)(vertices), weights, 0))

        # Usually the vertices span it, and a question tells so.
        spanned = dataclasses.replace(dual, faces=0)
        more = anywhere(inquiry.open())
        return jax.lax.cond(more, with_directions, lambda: at(spanned, same))

    # With B = `edges` and H = r''(y), a move of the scores moves weights by
    # (B H B^T)^+ B times it, and y by B^T times that. It is unique even where weights
    # are not.
    def flat_primal_and_tangents(
        self, solution: Solution, moves: Moves, known: Edges | None = None
    ) -> tuple[Array, Array, Array]:
        """y and its tangent, as vectors, and that of the weights.

        `known` are the edges where r'' is the same for all entries.
        """
        regularizer = solution.regularizer
        dual = stop_gradient(solution.dual)
        # Re-entering, so that higher derivatives follow the rule too.
        y, _ = ravel_pytree(solution.at(self, regularizer, dual).value)
        move = tangent_of(lambda p: p.scores, (self,), (moves.problem,))
        # The derivative of NaN is NaN, also in reverse.
        unless_nan = jnp.where(jnp.isnan(jax.lax.stop_gradient(y)), jnp.nan, 1)
        move = unless_nan * move
        rows = edges(self.vertices(dual), dual.weights)
        linear = regularizer.structure().linear
        inside = y if linear else free_to_move(y, rows)
        if jax.tree.leaves(moves.regularizer):
            move = move - tangent_of(
                lambda r: gradient(r, inside), (regularizer,), (moves.regularizer,)
            )
        bend = curvature(regularizer, jnp.full_like(y[:1], 0.5) if linear else inside)

        def gram(x):
            product = bend * exact_einsum("m,md->d", x, rows)
            return exact_einsum("md,d->m", rows, product)

        constant = jax.lax.stop_gradient(bend)

        def solve(_, rhs):
            if known is None:
                return solve_rows(rows * constant, rows, rhs, _REFINEMENTS)
            return known.solve(rhs, _REFINEMENTS) / constant

        change = jax.lax.custom_linear_solve(
            gram,
            exact_einsum("md,d->m", rows, move),
            solve,
            symmetric=True,
        )
        heaviest = jnp.argmax(dual.weights)
        weights_move = change.at[heaviest].add(-jnp.sum(change))
        y_move = unless_nan * exact_einsum("m,md->d", change, rows)
        return y, y_move, weights_move

    def primal_and_tangent(
        self, solution: Solution, readout: Primal, moves: Moves, linear_solver: Any
    ) -> tuple[PyTree[Array], PyTree[Array]]:
        y, move = self.on_face(solution, moves)
        return self.unravel(y), self.unravel(move)

    def means_and_tangent(
        self, solution: Solution, readout: Means, moves: Moves, linear_solver: Any
    ) -> tuple[Float[Array, ""], Float[Array, ""]]:
        y, move = self.on_face(solution, moves)

        def values(readout):
            return self.ravel(readout.values, "values")

        of_values = tangent_of(values, (readout,), (moves.readout,))
        return y @ values(readout), move @ values(readout) + y @ of_values

    def dual_and_tangent(
        self, solution: Solution, readout: Dual, moves: Moves, linear_solver: Any
    ) -> tuple[Atoms, Atoms]:
        *_, move = self.flat_primal_and_tangents(solution, moves)
        return solution.dual, _of_weights(solution.dual, move)

    fused: ClassVar = {
        Primal: primal_and_tangent,
        Means: means_and_tangent,
        Dual: dual_and_tangent,
    }


def _of_weights(dual: Atoms, weights: Float[Array, " m"]) -> Atoms:
    """A change of a dual that is one of its weights alone."""
    return dataclasses.replace(jax.tree.map(jnp.zeros_like, dual), weights=weights)


def rise(
    moves: Float[Array, "m d"], scores: Float[Array, " d"], slope: Float[Array, " d"]
) -> Float[Array, " m"]:
    """By how much better each move makes the objective, with `slope` of r."""
    # Apart: beside large scores that tie, the slopes would be lost.
    of_scores, of_slope = products(moves, scores, slope)
    return of_scores - of_slope


def edges(
    vertices: Float[Array, "m d"], weights: Float[Array, " m"]
) -> Float[Array, "m d"]:
    """From the heaviest vertex to each."""
    return vertices - vertices[jnp.argmax(weights)]
