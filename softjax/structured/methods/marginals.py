from __future__ import annotations

from typing import Any

import jax
import jax.flatten_util
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from softjax_solvers import Primal, Regularizer, evaluate
from softjax_solvers.internal import total

from .._danskin import attach
from .._structure import Structure
from ._method import StructuredMethod


class Marginals(StructuredMethod):
    """Global regularization: of the coordinates of the marginals (SparseMAP).

    `max_mu <scores, mu> - softness sum_i r(mu_i)`, over the convex hull of structures.
    Sparse modes choose a few structures. The entropy is not that of a distribution over
    structures, and needs as many of them as the hull has dimensions: small ones only.
    Padding by lengths changes nothing in values and marginals, to the last bit with
    `"c0"` and up to rounding in other modes and in derivatives of marginals.

    **Example:**

        >>> grid, costs = sj.structured.GridPath(), jnp.array([[0.0, 0.2], [0.1, 0.0]])
        >>> print(sj.structured.argmax(grid, -costs, softness=0.5, mode="c0"))
        [[1.  0.4]
         [0.6 1. ]]

    ??? cite

        Niculae, Martins, Blondel and Cardie, "SparseMAP: differentiable sparse
        structured inference", ICML 2018.
    """

    def check(
        self, structure: Structure, regularizer: Regularizer, solver: Any
    ) -> None:
        pass  # the solver is checked where it is used

    def argmax(
        self,
        structure: Structure,
        scores: PyTree[Array],
        softness: Float[Array, ""],
        regularizer: Regularizer,
        solver: Any,
    ) -> PyTree[Array]:
        problem = structure.projection(scores, softness)
        return evaluate(problem, regularizer, Primal(), solver)

    def value(
        self,
        structure: Structure,
        scores: PyTree[Array],
        softness: Float[Array, ""],
        regularizer: Regularizer,
        solver: Any,
    ) -> Float[Array, ""]:
        mu = self.argmax(structure, scores, softness, regularizer, solver)
        z, _ = jax.flatten_util.ravel_pytree(scores)
        y, _ = jax.flatten_util.ravel_pytree(mu)
        value = total(jnp.where(y != 0, z, 0) * y) + _term(y, softness, regularizer)
        return attach(value, y, z, (softness, regularizer), term=_term)

    def entropy(
        self,
        structure: Structure,
        scores: PyTree[Array],
        softness: Float[Array, ""],
        regularizer: Regularizer,
        solver: Any,
    ) -> Float[Array, ""]:
        mu = self.argmax(structure, scores, softness, regularizer, solver)
        return -self.regularization(structure, mu, regularizer)

    def regularization(
        self, structure: Structure, target: PyTree[Array], regularizer: Regularizer
    ) -> Float[Array, ""]:
        y, _ = jax.flatten_util.ravel_pytree(target)
        return total(regularizer.value(y))


def _term(y, softness, regularizer):
    return -softness * total(regularizer.value(y).T)
