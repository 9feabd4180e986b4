from __future__ import annotations

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

from ._method import IndexMethod, Level, Relaxation, central, expect
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
        counts = np.arange(sample.size) < sample.present
        inner = Sample(
            -ordered.support,
            None,
            ordered.where,
            count=sample.count,
            infinite=sample.infinite,
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
        present = sample.present
        # One for each of the first k anchors, and the rest for the last one. Where k or
        # fewer take part, nothing is left for that.
        position = np.arange(k + 1)
        mass = 1 + (position == k) * (present - k - 1)
        takes_part = position < present
        used = takes_part.sum(axis=-1, keepdims=True) - sample.above
        return self._plan(sample, relaxation, takes_part * mass, used)[..., :k, :]

    def argquantile(
        self, sample: Sample, relaxation: Relaxation, level: Level
    ) -> Float[Array, "..."]:
        sample.positions_of_full_rows("argquantile")
        n = sample.size
        lower, upper = level.lower, level.upper
        xp = jnp if is_traced(level) else np
        counts = [lower, xp.ones_like(lower)]
        counts += [n - lower - 1] if upper is None else [upper - lower, n - upper - 1]
        counts = xp.stack(counts, axis=-1)
        # One problem a level, along a new axis.
        shape = (*sample.keys.shape[:-1], lower.size, n)
        infinite = jax.tree.map(lambda x: x[..., None, :], sample.infinite)
        keys = jnp.broadcast_to(sample.keys[..., None, :], shape)
        many = Sample(keys, infinite=infinite)
        each = Relaxation(
            relaxation.regularizer, relaxation.softness[..., None], relaxation.solver
        )
        plan = self._plan(many, each, counts)
        rows = plan[..., 1:3, :] if upper is not None else plan[..., 1:2, :]
        rows = rows.swapaxes(-1, -3)  # *batch n 1-or-2 m
        other = None if upper is None else rows[..., 1, :]
        return level.mix(rows[..., 0, :], other).swapaxes(-1, -2)

    def argmedian(self, sample: Sample, relaxation: Relaxation) -> Float[Array, "..."]:
        # The quantile at 1/2, which counts from the smallest: where n is odd, a fourth
        # anchor stands for the element above.
        _, upper = central(sample)
        lower = max(upper - 1, 0)
        weight = 0.5 if sample.size % 2 == 0 else upper - lower
        level = Level(
            np.full(1, lower), np.full(1, upper), np.full(1, weight, sample.keys.dtype)
        )
        return self.argquantile(sample, relaxation, level)[..., 0, :]
