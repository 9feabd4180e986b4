"""Samples: the numbers of a row that a method is given, and their order."""

from __future__ import annotations

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from softjax_solvers.internal import (
    invert,
    permute,
    sort_with_permutation,
)


class Ordered(eqx.Module):
    """A sample sorted from its largest key to its smallest, masked elements last.

    **Example:**

        >>> sample = sj.methods.Sample(jnp.array([0.2, 1.0, 0.7]))
        >>> ordered = sample.ordered()
        >>> print(ordered.values, ordered.permutation, ordered.unsort(ordered.values))
        [1.  0.7 0.2] [1 2 0] [0.2 1.  0.7]
    """

    support: Float[Array, "*batch n"]  # minus the keys, ascending
    values: Float[Array, "*batch n"]  # in the same order
    where: Bool[Array, "*batch n"] | None
    permutation: Int[Array, "*batch n"]

    def unsort(self, x: Float[Array, "*batch #m n"]) -> Float[Array, "*batch #m n"]:
        """Bring the last axis of `x` back into the sample's own order.

        `x` may have one more axis before it.
        """
        place = invert(self.permutation)
        if x.ndim == place.ndim:
            return permute(x, place)
        # Rows of memory change places, also in the derivative, which scatters them.
        columns, place = x.swapaxes(-1, -2), place[..., None]
        out = jnp.take_along_axis(columns, place, axis=-2, mode="promise_in_bounds")
        return out.swapaxes(-1, -2)


class Infinite(eqx.Module):
    """Infinite elements of a row, for which finite keys stand, far from all others.

    Elements that are so far away leave the soft indices of the others as they are.

    **Attributes:**

    - `above`, `below`: how many elements of a row are inf and -inf, `*batch 1`.
    - `reach`: what no finite key exceeds in size, and all stand-ins do, `*batch 1`.

    **Example:**

        >>> one, none = jnp.array([1]), jnp.array([0])
        >>> infinite = sj.methods.Infinite(one, none, jnp.array([2.0]))
        >>> print(infinite.finite(jnp.array([1.0, 1e6, 2.0])))
        [ True False  True]
    """

    above: Int[Array, "*batch 1"]
    below: Int[Array, "*batch 1"]
    reach: Float[Array, "*batch 1"]

    def beyond(self, softness: Array) -> Float[Array, "*batch 1"]:
        """The size of stand-ins: further away than counts in any mode, and rounding."""
        info = jnp.finfo(self.reach.dtype)
        far = 2 * self.reach + jax.lax.stop_gradient(softness) / info.eps
        return jnp.minimum(far, info.max / 2)

    def finite(self, keys: Float[Array, "*batch n"]) -> Bool[Array, "*batch n"]:
        """Which of some keys, in any order, stand for finite elements."""
        # In a row without infinite elements, all do, of any size.
        reach = jnp.where(self.above + self.below > 0, self.reach, jnp.inf)
        return jnp.abs(jax.lax.stop_gradient(keys)) <= reach


