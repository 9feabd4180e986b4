"""Costs of transport on a line, relative to the hard plan."""

from __future__ import annotations

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from ..._kernels.arrays import exact_einsum, inexact, is_traced
from ..._kernels.cumulative import prefix_sums
from ..._kernels.derivatives import replace_value
from ..._kernels.sorting import permute, sort_with_permutation

_FEW = 16
"""Up to how many sums of a matrix's first rows are not worth to be shared."""


def reduced_costs(
    points: Any,
    anchors: Any,
    counts: Any,
    where: Any,
    ascending: bool,
    weights: Any = None,
) -> tuple[Float[Array, "*batch m n"], Array | np.ndarray]:
    """The costs of `TransportProjection.on_line`, and the counts as an array.

    `(points_i - anchors_j)^2` up to potentials of the hard plan, which follow from
    sorting: nonnegative, and 0 where that has mass.
    """
    points = inexact(points)
    x = jax.lax.stop_gradient(points)
    # What is known already takes no part in the program.
    xp = jnp if is_traced((anchors, counts)) else np
    anchors, counts = (xp.asarray(a).astype(x.dtype) for a in (anchors, counts))
    in_order, permutation = x, None
    if not ascending:
        in_order = x if where is None else jnp.where(where, x, jnp.inf)
        in_order, permutation = sort_with_permutation(in_order)
    if weights is None:
        beside = _beside_counts(counts, xp)
    else:
        mass = jnp.broadcast_to(jax.lax.stop_gradient(weights), x.shape)
        mass = mass if permutation is None else permute(mass, permutation)
        beside = _beside_masses(jax.lax.stop_gradient(counts), mass)
    # Between two anchors stands a threshold, half way between two points.
    size = beside.shape[-1]
    beside = beside.reshape(*beside.shape[:-2], 2 * size)
    batch = jnp.broadcast_shapes(x.shape[:-1], beside.shape[:-1])
    threshold = permute(
        jnp.broadcast_to(in_order, (*batch, x.shape[-1])),
        jnp.broadcast_to(beside, (*batch, beside.shape[-1])),
    )
    threshold = threshold.reshape(*batch, 2, size).sum(axis=-2) / 2
    gap = anchors[..., 1:] - anchors[..., :-1]
    excess = x[..., None, :] - threshold[..., :, None]
    weighted = 2 * gap[..., :, None] * excess
    # Sums of positive terms that begin at a point's own anchor: nothing cancels.
    cost = partial_sums(weighted)
    own = anchors[..., 0, None] + jnp.sum(
        jnp.where(excess > 0, gap[..., :, None], 0), axis=-2
    )
    # The derivative in an anchor is of distances to the thresholds on the way from a
    # point's own one, and so small for those that are moved there; that in a point is
    # of -2 x a, up to other potentials.
    slope = -2 * (anchors[..., :, None] - jax.lax.stop_gradient(own)[..., None, :])
    moves = cost + slope * (points - x)[..., None, :]
    return replace_value(moves, cost), counts


def _beside_counts(counts: Any, xp: Any) -> Int[Array | np.ndarray, "*batch 2 m-1"]:
    """The places in order of the points before and behind each boundary.

    Where a boundary divides a point, those are the same.
    """
    before = np.cumsum(counts, axis=-1) if xp is np else prefix_sums(counts)
    before, size = before[..., :-1], before[..., -1:]
    beside = xp.stack([xp.ceil(before) - 1, xp.floor(before)], axis=-2)
    return xp.clip(beside, 0, size[..., None] - 1).astype(int)


def _beside_masses(
    counts: Float[Array, "*#batch m"], mass: Float[Array, "*batch n"]
) -> Int[Array, "*batch 2 m-1"]:
    """The places of the points with the mass before and behind each boundary.

    Where a boundary divides a point, those are the same.
    """
    before = jnp.cumsum(counts, axis=-1)[..., :-1, None]
    after = jnp.cumsum(mass, axis=-1)[..., None, :]
    beside = jnp.stack(
        [jnp.sum(after < before, axis=-1), jnp.sum(after <= before, axis=-1)], axis=-2
    )
    # Among the points with mass.
    first = jnp.sum(after <= 0, axis=-1)[..., None]
    last = jnp.sum(after < after[..., -1:], axis=-1)[..., None]
    return jnp.clip(beside, first, last)


def partial_sums(x: Float[Array, "*batch l n"]) -> Float[Array, "*batch l+1 n"]:
    """`sum_{i < j} max(-x_i, 0) + sum_{i >= j} max(x_i, 0)` for j from 0 to l."""
    *batch, size, n = x.shape
    count = size + 1
    if count <= _FEW:
        sign = 1 - 2 * np.tri(count, size, k=-1, dtype=x.dtype)
        # Written out: XLA makes one loop of that, and of a sum over all pairs of a long
        # row one that takes forty times as long (on a CPU).
        sums = jnp.zeros((*batch, count, n), x.dtype)
        for place in range(size):
            sums = sums + jnp.maximum(sign[:, place, None] * x[..., place, None, :], 0)
        return sums
    before, after = jnp.maximum(-x, 0), jnp.maximum(x, 0)
    # Products with triangular matrices, of the entries of a block and of the blocks:
    # few operations, and fast.
    width = math.isqrt(size) + 1
    blocks = -(-count // width)

    def split(x):
        x = jnp.pad(x, [(0, 0)] * len(batch) + [(0, blocks * width - size), (0, 0)])
        return x.reshape(*batch, blocks, width, n)

    terms = jnp.concatenate([split(before), split(after)], axis=-2)
    lower = np.tri(width, k=-1, dtype=x.dtype)
    inside = exact_einsum("jl,...ln->...jn", np.hstack([lower, 1 - lower]), terms)
    halves = jnp.sum(terms.reshape(*batch, blocks, 2, width, n), axis=-2)
    lower = np.tri(blocks, k=-1, dtype=x.dtype)
    outside = exact_einsum(
        "jsl,...lsn->...jn", np.stack([lower, lower.T], axis=1), halves
    )
    sums = inside + outside[..., None, :]
    return sums.reshape(*batch, blocks * width, n)[..., :count, :]
