"""Solves of linear systems, by what is known of their operators: the one place."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import lineax as lx
from jax.flatten_util import ravel_pytree
from jaxtyping import PyTree

from .._kernels.arrays import safe_divide
from .._kernels.derivatives import stop_gradient
from .pseudo_inverse import pseudo_solve
from .structured import StructuredOperator


def linear_solve(
    operator: lx.AbstractLinearOperator, vector: PyTree, linear_solver: Any = None
) -> PyTree:
    """An x in `operator.mv(x) = vector`, of minimum norm where that is singular.

    **Arguments:**

    - `linear_solver`: a solver of Lineax; None for the best known: quotients for a
        diagonal operator, what a structured one knows, and a pseudo-inverse for any
        other. It never raises inside compiled gradients.
    """
    if isinstance(operator, StructuredOperator):
        return _solve_structured(operator, vector, linear_solver)
    if linear_solver is not None:
        return lx.linear_solve(operator, vector, linear_solver, throw=False).value
    if isinstance(operator, lx.DiagonalLinearOperator):
        # Lineax's pseudo-inverse judges each entry against the largest of all, which
        # would couple the rows of a batch. Products, as JAX keeps no rule of a quotient
        # that is linear in a tangent.
        inverse = jax.tree.map(lambda x: safe_divide(1, x), operator.diagonal)
        return jax.tree.map(jnp.multiply, vector, inverse)
    flat, unravel = ravel_pytree(vector)
    return unravel(pseudo_solve(operator.as_matrix(), flat))


def _solve_structured(
    operator: StructuredOperator, vector: PyTree, linear_solver: Any
) -> PyTree:
    # By constants: derivatives of what Lineax solves raise an error where they meet
    # NaN, even if told not to.
    def solver_of(operator):
        inverse = stop_gradient(operator).inverse(linear_solver)
        return lambda _, vector: inverse(vector)

    solve, transpose = solver_of(operator), operator.transpose()
    if transpose is operator:
        return jax.lax.custom_linear_solve(operator.mv, vector, solve, symmetric=True)
    return jax.lax.custom_linear_solve(operator.mv, vector, solve, solver_of(transpose))
