"""The interface of a solver, and what it returns."""

from __future__ import annotations

import abc
from typing import ClassVar

import equinox as eqx
from jaxtyping import Array, Bool, Float, Int, PyTree

from .._kernels.numerics import eps
from .problem import Problem
from .regularizer import Regularizer


class Solution(eqx.Module):
    """What a solver found.

    **Attributes:**

    - `problem`, `regularizer`: what was solved.
    - `dual`: the dual variables, a pytree of arrays; see the problem.
    - `steps`: number of iterations, a scalar or one for each solution of the batch.
    - `residual`: how far the dual is from optimal, of the batch's shape.
    - `converged`: whether the residual is within the solver's tolerance, of the
        batch's shape. A solver that fails says so here and never raises.

    **Example:**

        >>> problem = sj.solvers.SimplexProjection(jnp.array([0.2, 1.0, 0.7]), 0.5)
        >>> found = sj.solvers.solve(problem, "c0")
        >>> print(found.value, found.expectation(jnp.array([0.0, 1.0, 2.0])))
        [0.  0.8 0.2] 1.2
    """

    problem: Problem
    regularizer: Regularizer
    dual: PyTree[Array]
    steps: Int[Array, "..."]
    residual: Float[Array, "..."]
    converged: Bool[Array, "..."]

    @property
    def value(self) -> Array:
        """The solution y itself, formed on demand."""
        return self.problem.primal(self.dual, self.regularizer)

    def expectation(self, values: Float[Array, "*batch n"]) -> Array:
        """`y @ values`, without forming y where the problem's structure allows it."""
        return self.problem.expectation(self.dual, self.regularizer, values)


def judge(
    problem: Problem, regularizer: Regularizer, dual: PyTree[Array], steps: Array
) -> Solution:
    """A solution that has converged if its residual is a matter of rounding."""
    residual = problem.residual(dual, regularizer)
    # The sum of n terms, each with a few units of rounding.
    converged = residual <= 1000 * eps(residual)
    return Solution(problem, regularizer, dual, steps, residual, converged)


class Solver(eqx.Module):
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
    def solve(self, problem: Problem, regularizer: Regularizer) -> Solution:
        """Solve the problem. The result's dual carries no derivative."""


class Adapter(Solver):
    """A solver of another package, as one of the `problems` that it is made for.

    `example` is how to write one of that package's, for messages.
    """

    problems: eqx.AbstractClassVar[type[Problem]]
    example: ClassVar[str]
