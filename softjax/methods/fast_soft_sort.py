from __future__ import annotations

import jax.numpy as jnp
from jaxtyping import Array, Float

from softjax_solvers import PermutahedronProjection

from ._method import Relaxation, Sample, ValueMethod


class FastSoftSort(ValueMethod):
    """Sorted values and ranks are projections onto permutahedra.

    `sort` projects n anchors at equal distances in [0, 1] onto the permutations of x,
    and `rank` projects -x onto the permutations of (1, ..., n) / (n - 1), times n - 1.
    There are no soft indices. Takes O(n log n) operations and O(n) memory.

    ??? cite

        Blondel, Teboul, Berthet and Djolonga, "Fast differentiable sorting and
        ranking", ICML 2020.
    """

    def sort(self, sample: Sample, relaxation: Relaxation) -> Float[Array, "*batch n"]:
        ordered = sample.ordered()
        problem = PermutahedronProjection(
            jnp.broadcast_to(_anchors(sample), sample.keys.shape),
            -ordered.support,
            relaxation.softness,
            ordered.where,
            z_is_sorted=True,
            w_is_sorted=True,
        )
        return sample.restore(relaxation.solve(problem).value)

    def rank(self, sample: Sample, relaxation: Relaxation) -> Float[Array, "*batch n"]:
        steps = _steps(sample)
        problem = PermutahedronProjection(
            -sample.keys,
            _anchors(sample) + 1 / steps,
            relaxation.softness,
            sample.where,
            w_is_sorted=True,
        )
        return steps * relaxation.solve(problem).value


def _steps(sample: Sample) -> Float[Array, "*#batch 1"]:
    """From the first to the last of those that take part, or 1."""
    return jnp.maximum(sample.present - 1, 1).astype(sample.keys.dtype)


def _anchors(sample: Sample) -> Float[Array, "*#batch n"]:
    """As many as take part, descending from 1 to 0; the others are at 0."""
    left = jnp.maximum(sample.present - 1 - jnp.arange(sample.size), 0)
    return left.astype(sample.keys.dtype) / _steps(sample)
