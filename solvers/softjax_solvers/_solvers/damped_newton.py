from __future__ import annotations

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from .._core.regularizer import Regularizer
from .._kernels.conjugate_gradients import damped_step, judge_step, line_terms
from .._kernels.fourth_differences import Pivot, back_substitute
from .._kernels.iteration import choose_tolerance
from .._platform.choice import on_cpu
from .._platform.serial import read, serially, write
from .._platform.varying import varying_as
from .._problems import MajorizationProjection
from .conjugate_gradients import ConjugateGradients, Descent


class DampedNewton(Descent):
    """Newton's method on the dual of a majorization problem.

    A step solves a linear system with a matrix of five diagonals, by elimination in
    O(n), and goes as far as is best along it, up to a damped search: see
    [`softjax.solvers.ConjugateGradients`][]. Where there is far to go, the matrix is
    shifted by a tenth of the gradient. That is for a CPU; on other devices, on which a
    loop over numbers is slow, it runs the conjugate gradients.

    **Arguments:**

    - `tolerance`: the size of a step after which it stops, None for 64 units of
        rounding.
    - `max_steps`: the number of steps after which the iterate is returned.

    **Example:**

        >>> x = jnp.array([0.2, 1.0, 0.7])
        >>> solver = sj.solvers.DampedNewton(max_steps=20)
        >>> print(sj.sort(x, method="smooth_sort", solver=solver))
        [0.286 0.656 0.958]

    ??? cite

        Bach, "Self-concordant analysis for logistic regression", Electronic Journal of
        Statistics 4, 2010.
    """

    def search(
        self,
        problem: MajorizationProjection,
        start: Float[Array, "*batch m"],
        regularizer: Regularizer,
    ) -> tuple[Float[Array, "*batch m"], Int[Array, "*batch"]]:
        tolerance = choose_tolerance(self.tolerance, 64, start)
        descent = ConjugateGradients(tolerance, self.max_steps)

        def serial(problem: MajorizationProjection, start: Array):
            return _search_serially(problem, start, tolerance, self.max_steps)

        def parallel(problem: MajorizationProjection, start: Array):
            return descent.search(problem, start, regularizer)

        return on_cpu(serial, parallel, problem, start)


# Compiled as a part of what calls it; but traced once, for values and derivatives.
@eqx.filter_jit
def _search_serially(
    problem: MajorizationProjection,
    start: Float[Array, "*batch m"],
    tolerance: float,
    max_steps: int,
) -> tuple[Float[Array, "*batch m"], Int[Array, "*batch"]]:
    """Damped Newton method on each row, as serial loops over single numbers."""
    # Limits are given for each row, as they may be traced.
    limits = (jnp.full_like(start, tolerance), jnp.full_like(start, max_steps, int))
    rows = problem.drop, problem.bend, start, problem.inside, *limits

    m = max(start.shape[-1], 1)  # `serially` asks for the types of empty rows too

    def solve(_, *rows: Array) -> tuple[Array, Array]:
        return _solve_rows(m, *rows)

    x, steps = serially(solve, *rows, outputs=2)
    return x, jnp.max(steps, axis=-1, initial=0)


