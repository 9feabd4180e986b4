from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from .._core.problem import Problem
from .._core.regularizer import Regularizer
from .._core.solution import Solution
from .._core.solver import Solver
from .._kernels.arrays import exact_einsum, safe_divide
from .._kernels.iteration import choose_tolerance, iterate
from .._platform.batches import any_true
from .._problems import Potentials, Transport

_SWEEPS = 8
"""Number of scalings of the entropy's rows and columns for each of its kernels."""


class _State(NamedTuple):
    dual: Potentials
    error: Float[Array, "*batch"]
    following: Float[Array, "*batch m"]  # the columns' potentials to evaluate next
    steps: Int[Array, "*batch"]
    done: Bool[Array, "*batch"]


class DualCoordinateAscent(Solver[Transport]):
    """Alternating ascent of the dual of a transport problem: a generalized Sinkhorn.

    Rows and columns are made to sum to their marginals in turn, each by one scalar
    equation, so it serves any regularizer. With the entropy, these are scalings of a
    kernel, eight of which are done at the price of one.

    **Arguments:**

    - `tolerance`: the largest error of a column's sum, relative to its marginal, to
        stop at; None for 32 units of rounding.
    - `max_steps`: the number of steps after which the last one is returned.

    **Example:**

        >>> x = jnp.array([0.2, 1.0, 0.7])
        >>> solver = sj.solvers.DualCoordinateAscent(tolerance=1e-4)
        >>> print(sj.sort(x, method="ot", mode="c1", solver=solver))
        [0.2 0.7 1. ]

    ??? cite

        Blondel, Seguy and Rolet, "Smooth and sparse optimal transport", AISTATS 2018.
    """

    tolerance: float | None = None
    max_steps: int = 1000

    def accepts(self, problem: Problem, regularizer: Regularizer) -> bool:
        return isinstance(problem, Transport)

    def solve(self, problem: Transport, regularizer: Regularizer) -> Solution:
        tolerance = choose_tolerance(self.tolerance, 32, problem.cost)
        *batch, n, m = problem.cost.shape

        def advance(state: _State) -> _State:
            f = problem.fit_rows(state.following, regularizer, state.dual.f)
            new = Potentials(f, state.following)
            error = problem.residual(new, regularizer)
            take = jnp.isfinite(error) & ~state.done
            error = jnp.where(take, error, state.error)
            dual = jax.tree.map(
                lambda new, old: jnp.where(take[..., None], new, old), new, state.dual
            )
            done = ~take | (error <= tolerance)
            following = jax.lax.cond(
                any_true(~done),
                lambda: alternation(problem, regularizer, dual),
                lambda: dual.g,
            )
            following = following - following[..., :1]
            return _State(dual, error, following, state.steps + ~state.done, done)

        dtype = problem.cost.dtype
        start = jnp.zeros((*batch, m), dtype)
        state = _State(
            Potentials(jnp.zeros((*batch, n), dtype), start),
            jnp.full(batch, jnp.inf, dtype),
            start,
            jnp.full(batch, -1, jnp.int32),
            jnp.zeros(batch, bool),
        )
        state = iterate(advance, state, self.max_steps, problem.cost)
        return problem.solution(
            state.dual, state.steps, state.error, regularizer, tolerance
        )


def alternation(
    problem: Transport, regularizer: Regularizer, dual: Potentials
) -> Float[Array, "*batch m"]:
    """Potentials g after one step, from a dual whose rows sum to their marginals."""
    rate = regularizer.structure().rate
    if rate is None:
        return problem.fit_columns(dual.f, regularizer, dual.g)
    # No entry of the kernel exceeds its row's marginal, so nothing overflows.
    kernel = problem.unnormalized(dual, regularizer)
    columns = jnp.broadcast_to(problem.column_shares, dual.g.shape)
    rows = jnp.broadcast_to(problem.row_shares, dual.f.shape)

    def sweep(_, scales):
        row, _ = scales
        counted = problem.count(row)
        sums = exact_einsum("...jn,...n->...j", kernel, counted)
        column = safe_divide(columns, sums)
        row = safe_divide(rows, exact_einsum("...jn,...j->...n", kernel, column))
        return row, column

    start = (jnp.ones_like(rows), jnp.ones_like(columns))
    _, column = jax.lax.fori_loop(0, _SWEEPS, sweep, start)
    return dual.g + jnp.log(jnp.where(column > 0, column, 1)) / rate