class Sample(eqx.Module):
    """The numbers along one axis that an operator compares and averages.

    **Attributes:**

    - `keys`: what is compared, `*batch n`, finite. Possibly standardized.
    - `averaged`: what is averaged, `*batch n`, finite; None for the keys themselves.
    - `where`: None, or a mask `*batch n` with at least one element of each row.
        Operators that read positions in the middle of a row, such as the median, refuse
        a sample that has one.
    - `center`, `scale`: `*batch 1`, or None; see `restore`.
    - `count`: how many elements the mask has, `*batch 1`; None to count them.
    - `infinite`: which of the keys stand for infinite elements; None if none does.

    **Example:**

        >>> sample = sj.methods.Sample(jnp.array([0.2, 1.0, 0.7]))
        >>> print(sample.size, sample.values)
        3 [0.2 1.  0.7]
    """

    keys: Float[Array, "*batch n"]
    averaged: Float[Array, "*batch n"] | None = None
    where: Bool[Array, "*batch n"] | None = None
    center: Float[Array, "*batch 1"] | None = None
    scale: Float[Array, "*batch 1"] | None = None
    count: Int[Array, "*batch 1"] | None = None
    infinite: Infinite | None = None

    @property
    def size(self) -> int:
        return self.keys.shape[-1]

    @property
    def present(self) -> Int[Array | np.ndarray, "*#batch 1"]:
        """How many elements take part: of NumPy where that is known."""
        if self.where is None:
            return np.full(1, self.size)
        if self.count is None:
            return jnp.sum(self.where, axis=-1, keepdims=True)
        return self.count

    @property
    def above(self) -> Int[Array | np.ndarray, "*#batch 1"]:
        """How many elements are inf, and so have the first positions."""
        return np.zeros(1, int) if self.infinite is None else self.infinite.above

    @property
    def below(self) -> Int[Array | np.ndarray, "*#batch 1"]:
        """How many elements are -inf, and so have the last positions."""
        return np.zeros(1, int) if self.infinite is None else self.infinite.below

    @property
    def finite(self) -> Int[Array | np.ndarray, "*#batch 1"]:
        """How many elements take part and are finite, or 1 if there is none."""
        if self.infinite is None:
            return self.present
        count = self.present - self.infinite.above - self.infinite.below
        return jnp.maximum(count, 1)

    @property
    def values(self) -> Float[Array, "*batch n"]:
        if self.averaged is None:
            return self._finite_values(self.keys)
        return self.averaged

    def _finite_values(self, keys: Float[Array, "*batch n"]) -> Array:
        """Keys as what is averaged: 0 for infinite elements, of which none has a share.

        Or such a small one, in modes with heavy tails, that only their size would show.
        """
        if self.infinite is None:
            return keys
        return jnp.where(self.infinite.finite(keys), keys, 0)

    def positions_of_full_rows(self, operator: str) -> None:
        """Raise `ValueError` if there is a mask, after which rows differ in length."""
        if self.where is not None:
            raise ValueError(
                f"{operator}: the sample has a mask (where=...), after which positions "
                "in its rows are not those of full ones. Pass the elements that take "
                "part, without a mask."
            )

    def without_infinite(self) -> "Sample":
        """The finite elements, as those of a mask; of rows without one, all of them."""
        if self.infinite is None:
            return self
        finite = self.infinite.finite(self.keys)
        where = finite if self.where is None else finite & self.where
        present = self.present
        count = present - self.infinite.above - self.infinite.below
        nothing = count <= 0
        return dataclasses.replace(
            self,
            where=where | (nothing if self.where is None else nothing & self.where),
            count=jnp.where(nothing, present, count),
            infinite=None,
        )

    def ordered(self) -> Ordered:
        minus = -self.keys
        if self.where is None:
            support, permutation = sort_with_permutation(minus)
            if self.averaged is None:
                values = self._finite_values(-support)
                return Ordered(support, values, None, permutation)
            values = permute(self.averaged, permutation)
            return Ordered(support, values, None, permutation)
        minus = jnp.where(self.where, minus, jnp.inf)
        support, permutation = sort_with_permutation(minus)
        # The mask of a sorted sample is a prefix; its last element fills the rest.
        where = jnp.arange(self.size) < self.present
        last = permute(jax.lax.stop_gradient(support), jnp.asarray(self.present) - 1)
        support = jnp.where(where, support, last)
        return Ordered(support, permute(self.values, permutation), where, permutation)

    def restore(self, keys: Float[Array, "*batch m"]) -> Float[Array, "*batch m"]:
        """Values in the unit of the input from values in the unit of the keys."""
        if self.center is None or self.scale is None:
            return keys
        # Stand-ins of infinite elements are no squashed numbers.
        squashed = jnp.where((keys > 0) & (keys < 1), keys, 1 / 2)
        return self.center + self.scale * jax.scipy.special.logit(squashed)


def behind(
    above: Int[Array | np.ndarray, "*#batch 1"], values: Float[Array, "*batch n"]
) -> Float[Array, "*batch n"]:
    """Values in order, behind so many places for infinite ones."""
    if isinstance(above, np.ndarray):  # known to be none
        return values
    place = jnp.maximum(jnp.arange(values.shape[-1]) - above, 0)
    return permute(values, place)
