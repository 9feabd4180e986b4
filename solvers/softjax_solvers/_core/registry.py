"""The solvers: their names, their adapters, and which is the default."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from .._problems import TransportProjection
from .._solvers import (
    Alternating,
    ClosedForm,
    ConjugateGradients,
    DampedNewton,
    JaxoptMinimiser,
    Merging,
    Newton,
    OptimistixMinimiser,
    OptimistixRootFinder,
    PoolAdjacentViolators,
    Rowwise,
    SemiDual,
    Sinkhorn,
)
from .problem import Problem
from .regularizer import Regularizer
from .solver import Adapter, Solver

SOLVERS: dict[str, Callable[[], Solver]] = {
    "closed_form": ClosedForm,
    "newton": Newton,
    "semi_dual": SemiDual,
    "sinkhorn": Sinkhorn,
    "alternating": Alternating,
    "pool_adjacent_violators": PoolAdjacentViolators,
    "merging": Merging,
    "conjugate_gradients": ConjugateGradients,
    "damped_newton": DampedNewton,
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
"""

ADAPTERS: dict[str, tuple[type[Adapter], ...]] = {
    "optimistix": (OptimistixRootFinder, OptimistixMinimiser),
    "jaxopt": (JaxoptMinimiser,),
}
"""Package of a foreign solver -> adapters; the first that accepts a problem is used."""

FEW_COLUMNS = 16
"""Up to how many columns of a transport problem Newton's method needs no start."""

CLASSES = frozenset({"jaxopt"})
"""Packages in which a solver is made for a function, so that a class stands for one."""

WRAPPERS: tuple[Callable[[Solver], Solver], ...] = (Rowwise,)
"""What extends a solver to problems that reduce to those it accepts."""


def default_solver(problem: Problem, regularizer: Regularizer) -> Solver:
    """The best known solver of a problem with a regularizer.

    **Raises:** `TypeError`, listing other packages' that can, if there is none.
    """
    for solver in _in_order(problem, regularizer):
        if (choice := _fit(solver, problem, regularizer)) is not None:
            return choice
    raise TypeError(
        f"solver=None: there is no default for a {type(problem).__name__} with the "
        f"regularizer {regularizer!r}. {_able(problem, regularizer)}"
    )


def _in_order(problem: Problem, regularizer: Regularizer) -> Iterator[Solver]:
    """All solvers, from the one to be preferred on.

    Newton's method beats sorting for sparse regularizers on a CPU (measured by
    `benchmarks/simplex_solvers.py`), so the closed form comes first for the entropy
    only. Transport problems are solved by Newton's method on the semi-dual; with many
    columns and the entropy, a few Sinkhorn steps before it usually leave nothing to do.
    """
    exponential = regularizer.rate() is not None
    if exponential:
        yield ClosedForm()
    if isinstance(problem, TransportProjection):
        many = problem.cost.shape[-1] > FEW_COLUMNS
        yield SemiDual(alternations=4) if many and exponential else SemiDual()
    yield from (Newton(), PoolAdjacentViolators(), Merging(), DampedNewton())
    for make in SOLVERS.values():
        yield make()


def _fit(solver: Solver, problem: Problem, regularizer: Regularizer) -> Solver | None:
    """The solver, or what a wrapper makes of it, if it can solve the problem."""
    for choice in (solver, *(wrap(solver) for wrap in WRAPPERS)):
        if choice.accepts(problem, regularizer):
            return choice
    return None


def _able(problem: Problem, regularizer: Regularizer) -> str:
    """A sentence that says which solvers can solve the problem."""
    able = [
        repr(name)
        for name, make in SOLVERS.items()
        if _fit(make(), problem, regularizer) is not None
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


def choose_solver(solver: Any, problem: Problem, regularizer: Regularizer) -> Solver:
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
    if solver is None:
        return default_solver(problem, regularizer)
    for candidate in _candidates(solver):
        if (choice := _fit(candidate, problem, regularizer)) is not None:
            return choice
    raise TypeError(
        f"solver={solver!r} cannot solve a {type(problem).__name__} with the "
        f"regularizer {regularizer!r}. {_able(problem, regularizer)}"
    )


def _candidates(solver: Any) -> tuple[Solver, ...]:
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
