from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key, PyTree

from softjax_solvers import Regularizer

from .._structure import DynamicProgram, Structure
from ..semirings import Regularized, Sampled
from ._method import StructuredMethod


class Recursion(StructuredMethod):
    """Local regularization: every maximum of a dynamic program is regularized.

    With the entropy that is the Gibbs distribution over structures. With others it is a
    distribution with sparse choices, one after the other, seen from one end of the
    recursion: `value = E <scores, v> - softness sum_nodes P(node) (R(y_node) - r(1))`,
    with the choices y_node.

    **Example:**

        >>> chain, method = sj.structured.Chain(), sj.structured.Recursion()
        >>> scores = jnp.array([[0.2, 0.0], [0.0, 0.1]]), jnp.zeros((1, 2, 2))
        >>> mu = sj.structured.argmax(chain, scores, mode="c0", method=method)
        >>> print(mu[0])
        [[1. 0.]
         [0. 1.]]

    ??? cite

        Mensch and Blondel, "Differentiable dynamic programming for structured
        prediction and attention", ICML 2018.
    """

    def check(
        self, structure: Structure, regularizer: Regularizer, solver: Any
    ) -> None:
        if not isinstance(structure, DynamicProgram):
            raise TypeError(
                "method='recursion' is for a DynamicProgram, which has a recursion, "
                f"got a {type(structure).__name__}."
            )
        if solver is not None:
            raise TypeError(
                "solver belongs to method='marginals'; method='recursion' needs none, "
                f"got {solver!r}."
            )

    def value(
        self,
        structure: Structure,
        scores: PyTree[Array],
        softness: Float[Array, ""],
        regularizer: Regularizer,
        solver: Any,
    ) -> Float[Array, ""]:
        return _program(structure).recursion(scores, Regularized(regularizer, softness))

    def argmax(
        self,
        structure: Structure,
        scores: PyTree[Array],
        softness: Float[Array, ""],
        regularizer: Regularizer,
        solver: Any,
    ) -> PyTree[Array]:
        semiring = Regularized(regularizer, softness)
        value, mu = jax.value_and_grad(_program(structure).recursion)(scores, semiring)
        return jax.tree.map(lambda m: jnp.where(jnp.isnan(value), jnp.nan, m), mu)

    def entropy(
        self,
        structure: Structure,
        scores: PyTree[Array],
        softness: Float[Array, ""],
        regularizer: Regularizer,
        solver: Any,
    ) -> Float[Array, ""]:
        # As the derivative in the softness, in which no large scores cancel.
        def value(softness):
            return self.value(structure, scores, softness, regularizer, solver)

        return jax.jvp(value, (softness,), (jnp.ones_like(softness),))[1]

    def sample(
        self,
        key: Key[Array, ""],
        structure: Structure,
        scores: PyTree[Array],
        softness: Float[Array, ""],
        regularizer: Regularizer,
        solver: Any,
    ) -> PyTree[Array]:
        semiring = Sampled(regularizer, softness, key)
        return _program(structure).drawn(scores, semiring)


def _program(structure: Structure) -> Any:
    """A structure that is known to be a dynamic program."""
    return structure
