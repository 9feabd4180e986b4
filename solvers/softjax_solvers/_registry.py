"""The solvers: their names, their adapters, and which is the default."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ._problem import Problem
from ._problems import (
    MajorizationProjection,
    PermutahedronProjection,
    TransportProjection,
)
from ._regularizer import Regularizer
from ._solver import Adapter, Solver
from ._solvers import (
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

    Newton's method beats sorting for sparse regularizers on a CPU (measured by
    `benchmarks/simplex_solvers.py`), so the closed form is the default for the entropy
    only. Transport problems are solved by Newton's method on the semi-dual; with many
    columns and the entropy, a few Sinkhorn steps before it usually leave nothing to do.
    """
    if regularizer.exponential and ClosedForm().accepts(problem, regularizer):
        return ClosedForm()
    if isinstance(problem, PermutahedronProjection):
        pool = PoolAdjacentViolators()
        return pool if pool.accepts(problem, regularizer) else Merging()
    if isinstance(problem, MajorizationProjection):
        return DampedNewton()
    if isinstance(problem, TransportProjection):
        many = problem.cost.shape[-1] > FEW_COLUMNS
        if many and regularizer.exponential:
            return SemiDual(alternations=4)
        return SemiDual()
    newton = Newton()
    return newton if newton.accepts(problem, regularizer) else Rowwise(newton)


def choose_solver(solver: Any, problem: Problem, regularizer: Regularizer) -> Solver:
    """The solver that the keyword `solver` means for this problem.

    **Arguments:**

    - `solver`: None for the default, a name in `SOLVERS`, a
        [`softjax.solvers.Solver`][], or a foreign solver that there is an adapter for
        (Optimistix, JAXopt).

    **Raises:** `ValueError` for an unknown name; `TypeError` for an object that is no
    solver, or for a solver that cannot solve this problem.

    **Example:**

        >>> problem = sj.solvers.SimplexProjection(jnp.array([0.2, 1.0, 0.7]), 0.1)
        >>> print(sj.solvers.choose_solver(None, problem, sj.solvers.Entropy()))
        ClosedForm()
        >>> print(sj.solvers.choose_solver("newton", problem, sj.solvers.Entropy()))
        Newton()
    """
    if solver is None:
        return default_solver(problem, regularizer)
    candidates = _candidates(solver)
    for candidate in candidates:
        for choice in (candidate, *(wrap(candidate) for wrap in WRAPPERS)):
            if choice.accepts(problem, regularizer):
                return choice
    able = [
        name
        for name, make in SOLVERS.items()
        if any(
            s.accepts(problem, regularizer)
            for s in (make(), *(wrap(make()) for wrap in WRAPPERS))
        )
    ]
    able = [*map(repr, able)]
    for package, adapters in ADAPTERS.items():
        if any(isinstance(problem, adapter.problems) for adapter in adapters):
            able.append(f"those of {package}")
    raise TypeError(
        f"solver={solver!r} cannot solve a {type(problem).__name__} with the "
        f"regularizer {regularizer!r}. Solvers that can: {', '.join(able)}."
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
