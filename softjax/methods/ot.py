from __future__ import annotations

import dataclasses
import math
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from softjax_solvers import ColumnMeans, Primal, TransportProjection
from softjax_solvers.internal import MeanPlaces, is_traced

from .._keywords import parse_integer
from ._intervals import ROUNDING, Intervals
from ._line import read_line, reads_line
from ._method import ALL_OPERATORS, IndexMethod, Relaxation, able, expect, named
from ._sample import Ordered, Sample

_ROUNDING = 1 + ROUNDING
"""Factor by which sums of weights, such as those normalized to n, may be too large."""


def _parse_cells(cells: Any) -> int | None:
    if cells is None:
        return None
    return parse_integer(cells, "OptimalTransport: cells", 1)


class OptimalTransport(IndexMethod):
    """Row i of argsort is what an optimal transport plan moves to the i-th anchor.

    `argsort` moves the elements of x, each of mass 1, to n anchors at equal distances
    in [0, 1], each of mass 1, at the cost of the squared distance; the soft permutation
    matrix is the transposed plan, whose rows and columns both add up to 1. An operator
    that needs few rows uses few anchors: `argmax` two, of mass 1 and n - 1, at 1 and 0;
    `top_k` k of mass 1 and one for the rest; a quantile one for each order statistic
    that it mixes, one for all below and one for all above.

    Values of `sort` and `rank` of 512 elements or more take O(n) memory, without
    weights, and where neither a `solver` nor a `linear_solver` is given. With the
    entropy, that is in O(n log n) time: potentials are analytic, and are found at a few
    nodes, whose number depends on the softness and the data, and not on n. Where the
    softness is too small for that, below about a thousandth of the range, up to 4096
    elements have a dense plan; more of them have as many nodes as it takes, of which
    those nearby are summed. With sparse regularizers, plans are 0 beyond a distance
    from the diagonal, and nothing else is summed: a sum over all takes the time of n
    times the width of that band.

    With weights, an anchor has the mass of what it stands for, which for the last unit
    may be a part, and a soft index the shares of elements in that. The rank of an
    element is the mean position of one copy of it among units of mass; as softness goes
    to 0, that of the units that it has a part of, which are its own where weights are
    whole. All of them have to be among the `cells`.

    **Arguments:**

    - `linear_solver`: the Lineax solver by which plans are differentiated; None for the
        best known.
    - `cells`: how many units of mass have anchors of their own in `argsort`, `sort` and
        `rank` of rows with weights; None for as many as there are elements, and no less
        for those of `argsort` and `sort`. `rank` refuses rows of more mass, as far as
        that is known, and else is NaN. Soft indices and values of the first units then
        are those of [`softjax.top_k`][], where all the rest has one anchor.

    **Raises:** `ValueError` if `cells` is not positive, `TypeError` if it is no whole
    number.

    **Example:**

        >>> x = jnp.array([0.2, 1.0, 0.7])
        >>> print(sj.sort(x, method="ot"))
        [0.235 0.718 0.947]
        >>> print(sj.argsort(x, method="ot").sum(axis=0))
        [1. 1. 1.]
        >>> copies = sj.methods.OptimalTransport(cells=6)
        >>> print(sj.rank(x, weights=jnp.array([3, 1, 2]), method=copies))
        [4.866 1.511 2.446]

    ??? cite

        Cuturi, Teboul and Vert, "Differentiable ranks and sorting using optimal
        transport", NeurIPS 2019; Xie et al., "Differentiable top-k with optimal
        transport", NeurIPS 2020; Blondel, Seguy and Rolet, "Smooth and sparse optimal
        transport", AISTATS 2018.
    """

    linear_solver: Any = None
    cells: int | None = eqx.field(default=None, converter=_parse_cells)

    takes_weights: ClassVar[frozenset[str]] = ALL_OPERATORS
    in_logs: ClassVar[bool] = True
    reads_points: ClassVar[bool] = False

    def check_total(self, total: np.ndarray, size: int, operator: str) -> None:
        cells = self._cells(size)
        most = np.max(total, initial=0)
        if named(operator) == "rank" and most > cells * _ROUNDING:
            others = [name for name in able("rank") if name != "ot"]
            raise ValueError(
                f"{operator}: a row has a mass of {most:.6g}, and "
                f"method={type(self).__name__}() has anchors for {cells} units. Use "
                f"softjax.methods.OptimalTransport(cells={math.ceil(most)}), or method="
                f"{', '.join(map(repr, others))}."
            )

    def _cells(self, size: int) -> int:
        return size if self.cells is None else self.cells

    def _plan(
        self,
        sample: Sample,
        relaxation: Relaxation,
        masses: Any,
        used: Any = None,
        ascending: bool = False,
    ) -> Float[Array, "*batch m n"]:
        """The transposed plan of one copy of each element, the largest key first.

        To anchors of the `masses`, `*#batch m`, at equal distances in [0, 1]. The units
        of mass `used` of the finite elements fill [0, 1]; None for as many as there are
        anchors. `ascending` says that keys descend.
        """
        m = masses.shape[-1]
        xp = jnp if is_traced((used, sample.infinite)) else np
        position = np.arange(m)
        if used is None:
            anchors = position / max(m - 1, 1)
        else:
            # Infinite elements have anchors of their own, which no other one goes to
            # at their distance, and sums of their weights are rounded.
            position = position - sample.above
            last = _at_least_one(used - 1, xp)
            inside = (position > 0) & (position < last)
            anchors = xp.where(inside, position / last, position > 0)
            if sample.infinite is not None:
                beyond = (position - used >= -ROUNDING) & (sample.infinite.below > 0)
                anchors = anchors - (position < -ROUNDING) + beyond
        unit = None
        if sample.infinite is not None or sample.mass is not None:
            # No copy moves more than one unit, which is all if there are no more.
            unit = sample.finite[..., 0]
            unit = unit if sample.mass is None else _at_least_one(unit, jnp)
        problem = TransportProjection.on_line(
            -sample.keys,
            anchors,
            masses,
            relaxation.softness[..., 0],
            sample.where,
            ascending,
            unit,
            sample.mass,
        )
        return relaxation.primal(problem, self.linear_solver).swapaxes(-1, -2)

    def _square(
        self, sample: Sample, relaxation: Relaxation
    ) -> tuple[Float[Array, "*batch n n"], Ordered]:
        """Soft indices of all units of mass in the sorted sample, and that sample."""
        ordered, inner = _in_order(sample)
        return self._plan_in_order(inner, relaxation), ordered

    def _plan_in_order(
        self, inner: Sample, relaxation: Relaxation
    ) -> Float[Array, "*batch n n"]:
        if inner.mass is not None:
            # What more there may be than these has an anchor of its own.
            size = inner.size
            k = max(size, self._cells(size))
            return self._top(inner, relaxation, k, ascending=True)[..., :size, :]
        masses = _units(inner.total, inner.size)
        return self._plan(inner, relaxation, masses, inner.finite, ascending=True)

    def argsort(self, sample: Sample, relaxation: Relaxation) -> Float[Array, "..."]:
        sparse = relaxation.regularizer.structure().rate is None
        if sparse and reads_line(sample, relaxation, self.linear_solver):
            ordered = sample.ordered()
            plan = read_line(Primal(), sample, ordered, relaxation)
            if ordered.where is not None:
                where = ordered.where
                plan = jnp.where(where[..., None, :] & where[..., :, None], plan, 0)
            return ordered.unsort(plan.swapaxes(-1, -2))
        plan, ordered = self._square(sample, relaxation)
        return ordered.unsort(plan)

    def sort(self, sample: Sample, relaxation: Relaxation) -> Float[Array, "..."]:
        ordered, inner = _in_order(sample)
        values = Sample(ordered.values, None, ordered.where)

        def dense(support, softness):
            keys = dataclasses.replace(inner, keys=-support)
            softened = dataclasses.replace(relaxation, softness=softness)
            return expect(self._plan_in_order(keys, softened), values)

        if reads_line(sample, relaxation, self.linear_solver):
            readout = ColumnMeans(ordered.values)
            return read_line(readout, sample, ordered, relaxation, dense)
        return dense(ordered.support, relaxation.softness)

    def rank(self, sample: Sample, relaxation: Relaxation) -> Float[Array, "..."]:
        if sample.mass is not None:
            return self._weighted_rank(sample, relaxation)
        ordered, inner = _in_order(sample)

        def dense(support, softness):
            keys = dataclasses.replace(inner, keys=-support)
            softened = dataclasses.replace(relaxation, softness=softness)
            plan = self._plan_in_order(keys, softened)
            positions = jnp.arange(1, sample.size + 1, dtype=plan.dtype)
            # Columns add up to 1. Counted from its hard rank, an element's soft one is
            # accurate, and so is its derivative.
            beyond = positions[:, None] - positions
            return positions + jnp.sum(plan * beyond, axis=-2)

        if reads_line(sample, relaxation, self.linear_solver):
            readout = MeanPlaces(1 + jnp.asarray(sample.above))
            ranks = read_line(readout, sample, ordered, relaxation, dense)
        else:
            ranks = dense(ordered.support, relaxation.softness)
        return ordered.unsort(ranks)

    def _weighted_rank(self, sample: Sample, relaxation: Relaxation) -> Array:
        """Mean positions of one copy of each element, among units of mass."""
        ordered, inner = _in_order(sample)
        assert ordered.mass is not None
        cells = self._cells(sample.size)
        units = _units(sample.total, cells)
        masses = _with_rest(units, sample.total)
        plan = self._plan(inner, relaxation, masses, sample.finite, ascending=True)
        positions = np.arange(cells) + (units + 1) / 2
        own = jax.lax.stop_gradient((ordered.mass + 1) / 2 + ordered.before)
        beyond = positions[..., :, None] - own[..., None, :]
        ranks = ordered.unsort(own + jnp.sum(plan * beyond, axis=-2))
        return jnp.where(sample.total > cells * _ROUNDING, jnp.nan, ranks)

    def argmax(self, sample: Sample, relaxation: Relaxation) -> Float[Array, "..."]:
        return self._top(sample, relaxation, 1)[..., 0, :]

    def top_k(
        self, sample: Sample, relaxation: Relaxation, k: int
    ) -> tuple[Float[Array, "..."], Float[Array, "..."] | None]:
        index = self._top(sample, relaxation, k)
        return expect(index, sample), index

    def _top(
        self, sample: Sample, relaxation: Relaxation, k: int, ascending: bool = False
    ) -> Float[Array, "*batch k n"]:
        """Soft indices of the k largest units of mass."""
        # One anchor for each of them, and the last one for the rest. Where k or fewer
        # take part, nothing is left for that.
        units = _units(sample.total, k + 1)
        used = units.sum(axis=-1, keepdims=True)
        xp = jnp if is_traced((used, sample.total, sample.below)) else np
        # What is -inf has anchors of its own.
        used = xp.minimum(used, sample.total - sample.below) - sample.above
        masses = _with_rest(units, sample.total)
        plan = self._plan(sample, relaxation, masses, used, ascending)
        return _shares(plan, sample, relaxation)[..., :k, :]

    def argquantile(
        self, sample: Sample, relaxation: Relaxation, intervals: Intervals
    ) -> Float[Array, "..."]:
        # Each is an anchor between all that is before it and all behind: as it moves on
        # from one unit of mass to the next, so does its row.
        ends = intervals.start, intervals.stop
        xp = jnp if is_traced(ends) else np
        if sample.mass is not None:
            # Where nothing is before an interval, its start does not move.
            ends = [jnp.where(end > 0, end, 0) for end in ends]
        ends = [0 * ends[0], *ends, sample.total + 0 * ends[0]]
        masses = xp.diff(xp.stack(xp.broadcast_arrays(*ends), axis=-1), axis=-1)
        m = masses.shape[-2]

        # One problem an interval, along a new axis.
        def each(x: Array) -> Array:
            return jnp.broadcast_to(x[..., None, :], (*x.shape[:-1], m, x.shape[-1]))

        softness = relaxation.softness[..., None]
        softened = dataclasses.replace(relaxation, softness=softness)
        levels = jax.tree.map(each, sample)
        plan = self._plan(levels, softened, masses)
        rows = _shares(plan, levels, relaxation)[..., 1, :]
        return relaxation.shares.mix(intervals, rows)

    def argmedian(self, sample: Sample, relaxation: Relaxation) -> Float[Array, "..."]:
        return self.argquantile(sample, relaxation, sample.middle)[..., 0, :]


