from __future__ import annotations

import dataclasses

import jax.numpy as jnp
from jaxtyping import Array, Float

from softjax_solvers import MajorizationProjection, surplus_of_sizes

from ._anchors import anchors
from ._method import Relaxation, Sample, ValueMethod


class SmoothSort(ValueMethod):
    """Sorted values and ranks that are infinitely differentiable, ties included.

    `sort` is a [`softjax.solvers.MajorizationProjection`][] of n anchors at equal
    distances in [0, 1]: descending, of the sum of x, and with first entries that sum to
    less than the smooth bounds `b_k = softness log e_k(exp(x / softness))`. The values
    may lie outside the range of x.

    `rank` needs no gaps, and without them that program has the value
    `sum_k b_k / (n - 1)`, of which it is the gradient in x, times n - 1:
    `rank_i = n - sum_{k < n} p_ki`, where p_ki is the probability that x_i is one of k
    entries that are drawn with a probability proportional to the exponential of their
    sum over the softness. Ranks add up to n (n + 1) / 2, and equal entries have equal
    ranks.

    The mode has to be `"smooth"`: the bounds belong to the entropy. There are no soft
    indices. With `standardize=True` the input is z-scored, without a sigmoid, whose
    range values may leave. Takes O(n^2) operations, and O(n) memory.

    **Example:**

        >>> x = jnp.array([0.2, 1.0, 0.7])
        >>> print(sj.sort(x, method="smooth_sort"))
        [0.204 0.692 1.004]
        >>> print(sj.rank(x, method="smooth_sort"))
        [2.993 1.048 1.959]
    """

    def sort(self, sample: Sample, relaxation: Relaxation) -> Float[Array, "*batch n"]:
        _check_mode(relaxation)
        sample = _z_scores(sample)
        ordered = sample.ordered()
        problem = MajorizationProjection(
            anchors(sample), -ordered.support, relaxation.softness, ordered.where
        )
        values = relaxation.solve(problem).value
        if sample.center is None or sample.scale is None:
            return values
        return sample.center + sample.scale * values

    def rank(self, sample: Sample, relaxation: Relaxation) -> Float[Array, "*batch n"]:
        _check_mode(relaxation)
        if relaxation.solver is not None:
            raise TypeError(
                f"solver={relaxation.solver!r}: ranks by method='smooth_sort' have a "
                "closed form. Pass None."
            )
        ordered = _z_scores(sample).ordered()
        x, place = -ordered.support, jnp.arange(1, sample.size + 1)
        drawn = jnp.broadcast_to(place < sample.present, x.shape)
        more = surplus_of_sizes(x / relaxation.softness, drawn, ordered.where)
        return ordered.unsort(place - more)


def _check_mode(relaxation: Relaxation) -> None:
    if not relaxation.regularizer.exponential:
        raise ValueError(
            f"mode={relaxation.regularizer!r}: method='smooth_sort' takes "
            "mode='smooth' only, as its bounds belong to the entropy. Use "
            "method='fast_soft_sort', or method='ot', which is smooth at ties too."
        )


def _z_scores(sample: Sample) -> Sample:
    if sample.center is None or sample.scale is None:
        return sample
    keys = (sample.values - sample.center) / sample.scale
    return dataclasses.replace(sample, keys=keys, averaged=None)
