"""Arithmetic of soft indices, as shares or as logarithms of shares."""

from __future__ import annotations

import abc
import math
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from softjax_solvers import LogPrimal, Primal, Readout
from softjax_solvers.internal import (
    Segments,
    log_over_sum,
    log_sum,
    map_chunks,
    safe_divide,
    safe_log,
)

from .._transition import Transition
from ._intervals import Intervals
from ._sample import Ordered


class Shares(eqx.Module):
    """Arithmetic of soft indices, such that they may be logarithms.

    Methods that do nothing else with them say so in `Method.in_logs`. Rows are along
    the last axis but one.

    **Attributes:**

    - `readout`: what is read off the solution of a problem.
    - `nothing`: what stands for 0.

    **Example:**

        >>> rows = jnp.log(jnp.array([[0.5, 0.5], [1.0, 0.0]]))
        >>> print(jnp.exp(sj.methods.Logarithms().times(rows, jnp.array([0.5, 2.0]))))
        [[0.25 1.  ]
         [0.5  0.  ]]
    """

    readout: eqx.AbstractVar[Readout]
    nothing: eqx.AbstractClassVar[float]

    @abc.abstractmethod
    def times(self, rows: Float[Array, "..."], mass: Float[Array, "..."]) -> Array:
        """Rows times nonnegative numbers that broadcast against them."""

    @abc.abstractmethod
    def over_sum(self, rows: Float[Array, "*batch n"]) -> Float[Array, "*batch n"]:
        """Rows over their sums, 0 where these are."""

    @abc.abstractmethod
    def over_sum_of(
        self, groups: Segments, rows: Float[Array, " n"]
    ) -> Float[Array, " n"]:
        """`over_sum` of each of some groups."""

    @abc.abstractmethod
    def beside(self, parts: Array, rest: Array, rows: Float[Array, "..."]) -> Array:
        """Shares that are known, `parts`, and rows of what is the `rest` of a whole."""

    @abc.abstractmethod
    def mix(
        self, intervals: Intervals, rows: Float[Array, "*batch m n"]
    ) -> Float[Array, "*batch m/2 n"]:
        """`Intervals.mix` of rows."""

    @abc.abstractmethod
    def read(
        self, intervals: Intervals, rows: Float[Array, "*batch n n"]
    ) -> Float[Array, "*batch m/2 n"]:
        """`Intervals.read` of rows."""

    @abc.abstractmethod
    def means(
        self,
        ordered: Ordered,
        intervals: Intervals | None,
        rows: Float[Array, "*batch n k"],
    ) -> Float[Array, "*batch m k"]:
        """`Ordered.means` of rows; of the first n units of mass where it is None."""

    @abc.abstractmethod
    def of(self, shares: Float[Array, "..."]) -> Float[Array, "..."]:
        """Shares as rows."""

    @abc.abstractmethod
    def steps(
        self, transition: Transition, apart: Float[Array, "..."], stays: Array
    ) -> Any:
        """The share that stays at a place, and what is left of it, to `exchange` rows.

        **Arguments:**

        - `apart`: how far what is there is beyond the other; infinite, or NaN, where
            one of them is not there.
        - `stays`: the share, a step of that.
        """

    @abc.abstractmethod
    def exchange(
        self, steps: Any, rows: Float[Array, "*batch n k"], others: Array
    ) -> Float[Array, "*batch n k"]:
        """Mixtures of rows and others, in shares along the last axis but one."""


class Plain(Shares):
    """Shares as they are.

    **Example:**

        >>> print(sj.methods.Plain().over_sum(jnp.array([1.0, 3.0])))
        [0.25 0.75]
    """

    nothing: ClassVar[float] = 0.0

    readout: Readout = Primal()

    def times(self, rows: Float[Array, "..."], mass: Float[Array, "..."]) -> Array:
        return rows * mass

    def over_sum_of(
        self, groups: Segments, rows: Float[Array, " n"]
    ) -> Float[Array, " n"]:
        return safe_divide(rows, groups.spread(groups.sum(rows)))

    def beside(self, parts: Array, rest: Array, rows: Float[Array, "..."]) -> Array:
        return parts + rest * rows

    def over_sum(self, rows: Float[Array, "*batch n"]) -> Float[Array, "*batch n"]:
        return safe_divide(rows, jnp.sum(rows, axis=-1, keepdims=True))

    def mix(
        self, intervals: Intervals, rows: Float[Array, "*batch m n"]
    ) -> Float[Array, "*batch m/2 n"]:
        return intervals.mix(rows, axis=-2)

    def read(
        self, intervals: Intervals, rows: Float[Array, "*batch n n"]
    ) -> Float[Array, "*batch m/2 n"]:
        return intervals.read(rows, axis=-2)

    def means(
        self,
        ordered: Ordered,
        intervals: Intervals | None,
        rows: Float[Array, "*batch n k"],
    ) -> Float[Array, "*batch m k"]:
        if intervals is None:
            return ordered.cell_means(rows, axis=-2)
        return ordered.means(intervals, rows, axis=-2)

    def of(self, shares: Float[Array, "..."]) -> Float[Array, "..."]:
        return shares

    def steps(
        self, transition: Transition, apart: Float[Array, "..."], stays: Array
    ) -> Any:
        return stays

    def exchange(
        self, steps: Any, rows: Float[Array, "*batch n k"], others: Array
    ) -> Float[Array, "*batch n k"]:
        # So written, derivatives keep one matrix a round: the difference.
        return others + steps[..., None] * (rows - others)


