"""The interface of a linear operator that knows how systems of it are solved."""

from __future__ import annotations

import abc
from collections.abc import Callable
from typing import Any

import lineax as lx
from jaxtyping import PyTree


class StructuredOperator(lx.AbstractLinearOperator):
    """A square operator of the batch as a whole.

    Symmetric and positive semidefinite, unless it says otherwise and overrides
    `transpose`.
    """

    @abc.abstractmethod
    def inverse(self, linear_solver: Any) -> Callable[[PyTree], PyTree]:
        """The function from `self.mv(x)` to an x.

        **Arguments:**

        - `linear_solver`: a solver of Lineax; None for the best known.
        """

    def out_structure(self):
        return self.in_structure()

    def transpose(self):
        return self

    def as_matrix(self):
        return lx.materialise(
            lx.FunctionLinearOperator(self.mv, self.in_structure())
        ).as_matrix()


@lx.is_symmetric.register
@lx.is_positive_semidefinite.register
def _(operator: StructuredOperator) -> bool:
    return True


@lx.is_diagonal.register
@lx.is_tridiagonal.register
@lx.is_lower_triangular.register
@lx.is_upper_triangular.register
@lx.has_unit_diagonal.register
@lx.is_negative_semidefinite.register
def _(operator: StructuredOperator) -> bool:
    return False


@lx.linearise.register
@lx.materialise.register
@lx.conj.register
def _(operator: StructuredOperator) -> StructuredOperator:
    return operator
