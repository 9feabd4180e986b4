from __future__ import annotations

import dataclasses
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from softjax_solvers import (
    ColumnMeans,
    Primal,
    TransportProjection,
)
from softjax_solvers.internal import (
    MeanPlaces,
    is_traced,
    safe_divide,
)

from ._intervals import Intervals
from ._line import read_line, reads_line
from ._method import ALL_OPERATORS, IndexMethod, Relaxation, expect
from ._sample import Ordered, Sample


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
    elements have a dense plan. Of more of them, and with sparse regularizers, plans are
    0, or of no account, beyond a distance from the diagonal, and nothing else is
    summed: a sum over all takes the time of n times the width of that band.

    With weights, an anchor has the mass of what it stands for, which for the last unit
    may be a part, and a soft index the shares of elements in that. The rank of an
    element is that of one copy of it, on a grid of units of mass; of rows of n elements
    with a mass W above n, on one of n cells of mass W / n.

    **Arguments:**

    - `linear_solver`: the Lineax solver by which plans are differentiated; None for the
        best known.

    **Example:**

        >>> x = jnp.array([0.2, 1.0, 0.7])
        >>> print(sj.sort(x, method="ot"))
        [0.235 0.718 0.947]
        >>> print(sj.argsort(x, method="ot").sum(axis=0))
        [1. 1. 1.]

    ??? cite

        Cuturi, Teboul and Vert, "Differentiable ranks and sorting using optimal
        transport", NeurIPS 2019; Xie et al., "Differentiable top-k with optimal
        transport", NeurIPS 2020; Blondel, Seguy and Rolet, "Smooth and sparse optimal
        transport", AISTATS 2018.
    """

    linear_solver: Any = None

    takes_weights: ClassVar[frozenset[str]] = ALL_OPERATORS
    reads_points: ClassVar[bool] = False

    def _plan(
        self,
        sample: Sample,
        relaxation: Relaxation,
        masses: Any,
        used: Any = None,
        ascending: bool = False,
        starts: Any = None,
    ) -> Float[Array, "*batch m n"]:
        """The transposed plan of one copy of each element, the largest key first.

        To anchors of the `masses`, `*#batch m`, at equal distances in [0, 1], or in
        proportion to their `starts`. The units of mass `used` of the finite elements
        fill [0, 1]; None for as many as there are anchors. `ascending` says that keys
        descend.
        """
        m = masses.shape[-1]
        xp = jnp if is_traced((used, starts, sample.infinite)) else np
        position = np.arange(m) if starts is None else starts
        if used is None:
            anchors = position / max(m - 1, 1)
        else:
            # Infinite elements have anchors of their own, which no other one goes to
            # at their distance.
            position = position - sample.above
            last = _at_least_one(used - 1, xp)
            inside = (position > 0) & (position < last)
            anchors = xp.where(inside, position / last, position > 0)
            if sample.infinite is not None:
                beyond = (position >= used) & (sample.infinite.below > 0)
                anchors = anchors - (position < 0) + beyond
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
            # What more there may be than n units has an anchor of its own.
            return self._top(inner, relaxation, inner.size, ascending=True)
        masses = _masses(inner.total, np.arange(inner.size))
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
        """Mean positions of one copy of each element, among cells of equal mass.

        Those are the units of mass, or n cells of W / n where there are more than n.
        """
        ordered, inner = _in_order(sample)
        assert ordered.mass is not None
        width = _at_least_one(sample.total / sample.size, jnp)
        starts = width * np.arange(sample.size)
        masses = _masses(sample.total, starts, width)
        centres = starts + (width - 1) / 2
        plan = self._plan(
            inner, relaxation, masses, sample.finite, ascending=True, starts=centres
        )
        positions = starts + (masses + 1) / 2
        own = jax.lax.stop_gradient((ordered.mass + 1) / 2 + ordered.before)
        beyond = positions[..., :, None] - own[..., None, :]
        return ordered.unsort(own + jnp.sum(plan * beyond, axis=-2))

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
        units = _masses(sample.total, np.arange(k + 1))
        used = units.sum(axis=-1, keepdims=True) - sample.above
        xp = jnp if is_traced(sample.total) else np
        beyond = sample.total - (k + 1)
        masses = units + (np.arange(k + 1) == k) * xp.where(beyond > 0, beyond, 0)
        plan = self._plan(sample, relaxation, masses, used, ascending)
        return _shares(plan, sample)[..., :k, :]

    def argquantile(
        self, sample: Sample, relaxation: Relaxation, intervals: Intervals
    ) -> Float[Array, "..."]:
        start = intervals.start
        m = start.shape[-1] // (1 if intervals.share is None else 2)
        parts = [slice(i, i + m) for i in range(0, start.shape[-1], m)]
        # All that is before the first, each up to the next one, the last, and the rest.
        last = intervals.stop[..., parts[-1]]
        ends = [*(start[..., part] for part in parts), last]
        xp = jnp if is_traced(ends) else np
        if sample.mass is not None:
            # Where nothing is before an interval, its start does not move.
            ends = [jnp.where(end > 0, end, 0) for end in ends]
        ends = [0 * last, *ends, sample.total + 0 * last]
        masses = xp.diff(xp.stack(xp.broadcast_arrays(*ends), axis=-1), axis=-1)

        # One problem a level, along a new axis.
        def each(x: Array) -> Array:
            return jnp.broadcast_to(x[..., None, :], (*x.shape[:-1], m, x.shape[-1]))

        softness = relaxation.softness[..., None]
        softened = dataclasses.replace(relaxation, softness=softness)
        levels = jax.tree.map(each, sample)
        plan = self._plan(levels, softened, masses)
        rows = _shares(plan, levels)[..., 1 : 1 + len(parts), :]
        rows = rows.swapaxes(-2, -3)
        rows = rows.reshape(*rows.shape[:-3], start.shape[-1], sample.size)
        return intervals.mix(rows, axis=-2)

    def argmedian(self, sample: Sample, relaxation: Relaxation) -> Float[Array, "..."]:
        # The quantile at 1/2, which counts from the smallest: where n is odd, a fourth
        # anchor stands for the element above.
        half = sample.quantile_cells(np.full(1, 0.5))
        return self.argquantile(sample, relaxation, half)[..., 0, :]


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


def _masses(total: Any, starts: Any, width: Any = 1) -> Any:
    """The mass of cells of a row, where the last one may be a part."""
    xp = jnp if is_traced((total, starts, width)) else np
    left = total - starts
    # The derivative where a cell just begins or ends is that for a smaller total, so
    # that all of it is in cells with mass.
    return xp.where(left > width, width, xp.where(left > 0, left, 0))


def _at_least_one(x: Any, xp: Any) -> Any:
    """`max(x, 1)`, of derivative 0 where they are equal."""
    return xp.where(x > 1, x, 1)


def _shares(
    plan: Float[Array, "*batch m n"], sample: Sample
) -> Float[Array, "*batch m n"]:
    """Soft indices, of the shares of elements in anchors, of a plan of one copy."""
    if sample.mass is None:
        return plan
    index = plan * sample.mass[..., None, :]
    # What an anchor has is its mass but for rounding, by which a part of a unit may be
    # off that is as small.
    return safe_divide(index, jnp.sum(index, axis=-1, keepdims=True))
