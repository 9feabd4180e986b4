from __future__ import annotations

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from .._numerics import eps, safe_divide
from .._problem import Problem
from .._problems import Potentials, TransportProjection
from .._regularizer import Regularizer
from .._solver import Solution, Solver

_SWEEPS = 8
"""How often the entropy's rows and columns are scaled before its kernel is renewed."""


class _State(NamedTuple):
    dual: Potentials
    error: Float[Array, "*batch"]
    steps: Int[Array, "*batch"]
    done: Bool[Array, "*batch"]


class Alternating(Solver):
    """Alternating ascent of the dual of a transport problem: a generalized Sinkhorn.

    Rows and columns are made to sum to their marginals in turn, each by one scalar
    equation, so it serves any regularizer. With the entropy, these are scalings of a
    kernel, eight of which are done at the price of one.

    **Arguments:**

    - `tolerance`: the largest error of a column's sum, relative to its marginal, to
        stop at; None for 32 units of rounding.
    - `max_steps`: the number of steps after which the last one is returned.

    ??? cite

        Blondel, Seguy and Rolet, "Smooth and sparse optimal transport", AISTATS 2018.
    """

    tolerance: float | None = None
    max_steps: int = 1000

    def accepts(self, problem: Problem, regularizer: Regularizer) -> bool:
        return isinstance(problem, TransportProjection)

    def solve(self, problem: Problem, regularizer: Regularizer) -> Solution:
        assert isinstance(problem, TransportProjection)
        tolerance = 32 * eps(problem.cost) if self.tolerance is None else self.tolerance
        *batch, n, m = problem.cost.shape
        update = _scale if regularizer.exponential else _fit

        # The first round looks at the start.
        def advance(state: _State) -> _State:
            first = state.steps < 0
            g = jnp.where(
                (first | state.done)[..., None],
                state.dual.g,
                update(problem, regularizer, state.dual),
            )
            dual = Potentials(problem.fit_rows(g, regularizer, state.dual.f), g)
            error = problem.residual(dual, regularizer)
            return _State(
                dual,
                error,
                state.steps + ~state.done,
                state.done | ~(error > tolerance),
            )

        dtype = problem.cost.dtype
        state = _State(
            Potentials(jnp.zeros((*batch, n), dtype), jnp.zeros((*batch, m), dtype)),
            jnp.full(batch, jnp.inf, dtype),
            jnp.full(batch, -1, jnp.int32),
            jnp.zeros(batch, bool),
        )
        state = jax.lax.while_loop(
            lambda s: jnp.any(~s.done & (s.steps < self.max_steps)), advance, state
        )
        return problem.finish(state.dual.g, state.steps, regularizer, tolerance)


def _fit(
    problem: TransportProjection, regularizer: Regularizer, dual: Potentials
) -> Float[Array, "*batch m"]:
    g = problem.fit_columns(dual.f, regularizer, dual.g)
    return g - g[..., :1]


def _scale(
    problem: TransportProjection, regularizer: Regularizer, dual: Potentials
) -> Float[Array, "*batch m"]:
    # No entry of the kernel exceeds its row's marginal, so nothing overflows.
    kernel = problem.unnormalized(dual, regularizer)
    columns = jnp.broadcast_to(problem.columns, dual.g.shape)
    rows = jnp.broadcast_to(problem.rows, dual.f.shape)

    product = functools.partial(jnp.einsum, precision=jax.lax.Precision.HIGHEST)

    def sweep(_, scales):
        row, _ = scales
        column = safe_divide(columns, product("...jn,...n->...j", kernel, row))
        row = safe_divide(rows, product("...jn,...j->...n", kernel, column))
        return row, column

    start = (jnp.ones_like(rows), jnp.ones_like(columns))
    _, column = jax.lax.fori_loop(0, _SWEEPS, sweep, start)
    g = dual.g + jnp.where(column > 0, jnp.log(jnp.where(column > 0, column, 1)), 0)
    return g - g[..., :1]
