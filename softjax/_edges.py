"""Places of numbers among edges: soft steps of all pairs, of which counts are sums."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from softjax_solvers import Regularizer
from softjax_solvers.internal import is_traced, map_chunks, pad_last, sum_chunks

from ._keywords import (
    as_float,
    broadcast_shape,
    float_type,
    parse_index,
    parse_softness,
)
from ._transition import Transition
from .elementwise import difference


def to_common(**arrays: Any) -> tuple[list[Array], Any]:
    """Arrays in the type to compute in, and the type that they promote to."""
    for name, x in arrays.items():
        as_float(x, name)
    raw = [jnp.asarray(x) for x in arrays.values()]
    dtype = float_type(jnp.result_type(*raw))
    wide = jnp.promote_types(dtype, jnp.float32)
    return [x.astype(wide) for x in raw], dtype


def parse_bins(bins: Any, span: Any, size: int) -> tuple[Any, Any]:
    """Bins and range of a histogram of `size` numbers, as `jnp.histogram` takes them.

    **Raises:** `ValueError` if there is no bin, edges or a range decrease, as far as
    they are known, or their shapes are wrong; `TypeError` if bins are no integer.
    """
    if isinstance(bins, str):
        return bins, span
    if np.ndim(bins) > 0:
        _check_ascending(bins, "bins", "one axis", np.ndim(bins) == 1)
        return bins, span
    count = parse_index(bins, "histogram: bins")
    if count < 1:
        raise ValueError(f"histogram: bins must be at least 1, got {count}.")
    if span is not None:
        _check_ascending(span, "range", "two numbers", np.shape(span) == (2,))
    elif size == 0:
        span = (0, 1)  # as in NumPy
    return count, span


def _check_ascending(edges: Any, name: str, wanted: str, fits: bool) -> None:
    if not fits:
        raise ValueError(
            f"histogram: {name} must have {wanted}, got shape {np.shape(edges)}."
        )
    if is_traced(edges):
        return
    known = np.asarray(edges)
    if np.any(known[1:] < known[:-1]):
        raise ValueError(f"histogram: {name} must not decrease, got {edges}.")


def least_length(x: np.ndarray) -> int:
    """The largest of the numbers, rounded, plus 1.

    **Raises:** `ValueError` if an array can't be so long; `TypeError` for complex
    numbers.
    """
    if np.iscomplexobj(x):
        raise TypeError(f"bincount: x must be of real numbers, got type {x.dtype}.")
    largest = np.max(np.round(x.astype(float)), initial=-1)
    if not largest < np.iinfo(np.int32).max:  # NaN too
        raise ValueError(
            f"bincount: without length, x must be finite and below 2**31 - 1, got "
            f"{largest:g}. Beyond a length numbers are left out."
        )
    return int(largest) + 1


def counts_below(
    transition: Transition, x: Float[Array, "m"], edges: Float[Array, "n"]
) -> Float[Array, "m"]:
    """The number of edges below."""

    def fn(rows):
        x, unit = rows
        steps = Transition(transition.regularizer, unit[:, None])
        return jnp.sum(steps.heaviside(difference(x[:, None], edges[None])), axis=-1)

    return map_chunks(fn, (x, transition.unit), row_size=edges.size)


def positions(
    transition: Transition, x: Float[Array, "m"], edges: Float[Array, "n"]
) -> Float[Array, "m n+1"]:
    """The place of x among increasing edges: `H(x - e_{j-1}) - H(x - e_j)`."""
    steps = Transition(transition.regularizer, transition.unit[:, None])
    gap = difference(x[:, None], edges[None])
    above, below = pad_last(gap, 1, 0, jnp.inf), pad_last(gap, 0, 1, -jnp.inf)
    # Of two numbers near 1, the difference is that of their complements.
    beyond = below > 0
    one = steps.heaviside(jnp.where(beyond, -below, above))
    return one - steps.heaviside(jnp.where(beyond, -above, below))


def transition_of(
    softness: Any, regularizer: Regularizer, shape: tuple[int, ...], dtype: Any
) -> Transition:
    """A step for each entry of a flattened array of this shape."""
    softness = parse_softness(softness, dtype)
    if broadcast_shape(x=shape, softness=softness.shape) != shape:
        raise ValueError(
            f"softness of shape {softness.shape} must broadcast to the shape {shape} "
            "of the numbers that are counted."
        )
    softness = jnp.broadcast_to(softness, shape).ravel()
    # Where softness was traced, it could not be checked.
    softness = jnp.where(softness > 0, softness, jnp.nan)
    return Transition(regularizer, softness * regularizer.transition_scale())


def total_positions(
    transition: Transition,
    x: Float[Array, "m"],
    weights: Float[Array, "m"],
    edges: Float[Array, "n"],
) -> Float[Array, "n+1"]:
    """The sums of the positions of all x, times their weights."""

    def fn(rows):
        (x, weights, unit), included = rows
        each = positions(Transition(transition.regularizer, unit), x, edges)
        return jnp.sum((weights * included)[:, None] * each, axis=0)

    rows = (x, weights, transition.unit)
    return sum_chunks(fn, rows, row_size=edges.size + 1)
