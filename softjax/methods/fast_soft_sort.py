from __future__ import annotations

import jax.numpy as jnp
from jaxtyping import Array, Float

from softjax_solvers import PermutahedronProjection

from ._anchors import anchors, intervals
from ._method import Relaxation, Sample, ValueMethod


class FastSoftSort(ValueMethod):
    """Sorted values and ranks are projections onto permutahedra.

    `sort` projects n anchors at equal distances in [0, 1] onto the permutations of x,
    and `rank` projects -x onto the permutations of (1, ..., n) / (n - 1), times n - 1.
    There are no soft indices. Takes O(n log n) operations and O(n) memory.

    **Example:**

        >>> x = jnp.array([0.2, 1.0, 0.7])
        >>> print(sj.sort(x, method="fast_soft_sort", softness=0.3))
        [0.2 0.7 1. ]
        >>> print(sj.rank(x, method="fast_soft_sort"))
        [3. 1. 2.]

    ??? cite

        Blondel, Teboul, Berthet and Djolonga, "Fast differentiable sorting and
        ranking", ICML 2020.
    """

    def sort(self, sample: Sample, relaxation: Relaxation) -> Float[Array, "*batch n"]:
        ordered = sample.ordered()
        problem = PermutahedronProjection(
            jnp.broadcast_to(anchors(sample), sample.keys.shape),
            -ordered.support,
            relaxation.softness,
            ordered.where,
            z_is_sorted=True,
            w_is_sorted=True,
        )
        return sample.restore(relaxation.primal(problem))

    def rank(self, sample: Sample, relaxation: Relaxation) -> Float[Array, "*batch n"]:
        problem = rank_problem(sample, relaxation.softness)
        return intervals(sample) * relaxation.primal(problem)


def rank_problem(sample: Sample, softness: Array) -> PermutahedronProjection:
    """What has the ranks of a sample, over n - 1, for its solution."""
    return PermutahedronProjection(
        -sample.keys,
        anchors(sample) + 1 / intervals(sample),
        softness,
        sample.where,
        w_is_sorted=True,
    )
