"""Samples: the numbers of a row that a method is given, and their order."""

from __future__ import annotations

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Shaped

from softjax_solvers.internal import (
    exact_einsum,
    invert,
    pad_last,
    permute,
    prefix_counts,
    reorder,
    sort_with_permutation,
    tie_groups,
)

from ._intervals import (
    Intervals,
    cell_means,
    first_cells,
    median_cells,
    middle_cell,
    quantile_cells,
)


class Ordered(eqx.Module):
    """A sample sorted from its largest key to its smallest, masked elements last.

    **Attributes:**

    - `support`: minus the keys, ascending, `*batch n`. In place of a masked element is
        the last one that takes part.
    - `values`, `mass`: what is averaged, and how much of it, in the same order.
    - `where`: the mask in that order, of the first elements; None if there is none.
    - `permutation`: which elements of the sample they are.

    **Example:**

        >>> x, mass = jnp.array([0.2, 1.0, 0.7]), jnp.array([2.0, 0.5, 1.0])
        >>> ordered = sj.methods.Sample(x, mass=mass).ordered()
        >>> print(ordered.values, ordered.permutation, ordered.unsort(ordered.values))
        [1.  0.7 0.2] [1 2 0] [0.2 1.  0.7]
        >>> print(ordered.mass, ordered.before)
        [0.5 1.  2. ] [0.  0.5 1.5]
    """

    support: Float[Array, "*batch n"]
    values: Float[Array, "*batch n"]
    where: Bool[Array, "*batch n"] | None
    permutation: Int[Array, "*batch n"]
    mass: Float[Array, "*batch n"] | None = None

    @property
    def before(self) -> Shaped[Array | np.ndarray, "*#batch n"]:
        """The mass of all that are before an element: of NumPy where that is known."""
        if self.mass is None:
            return np.arange(self.support.shape[-1])
        return pad_last(jnp.cumsum(self.mass, axis=-1)[..., :-1], 1, 0)

    @property
    def ends(self) -> Shaped[Array | np.ndarray, "*#batch n+1"]:
        """The mass before each element, and that of all."""
        if self.mass is None:
            return np.arange(self.support.shape[-1] + 1)
        return pad_last(jnp.cumsum(self.mass, axis=-1), 1, 0)

    @property
    def cells(self) -> Intervals:
        """The first n units of mass."""
        start = np.arange(self.support.shape[-1])
        return Intervals(start, jnp.clip(self.ends[..., -1:], start, start + 1))

    def positions(self) -> Float[Array, "*batch n"]:
        """Positions from 1: of equals the mean, so that their order does not count."""
        known = jax.lax.stop_gradient(self.support)
        if self.mass is None:
            start, end = tie_groups(known, self.where)
            return (start + end + 1).astype(known.dtype) / 2
        # Masked elements have none.
        (start, end), ends = tie_groups(known), jnp.asarray(self.ends)
        return (permute(ends, start) + permute(ends, end) + 1) / 2

    def shares(self, intervals: Intervals) -> Float[Array, "*batch m n"]:
        """The shares that elements have of intervals of mass, 0 of one without any."""
        mass = jnp.ones_like(self.support) if self.mass is None else self.mass
        return intervals.shares(self.before, mass)

    def means(
        self, intervals: Intervals, x: Float[Array, "*batch n ..."], axis: int = -1
    ) -> Float[Array, "*batch m ..."]:
        """Means over intervals of mass of what there is for each element.

        That is along the `axis` of `x`, which is -1 or -2.
        """
        if self.mass is None:
            return intervals.take(x, axis)
        shares = self.shares(intervals)
        if axis == -1:
            return exact_einsum("...mn,...n->...m", shares, x)
        return exact_einsum("...in,...nj->...ij", shares, x)

    def cell_means(
        self, x: Float[Array, "*batch n ..."], axis: int = -1
    ) -> Float[Array, "*batch n ..."]:
        """`means` over the first n units of mass."""
        if self.mass is None:
            return x
        if axis == -1:
            return cell_means(self.mass, x[..., None])[..., 0]
        return cell_means(self.mass, x)

    def unsort(self, x: Float[Array, "*batch #m n"]) -> Float[Array, "*batch #m n"]:
        """Bring the last axis of `x` back into the sample's own order.

        `x` may have one more axis before it.
        """
        place = invert(self.permutation)
        if x.ndim == place.ndim:
            return reorder(x, place, self.permutation)
        # Rows of memory change places.
        columns, place = x.swapaxes(-1, -2), place[..., None]
        out = reorder(columns, place, self.permutation[..., None], axis=-2)
        return out.swapaxes(-1, -2)


