"""Projections onto permutahedra, by pooling adjacent violators."""

from collections.abc import Callable

import numpy as np
import scipy.optimize
import scipy.special

from .links import Link, exp_link


def permutahedron_oracle(
    z, w, softness, link: Link, at_zero: float, where=None
) -> np.ndarray:
    """Projection of z / softness onto the permutations of w, along the last axis.

    Row by row: from the largest score on, each entry is pooled with the block before it
    as long as their values do not descend. The value v of a block B is found by Brent's
    method in

    - `sum_B phi(s_i - v) = sum_B w_i`, phi the link as a function that is odd about
        r'(0) = `at_zero` where that is finite; y = phi(s - v);
    - `sum_B phi(s_i - v) = sum_B phi(w_i)` where it is not; y = s - v.
    """
    z, w = np.asarray(z, np.float64), np.asarray(w, np.float64)
    softness = np.broadcast_to(np.asarray(softness, np.float64), (*z.shape[:-1], 1))
    where = np.broadcast_to(True if where is None else where, z.shape)
    out = np.zeros_like(z)
    for row in np.ndindex(z.shape[:-1]):
        (inside,) = np.nonzero(where[row])
        if inside.size == 0:
            continue
        order = inside[np.argsort(-z[row][inside], kind="stable")]
        scores = z[row][order] / softness[row]
        targets = -np.sort(-w[row][inside])
        out[row][order] = _pool(scores, targets, link, at_zero)
    return out


def _pool(s, w, link: Link, at_zero: float) -> np.ndarray:
    """The projection of descending scores onto the permutations of descending w."""

    def extended(u):
        return np.where(u < at_zero, -link(2 * at_zero - u), link(u))

    odd = np.isfinite(at_zero)

    def place(start, end):
        """`s_start - v` for the value v of a block."""
        scores, targets = s[start:end] - s[start], w[start:end]
        if link is exp_link:
            logsumexp = scipy.special.logsumexp
            return logsumexp(targets) - logsumexp(scores)
        if odd:
            return _find(lambda c: np.sum(extended(scores + c)) - targets.sum())
        if end == start + 1:
            return targets[0]
        return _find(lambda c: np.sum(link(scores + c)) - link(targets).sum())

    blocks: list[tuple[int, float]] = []  # where it starts, and its place
    for i in range(len(s)):
        start, here = i, place(i, i + 1)
        while blocks and s[start] - here >= s[blocks[-1][0]] - blocks[-1][1]:
            start, _ = blocks.pop()
            here = place(start, i + 1)
        blocks.append((start, here))
    ends = [start for start, _ in blocks[1:]] + [len(s)]
    u = np.zeros_like(s)
    for (start, here), end in zip(blocks, ends, strict=True):
        u[start:end] = s[start:end] - s[start] + here
    return extended(u) if odd else u


def _find(excess: Callable[[float], float]) -> float:
    """The root of an increasing function."""
    low, high = -1.0, 1.0
    while excess(low) > 0:
        low *= 2
    while excess(high) < 0:
        high *= 2
    return scipy.optimize.brentq(excess, low, high, xtol=1e-15, rtol=1e-15)
