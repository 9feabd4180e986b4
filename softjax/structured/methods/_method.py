"""The interface of a formulation of structured prediction."""

from __future__ import annotations

import abc
from typing import Any

import equinox as eqx
from jaxtyping import Array, Float, Key, PyTree

from softjax_solvers import Regularizer

from .._structure import Structure, inner


class StructuredMethod(eqx.Module):
    """Formulation: what is regularized, and how its maximum is found.

    Scores are in the type that is computed in, and softness is a scalar of it.

    **Example:**

        >>> class Hardly(sj.structured.StructuredMethod):  # the best, without softness
        ...     def check(self, structure, regularizer, solver):
        ...         pass
        ...     def value(self, structure, scores, softness, regularizer, solver):
        ...         return sj.structured.value(structure, scores, mode="hard")
        ...     def argmax(self, structure, scores, softness, regularizer, solver):
        ...         return structure.oracle(scores)
        ...
        >>> z = jnp.array([[0.0, 0.2], [0.1, 0.0]])
        >>> print(sj.structured.argmax(sj.structured.GridPath(), z, method=Hardly()))
        [[1. 1.]
         [0. 1.]]
    """

    @abc.abstractmethod
    def check(
        self, structure: Structure, regularizer: Regularizer, solver: Any
    ) -> None:
        """**Raises:** `TypeError` for what this formulation has no answer to."""

    @abc.abstractmethod
    def value(
        self,
        structure: Structure,
        scores: PyTree[Array],
        softness: Float[Array, ""],
        regularizer: Regularizer,
        solver: Any,
    ) -> Float[Array, ""]:
        """The regularized maximum `max_mu <scores, mu> - softness Omega(mu)`."""

    @abc.abstractmethod
    def argmax(
        self,
        structure: Structure,
        scores: PyTree[Array],
        softness: Float[Array, ""],
        regularizer: Regularizer,
        solver: Any,
    ) -> PyTree[Array]:
        """The marginals, of the shapes of scores."""

    # What follows are defaults, meant to be overridden by what is known better.

    def entropy(
        self,
        structure: Structure,
        scores: PyTree[Array],
        softness: Float[Array, ""],
        regularizer: Regularizer,
        solver: Any,
    ) -> Float[Array, ""]:
        """`(value - <scores, marginals>) / softness`. Default: by this formula."""
        given = structure, scores, softness, regularizer, solver
        return (self.value(*given) - inner(scores, self.argmax(*given))) / softness

    def regularization(
        self,
        structure: Structure,
        target: PyTree[Array],
        regularizer: Regularizer,
    ) -> Float[Array, ""] | float:
        """The regularizer of a target, as in `value`. Default: 0, as for structures."""
        return 0.0

    def sample(
        self,
        key: Key[Array, ""],
        structure: Structure,
        scores: PyTree[Array],
        softness: Float[Array, ""],
        regularizer: Regularizer,
        solver: Any,
    ) -> PyTree[Array]:
        """A random structure, whose expectation is the marginals.

        Default: none is known.

        **Raises:** `TypeError` if there is no distribution to draw from.
        """
        raise TypeError(
            f"sample: {type(self).__name__}() has marginals, and no distribution over "
            "structures to draw from. method='recursion' has one."
        )