def _in_order(sample: Sample) -> tuple[Ordered, Sample]:
    """The sorted sample, and as a sample of its own."""
    ordered = sample.ordered()
    inner = dataclasses.replace(
        sample,
        keys=-ordered.support,
        averaged=None,
        where=ordered.where,
        mass=ordered.mass,
    )
    return ordered, inner


def _units(total: Any, m: int) -> Any:
    """The mass of the first m units of a row, where the last one may be a part."""
    xp = jnp if is_traced(total) else np
    left = total - np.arange(m)
    # The derivative where a unit just begins or ends is that for a smaller total, so
    # that all of it is in units with mass.
    return xp.where(left > 1, 1, xp.where(left > 0, left, 0))


def _with_rest(units: Any, total: Any) -> Any:
    """The mass of units, where the last one has all that is beyond it too."""
    xp, m = jnp if is_traced(total) else np, units.shape[-1]
    beyond = total - m
    return units + (np.arange(m) == m - 1) * xp.where(beyond > 0, beyond, 0)


def _at_least_one(x: Any, xp: Any) -> Any:
    """`max(x, 1)`, of derivative 0 where they are equal."""
    return xp.where(x > 1, x, 1)


def _shares(
    plan: Float[Array, "*batch m n"], sample: Sample, relaxation: Relaxation
) -> Float[Array, "*batch m n"]:
    """Soft indices, of the shares of elements in anchors, of a plan of one copy."""
    if sample.mass is None:
        return plan
    index = relaxation.shares.times(plan, sample.mass[..., None, :])
    # What an anchor has is its mass but for rounding, by which a part of a unit may be
    # off that is as small.
    return relaxation.shares.over_sum(index)
