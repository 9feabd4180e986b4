from __future__ import annotations

import abc

import equinox as eqx
from jaxtyping import Array, Float, Int

from .._core.problem import Problem
from .._core.regularizer import Regularizer
from .._core.solution import Solution, judge
from .._core.solver import Solver
from .._kernels.conjugate_gradients import conjugate_gradients
from .._kernels.iteration import choose_tolerance
from .._problems import MajorizationProjection


class Descent(Solver[MajorizationProjection]):
    """Descent of minus the dual of a majorization problem, with a tolerance."""

    tolerance: float | None = None
    max_steps: int = 128

    @abc.abstractmethod
    def search(
        self,
        problem: MajorizationProjection,
        start: Float[Array, "*batch m"],
        regularizer: Regularizer,
    ) -> tuple[Float[Array, "*batch m"], Int[Array, "*batch"]]:
        """Optimal dual, searched from `start` on, and the number of steps."""

    def accepts(self, problem: Problem, regularizer: Regularizer) -> bool:
        return isinstance(problem, MajorizationProjection)

    def solve(
        self, problem: MajorizationProjection, regularizer: Regularizer
    ) -> Solution:
        start = problem.initial_dual(regularizer)
        dual, steps = self.search(problem, start, regularizer)
        return judge(problem, regularizer, dual, steps)


class ConjugateGradients(Descent):
    """Nonlinear conjugate gradients on the dual of a majorization problem.

    They are preconditioned by two tridiagonal solves that come close to a step of
    Newton's method, so that not many more steps are needed (Polak and Ribiere, 1969).
    The terms of the dual are exponentials, so that their third derivatives along a line
    are at most `size` times the second ones, where `size` is by how much any of their
    arguments changes; and the share `log(1 + size) / size` of Newton's step along that
    line always decreases it (Bach, 2010). Each line is searched by two such steps.

    **Arguments:**

    - `tolerance`: the size of a step after which it stops, None for 64 units of
        rounding. The error is some percent of it.
    - `max_steps`: the number of steps after which the iterate is returned.

    **Example:**

        >>> x = jnp.array([0.2, 1.0, 0.7])
        >>> solver = sj.solvers.ConjugateGradients(max_steps=50)
        >>> print(sj.sort(x, method="smooth_sort", solver=solver))
        [0.286 0.656 0.958]

    ??? cite

        Polak and Ribiere, "Note sur la convergence de méthodes de directions
        conjuguées", Revue française d'informatique et de recherche opérationnelle 3,
        1969.

        Bach, "Self-concordant analysis for logistic regression", Electronic Journal of
        Statistics 4, 2010.
    """

    @eqx.filter_jit
    def search(
        self,
        problem: MajorizationProjection,
        start: Float[Array, "*batch m"],
        regularizer: Regularizer,
    ) -> tuple[Float[Array, "*batch m"], Int[Array, "*batch"]]:
        return conjugate_gradients(
            lambda dual: problem.quadratic_model(dual, regularizer),
            start,
            problem.inside,
            tolerance=choose_tolerance(self.tolerance, 64, start),
            max_steps=self.max_steps,
            exponential=True,
        )
