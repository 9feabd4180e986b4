"""The one rule by which every solution is differentiated."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
from jaxtyping import Array, PyTree

from ._problem import Problem
from ._regularizer import Regularizer


@eqx.filter_custom_jvp
def attach_dual(
    dual: PyTree[Array],
    problem: Problem,
    regularizer: Regularizer,
    *,
    linear_solver: Any = None,
) -> PyTree[Array]:
    """Give an optimal `dual` its derivative in `problem` and `regularizer`.

    The implicit function theorem on `problem.optimality`. The rule is a JVP that calls
    itself, so it transposes, and derivatives of any order follow.
    """
    return dual


@attach_dual.def_jvp
def _attach_dual_jvp(primals, tangents, *, linear_solver):
    dual, problem, regularizer = primals
    _, *args_tangents = tangents
    dual = attach_dual(dual, problem, regularizer, linear_solver=linear_solver)
    if not jax.tree.leaves(args_tangents):
        return dual, jax.tree.map(lambda _: None, dual)
    _, shift = eqx.filter_jvp(
        lambda p, r: p.optimality(dual, r), (problem, regularizer), tuple(args_tangents)
    )
    return dual, problem.dual_tangent(dual, regularizer, shift, linear_solver)
