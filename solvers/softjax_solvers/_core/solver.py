"""The interface of a solver."""

from __future__ import annotations

import abc
from typing import TYPE_CHECKING, ClassVar, Generic, TypeVar

import equinox as eqx

from .problem import Problem
from .regularizer import Regularizer

if TYPE_CHECKING:
    from .solution import Solution


_Problem = TypeVar("_Problem", bound=Problem)


class Solver(eqx.Module, Generic[_Problem]):
    """An algorithm that finds the dual of a problem.

    A solver need not be differentiable: [`softjax.solvers.solve`][] attaches the
    implicit derivative to whatever dual it returns.

    **Example:**

        >>> class Patient(sj.solvers.Solver):
        ...     def accepts(self, problem, regularizer):
        ...         return sj.solvers.Newton().accepts(problem, regularizer)
        ...     def solve(self, problem, regularizer):
        ...         return sj.solvers.Newton(max_steps=1000).solve(problem, regularizer)
        ...
        >>> print(sj.argmax(jnp.array([0.2, 1.0, 0.7]), solver=Patient()))
        [0.    0.952 0.047]
    """

    @abc.abstractmethod
    def accepts(self, problem: Problem, regularizer: Regularizer) -> bool:
        """Whether this solver can solve this problem with this regularizer."""

    @abc.abstractmethod
    def solve(self, problem: _Problem, regularizer: Regularizer) -> Solution:
        """Solve the problem. The result's dual carries no derivative."""


class Adapter(Solver[_Problem]):
    """A solver of another package, as one of the `problems` that it is made for.

    `example` is how to write one of that package's, for messages.
    """

    problems: eqx.AbstractClassVar[type[Problem]]
    example: ClassVar[str]
