from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from ..._core.problem import Problem
from ..._core.regularizer import Regularizer
from ..._core.solution import Solution
from ..._core.solver import Solver
from ..._kernels.arrays import eps
from ..._kernels.iteration import choose_tolerance
from ..._problems import Potentials, Transport


class OTTSinkhorn(Solver[Transport]):
    """Sinkhorn's algorithm of OTT-JAX, in the log domain; for the entropy only.

    Square problems start from the potentials of OTT-JAX's sorting initializer, which is
    made for rows and columns that are in the same order.

    **Arguments:**

    - `tolerance`: the largest error of a column's sum, relative to its marginal, to
        stop at; None for 32 units of rounding.
    - `max_steps`: the number of iterations after which the last one is returned.

    **Example:**

        >>> x = jnp.array([0.2, 1.0, 0.7])
        >>> solver = sj.solvers.OTTSinkhorn(tolerance=1e-4)
        >>> print(sj.sort(x, method="ot", solver=solver))
        [0.235 0.718 0.947]

    ??? cite

        Cuturi, "Sinkhorn distances: lightspeed computation of optimal transport",
        NeurIPS 2013; Cuturi et al., "Optimal transport tools (OTT)", 2022; Thornton and
        Cuturi, "Rethinking initialization of the Sinkhorn algorithm", AISTATS 2023.
    """

    tolerance: float | None = None
    max_steps: int = 2000

    def accepts(self, problem: Problem, regularizer: Regularizer) -> bool:
        if not isinstance(problem, Transport):
            return False
        return regularizer.structure().rate is not None

    def solve(self, problem: Transport, regularizer: Regularizer) -> Solution:
        from ott.geometry import geometry
        from ott.initializers.linear import initializers
        from ott.problems.linear import linear_problem
        from ott.solvers.linear import sinkhorn

        tolerance = choose_tolerance(self.tolerance, 32, problem.cost)
        *_, n, m = problem.cost.shape

        def find(row: Transport) -> tuple[Any, Any]:
            softness: Any = row.softness[0, 0]
            rate: Any = regularizer.structure().rate
            shares = row.column_shares
            least = jnp.min(jnp.where(shares > 0, shares, 1))
            # OTT-JAX adds errors up. Where their sum is within that of the smallest
            # column, so is each; but not below the rounding of it.
            rounding = jnp.minimum(tolerance, 32 * eps(shares))
            threshold: Any = jnp.maximum(tolerance * least, rounding)
            solver = sinkhorn.Sinkhorn(
                threshold=threshold,
                max_iterations=self.max_steps,
                initializer=initializers.SortingInitializer() if n == m else None,
            )
            found = solver(
                linear_problem.LinearProblem(
                    geometry.Geometry(cost_matrix=row.cost, epsilon=softness / rate),
                    a=row.count(row.row_shares),
                    b=shares,
                )
            )
            # OTT-JAX returns infinite potentials of columns without mass.
            g = jnp.where(shares > 0, found.g / softness, 0)
            return Potentials(found.f, g), found.n_iters

        dual, steps = jax.vmap(find)(problem.flat())
        return problem.to_solution(dual, steps, regularizer, tolerance)
