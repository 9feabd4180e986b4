"""What linear solvers of Lineax are wrapped in."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import lineax as lx


class Quiet(lx.AbstractLinearSolver):
    """Another solver that never fails: what is not finite is 0.

    Lineax raises in derivatives of a linear solve, whatever it was told to do in the
    solve itself, and that would happen inside a compiled gradient.
    """

    solver: lx.AbstractLinearSolver

    def init(self, operator: lx.AbstractLinearOperator, options: dict[str, Any]):
        return self.solver.init(operator, options)

    def compute(self, state: Any, vector: Any, options: dict[str, Any]):
        solution, _, stats = self.solver.compute(state, vector, options)
        solution = jnp.where(jnp.isfinite(solution), solution, 0)
        return solution, lx.RESULTS.successful, stats

    def transpose(self, state: Any, options: dict[str, Any]):
        return self.solver.transpose(state, options)

    def conj(self, state: Any, options: dict[str, Any]):
        return self.solver.conj(state, options)

    def assume_full_rank(self) -> bool:
        return self.solver.assume_full_rank()
