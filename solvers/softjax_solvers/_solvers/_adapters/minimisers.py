"""Adapters to minimisers of other packages, for problems with a concave dual."""

from __future__ import annotations

import abc
import dataclasses
from collections.abc import Callable
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Int

from ..._core.problem import ConcaveDualProblem, Problem
from ..._core.regularizer import Regularizer
from ..._core.solution import Solution
from ..._core.solver import Adapter
from ..._kernels.arrays import eps
from ..._kernels.iteration import choose_tolerance


class _Minimiser(Adapter[ConcaveDualProblem]):
    """Minimiser of minus the dual of each problem of a batch, in scaled variables."""

    problems: ClassVar[type[Problem]] = ConcaveDualProblem

    solver: Any
    tolerance: float | None = None

    @abc.abstractmethod
    def minimise(
        self, fn: Callable[[Array], Array], start: Array
    ) -> tuple[Array, Int[Array, ""]]:
        """Minimum point of `fn`, searched from `start` on, and the number of steps."""

    def solve(self, problem: ConcaveDualProblem, regularizer: Regularizer) -> Solution:
        scale = problem.dual_scale(regularizer)

        def find(row):
            start, unravel = ravel_pytree(row.initial_dual(regularizer))

            def fn(x):
                dual = unravel(scale * x)
                return -row.dual_value(dual, regularizer) * (x.size / scale)

            point, steps = self.minimise(fn, start / scale)
            return unravel(scale * point), steps

        dual, steps = jax.vmap(find)(problem.flat())
        tolerance = choose_tolerance(self.tolerance, eps(scale) ** -0.5, scale)
        return problem.to_solution(dual, steps, regularizer, tolerance)


class OptimistixMinimiser(_Minimiser):
    """Any Optimistix minimiser, on the full dual of a problem.

    **Arguments:**

    - `solver`: such as `optimistix.LBFGS(rtol=1e-6, atol=1e-6)` or `BFGS`.
    - `tolerance`: the residual up to which the result counts as converged; None for
        the square root of the rounding unit.
    - `max_steps`: passed on.

    **Example:**

        >>> import optimistix as optx
        >>> x = jnp.array([0.2, 1.0, 0.7])
        >>> minimiser = sj.solvers.OptimistixMinimiser(optx.BFGS(1e-6, 1e-6))
        >>> print(sj.argmax(x, method="ot", solver=minimiser))
        [0.    0.953 0.047]
    """

    example: ClassVar[str] = "optimistix.BFGS(rtol=1e-6, atol=1e-6)"

    max_steps: int = 2000

    def accepts(self, problem: Problem, regularizer: Regularizer) -> bool:
        import optimistix as optx

        return isinstance(problem, ConcaveDualProblem) and isinstance(
            self.solver, optx.AbstractMinimiser
        )

    def minimise(
        self, fn: Callable[[Array], Array], start: Array
    ) -> tuple[Array, Int[Array, ""]]:
        import optimistix as optx

        found = optx.minimise(
            lambda x, _: fn(x),
            self.solver,
            start,
            max_steps=self.max_steps,
            throw=False,
        )
        return found.value, jnp.asarray(found.stats["num_steps"])


_MINIMISERS = (
    "LBFGS",
    "BFGS",
    "NonlinearCG",
    "GradientDescent",
    "ArmijoSGD",
    "PolyakSGD",
    "OptaxSolver",
)
"""Solvers of JAXopt that minimise a function without constraints."""


class JaxoptMinimiser(_Minimiser):
    """A JAXopt solver that minimises any function, on the full dual of a problem.

    **Arguments:**

    - `solver`: `jaxopt.LBFGS`, `BFGS`, `NonlinearCG`, `GradientDescent`, `ArmijoSGD`,
        `PolyakSGD` or `OptaxSolver`: a class that needs no more than a function, or an
        instance, whose options are kept and whose function is replaced. Root finders,
        fixed-point iterations, solvers of constrained problems or least squares, and
        those of SciPy, which JAX cannot compile, are refused.
    - `tolerance`: the residual up to which the result counts as converged; None for
        the square root of the rounding unit.

    **Example:**

        >>> import jaxopt
        >>> x = jnp.array([0.2, 1.0, 0.7])
        >>> minimiser = sj.solvers.JaxoptMinimiser(jaxopt.BFGS)
        >>> print(sj.argmax(x, method="ot", solver=minimiser))
        [0.    0.953 0.047]
    """

    example: ClassVar[str] = "jaxopt.LBFGS"

    def accepts(self, problem: Problem, regularizer: Regularizer) -> bool:
        import jaxopt

        minimisers = tuple(getattr(jaxopt, name) for name in _MINIMISERS)
        solver = self.solver
        if isinstance(solver, type):
            fits = issubclass(solver, minimisers) and _needs_no_more(solver)
        else:
            fits = isinstance(solver, minimisers)
        return fits and isinstance(problem, ConcaveDualProblem)

    def minimise(
        self, fn: Callable[[Array], Array], start: Array
    ) -> tuple[Array, Int[Array, ""]]:
        if isinstance(self.solver, type):
            solver = self.solver(fun=fn)
        else:
            solver = dataclasses.replace(
                self.solver, fun=fn, value_and_grad=False, has_aux=False
            )
        found = solver.run(start)
        return found.params, found.state.iter_num


def _needs_no_more(solver: type) -> bool:
    """Whether a dataclass can be made of a function alone."""
    missing = dataclasses.MISSING
    return all(
        field.name == "fun"
        or not field.init
        or (field.default, field.default_factory) != (missing, missing)
        for field in dataclasses.fields(solver)
    )
