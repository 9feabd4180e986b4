from __future__ import annotations

import dataclasses
from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Float

from softjax_solvers import Entropy, MajorizationProjection
from softjax_solvers.internal import centered_inclusion_probabilities_of_sizes

from ._anchors import anchors
from ._method import Relaxation, ValueMethod
from ._sample import Sample, behind
from ._spread import parse_scale, spread


class SmoothSort(ValueMethod):
    """Sorted values and ranks that are infinitely differentiable, ties included.

    `sort` is `s F(x / s, softness / s)`, where `F(x, softness)` is a
    [`softjax.solvers.MajorizationProjection`][] of n anchors at equal distances in
    [0, 1]: descending, of the sum of x, and with first entries that sum to less than
    the smooth bounds `b_k = softness log e_k(exp(x / softness))`. The values may lie
    outside the range of x. s is the standard deviation of the row, as F is not
    homogeneous, and softness is in the unit of x. Where s = 0, values are the mean of
    the row.

    `rank` needs no gaps, and without them that program has the value
    `sum_k b_k / (n - 1)`, of which it is the gradient in x, times n - 1:
    `rank_i = n - sum_{k < n} p_ki`, where p_ki is the probability that x_i is one of k
    entries that are drawn with a probability proportional to the exponential of their
    sum over the softness. Ranks add up to n (n + 1) / 2, and equal entries have equal
    ranks.

    The mode has to be `"smooth"`, or a multiple of it: the bounds belong to the
    entropy. There are no soft indices. With `standardize=True` the input is z-scored,
    without a sigmoid, whose range values may leave. Takes O(n^2) operations, and O(n)
    memory.

    **Arguments:**

    - `scale`: what to take for s, a positive number; with 1, sorted values are F
        itself. None for the standard deviation of each row, or for 1 with
        `standardize=True`.

    **Raises:** `ValueError` or `TypeError` if the scale is no positive number.

    **Example:**

        >>> x = jnp.array([0.2, 1.0, 0.7])
        >>> print(sj.sort(x, method="smooth_sort"))
        [0.286 0.656 0.958]
        >>> print(sj.sort(100 * x, method="smooth_sort", softness=10))
        [28.633 65.603 95.763]
        >>> print(sj.sort(x, method=sj.methods.SmoothSort(scale=1)))
        [0.204 0.692 1.004]
        >>> print(sj.rank(x, method="smooth_sort"))
        [2.993 1.048 1.959]
    """

    scale: float | Float[Array, ""] | None = None

    def __init__(self, scale: Any = None):
        self.scale = parse_scale(scale, "SmoothSort")

    def sort(self, sample: Sample, relaxation: Relaxation) -> Float[Array, "*batch n"]:
        self.check_weights(sample, "sort")
        relaxation = _of_the_entropy(relaxation)
        above = sample.above
        sample = _z_scores(sample.without_infinite())
        ordered = sample.ordered()
        middle, size, scale, mean, varies = spread(sample, ordered, self.scale)
        # F moves along with x, so that any constant may be taken from it.
        problem = MajorizationProjection(
            anchors(sample, 0),
            (-ordered.support - middle) / size / scale,
            relaxation.softness / size / scale,
            ordered.where,
        )
        values = middle + size * scale * relaxation.primal(problem)
        values = jnp.where(varies, values, mean)
        if sample.center is not None and sample.scale is not None:
            values = sample.center + sample.scale * values
        return behind(above, values)

    def rank(self, sample: Sample, relaxation: Relaxation) -> Float[Array, "*batch n"]:
        self.check_weights(sample, "rank")
        relaxation = _of_the_entropy(relaxation)
        if relaxation.solver is not None:
            raise TypeError(
                f"solver={relaxation.solver!r}: ranks by method='smooth_sort' have a "
                "closed form. Pass None."
            )
        above = sample.above
        sample = _z_scores(sample.without_infinite())
        ordered = sample.ordered()
        x, place = -ordered.support, jnp.arange(1, sample.size + 1)
        drawn = jnp.broadcast_to(place < sample.total, x.shape)
        more = centered_inclusion_probabilities_of_sizes(
            x / relaxation.softness, drawn, ordered.where
        )
        return jnp.add(above, ordered.unsort(place - more))


def _of_the_entropy(relaxation: Relaxation) -> Relaxation:
    """A multiple of the entropy as the entropy at a multiple of the softness."""
    rate = relaxation.regularizer.structure().rate
    if rate is None:
        raise ValueError(
            f"mode={relaxation.regularizer!r}: method='smooth_sort' takes "
            "mode='smooth', or a multiple of it, as its bounds belong to the entropy. "
            "Use method='fast_soft_sort', or method='ot', which is smooth at ties too."
        )
    return dataclasses.replace(
        relaxation, regularizer=Entropy(), softness=relaxation.softness / rate
    )


def _z_scores(sample: Sample) -> Sample:
    if sample.center is None or sample.scale is None:
        return sample
    keys = (sample.values - sample.center) / sample.scale
    return dataclasses.replace(sample, keys=keys, averaged=None)
