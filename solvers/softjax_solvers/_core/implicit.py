"""The one rule by which every solution is differentiated."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, PyTree

from .._kernels.numerics import tangent_of
from .problem import Problem
from .regularizer import Regularizer
from .solver import Solver


# The solver runs inside the function that has the rule: JAX 0.10 drops rules in second
# derivatives of a `scan`, and is then left with the derivative of the solver.
@eqx.filter_custom_jvp
def solve_dual(
    problem: Problem,
    regularizer: Regularizer,
    *,
    solver: Solver,
    linear_solver: Any = None,
) -> tuple[PyTree[Array], Array, Array, Array]:
    """Dual, steps, residual and convergence; the dual has a derivative.

    It is that of the optimal dual in `problem` and `regularizer`, by the implicit
    function theorem on `problem.optimality`. The rule is a JVP that calls itself, so it
    transposes, and derivatives of any order follow.
    """
    found = solver.solve(problem, regularizer)
    return found.dual, found.steps, found.residual, found.converged


@solve_dual.def_jvp
def _solve_dual_jvp(primals, tangents, *, solver, linear_solver):
    problem, regularizer = primals
    out = solve_dual(problem, regularizer, solver=solver, linear_solver=linear_solver)
    dual, *about = out
    still = [jnp.zeros_like(x) if eqx.is_inexact_array(x) else None for x in about]
    if not jax.tree.leaves(tangents):
        return out, (jax.tree.map(jnp.zeros_like, dual), *still)
    shift = tangent_of(
        lambda p, r: p.optimality(dual, r), (problem, regularizer), tuple(tangents)
    )
    moves = problem.dual_tangent(dual, regularizer, shift, linear_solver)
    return out, (moves, *still)
