"""Groups of candidates that share a dual: rows of an array, or segments of a row."""

from __future__ import annotations

import abc
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, Shaped

from .._kernels.arrays import exact_einsum
from .._kernels.segments import (
    kth_largest_of_segments,
    segment_max,
    segment_min,
    segment_sum,
)
from .._kernels.sorting import kth_largest, weighted_kth_largest


class Groups(eqx.Module):
    """Candidates along the last axis that are summed and compared together.

    **Attributes:**

    - `are_rows`: whether a group is all of the last axis of an array.
    """

    are_rows: eqx.AbstractClassVar[bool]

    @abc.abstractmethod
    def sum(
        self, x: Shaped[Array, "*batch n"], where: Bool[Array, "..."] | None = None
    ) -> Shaped[Array, "*groups"]:
        """Sums over groups, of what is inside of the mask."""

    @abc.abstractmethod
    def dot(
        self, x: Float[Array, "*batch n"], y: Float[Array, "*#batch n"]
    ) -> Float[Array, "*groups"]:
        """Sums of products."""

    @abc.abstractmethod
    def max(self, x: Float[Array, "*batch n"]) -> Float[Array, "*groups"]:
        """Maxima; those of groups without candidates are finite, or -inf."""

    @abc.abstractmethod
    def min(self, x: Float[Array, "*batch n"]) -> Float[Array, "*groups"]:
        """Minima; those of segments without candidates are 0."""

    @abc.abstractmethod
    def of_parameter(self, x: Shaped[Array, "*#batch m"]) -> Shaped[Array, "*#groups"]:
        """A parameter of groups, of size 1 along the last axis where those are rows."""

    @abc.abstractmethod
    def kth_largest(
        self,
        x: Float[Array, "*batch n"],
        weights: Float[Array, "*batch n"] | None,
        k: Float[Array, "*groups"],
    ) -> Float[Array, "*batch #n"]:
        """The largest candidate up to which the weights are at least k, spread.

        For k above 0, and without a derivative.
        """

    @abc.abstractmethod
    def spread(self, x: Shaped[Array, "*groups"]) -> Shaped[Array, "*batch #n"]:
        """Values of groups, such that they broadcast against their candidates."""

    @abc.abstractmethod
    def scale(
        self, x: Float[Array, "*batch n"], factor: Float[Array, "*groups"]
    ) -> Float[Array, "*batch n"]:
        """Candidates times a factor of their group."""


class Rows(Groups):
    """Groups that are rows, `*batch` of them."""

    are_rows: ClassVar[bool] = True

    def sum(self, x, where=None):
        return jnp.sum(x, axis=-1, where=where)

    def dot(self, x, y):
        return sum_of_products(x, y)

    def max(self, x):
        return jnp.max(x, axis=-1)

    def min(self, x):
        return jnp.min(x, axis=-1)

    def of_parameter(self, x):
        return x[..., 0]

    def kth_largest(self, x, weights, k):
        k = k[..., None]
        if weights is None:
            last = jnp.maximum(jnp.ceil(k), 1).astype(jnp.int32)
            return kth_largest(x, last)
        known = jax.lax.stop_gradient((x, weights, k))
        return weighted_kth_largest(*known)

    def spread(self, x):
        return x[..., None]

    def scale(self, x, factor):
        # Of which the transpose is an inner product. As a sum of products, it takes up
        # to ten times as long (of a long row, on a CPU).
        return exact_einsum("...n,...->...n", x, factor)


class Segments(Groups):
    """Groups that are segments of the last axis, `*batch m` of them.

    **Attributes:**

    - `ids`: the segment of each candidate, `n`. Candidates of others than the first m
        segments count nothing, and get what the nearest of those has.
    - `count`: m.
    - `are_sorted`: whether the ids are known to ascend.
    """

    are_rows: ClassVar[bool] = False

    ids: Int[Array, " n"]
    count: int = eqx.field(static=True)
    are_sorted: bool = eqx.field(default=False, static=True)

    def sum(
        self, x: Shaped[Array, "*batch n"], where: Bool[Array, "..."] | None = None
    ) -> Shaped[Array, "*groups"]:
        x = x.astype(jnp.int32) if x.dtype == bool else x
        x = x if where is None else jnp.where(where, x, jnp.zeros((), x.dtype))
        x = jnp.broadcast_to(x, (*x.shape[:-1], *self.ids.shape))
        return segment_sum(x, self.ids, self.count, self.are_sorted)

    def dot(
        self, x: Float[Array, "*batch n"], y: Float[Array, "*#batch n"]
    ) -> Float[Array, "*groups"]:
        return self.sum(x * y)

    def max(self, x: Float[Array, "*batch n"]) -> Float[Array, "*groups"]:
        return segment_max(x, self.ids, self.count, self.are_sorted)

    def min(self, x: Float[Array, "*batch n"]) -> Float[Array, "*groups"]:
        least = segment_min(x, self.ids, self.count, self.are_sorted)
        return jnp.where(least == jnp.inf, 0, least)

    def of_parameter(self, x: Shaped[Array, "*#batch m"]) -> Shaped[Array, "*#groups"]:
        return x

    def kth_largest(
        self,
        x: Float[Array, "*batch n"],
        weights: Float[Array, "*batch n"] | None,
        k: Float[Array, "*groups"],
    ) -> Float[Array, "*batch #n"]:
        weights = jnp.ones_like(x) if weights is None else weights
        known = jax.lax.stop_gradient((x, weights, k))
        return self.spread(kth_largest_of_segments(*known, self.ids, self.count))

    def spread(self, x: Shaped[Array, "*groups"]) -> Shaped[Array, "*batch #n"]:
        ids = jnp.clip(self.ids, 0, self.count - 1)
        return x.at[..., ids].get(mode="promise_in_bounds")

    def scale(
        self, x: Float[Array, "*batch n"], factor: Float[Array, "*groups"]
    ) -> Float[Array, "*batch n"]:
        return x * self.spread(factor)

    @property
    def inside(self) -> Bool[Array, " n"]:
        """Candidates that belong to a segment."""
        return (self.ids >= 0) & (self.ids < self.count)

    def as_rows(self) -> Bool[Array, "m n"]:
        """A mask of the candidates of each segment."""
        return self.ids == jnp.arange(self.count)[:, None]


@jax.custom_jvp
def sum_of_products(
    y: Float[Array, "*batch n"], values: Float[Array, "*#batch n"]
) -> Float[Array, "*batch"]:
    # Where rows share their values, a matrix product.
    return exact_einsum("...n,...n->...", y, values)


@sum_of_products.defjvp
def sum_of_products_jvp(primals: Any, tangents: Any):
    (y, values), (y_dot, values_dot) = primals, tangents
    # What comes back to y is an outer product, which need not be one of matrices.
    out_dot = jnp.sum(y_dot * values, axis=-1) + sum_of_products(y, values_dot)
    return sum_of_products(y, values), out_dot
