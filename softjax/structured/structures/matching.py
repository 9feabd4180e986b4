from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PyTree

from softjax_solvers import MaximizationProblem, TransportProjection
from softjax_solvers.internal import assign

from .._structure import Structure
from ._checks import check_shape, unless_nan


class Matching(Structure):
    """Matchings of rows with columns, in which all of the fewer have one partner.

    `scores` are `n m`, those of pairs. A structure is a matrix of zeros and ones: a
    permutation matrix if n = m, and else one with a single 1 in each row, or in each
    column, of the shorter side. The best is found by shortest augmenting paths, in
    O(min(n, m)^2 max(n, m)) operations. Soft matchings of n = m are optimal transport,
    as the marginals are doubly stochastic matrices.

    **Example:**

        >>> st = sj.structured
        >>> scores = jnp.array([[1.0, 0.8, 0.0], [0.9, 0.1, 0.0], [0.0, 0.0, 0.2]])
        >>> print(st.argmax(st.Matching(), scores, mode="hard"))
        [[0. 1. 0.]
         [1. 0. 0.]
         [0. 0. 1.]]
        >>> print(st.argmax(st.Matching(), scores, softness=1.0))
        [[0.417 0.575 0.008]
         [0.583 0.142 0.275]
         [0.    0.283 0.717]]

    ??? cite

        Jonker and Volgenant, "A shortest augmenting path algorithm for dense and sparse
        linear assignment problems", Computing 38 (1987); Blondel, Seguy and Rolet,
        "Smooth and sparse optimal transport", AISTATS 2018.
    """

    def check(self, scores: PyTree[Array]) -> None:
        check_shape("Matching", "scores", scores, ("n", "m"))

    def oracle(self, scores: Float[Array, "n m"]) -> Float[Array, "n m"]:
        n, m = scores.shape
        if n > m:
            return self.oracle(scores.T).T
        columns, _ = assign(scores)
        best = (columns[:, None] == jnp.arange(m)).astype(scores.dtype)
        return unless_nan(best, scores)

    def projection(self, scores: PyTree[Array], softness: Array) -> MaximizationProblem:
        n, m = scores.shape
        if n != m:
            return Structure.projection(self, scores, softness)
        # Costs that are exact where they are small, however large the scores are.
        still = jax.lax.stop_gradient(scores)
        _, reduced = assign(still)
        costs = reduced + (still - scores)
        ones = np.ones(n, scores.dtype)
        # Relative to one pair, not to the mass of all.
        return TransportProjection(costs, ones, ones, softness, np.ones(()))
