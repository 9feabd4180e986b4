"""Arrays of rows along their last axis: parameters, masks, a single batch axis."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, PyTree

from .._kernels.arrays import broadcasts, inexact, is_traced, working_type


def _check_number(value: Array | float, name: str) -> None:
    """Check that a parameter is of numbers.

    **Raises:** `TypeError` otherwise.
    """
    known = value if isinstance(value, jax.Array) else np.asarray(value)
    if known.dtype.kind not in "biufV":  # V: bfloat16 and its like
        raise TypeError(f"{name} must be a number or an array of them, got {value!r}.")


def per_row(value: Array | float, rows: Array, name: str) -> Float[Array, "*#batch 1"]:
    """A parameter of `rows`, `*batch n`, as an array that broadcasts over them.

    It is of the type that they are computed in: a Python number would be of 64 bits
    where there are some.

    **Raises:** `ValueError` if it does not have size 1 along their last axis;
    `TypeError` if it is not of numbers.
    """
    _check_number(value, name)
    value = inexact(value).astype(working_type(rows.dtype))
    padded = value.reshape((1,) * (rows.ndim - value.ndim) + value.shape)
    full = (*rows.shape[:-1], 1)
    if padded.ndim > rows.ndim or any(
        size not in (1, allowed)
        for size, allowed in zip(padded.shape, full, strict=True)
    ):
        raise ValueError(
            f"{name} of shape {value.shape} must broadcast against the rows, which are "
            f"of shape {full}."
        )
    return padded


def check_softness(softness: Array | float) -> None:
    """Check the softness of a problem, as far as its value is known.

    **Raises:** `ValueError` if it is not positive and finite; `TypeError` if it is no
    number or array of them.
    """
    _check_number(softness, "softness")
    if is_traced(softness):
        return
    known = np.asarray(softness)
    if not ((known > 0) & np.isfinite(known)).all():
        raise ValueError(f"softness must be positive and finite, got {softness}.")


def softness_per_row(softness: Array | float, rows: Array) -> Float[Array, "*#batch 1"]:
    """The softness of `rows`, as `per_row` has it.

    **Raises:** `ValueError` if it is known not to be positive, or does not fit.
    """
    fitting = per_row(softness, rows, "softness")
    check_softness(softness)  # second, as what does not fit need not be printed
    return fitting


def parse_weights(
    weights: Array | None, rows: Array, where: Array | None
) -> Float[Array, "*#batch #n"] | None:
    """Weights of candidates, in the type that `rows` are computed in; 0 where masked.

    **Raises:** `ValueError` if they do not broadcast against them, or are known not to
    be nonnegative and finite.
    """
    if weights is None:
        return None
    weights = jnp.asarray(weights).astype(working_type(rows.dtype))
    if not broadcasts(rows.shape, weights.shape):
        raise ValueError(
            f"weights of shape {weights.shape} must broadcast against the rows, which "
            f"are of shape {rows.shape}."
        )
    weights = weights if where is None else jnp.where(where, weights, 0)
    if not is_traced(weights):
        known = np.asarray(weights)
        if not ((known >= 0) & np.isfinite(known)).all():
            raise ValueError(f"weights must be nonnegative and finite, got {weights}.")
    return weights


def as_mask(where: Bool[Array, "..."] | None, like: Array) -> Bool[Array, "..."]:
    return jnp.ones(like.shape, bool) if where is None else where


def of_rows(x: Array | None) -> Array | None:
    """Values that rows share, such that they broadcast against them."""
    return None if x is None else x[..., None, :]


def parse_ids(segment_ids: Array, rows: Array) -> Int[Array, " n"]:
    """Segments of the last axis of rows.

    **Raises:** `TypeError` if they are no integers, `ValueError` if they are not one
    for each element.
    """
    ids = jnp.asarray(segment_ids)
    if not jnp.issubdtype(ids.dtype, jnp.integer):
        raise TypeError(f"segment_ids must be integers, got type {ids.dtype}.")
    if ids.shape != rows.shape[-1:]:
        raise ValueError(
            f"segment_ids must be of shape {rows.shape[-1:]}, one for each element, "
            f"got {ids.shape}."
        )
    return ids


def check_candidates(z: Array, name: str) -> None:
    if z.ndim == 0 or z.shape[-1] == 0:
        raise ValueError(
            f"{name}: z must have at least one entry along its last axis, got shape "
            f"{z.shape}."
        )


_Rows = TypeVar("_Rows", bound=PyTree)


def flatten_batch(rows: _Rows, batch: tuple[int, ...]) -> _Rows:
    """Arrays that broadcast over `*batch` and a last axis, with one batch axis."""

    def flatten(x):
        size = x.shape[-1]
        return jnp.broadcast_to(x, (*batch, size)).reshape(-1, size)

    return jax.tree.map(flatten, rows)


def over_batch(
    fn: Callable[..., PyTree], batch: Sequence[int]
) -> Callable[..., PyTree]:
    """A function of arrays `*batch ...`, from one of a single entry of the batch.

    One that stands alone is no loop of `jax.vmap`: XLA makes indices of a batch in all
    gathers of such a loop, which take time to compile.
    """
    for size in reversed(batch):
        fn = _alone(fn) if size == 1 else jax.vmap(fn)
    return fn


def _alone(fn: Callable[..., PyTree]) -> Callable[..., PyTree]:
    def call(*args):
        out = fn(*jax.tree.map(lambda x: x[0], args))
        return jax.tree.map(lambda x: x[None], out)

    return call
