"""Arguments of Fenchel-Young losses, checked and laid out."""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from softjax_solvers import Regularizer

from .._keywords import as_array, as_float, check_softness, parse_mode, parse_softness
from .._layout import layout_of, split_mask, split_weights
from ._rows import check_if_known


class Given(NamedTuple):
    """Arguments of a loss, with the axes of y at the end.

    **Attributes:**

    - `scores`, `target`: of one shape, 0 behind the mask.
    - `softness`: a scalar.
    - `masks`: of the entries of each axis, `*batch n`; None if there are none. Where
        nothing is left, all is, and the loss is overwritten.
    - `some`: where something is left; None if there are no masks.
    - `weights`: of the entries of a single axis, 0 behind the mask; None for 1.
    - `dtype`: of the loss.
    """

    scores: Array
    target: Array
    softness: Float[Array, ""]
    regularizer: Regularizer
    masks: tuple[Bool[Array, "*batch n"], ...] | None
    some: Bool[Array, "*batch"] | None
    weights: Float[Array, "*batch n"] | None
    dtype: Any

    @property
    def where(self) -> Bool[Array, "*batch n"] | None:
        """The mask of a single axis."""
        return None if self.masks is None else self.masks[0]

    def finish(self, loss: Float[Array, "*batch"]) -> Float[Array, "*batch"]:
        if self.some is not None:
            loss = jnp.where(self.some, loss, 0)
        return loss.astype(self.dtype)


def parse_given(
    name: str,
    scores: Any,
    target: Any,
    axes: tuple[int, ...],
    wheres: tuple[Any, ...],
    softness: Any,
    mode: str | Regularizer,
    weights: Any = None,
) -> Given:
    """Check what is given to a loss, and lay it out.

    **Arguments:**

    - `axes`: those of y.
    - `wheres`: a mask for each of them, which broadcasts to the scores without the
        others; all of them None if there is none.
    - `weights`: of the entries of a single axis, or None.
    """
    scores, dtype = as_float(scores, f"{name}: scores")
    target, _ = as_float(target, f"{name}: target")
    if target.shape != scores.shape:
        raise ValueError(
            f"{name}: target has the shape {target.shape}, and scores {scores.shape}; "
            "they must be equal."
        )
    regularizer = parse_mode(mode).regularizer
    if regularizer is None:
        raise ValueError(
            f"{name}: the loss of mode='hard' has no useful gradient. Use 'smooth', "
            "'c0', 'c1', ... or a Regularizer."
        )
    check_softness(softness)
    softness = parse_softness(softness, scores.dtype)
    if softness.ndim:
        raise ValueError(f"{name}: softness must be a scalar, got {softness.shape}.")
    shape = scores.shape
    axes = tuple(layout_of(shape, axis, name).axes[0] for axis in axes)
    last = tuple(range(-len(axes), 0))
    scores, target = (jnp.moveaxis(x, axes, last) for x in (scores, target))
    masks, some = None, None
    if any(where is not None for where in wheres):
        given = [
            _split_where(name, shape, axes, axis, where)
            for axis, where in zip(axes, wheres, strict=True)
        ]
        some = functools.reduce(jnp.logical_and, (jnp.any(m, -1) for m in given))
        inside = functools.reduce(_outer_and, given)
        scores, target = (jnp.where(inside, x, 0) for x in (scores, target))
        masks = tuple(mask | ~some[..., None] for mask in given)
    target = target.astype(scores.dtype)
    if weights is not None:
        weights, some = _split_weights(name, shape, axes[0], masks, some, weights)
        weights = weights.astype(scores.dtype)
    return Given(scores, target, softness, regularizer, masks, some, weights, dtype)


def _split_weights(
    name: str,
    shape: tuple[int, ...],
    axis: int,
    masks: tuple[Bool[Array, "*batch n"], ...] | None,
    some: Bool[Array, "*batch"] | None,
    weights: Any,
) -> tuple[Float[Array, "*batch n"], Bool[Array, "*batch"]]:
    """Weights of entries, 1 where a row has none, and which rows have any."""
    layout = layout_of(shape, axis, name)
    weights = split_weights(as_array(weights, "weights"), layout, name)
    if masks is not None:
        weights = jnp.where(masks[0], weights, 0)
    check_if_known(weights, name)
    heavy = jnp.any(weights > 0, axis=-1)
    weights = jnp.where(heavy[..., None], weights, 1)
    return weights, heavy if some is None else heavy & some


def _split_where(
    name: str, shape: tuple[int, ...], axes: tuple[int, ...], axis: int, where: Any
) -> Bool[Array, "*batch n"]:
    """A mask of the entries of one of the axes of y."""
    kept = [i for i in range(len(shape)) if i == axis or i not in axes]
    layout = layout_of(tuple(shape[i] for i in kept), kept.index(axis), name)
    return split_mask(True if where is None else as_array(where), layout, name)


def _outer_and(
    rows: Bool[Array, "*batch n"], columns: Bool[Array, "*batch m"]
) -> Bool[Array, "*batch n m"]:
    return rows[..., :, None] & columns[..., None, :]
