"""Regularized maxima, and the losses that they define."""

from __future__ import annotations

from typing import Any

from jaxtyping import Array, Float, PyTree

from .modes import get_regularizer
from .precision import computed_with, narrow_type, narrowed, widened
from .problem import MaximizationProblem
from .readout import Value
from .regularizer import Regularizer
from .solve import evaluate


def optimal_value(
    problem: MaximizationProblem, regularizer: str | Regularizer, solver: Any = None
) -> Float[Array, "*batch"]:
    """The regularized maximum `max_y <z, y> - softness R(y)`.

    Up to a term that all feasible y share: see `MaximizationProblem.objective`. By
    Danskin's theorem its gradient in z is the solution y, with which it is
    differentiated, to any order. The feasible set counts as constant.

    **Arguments, raises:** those of [`softjax.solvers.solve`][]; `TypeError` too if the
    problem is no [`softjax.solvers.MaximizationProblem`][].

    **Example:**

        >>> problem = sj.solvers.SimplexProjection(jnp.array([0.2, 1.0, 0.7]), 1.0)
        >>> print(f"{sj.solvers.optimal_value(problem, 'c0'):.3f}")
        -0.378
    """
    if not isinstance(problem, MaximizationProblem):
        raise TypeError(
            "problem must be a softjax.solvers.MaximizationProblem, whose objective "
            f"can be evaluated, got a {type(problem).__name__}."
        )
    return evaluate(problem, regularizer, Value(), solver)


def fenchel_young_loss(
    problem: MaximizationProblem,
    target: PyTree[Array],
    regularizer: str | Regularizer,
    solver: Any = None,
) -> Float[Array, "*batch"]:
    """`max_y (<z, y> - softness R(y)) - (<z, target> - softness R(target))`.

    Nonnegative, convex in z, and zero where the solution is the target. Its gradient in
    z is the solution less the target, exactly.

    **Arguments:**

    - `problem`: a projection onto the simplex, the hypersimplex, a permutahedron or the
        hull of an oracle's answers, a linear program, or an optimal transport; of
        scores z, or for transport of minus the cost.
    - `target`: a feasible y, of the shape (or structure) of the solution.
    - The others are those of [`softjax.solvers.solve`][].

    **Example:**

        >>> problem = sj.solvers.SimplexProjection(jnp.array([0.2, 1.0, 0.7]), 1.0)
        >>> target = jnp.array([0.0, 0.0, 1.0])
        >>> print(f"{sj.solvers.fenchel_young_loss(problem, target, 'c0'):.3f}")
        0.422

    ??? cite

        Blondel, Martins and Niculae, "Learning with Fenchel-Young losses", JMLR 21
        (2020).
    """
    regularizer, given = computed_with(get_regularizer(regularizer), problem), target
    # A difference, of which numbers of 16 bits would leave nothing.
    if (dtype := narrow_type(problem)) is not None:
        problem, target = widened((problem, target))
    largest = optimal_value(problem, regularizer, solver)
    loss = largest - problem.objective(target, regularizer)
    return narrowed(loss, dtype, given)
