"""Calls of what `softjax_solvers.internal` shares, with one array each."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from softjax_solvers import internal


def _descending(x: Any) -> Any:
    return -jnp.sort(-x, axis=-1)


INTERNAL: dict[str, Any] = {
    "derivative": lambda x: internal.derivative(jnp.sin, x),
    "distance": lambda x: internal.distance(x, 1 - x),
    "invert": lambda x: x[..., internal.invert(np.array([1, 2, 3, 0]))],
    "largest": lambda x: internal.largest(x, 2)[0],
    "linear_recurrence": lambda x: internal.linear_recurrence(jax.nn.softmax(x), x),
    "log_subset_sums": lambda x: internal.log_subset_sums(_descending(x)),
    "centered_inclusion_probabilities_of_sizes": lambda x: (
        internal.centered_inclusion_probabilities_of_sizes(
            _descending(x), np.broadcast_to([True, True, False, False], x.shape)
        )
    ),
    "pad_last": lambda x: internal.pad_last(x, 1, 2),
    "permute": lambda x: internal.permute(
        x, np.broadcast_to(np.array([1, 2, 3, 0]), x.shape)
    ),
    "prefix_maxima": internal.prefix_maxima,
    "largest_and_sums": lambda x: internal.largest_and_sums(x, 2 * x)[1] * x,
    "rough_sums": lambda x: internal.rough_sums(x, 2 * x)[0] * x,
    "safe_divide": lambda x: internal.safe_divide(1.0, x),
    "sort_with_permutation": lambda x: internal.sort_with_permutation(x)[0],
    "map_chunks": lambda x: internal.map_chunks(jnp.sin, x, row_size=4),
    "sum_chunks": lambda x: internal.sum_chunks(
        lambda rows: jnp.einsum("i...,i->...", *rows), x, row_size=4
    ),
    "tangent_of": lambda x: internal.tangent_of(jnp.sin, (x,), (x,)),
    "tie_groups": lambda x: x * internal.tie_groups(jnp.sort(x))[0],
    "is_traced": lambda x: x if internal.is_traced(x) else -x,
    "anywhere": lambda x: jnp.where(internal.anywhere(x > 0), x, -x),
    "varying_as": lambda x: internal.varying_as(x, x),
}
