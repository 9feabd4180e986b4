"""The solvers: their names, their adapters, and which is the default."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .._solvers import (
    ActiveSet,
    ClosedForm,
    ConjugateGradients,
    DampedNewton,
    DivideAndConquerIsotonic,
    DualCoordinateAscent,
    FrankWolfe,
    JaxoptMinimiser,
    MetricNewton,
    Newton,
    OptimistixMinimiser,
    OptimistixRootFinder,
    OTTSinkhorn,
    PoolAdjacentViolators,
    ProjectedNewton,
    SemiDual,
)
from .problem import Problem
from .regularizer import Regularizer
from .solver import Adapter, Solver

SOLVERS: dict[str, Callable[[], Solver[Any]]] = {
    "closed_form": ClosedForm,
    "newton": Newton,
    "semi_dual": SemiDual,
    "sinkhorn": OTTSinkhorn,
    "alternating": DualCoordinateAscent,
    "pool_adjacent_violators": PoolAdjacentViolators,
    "merging": DivideAndConquerIsotonic,
    "conjugate_gradients": ConjugateGradients,
    "damped_newton": DampedNewton,
    "projected_newton": ProjectedNewton,
    "active_set": ActiveSet,
    "frank_wolfe": FrankWolfe,
    "metric_newton": MetricNewton,
}
"""Name of a solver -> what makes it.

**Example:**

    >>> for name in sj.solvers.SOLVERS:
    ...     print(name)
    closed_form
    newton
    semi_dual
    sinkhorn
    alternating
    pool_adjacent_violators
    merging
    conjugate_gradients
    damped_newton
    projected_newton
    active_set
    frank_wolfe
    metric_newton
"""

ADAPTERS: dict[str, tuple[type[Adapter], ...]] = {
    "optimistix": (OptimistixRootFinder, OptimistixMinimiser),
    "jaxopt": (JaxoptMinimiser,),
}
"""Package of a foreign solver -> adapters; the first that accepts a problem is used."""

CLASSES = frozenset({"jaxopt"})
"""Packages in which a solver is made for a function, so that a class stands for one."""


def prepare(
    problem: Problem, regularizer: Regularizer, solver: Any, linear_solver: Any
) -> tuple[Problem, Solver[Any]]:
    """The final form of a problem, and the solver that the keyword stands for.

    The form is the special one for the regularizer if the solver takes it, and else the
    general one.

    **Raises:** what [`softjax.solvers.choose_solver`][] does; and `TypeError` if
    `linear_solver` is neither None nor a solver of Lineax.
    """
    check_linear_solver(linear_solver)
    special = problem.specialize(regularizer)
    if solver is None:
        solver = special.default_solver(regularizer)
    if solver is None:
        raise TypeError(
            f"solver=None: there is no default for a {type(problem).__name__} with the "
            f"regularizer {regularizer!r}. {_able(special, regularizer)}"
        )
    for candidate in _candidates(solver):
        for form in (special, special.general()):
            if form.accepted_by(candidate, regularizer):
                return form, candidate
    raise TypeError(
        f"solver={solver!r} cannot solve a {type(problem).__name__} with the "
        f"regularizer {regularizer!r}. {_able(special, regularizer)}"
    )


def check_linear_solver(linear_solver: Any) -> None:
    if linear_solver is None:
        return
    import lineax as lx

    if not isinstance(linear_solver, lx.AbstractLinearSolver):
        raise TypeError(
            "linear_solver must be None or an instance of a solver of Lineax, got "
            f"{linear_solver!r}."
        )


def _able(problem: Problem, regularizer: Regularizer) -> str:
    """A sentence that says which solvers can solve a specialized problem."""
    forms = problem, problem.general()
    able = [
        repr(name)
        for name, make in SOLVERS.items()
        if any(form.accepted_by(make(), regularizer) for form in forms)
    ]
    for package, adapters in ADAPTERS.items():
        able += [
            f"those of {package}, such as {adapter.example}"
            for adapter in adapters
            if isinstance(problem, adapter.problems)
        ]
    if not able:
        return (
            "None of softjax.solvers.SOLVERS can, nor of those of "
            f"{', '.join(ADAPTERS)}: pass a softjax.solvers.Solver of your own."
        )
    return f"Solvers that can: {', '.join(able)}."


def choose_solver(
    solver: Any, problem: Problem, regularizer: Regularizer
) -> Solver[Any]:
    """The solver that the keyword `solver` means for this problem.

    **Arguments:**

    - `solver`: None for the default, a name in `SOLVERS`, a
        [`softjax.solvers.Solver`][], or a foreign solver that there is an adapter for
        (Optimistix, JAXopt).

    **Raises:** `ValueError` for an unknown name; `TypeError` for an object that is no
    solver, or for a solver that cannot solve this problem, or None where no default
    can. It lists those that can.

    **Example:**

        >>> problem = sj.solvers.SimplexProjection(jnp.array([0.2, 1.0, 0.7]), 0.1)
        >>> print(sj.solvers.choose_solver(None, problem, sj.solvers.Entropy()))
        ClosedForm()
        >>> print(sj.solvers.choose_solver("newton", problem, sj.solvers.Entropy()))
        Newton()
    """
    _, chosen = prepare(problem, regularizer, solver, None)
    return chosen


def _candidates(solver: Any) -> tuple[Solver[Any], ...]:
    if isinstance(solver, Solver):
        return (solver,)
    if isinstance(solver, str):
        if solver not in SOLVERS:
            raise ValueError(
                f"solver={solver!r} is not known. Allowed: None, "
                f"{', '.join(map(repr, SOLVERS))}, or a solver object."
            )
        return (SOLVERS[solver](),)
    # By name, so that a package is not imported just to ask whether it is meant.
    for cls in type(solver).__mro__:
        package = cls.__module__.partition(".")[0]
        if package in ADAPTERS:
            return tuple(adapt(solver) for adapt in ADAPTERS[package])
    if isinstance(solver, type) and solver.__module__.partition(".")[0] in CLASSES:
        package = solver.__module__.partition(".")[0]
        return tuple(adapt(solver) for adapt in ADAPTERS[package])
    hint = (
        f" Did you mean an instance, {solver.__name__}(...)?"
        if isinstance(solver, type)
        else ""
    )
    raise TypeError(
        "solver must be None, a name, a softjax.solvers.Solver or a solver of "
        f"{', '.join(ADAPTERS)}, got {solver!r}.{hint}"
    )