class Infinite(eqx.Module):
    """Infinite elements of a row, for which finite keys stand, far from all others.

    Elements that are so far away leave the soft indices of the others as they are.

    **Attributes:**

    - `above`, `below`: the mass of elements of a row that are inf and -inf, `*batch 1`;
        integers where all have mass 1.
    - `reach`: what no finite key exceeds in size, and all stand-ins do, `*batch 1`.

    **Example:**

        >>> one, none = jnp.array([1]), jnp.array([0])
        >>> infinite = sj.methods.Infinite(one, none, jnp.array([2.0]))
        >>> print(infinite.finite(jnp.array([1.0, 1e6, 2.0])))
        [ True False  True]
    """

    above: Shaped[Array, "*batch 1"]
    below: Shaped[Array, "*batch 1"]
    reach: Float[Array, "*batch 1"]

    def beyond(self, softness: Array) -> Float[Array, "*batch 1"]:
        """The size of stand-ins: further away than counts in any mode, and rounding."""
        info = jnp.finfo(self.reach.dtype)
        far = 2 * self.reach + jax.lax.stop_gradient(softness) / info.eps
        return jnp.minimum(far, info.max / 2)

    def finite(self, keys: Float[Array, "*batch n"]) -> Bool[Array, "*batch n"]:
        """A mask of the keys, in any order, that stand for finite elements."""
        # In a row without infinite elements, all do, of any size.
        reach = jnp.where(self.above + self.below > 0, self.reach, jnp.inf)
        return jnp.abs(jax.lax.stop_gradient(keys)) <= reach