class Logarithms(Shares):
    """Logarithms of shares, -inf of 0.

    **Example:**

        >>> print(sj.methods.Logarithms().over_sum(jnp.array([-1000.0, -jnp.inf])))
        [  0. -inf]
    """

    nothing: ClassVar[float] = -math.inf

    readout: Readout = LogPrimal()

    def times(self, rows: Float[Array, "..."], mass: Float[Array, "..."]) -> Array:
        return rows + safe_log(mass)

    def over_sum_of(
        self, groups: Segments, rows: Float[Array, " n"]
    ) -> Float[Array, " n"]:
        top = jax.lax.stop_gradient(groups.spread(groups.max(rows)))
        apart = rows - jnp.where(jnp.isfinite(top), top, 0)
        total = groups.spread(groups.sum(jnp.exp(apart)))
        return apart - jnp.log(jnp.where(total > 0, total, 1))

    def beside(self, parts: Array, rest: Array, rows: Float[Array, "..."]) -> Array:
        rest = jnp.broadcast_to(rest, parts.shape)
        return self._mixed([jnp.zeros_like(rows), rows], [parts, rest])

    def over_sum(self, rows: Float[Array, "*batch n"]) -> Float[Array, "*batch n"]:
        return log_over_sum(rows)

    def mix(
        self, intervals: Intervals, rows: Float[Array, "*batch m n"]
    ) -> Float[Array, "*batch m/2 n"]:
        if intervals.share is None:
            return rows
        share = jnp.asarray(intervals.share, rows.dtype)[..., None]
        return self._mixed(jnp.split(rows, 2, -2), jnp.split(share, 2, -2))

    def read(
        self, intervals: Intervals, rows: Float[Array, "*batch n n"]
    ) -> Float[Array, "*batch m/2 n"]:
        lower, upper, share = intervals.neighbours(rows, axis=-2)
        if share is not None:
            lower = self._mixed([lower, upper], [1 - share, share])
        return self.mix(intervals, lower)

    def _mixed(self, rows: list[Array], shares: list[Array]) -> Array:
        return log_sum(jnp.stack(rows, -1), -1, jnp.stack(shares, -1))

    def means(
        self,
        ordered: Ordered,
        intervals: Intervals | None,
        rows: Float[Array, "*batch n k"],
    ) -> Float[Array, "*batch m k"]:
        if ordered.mass is None:
            return rows if intervals is None else intervals.take(rows, -2)
        if intervals is None:
            intervals = ordered.cells
        shares = ordered.shares(intervals)

        def some(shares: Array) -> Array:
            shares = jnp.moveaxis(shares, 0, -2)[..., None]
            return jnp.moveaxis(log_sum(rows[..., None, :, :], -2, shares), -2, 0)

        shares = jnp.moveaxis(shares, -2, 0)
        return jnp.moveaxis(map_chunks(some, shares, row_size=rows.size), 0, -2)

    def of(self, shares: Float[Array, "..."]) -> Float[Array, "..."]:
        return safe_log(shares)

    def steps(
        self, transition: Transition, apart: Float[Array, "..."], stays: Array
    ) -> Any:
        near = jnp.abs(apart) < jnp.inf
        safe = jnp.where(near, apart, 0)
        first = apart >= 0
        return tuple(
            jnp.where(near, transition.log_heaviside(x), jnp.where(here, 0, -jnp.inf))
            for x, here in ((safe, first), (-safe, ~first))
        )

    def exchange(
        self, steps: Any, rows: Float[Array, "*batch n k"], others: Array
    ) -> Float[Array, "*batch n k"]:
        stays, goes = (step[..., None] for step in steps)
        return log_sum(jnp.stack([stays + rows, goes + others], -1))
