from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from .._core.problem import Problem
from .._core.regularizer import Regularizer
from .._core.solution import Solution, judge
from .._core.solver import Solver
from .._platform.choice import on_cpu
from .._platform.serial import read, serially, write
from .._platform.varying import varying_as
from .._problems.permutahedron import Blocks, IsotonicRegression, Rule, Summary
from .divide_and_conquer import DivideAndConquerIsotonic


class PoolAdjacentViolators(Solver[IsotonicRegression]):
    """Isotonic regression by pooling adjacent violators, in O(n).

    Entries come one after the other. Each is a block of its own at first, and is pooled
    with the block before it as long as the two violate the order (Ayer et al., 1955;
    the loop is that of Best and Chakravarti, 1990). What a block has to know of its
    entries are two numbers, so the regularizer has to be the entropy or a quadratic
    one. That is for a CPU; on other devices, on which a loop over numbers is slow, it
    is [`softjax.solvers.DivideAndConquerIsotonic`][].

    **Example:**

        >>> x = jnp.array([0.2, 1.0, 0.7])
        >>> solver = sj.solvers.PoolAdjacentViolators()
        >>> print(sj.rank(x, method="fast_soft_sort", softness=2.0, solver=solver))
        [2.569 1.769 2.069]

    ??? cite

        Ayer, Brunk, Ewing, Reid and Silverman, "An empirical distribution function for
        sampling with incomplete information", Annals of Mathematical Statistics 26,
        1955.

        Best and Chakravarti, "Active set algorithms for isotonic regression; a unifying
        framework", Mathematical Programming 47, 1990.
    """

    def accepts(self, problem: Problem, regularizer: Regularizer) -> bool:
        if not isinstance(problem, IsotonicRegression):
            return False
        return problem.rule.summary() is not None

    def solve(self, problem: IsotonicRegression, regularizer: Regularizer) -> Solution:
        rule = problem.rule
        blocks, steps = on_cpu(
            lambda problem: _pool_serially(problem, rule),
            lambda problem: _divide_and_conquer(problem, rule),
            problem,
        )
        return judge(problem, regularizer, blocks, steps)


# Compiled as parts of what calls them; but traced once, for values and derivatives.


@eqx.filter_jit
def _pool_serially(
    problem: IsotonicRegression, rule: Rule
) -> tuple[Blocks, Int[Array, ""]]:
    """Pool adjacent violators, in a serial loop."""
    summary = rule.summary()
    assert summary is not None
    z, softness = jnp.broadcast_arrays(problem.z, problem.softness)
    # In the unit of the summary, in which offsets are found.
    scale = rule.summary_scale()
    rows = z, scale * rule.alone(problem.w), softness / scale, problem.mask
    counts = problem.counts
    if counts is not None:
        rows = *rows, counts
    offset, reference = serially(lambda *r: _pool(summary, *r), *rows, outputs=2)
    steps = varying_as(jnp.zeros((), jnp.int32), offset)
    return Blocks(offset / scale, reference), steps


@eqx.filter_jit
def _divide_and_conquer(
    problem: IsotonicRegression, rule: Rule
) -> tuple[Blocks, Int[Array, ""]]:
    """Divide and conquer, with the types of integers that the serial loop returns."""
    blocks, steps = DivideAndConquerIsotonic().blocks(problem, rule)
    reference = blocks.reference.astype(jnp.int32)
    return Blocks(blocks.offset, reference), steps.astype(jnp.int32)


def _pool(
    summary: Summary,
    first: Bool[Array, " n"],
    z: Float[Array, " n"],
    alone: Float[Array, " n"],
    softness: Float[Array, " n"],
    mask: Bool[Array, " n"],
    weights: Float[Array, " n"] | None = None,
) -> tuple[Float[Array, " n"], Int[Array, " n"]]:
    """Offsets and references of the blocks of concatenated rows.

    The blocks so far are on a stack: their first entries, their summaries, and their
    levels, relative to those that their first entries have alone.
    """
    n = len(z)
    apart = first | ~mask
    zero, blank = varying_as((jnp.zeros((), jnp.int32), jnp.zeros_like(z[0])), z)
    one = summary.new(blank + 1)

    # The inner loop only reads the stack, and the lines after it only write to it: XLA
    # copies an array that is both read and written in one step.
    def add(i, stack):
        top, starts, known, levels = stack

        def rise_and_drop(top, start):
            before = read(starts, top)
            rise = read(z, start) - read(z, before)
            drop = read(alone, start) - read(alone, before)
            return rise / read(softness, start), drop

        def violates(state):
            top, start, _, level = state
            rise, drop = rise_and_drop(top, start)
            return ~read(apart, start) & (read(levels, top) - rise + drop < level)

        def pool(state):
            top, start, block, _ = state
            before = read(known[0], top), read(known[1], top)
            block = summary.join(before, block, *rise_and_drop(top, start))
            return top - 1, read(starts, top), block, summary.level(block)

        new = one if weights is None else summary.new(read(weights, i))
        state = top, zero + i, new, blank
        top, start, block, level = jax.lax.while_loop(violates, pool, state)
        top = top + 1
        known = tuple(write(x, b, top) for x, b in zip(known, block, strict=True))
        return top, write(starts, start, top), known, write(levels, level, top)

    # One place more, for where the last block ends.
    empty, starts = jnp.full(n + 1, blank), jnp.full(n + 1, zero)
    stack = zero - 1, starts, tuple(empty for _ in one), empty
    top, starts, _, levels = jax.lax.fori_loop(0, n, add, stack)
    starts = write(starts, zero + n, top + 1)

    def spread(i, state):
        block, row, offset, reference = state
        block = block + (read(starts, block + 1) == i)
        row = jnp.where(read(first, i), i, row)
        start = read(starts, block)
        level = read(levels, block) - read(alone, start)
        return block, row, write(offset, level, i), write(reference, start - row, i)

    state = zero - 1, zero, jnp.full(n, blank), jnp.full(n, zero)
    _, _, offset, reference = jax.lax.fori_loop(0, n, spread, state)
    return jnp.where(mask, offset, 0), reference
