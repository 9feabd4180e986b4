from __future__ import annotations

from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Float

from softjax_solvers import TransportProjection

from ._method import IndexMethod, Level, Relaxation, Sample, expect


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
        counts: Float[Array, "*#batch m"],
        used: Any = None,
    ) -> Float[Array, "*batch m n"]:
        """The transposed plan to anchors at equal distances, the largest key first.

        The first `used` of them fill [0, 1]; None for all. The others get nothing.
        """
        m = counts.shape[-1]
        used = jnp.maximum(m if used is None else used, 2)
        anchors = jnp.arange(m, dtype=sample.keys.dtype) / (used - 1)
        problem = TransportProjection.on_line(
            -sample.keys,
            jnp.minimum(anchors, 1),
            counts,
            relaxation.softness[..., 0],
            sample.where,
        )
        solution = relaxation.solve(problem, self.linear_solver)
        return solution.value.swapaxes(-1, -2)

    def _square(self, sample: Sample, relaxation: Relaxation):
        """The transposed plan `*batch n n` of the sorted sample, and that sample."""
        ordered = sample.ordered()
        position = jnp.arange(sample.size)
        present = sample.present
        counts = (position < present).astype(sample.keys.dtype)
        inner = Sample(-ordered.support, None, ordered.where)
        return self._plan(inner, relaxation, counts, present), ordered

    def argsort(self, sample: Sample, relaxation: Relaxation) -> Float[Array, "..."]:
        plan, ordered = self._square(sample, relaxation)
        return ordered.unsort(plan)

    def sort(self, sample: Sample, relaxation: Relaxation) -> Float[Array, "..."]:
        plan, ordered = self._square(sample, relaxation)
        return expect(plan, Sample(ordered.values, None, ordered.where))

    def rank(self, sample: Sample, relaxation: Relaxation) -> Float[Array, "..."]:
        plan, ordered = self._square(sample, relaxation)
        positions = jnp.arange(1, sample.size + 1, dtype=plan.dtype)
        total = jnp.sum(plan, axis=-2)
        return ordered.unsort(jnp.einsum("...ij,i->...j", plan, positions) / total)

    def argmax(self, sample: Sample, relaxation: Relaxation) -> Float[Array, "..."]:
        return self._top(sample, relaxation, 1)[..., 0, :]

    def top_k(
        self, sample: Sample, relaxation: Relaxation, k: int
    ) -> tuple[Float[Array, "..."], Float[Array, "..."] | None]:
        index = self._top(sample, relaxation, k)
        return expect(index, sample), index

    def _top(self, sample: Sample, relaxation: Relaxation, k: int) -> Array:
        present = sample.present
        one = jnp.clip(present - jnp.arange(k), 0, 1)
        rest = present - jnp.sum(one, axis=-1, keepdims=True)
        counts = jnp.concatenate([one, rest], axis=-1).astype(sample.keys.dtype)
        # Where k or fewer take part, nothing is left for the last anchor.
        used = jnp.minimum(present, k + 1)
        return self._plan(sample, relaxation, counts, used)[..., :k, :]

    def argquantile(
        self, sample: Sample, relaxation: Relaxation, level: Level
    ) -> Float[Array, "..."]:
        n = sample.size
        lower, upper = level.lower, level.upper
        below = [lower, jnp.ones_like(lower)]
        if upper is None:
            counts = jnp.stack([*below, n - lower - 1], axis=-1)
        else:
            counts = jnp.stack([*below, upper - lower, n - upper - 1], axis=-1)
        # One problem a level, along a new axis.
        shape = (*sample.keys.shape[:-1], lower.size, n)
        where = sample.where
        if where is not None:
            where = jnp.broadcast_to(where[..., None, :], shape)
        many = Sample(jnp.broadcast_to(sample.keys[..., None, :], shape), None, where)
        each = Relaxation(
            relaxation.regularizer, relaxation.softness[..., None], relaxation.solver
        )
        plan = self._plan(many, each, counts.astype(sample.keys.dtype))
        rows = plan[..., 1:3, :] if upper is not None else plan[..., 1:2, :]
        rows = rows.swapaxes(-1, -3)  # *batch n 1-or-2 m
        other = None if upper is None else rows[..., 1, :]
        return level.mix(rows[..., 0, :], other).swapaxes(-1, -2)

    def argmedian(self, sample: Sample, relaxation: Relaxation) -> Float[Array, "..."]:
        # The quantile at 1/2, which counts from the smallest: where n is odd, a fourth
        # anchor stands for the element above.
        upper = sample.size // 2
        lower = max(upper - 1, 0)
        weight = 0.5 if sample.size % 2 == 0 else upper - lower
        level = Level(
            jnp.full(1, lower),
            jnp.full(1, upper),
            jnp.full(1, weight, sample.keys.dtype),
        )
        return self.argquantile(sample, relaxation, level)[..., 0, :]
