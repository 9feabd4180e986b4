"""Layouts of arrays for what works along an axis, or along several."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from ._keywords import got


class Layout(NamedTuple):
    """The layout of an array of shape `shape` as `*batch n`."""

    shape: tuple[int, ...]
    axes: tuple[int, ...]  # ascending
    flat: bool  # axis=None

    @property
    def size(self) -> int:
        return math.prod(self.shape[axis] for axis in self.axes)

    def split(self, x: Array) -> Float[Array, "*batch n"]:
        """Move the axes to the end and merge them, also where they have size 1."""
        x = jnp.moveaxis(x, self.axes, range(-len(self.axes), 0))
        batch = x.shape[: x.ndim - len(self.axes)]
        return x.reshape(*batch, math.prod(x.shape[len(batch) :]))

    def merge(self, x: Float[Array, "*batch n"]) -> Array:
        """The inverse of `split`."""
        sizes = (self.shape[axis] for axis in self.axes)
        x = x.reshape(*x.shape[:-1], *sizes)
        return jnp.moveaxis(x, range(-len(self.axes), 0), self.axes)

    def keep(self, x: Array) -> Array:
        """Put axes of size 1 back into `*batch *rest`, where the input had them."""
        return jnp.expand_dims(x, self.axes)

    def place(self, x: Array, axis: int) -> Array:
        """Bring axis `axis` of the output to where the input had the operated one."""
        return x if self.flat else jnp.moveaxis(x, axis, self.axes[0])


def layout_of(
    shape: tuple[int, ...], axis: Any, name: str, *, several: bool = False
) -> Layout:
    """Check `axis` as jax.numpy does; None stands for the flattened array."""
    ndim = len(shape)
    if axis is None:
        layout = Layout(shape, tuple(range(ndim)), True)
    else:
        allowed = "None, an integer or a tuple" if several else "None or an integer"
        parts = axis if isinstance(axis, tuple | list) and several else (axis,)
        normalized = []
        for part in parts:
            if isinstance(part, bool) or not isinstance(part, int | np.integer):
                raise TypeError(f"{name}: axis must be {allowed}, {got(axis)}")
            if not -ndim <= part < ndim:
                range_ = f"{-ndim} to {ndim - 1}" if ndim else "none but axis=None"
                raise ValueError(
                    f"{name}: axis={axis} is out of bounds for an array of shape "
                    f"{shape}; allowed are {range_}."
                )
            normalized.append(int(part) % ndim)
        if len(set(normalized)) < len(normalized):
            raise ValueError(f"{name}: axis={axis} names an axis twice.")
        layout = Layout(shape, tuple(sorted(normalized)), False)
    return layout


def parse_axis(
    shape: tuple[int, ...], axis: Any, name: str, *, several: bool = False
) -> Layout:
    """`layout_of` for operators that need an entry to choose."""
    layout = layout_of(shape, axis, name, several=several)
    if layout.size == 0:
        raise ValueError(
            f"{name}: the axis must have at least one entry; axis={axis} of an array "
            f"of shape {shape} has none."
        )
    return layout


def split_mask(where: Any, layout: Layout, operator: str) -> Bool[Array, "*batch n"]:
    """A mask of the elements of an array, as that is laid out."""
    where = jnp.asarray(where)
    if where.dtype != bool:
        raise TypeError(
            f"{operator}: where must be a Boolean array, got type {where.dtype}."
        )
    return _split_broadcast(where, layout, operator, "where")


def _split_broadcast(x: Array, layout: Layout, operator: str, name: str) -> Array:
    """One number for each element of an array, as that is laid out."""
    try:
        x = jnp.broadcast_to(x, layout.shape)
    except ValueError:
        raise ValueError(
            f"{operator}: {name} of shape {x.shape} must broadcast to the input, of "
            f"shape {layout.shape}."
        ) from None
    return layout.split(x) if layout.shape else x.reshape(1)


def weights_shape(weights: Any, layout: Layout, operator: str) -> tuple[int, ...]:
    """The shape in which weights broadcast to an array.

    Those with one axis are along the operated one, as numpy's are.

    **Raises:** `ValueError` if they would do so in two ways.
    """
    given, full = np.shape(weights), layout.shape
    if len(given) != 1 or len(full) <= 1 or layout.flat or len(layout.axes) != 1:
        return given
    axis, size = layout.axes[0], given[0]
    along, last = full[axis] == size, size in (1, full[-1])
    if axis == len(full) - 1 or not along:
        return given
    if last and size > 1:
        raise ValueError(
            f"{operator}: weights of shape {given} fit along axis {axis} and along the "
            f"last one of an array of shape {full}. Give them the axes of the array."
        )
    return (size, *(1,) * (len(full) - 1 - axis))


def split_weights(weights: Any, layout: Layout, operator: str) -> Array:
    """Weights of the elements of an array, as that is laid out."""
    weights = jnp.asarray(weights)
    weights = weights.reshape(weights_shape(weights, layout, operator))
    return _split_broadcast(weights, layout, operator, "weights")


def split_parameter(
    value: Array, layout: Layout, operator: str, name: str
) -> Float[Array, "*#batch 1"]:
    """A parameter with one value for each row, or for several."""
    shape = value.shape
    ndim = len(layout.shape)
    padded = value.reshape((1,) * (ndim - value.ndim) + shape)
    fits = padded.ndim == ndim and all(
        size == 1 or (size == full and axis not in layout.axes)
        for axis, (size, full) in enumerate(
            zip(padded.shape, layout.shape, strict=False)
        )
    )
    if not fits:
        raise ValueError(
            f"{operator}: {name} of shape {shape} must broadcast against the input of "
            f"shape {layout.shape}, with size 1 along the operated axis."
        )
    return layout.split(padded) if ndim else value.reshape(1)