class Sample(eqx.Module):
    """The numbers along one axis that an operator compares and averages.

    A row is a measure `sum_j w_j delta(x_j)`: an element of mass w counts as w copies
    of it, and one of mass 0, or behind the mask, as none. Positions are masses.

    **Attributes:**

    - `keys`: what is compared, `*batch n`, finite. Possibly standardized.
    - `averaged`: what is averaged, `*batch n`, finite; None for the keys themselves.
    - `where`: None, or a mask `*batch n` with at least one element of each row.
    - `mass`: None for 1, or nonnegative numbers `*batch n`, 0 behind the mask. Methods
        say in `takes_weights` which operators can be given one.
    - `center`, `scale`: `*batch 1`, or None; see `unstandardize`.
    - `total`: the mass W of a row, `*#batch 1`: of NumPy where it is known, and of
        integers if `mass` is None, where it is the number of elements that take part.
        Added up if it is not given.
    - `infinite`: which of the keys stand for infinite elements; None if none does.
    - `absent`: the mass of elements that are behind the mask, and are candidates
        nevertheless, `*batch n`,
        of a maximum that nothing else is left for; None if none is.
    - `largest`: the largest key that takes part, `*batch 1`, where it is known. Keys of
        elements that take no part are then far below it.

    **Example:**

        >>> sample = sj.methods.Sample(jnp.array([0.2, 1.0, 0.7]))
        >>> print(sample.size, sample.values, sample.total)
        3 [0.2 1.  0.7] [3]
        >>> where = jnp.array([[True, True, False], [True, True, True]])
        >>> sample = sj.methods.Sample(jnp.ones((2, 3)), where=where)
        >>> print(sample.total[:, 0], sample.cells(3).stop[0])
        [2 3] [1 2 2]
    """

    keys: Float[Array, "*batch n"]
    averaged: Float[Array, "*batch n"] | None
    where: Bool[Array, "*batch n"] | None
    mass: Float[Array, "*batch n"] | None
    center: Float[Array, "*batch 1"] | None
    scale: Float[Array, "*batch 1"] | None
    total: Shaped[Array | np.ndarray, "*#batch 1"]
    infinite: Infinite | None
    absent: Shaped[Array, "*batch n"] | None
    largest: Float[Array, "*batch 1"] | None

    def __init__(
        self,
        keys: Float[Array, "*batch n"],
        averaged: Float[Array, "*batch n"] | None = None,
        where: Bool[Array, "*batch n"] | None = None,
        *,
        mass: Float[Array, "*batch n"] | None = None,
        center: Float[Array, "*batch 1"] | None = None,
        scale: Float[Array, "*batch 1"] | None = None,
        total: Shaped[Array | np.ndarray, "*#batch 1"] | None = None,
        infinite: Infinite | None = None,
        absent: Shaped[Array, "*batch n"] | None = None,
        largest: Float[Array, "*batch 1"] | None = None,
    ):
        if mass is not None:
            mass = jnp.asarray(mass, keys.dtype)
            mass = mass if where is None else jnp.where(where, mass, 0)
        if total is None:
            counted = where if mass is None else mass
            total = np.full(1, keys.shape[-1])
            if counted is not None:
                total = jnp.sum(counted, axis=-1, keepdims=True)
        self.keys, self.averaged, self.where, self.mass = keys, averaged, where, mass
        self.center, self.scale = center, scale
        self.total, self.infinite, self.absent = total, infinite, absent
        self.largest = largest

    @property
    def size(self) -> int:
        return self.keys.shape[-1]

    def cells(self, m: int) -> Intervals:
        """The m largest units of mass, `[i, min(i + 1, W)]` for i from 0 to m - 1."""
        return first_cells(self.total, m)

    def median_cells(self) -> Intervals:
        """The unit of mass in the middle, `[(W - 1) / 2, (W + 1) / 2]`, in two halves.

        Where W is whole, they stand for the two elements in the middle, or for one.
        """
        return median_cells(self.total)

    @property
    def middle(self) -> Intervals:
        """The unit of mass in the middle, in one piece."""
        return middle_cell(self.total, self.mass is None)

    def quantile_cells(
        self,
        q: Float[Array | np.ndarray, " m"],
        quantile_method: str = "linear",
    ) -> Intervals:
        """The two units of mass that a quantile mixes, 2 m of them, or m.

        Counted from the smallest, those are L + 1 and L with shares f and 1 - f, where
        `h = q max(W - 1, 0)`, L is its whole part and f the rest. Where there is none
        above L, they are L and L - 1.

        **Arguments:**

        - `q`: from 0 to 1.
        - `quantile_method`: as of [`softjax.quantile`][].
        """
        return quantile_cells(self.total, q, quantile_method)

    @property
    def above(self) -> Shaped[Array | np.ndarray, "*#batch 1"]:
        """The mass of elements that are inf, and so have the first positions."""
        return np.zeros(1, int) if self.infinite is None else self.infinite.above

    @property
    def below(self) -> Shaped[Array | np.ndarray, "*#batch 1"]:
        """The mass of elements that are -inf, and so have the last positions."""
        return np.zeros(1, int) if self.infinite is None else self.infinite.below

    @property
    def finite(self) -> Shaped[Array | np.ndarray, "*#batch 1"]:
        """The mass of the finite elements that take part, or 1 if there is none."""
        if self.infinite is None:
            return self.total
        count = self.total - self.infinite.above - self.infinite.below
        return jnp.where(count > 0, count, 1)

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

    def without_infinite(self) -> "Sample":
        """The finite elements, as those of a mask; of rows without one, all of them."""
        if self.infinite is None:
            return self
        finite = self.infinite.finite(self.keys)
        where = finite if self.where is None else finite & self.where
        count = self.total - self.infinite.above - self.infinite.below
        nothing = count <= 0
        return dataclasses.replace(
            self,
            where=where | (nothing if self.where is None else nothing & self.where),
            total=jnp.where(nothing, self.total, count),
            infinite=None,
        )

    def ordered(self) -> Ordered:
        minus = -self.keys
        if self.where is not None:
            minus = jnp.where(self.where, minus, jnp.inf)
        support, permutation = sort_with_permutation(minus)
        mass = None if self.mass is None else permute(self.mass, permutation)
        if self.where is None and self.averaged is None:
            values = self._finite_values(-support)
        else:
            values = reorder(self.values, permutation, invert(permutation))
        if self.where is None:
            return Ordered(support, values, None, permutation, mass)
        # The mask of a sorted sample is a prefix; its last element fills the rest.
        count = self.total
        if self.mass is not None:
            count = jnp.sum(self.where, axis=-1, keepdims=True)
        where = jnp.arange(self.size) < count
        last = permute(jax.lax.stop_gradient(support), jnp.asarray(count) - 1)
        support = jnp.where(where, support, last)
        return Ordered(support, values, where, permutation, mass)

    def unstandardize(self, keys: Float[Array, "*batch m"]) -> Float[Array, "*batch m"]:
        """Values in the unit of the input from values in the unit of the keys."""
        if self.center is None or self.scale is None:
            return keys
        # Squashed numbers far from the centre are rounded to 0 or 1, and stand-ins of
        # infinite elements are beyond: they are the ends of the row.
        rounding = 4 * jnp.finfo(keys.dtype).eps
        low, high = keys < rounding, keys > 1 - rounding
        squashed = jnp.where(low | high, 1 / 2, keys)
        values = self.center + self.scale * jax.scipy.special.logit(squashed)
        smallest, largest = self._ends()
        return jnp.where(low, smallest, jnp.where(high, largest, values))

    def _ends(self) -> tuple[Float[Array, "*batch 1"], Float[Array, "*batch 1"]]:
        """The smallest and the largest finite value; infinite where there is none."""
        x, here = self.values, jnp.ones_like(self.keys, bool)
        if self.infinite is not None:
            here = self.infinite.finite(self.keys)
        if self.mass is not None:
            here &= self.mass > 0
        if self.where is not None:
            here &= self.where
        return (
            jnp.min(jnp.where(here, x, jnp.inf), axis=-1, keepdims=True),
            jnp.max(jnp.where(here, x, -jnp.inf), axis=-1, keepdims=True),
        )


def behind(
    above: Int[Array | np.ndarray, "*#batch 1"], values: Float[Array, "*batch n"]
) -> Float[Array, "*batch n"]:
    """Values in order, behind so many places for infinite ones."""
    if isinstance(above, np.ndarray):  # known to be none
        return values
    place = jnp.maximum(jnp.arange(values.shape[-1]) - above, 0)
    return permute(values, place)


def places_in_front(here: Bool[Array, "*batch n"]) -> Int[Array, "*batch n"]:
    """The places of all elements, in their order, but with those that are `here` first.

    By counts, and not by a sort.
    """
    before = prefix_counts(here)
    after = before[..., -1:] + jnp.arange(here.shape[-1]) - before
    return jnp.where(here, before - 1, after)
