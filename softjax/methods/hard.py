"""The operators themselves: what `mode="hard"` stands for."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from softjax_solvers.internal import (
    sort_with_permutation,
)

from ._method import IndexMethod, Level, Relaxation, central
from ._sample import Sample


class Hard(IndexMethod):
    """The hard operators in the same form: one-hot indices, sorted values.

    Equals are taken in the order in which they stand; their rank is the average of
    theirs. The relaxation is ignored, and a sample with a mask refused.
    """

    def argsort(self, sample: Sample, relaxation: Relaxation) -> Float[Array, "..."]:
        return _one_hot(self._order(sample), sample)

    def sort(self, sample: Sample, relaxation: Relaxation) -> Float[Array, "..."]:
        sample.positions_of_full_rows("mode='hard'")
        return -sort_with_permutation(-sample.values)[0]

    def rank(self, sample: Sample, relaxation: Relaxation) -> Float[Array, "..."]:
        minus = -sample.keys
        ordered = -self.sort(sample, relaxation)
        find = jnp.vectorize(
            lambda a, v, side: jnp.searchsorted(a, v, side=side),
            signature="(n),(n)->(n)",
            excluded={"side"},
        )
        first, last = (
            find(ordered, minus, side="left"),
            find(ordered, minus, side="right"),
        )
        return (first + last + 1).astype(minus.dtype) / 2

    def argmax(self, sample: Sample, relaxation: Relaxation) -> Float[Array, "..."]:
        sample.positions_of_full_rows("mode='hard'")
        return _one_hot(jnp.argmax(sample.keys, axis=-1), sample)

    def max(self, sample: Sample, relaxation: Relaxation) -> Float[Array, "..."]:
        sample.positions_of_full_rows("mode='hard'")
        return jnp.max(sample.values, axis=-1)

    def top_k(
        self, sample: Sample, relaxation: Relaxation, k: int
    ) -> tuple[Float[Array, "..."], Float[Array, "..."]]:
        sample.positions_of_full_rows("mode='hard'")
        values, index = jax.lax.top_k(sample.values, k)
        return values, _one_hot(index, sample)

    def argquantile(
        self, sample: Sample, relaxation: Relaxation, level: Level
    ) -> Float[Array, "..."]:
        order = self._order(sample)

        def take(position):
            return _one_hot(order[..., position], sample).swapaxes(-1, -2)

        return level.read(take).swapaxes(-1, -2)

    def quantile(
        self, sample: Sample, relaxation: Relaxation, level: Level
    ) -> Float[Array, "..."]:
        values = self.sort(sample, relaxation)
        lower = values[..., level.lower]
        if level.upper is None:
            return lower
        upper = values[..., level.upper]
        assert level.weight is not None
        weight = jnp.asarray(level.weight)
        # Between equal infinities there is nothing to interpolate, and without weight
        # they do not count.
        mixed = jnp.where(weight < 1, (1 - weight) * lower, 0)
        mixed = mixed + jnp.where(weight > 0, weight * upper, 0)
        return jnp.where(lower == upper, lower, mixed)

    def argmedian(self, sample: Sample, relaxation: Relaxation) -> Float[Array, "..."]:
        order = self._order(sample)
        lower, upper = central(sample)
        both = _one_hot(order[..., lower], sample) + _one_hot(order[..., upper], sample)
        return both / 2

    def median(self, sample: Sample, relaxation: Relaxation) -> Float[Array, "..."]:
        values = self.sort(sample, relaxation)
        lower, upper = central(sample)
        return (values[..., lower] + values[..., upper]) / 2

    def _order(self, sample: Sample) -> Array:
        sample.positions_of_full_rows("mode='hard'")
        return sort_with_permutation(-sample.keys)[1]


def _one_hot(index: Array, sample: Sample) -> Float[Array, "... n"]:
    return jax.nn.one_hot(index, sample.size, dtype=sample.keys.dtype)
