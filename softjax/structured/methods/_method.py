"""The interface of a formulation of structured prediction."""

from __future__ import annotations

import abc
from typing import Any

import equinox as eqx
from jaxtyping import Array, Float, PyTree

from softjax_solvers import Regularizer

from .._structure import Structure


class StructuredMethod(eqx.Module):
    """What is regularized, and how its maximum is found.

    Scores are in the type that is computed in, and softness is a scalar of it.
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
        """The regularized maximum, that of a single structure unchanged."""

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
