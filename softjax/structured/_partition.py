"""The k best structures, when only the best can be found: by partition."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Bool, Float, PyTree

from ._ranked import Ranked, score_again
from ._semirings import ABSENT


class _Subsets(NamedTuple):
    """Sets of structures that agree in some parts, with the best of each.

    - `scores`: of the best; `ABSENT` where there is none.
    - `best`: the best structures.
    - `decided`: the parts in which a structure of the set is the best.
    """

    scores: Float[Array, "n"]
    best: Float[Array, "n d"]
    decided: Bool[Array, "n d"]


def best_by_partition(
    oracle: Callable[[PyTree[Array]], PyTree[Array]],
    scores: PyTree[Array],
    k: int,
) -> Ranked:
    """The k best structures of zeros and ones, by k rounds of calls of an oracle.

    The structures other than the best are those that differ from it in the first part,
    or agree there and differ in the second, and so on: one set for each part, of which
    the oracle finds the best, when it is given a large bonus for parts that have to be
    there and a penalty for others. The best of all sets is the second best structure,
    and its set is parted again. Takes k times d calls, d at a time, for d parts. Those
    of a score of `ABSENT` are in no structure.

    References: Lawler, "A procedure for computing the K best solutions to discrete
    optimization problems", Management Science 18 (1972); Murty, "An algorithm for
    ranking all the assignments in order of increasing cost", Operations Research 16
    (1968).
    """
    flat, unravel = ravel_pytree(jax.lax.stop_gradient(scores))
    size = flat.size
    present = ~(flat <= ABSENT / 2)
    flat = jnp.where(present, flat, 0)

    def solve(z: Float[Array, "d"]) -> Float[Array, "d"]:
        return ravel_pytree(oracle(unravel(z)))[0].astype(flat.dtype)

    first, bonus = _bonus(solve, flat, present)

    def best_of(wanted: Bool[Array, "d"], decided: Bool[Array, "d"]) -> Array:
        shift = jnp.where(decided, jnp.where(wanted, bonus, -bonus), 0)
        return solve(flat + shift)

    def score(found: Array, wanted: Array, decided: Array) -> Array:
        there = jnp.all(~decided | ((found > 0.5) == wanted), axis=-1)
        return jnp.where(there, jnp.sum(found * flat, axis=-1), ABSENT)

    everything = _Subsets(
        score(first, jnp.zeros_like(present), ~present)[None],
        first[None],
        ~present[None],
    )
    # Of as many sets as structures are still to be found, the others are of no use.
    open_sets = jax.tree.map(
        lambda x: jnp.zeros((k, *x.shape[1:]), x.dtype).at[0].set(x[0]), everything
    )
    alone = jnp.arange(k) == 0
    open_sets = open_sets._replace(scores=jnp.where(alone, open_sets.scores, ABSENT))

    def part(sets: _Subsets, _):
        leader = jax.tree.map(lambda x: x[0], sets)
        # Parts that are there first: what lacks none of them is often nothing else.
        order = jnp.argsort(leader.best <= 0.5, stable=True)
        place = jnp.zeros(size, int).at[order].set(jnp.arange(size))
        flipped = jnp.eye(size, dtype=bool)[order]
        earlier = place[None, :] < place[order][:, None]
        wanted = (leader.best > 0.5) ^ flipped
        decided = leader.decided | earlier | flipped
        found = jax.vmap(best_of)(wanted, decided)
        possible = ~leader.decided[order] & ~(leader.scores <= ABSENT)
        values = jnp.where(possible, score(found, wanted, decided), ABSENT)
        rest = jax.tree.map(lambda x: x[1:], sets)
        parts = _Subsets(values, found, decided)
        both = jax.tree.map(lambda a, b: jnp.concatenate([a, b]), rest, parts)
        kept = jnp.argsort(-both.scores, stable=True)[:k]
        return jax.tree.map(lambda x: x[kept], both), (leader.scores, leader.best)

    _, (values, best) = jax.lax.scan(part, open_sets, None, length=k)
    exists = ~(values <= ABSENT)  # with NaN
    structures = jax.vmap(unravel)(jnp.where(exists[:, None], best, 0))
    return score_again(scores, structures, exists)


def _bonus(
    solve: Callable[[Array], Array], flat: Float[Array, "d"], present: Array
) -> tuple[Float[Array, "d"], Float[Array, ""]]:
    """The best structure, and a number that decides whether a part is in a structure.

    It is more than any structure, also one of parts that are not there, which count 0,
    scores above the worst that may be: to have as many of the decided parts as wanted
    is better than any score. The sum of all scores would be far more, and rounding of
    what it is added to goes with it.
    """
    huge = 2 * jnp.sum(jnp.abs(flat)) + 1
    best = solve(jnp.where(present, flat, -huge))
    worst = solve(jnp.where(present, -flat, -huge))
    difference = jnp.maximum(
        jnp.sum(flat * (best - worst)), jnp.sum(flat * (solve(flat) - worst))
    )
    bonus = 2 * difference + 1e-3 * jnp.max(jnp.abs(flat), initial=0)
    return best, jnp.where(bonus > 0, bonus, 1)
