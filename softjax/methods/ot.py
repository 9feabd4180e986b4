from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from softjax_solvers import (
    TransportProjection,
)
from softjax_solvers.internal import (
    is_traced,
)

from ._intervals import Intervals
from ._method import IndexMethod, Relaxation, expect
from ._sample import Sample


class OptimalTransport(IndexMethod):
    """Row i of argsort is what an optimal transport plan moves to the i-th anchor.

    `argsort` moves the elements of x, each of mass 1, to n anchors at equal distances
    in [0, 1], each of mass 1, at the cost of the squared distance; the soft permutation
    matrix is the transposed plan, whose rows and columns both add up to 1. An operator
    that needs few rows uses few anchors: `argmax` two, of mass 1 and n - 1, at 1 and 0;
    `top_k` k of mass 1 and one for the rest; a quantile one for each order statistic
    that it mixes, one for all below and one for all above.

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

    def _plan(
        self,
        sample: Sample,
        relaxation: Relaxation,
        counts: Any,
        used: Any = None,
        ascending: bool = False,
    ) -> Float[Array, "*batch m n"]:
        """The transposed plan to anchors at equal distances, the largest key first.

        So many `used` of them fill [0, 1], those of finite elements; None for all. The
        `counts` of points for each are `*#batch m`; `ascending` says that keys descend.
        """
        self.check_weights(sample, "argsort")
        m = counts.shape[-1]
        xp = jnp if is_traced((used, sample.infinite)) else np
        position = np.arange(m)
        mass = None
        if used is None:
            anchors = position / max(m - 1, 1)
        else:
            # Infinite elements have anchors of their own, which no other one goes to
            # at their distance.
            position = position - sample.above
            last = xp.maximum(used, 2) - 1
            anchors = xp.clip(position / last, 0, 1)
            if sample.infinite is not None:
                beyond = (position >= used) & (sample.infinite.below > 0)
                anchors = anchors - (position < 0) + beyond
        if sample.infinite is not None:
            mass = sample.finite[..., 0]
        problem = TransportProjection.on_line(
            -sample.keys,
            anchors,
            counts,
            relaxation.softness[..., 0],
            sample.where,
            ascending,
            mass,
        )
        return relaxation.primal(problem, self.linear_solver).swapaxes(-1, -2)

    def _square(self, sample: Sample, relaxation: Relaxation):
        """The transposed plan `*batch n n` of the sorted sample, and that sample."""
        ordered = sample.ordered()
        cells = sample.cells(sample.size)
        counts = cells.stop - cells.start
        inner = dataclasses.replace(
            sample, keys=-ordered.support, averaged=None, where=ordered.where
        )
        plan = self._plan(inner, relaxation, counts, sample.finite, ascending=True)
        return plan, ordered

    def argsort(self, sample: Sample, relaxation: Relaxation) -> Float[Array, "..."]:
        plan, ordered = self._square(sample, relaxation)
        return ordered.unsort(plan)

    def sort(self, sample: Sample, relaxation: Relaxation) -> Float[Array, "..."]:
        plan, ordered = self._square(sample, relaxation)
        return expect(plan, Sample(ordered.values, None, ordered.where))

    def rank(self, sample: Sample, relaxation: Relaxation) -> Float[Array, "..."]:
        plan, ordered = self._square(sample, relaxation)
        positions = jnp.arange(1, sample.size + 1, dtype=plan.dtype)
        # Columns add up to 1. Counted from its hard rank, an element's soft one is
        # accurate, and so is its derivative.
        beyond = positions[:, None] - positions
        return ordered.unsort(positions + jnp.sum(plan * beyond, axis=-2))

    def argmax(self, sample: Sample, relaxation: Relaxation) -> Float[Array, "..."]:
        return self._top(sample, relaxation, 1)[..., 0, :]

    def top_k(
        self, sample: Sample, relaxation: Relaxation, k: int
    ) -> tuple[Float[Array, "..."], Float[Array, "..."] | None]:
        index = self._top(sample, relaxation, k)
        return expect(index, sample), index

    def _top(self, sample: Sample, relaxation: Relaxation, k: int) -> Array:
        # One for each of the first k anchors, and the rest for the last one. Where k or
        # fewer take part, nothing is left for that.
        cells = sample.cells(k + 1)
        masses = cells.stop - cells.start
        used = masses.sum(axis=-1, keepdims=True) - sample.above
        rest = (np.arange(k + 1) == k) * (sample.total - k - 1)
        return self._plan(sample, relaxation, masses * (1 + rest), used)[..., :k, :]

    def argquantile(
        self, sample: Sample, relaxation: Relaxation, intervals: Intervals
    ) -> Float[Array, "..."]:
        start = intervals.start
        m = start.shape[-1] // (1 if intervals.share is None else 2)
        starts = [start[..., i : i + m] for i in range(0, start.shape[-1], m)]
        # All that is before the first, each up to the next one, the last, and the rest.
        last = starts[-1]
        ends = [0 * last, *starts, last + 1, sample.total + 0 * last]
        xp = jnp if is_traced(ends) else np
        counts = xp.diff(xp.stack(xp.broadcast_arrays(*ends), axis=-1), axis=-1)

        # One problem a level, along a new axis.
        def each(x: Array) -> Array:
            return jnp.broadcast_to(x[..., None, :], (*x.shape[:-1], m, x.shape[-1]))

        softness = relaxation.softness[..., None]
        softened = dataclasses.replace(relaxation, softness=softness)
        plan = self._plan(jax.tree.map(each, sample), softened, counts)
        rows = plan[..., 1 : 1 + len(starts), :].swapaxes(-2, -3)
        rows = rows.reshape(*rows.shape[:-3], start.shape[-1], sample.size)
        return intervals.mix(rows, axis=-2)

    def argmedian(self, sample: Sample, relaxation: Relaxation) -> Float[Array, "..."]:
        # The quantile at 1/2, which counts from the smallest: where n is odd, a fourth
        # anchor stands for the element above.
        half = sample.quantile_cells(np.full(1, 0.5))
        return self.argquantile(sample, relaxation, half)[..., 0, :]
