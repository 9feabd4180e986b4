from __future__ import annotations

import dataclasses
from typing import Any, ClassVar

import jax.numpy as jnp
from jaxtyping import Array, Float

from softjax_solvers import PermutahedronProjection

from ._anchors import anchors, gaps
from ._method import Relaxation, ValueMethod
from ._sample import Sample
from ._spread import parse_scale, spread


class FastSoftSort(ValueMethod):
    """Sorted values and ranks are projections onto permutahedra.

    `sort` is `s F(x / s, softness / s)`, where `F(x, softness)` projects n anchors at
    equal distances in [0, 1] onto the permutations of x, and s is the standard
    deviation of the row, as F is not homogeneous, and softness is in the unit of x.
    Where s = 0, values are the mean of the row. `rank` projects -x onto the
    permutations of (1, ..., n) / (n - 1), times n - 1. There are no soft indices. Takes
    O(n log n) operations and O(n) memory.

    `rank` takes weights. An element of mass m stands for m copies, which share the mean
    of their positions; positions are masses, and n is their sum W (with W - 1 at least
    1). The mode has to be a p-norm, such as `"c0"`, or another one of finite r'(0), or
    `"smooth"`.

    **Arguments:**

    - `scale`: what to take for s, a positive number; with 1, sorted values are F
        itself, as in the paper. None for the standard deviation of each row, or for 1
        with `standardize=True`.

    **Raises:** `ValueError` or `TypeError` if the scale is no positive number.

    **Example:**

        >>> x = jnp.array([0.2, 1.0, 0.7])
        >>> print(sj.sort(x, method="fast_soft_sort"))
        [0.2 0.7 1. ]
        >>> print(sj.sort(x, method="fast_soft_sort", softness=0.2))
        [0.426 0.698 0.971]
        >>> print(sj.sort(100 * x, method="fast_soft_sort", softness=20))
        [42.617 69.839 97.061]
        >>> print(sj.sort(x, method=sj.methods.FastSoftSort(scale=1), softness=2.0))
        [0.415 0.665 0.915]
        >>> print(sj.rank(x, method="fast_soft_sort"))
        [3. 1. 2.]

    ??? cite

        Blondel, Teboul, Berthet and Djolonga, "Fast differentiable sorting and
        ranking", ICML 2020.
    """

    takes_weights: ClassVar[frozenset[str]] = frozenset({"rank"})

    scale: float | Float[Array, ""] | None = None

    def __init__(self, scale: Any = None):
        self.scale = parse_scale(scale, "FastSoftSort")

    def sort(self, sample: Sample, relaxation: Relaxation) -> Float[Array, "*batch n"]:
        self.check_weights(sample, "sort")
        ordered = sample.ordered()
        middle, size, scale, mean, varies = spread(sample, ordered, self.scale)
        softness = relaxation.softness / size
        # Anchors times the scale, in place of a softness over it.
        z, w = anchors(sample, sample.above) * scale, -ordered.support
        if sample.infinite is not None:
            place = jnp.arange(sample.size) - sample.above
            up, down = place < 0, place >= sample.finite
            # So far from the others that no infinite element is pooled with them.
            far = softness / jnp.finfo(z.dtype).eps
            z = z + jnp.where(up, far, 0) - jnp.where(down, far, 0)
            w = jnp.where(up | down, mean, w)
        # Where F moves along with x, any constant may be taken from it.
        moves = PermutahedronProjection.moves_with_w(relaxation.regularizer)
        center = middle if moves else jnp.zeros_like(middle)
        problem = PermutahedronProjection(
            jnp.broadcast_to(z, w.shape),
            (w - center) / size / scale,
            softness,
            ordered.where,
            z_is_sorted=True,
            w_is_sorted=True,
        )
        values = center + size * scale * relaxation.primal(problem)
        return sample.unstandardize(jnp.where(varies, values, mean))

    def rank(self, sample: Sample, relaxation: Relaxation) -> Float[Array, "*batch n"]:
        self.check_weights(sample, "rank")
        problem = rank_problem(sample, relaxation.softness)
        return jnp.add(sample.above, gaps(sample) * relaxation.primal(problem))


def rank_problem(sample: Sample, softness: Array) -> PermutahedronProjection:
    """The projection onto the ranks, over n - 1, of the finite elements of a sample.

    Of copies of an element, of mass m, the mean is `(W - C - (m - 1) / 2) / (W - 1)`,
    where C is the mass of the elements with smaller keys, which come first.
    """
    if sample.mass is None:
        return _rank_problem_of_ones(sample, softness)
    ordered = dataclasses.replace(sample, keys=-sample.keys).ordered()
    mass, gap = ordered.mass, gaps(sample)
    assert mass is not None
    last = jnp.asarray(sample.finite + sample.below) - ordered.before
    return PermutahedronProjection(
        -ordered.support,
        (last - (mass - 1) / 2) / gap,
        softness,
        ordered.where,
        weights=mass,
        spacing=1 / gap,
        z_is_sorted=True,
        permutation=ordered.permutation,
    )


def _rank_problem_of_ones(sample: Sample, softness: Array) -> PermutahedronProjection:
    return PermutahedronProjection(
        -sample.keys,
        anchors(sample, sample.below) + 1 / gaps(sample),
        softness,
        sample.where,
        w_is_sorted=True,
    )