def _solve_rows(
    m: int,
    drop: Float[Array, " rows*m"],
    bounds: Float[Array, " rows*m"],
    start: Float[Array, " rows*m"],
    inside: Bool[Array, " rows*m"],
    tolerances: Float[Array, " rows*m"],
    max_steps: Int[Array, " rows*m"],
) -> tuple[Float[Array, " rows*m"], Int[Array, " rows*m"]]:
    """Damped Newton method on concatenated rows of m entries, one after the other.

    **Returns:** the duals, and the numbers of steps in the first entry of each row.
    """
    none, zero, no = varying_as(
        (jnp.zeros((), jnp.int32), jnp.zeros_like(drop[0]), jnp.zeros((), bool)), drop
    )
    blank = jnp.full(m, zero)

    def solve_row(row, out):
        begin = row * m
        tolerance, limit = read(tolerances, begin), read(max_steps, begin)
        count = jax.lax.while_loop(
            lambda k: (k < m) & read(inside, begin + k), lambda k: k + 1, none
        )

        def sweep(
            step: Callable[..., tuple[tuple, tuple]],
            rows: tuple[Array, ...],
            *sums: Any,
            back: bool = False,
        ) -> tuple[tuple, tuple[Array, ...]]:
            """Loop over entries by `step(k, *sums)`: new sums, and kth entries of rows.

            XLA copies an array that a step both reads and writes, so that a step reads
            other rows than it writes.
            """

            def body(k, state):
                sums, rows = state
                k = count - 1 - k if back else k
                sums, entries = step(k, *sums)
                return sums, tuple(
                    write(x, entry, k) for x, entry in zip(rows, entries, strict=True)
                )

            return jax.lax.fori_loop(0, count, body, (sums, rows))

        def bend(x, k):
            """Second difference at k."""
            before = jnp.where(k > 0, read(x, k - 1), 0)
            after = jnp.where(k + 1 < count, read(x, k + 1), 0)
            return 2 * read(x, k) - before - after

        def advance(state):
            x, former, steps, _, spare = state
            weights, factors, moves, bends, points = spare

            def weigh(k):
                t = read(drop, begin + k) + bend(x, k)
                return (), (jnp.exp(-t), jnp.exp(-read(x, k)))

            _, (inner, outer) = sweep(weigh, weights)

            def forward(k, pivot):
                inward, outward = read(inner, k), read(outer, k)
                rest = bend(inner, k) + outward - read(bounds, begin + k)
                # Far from the minimum, this keeps entries of a step from being far
                # above 10.
                pivot = pivot.then(inward, outward + 0.1 * jnp.abs(rest), rest)
                return (pivot,), (rest, *pivot.to_keep)

            _, (rest, *kept) = sweep(forward, factors, Pivot.none(zero))

            def backward(k, after, slope):
                after = back_substitute(tuple(kept), k, after)
                return (after, slope + read(rest, k) * after[0]), after[:1]

            (_, slope), (move,) = sweep(backward, moves, (zero, zero), zero, back=True)

            def measure(k, length):
                bent = bend(move, k)
                size = jnp.maximum(jnp.abs(read(move, k)), jnp.abs(bent))
                return (jnp.maximum(length, size),), (bent,)

            (length,), (bent,) = sweep(measure, bends, zero)

            def search(_, share):
                def add(k, change, curve):
                    entries = (read(x, k) for x in (inner, bent, outer, move))
                    more, bending = line_terms(share, *entries)
                    return (change + more, curve + bending), ()

                (change, curve), _ = sweep(add, (), zero, zero)
                return share + damped_step((slope + change) / curve, length)

            share = jax.lax.fori_loop(0, 2, search, zero)
            size = jnp.abs(share) * length
            fine, done = judge_step(share, size, former, tolerance)

            def go(k):
                step = share * read(move, k)
                return (), (read(x, k) + jnp.where(fine, step, 0),)

            _, (new_x,) = sweep(go, points)
            spare = (inner, outer), (rest, *kept), (move,), (bent,), (x,)
            return new_x, size, steps + 1, done, spare

        x = jax.lax.dynamic_slice_in_dim(start, begin, m)
        # Buffers for what steps write, in the state so that they are allocated once.
        spare = tuple((blank,) * count for count in (2, 6, 1, 1, 1))
        state = x, zero + jnp.inf, none, no, spare
        x, _, steps, *_ = jax.lax.while_loop(
            lambda state: ~state[3] & (state[2] < limit), advance, state
        )
        all_x, all_steps = out
        all_x = jax.lax.dynamic_update_slice_in_dim(all_x, x, begin, 0)
        return all_x, write(all_steps, steps, begin)

    out = jnp.full(len(drop), zero), jnp.full(len(drop), none)
    return jax.lax.fori_loop(0, len(drop) // m, solve_row, out)
