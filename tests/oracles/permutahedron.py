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


def weighted_permutahedron_oracle(
    z, w, weights, softness, link: Link, at_zero: float
) -> np.ndarray:
    """The projection of entries with weights, which weight both sums of a block.

    w_i belongs to z_i, and is not sorted. Entries of weight 0 between two others have
    the values of an isotonic regression of their own, between those of the two: so does
    one with weights that tend to 0, all alike.
    """
    z, w, weights = (np.asarray(x, np.float64) for x in (z, w, weights))
    softness = np.broadcast_to(np.asarray(softness, np.float64), (*z.shape[:-1], 1))
    out = np.zeros_like(z)
    for row in np.ndindex(z.shape[:-1]):
        order = np.argsort(-z[row], kind="stable")
        s, targets, m = z[row][order] / softness[row], w[row][order], weights[row]
        m = m[order]
        heavy = m > 0
        u = np.zeros_like(s)
        u[heavy] = _places(s[heavy], targets[heavy], link, at_zero, m[heavy])
        before = np.cumsum(heavy)
        for gap in np.unique(before[~heavy]):
            run = ~heavy & (before == gap)
            alone = _places(s[run], targets[run], link, at_zero, np.ones(run.sum()))
            values = np.concatenate([[np.inf], (s - u)[heavy], [-np.inf]])
            u[run] = s[run] - np.clip(s[run] - alone, values[gap + 1], values[gap])
        out[row][order] = _extended(link, at_zero)(u) if np.isfinite(at_zero) else u
    return out


def _extended(link: Link, at_zero: float) -> Link:
    """The link as a function that is odd about r'(0)."""
    return lambda u: np.where(u < at_zero, -link(2 * at_zero - u), link(u))


def _pool(s, w, link: Link, at_zero: float) -> np.ndarray:
    """The projection of descending scores onto the permutations of descending w."""
    u = _places(s, w, link, at_zero, np.ones_like(s))
    return _extended(link, at_zero)(u) if np.isfinite(at_zero) else u


def _places(s, w, link: Link, at_zero: float, m) -> np.ndarray:
    """`s - v`, with the values v of the blocks, for positive weights m."""
    odd, phi = np.isfinite(at_zero), _extended(link, at_zero)

    def place(start, end):
        """`s_start - v` for the value v of a block."""
        scores, targets, b = s[start:end] - s[start], w[start:end], m[start:end]
        if link is exp_link:
            logsumexp = scipy.special.logsumexp
            return logsumexp(targets, b=b) - logsumexp(scores, b=b)
        if odd:
            return _find(lambda c: np.sum(b * (phi(scores + c) - targets)))
        if end == start + 1:
            return targets[0]
        return _find(lambda c: np.sum(b * (link(scores + c) - link(targets))))

    blocks: list[tuple[int, float]] = []  # where it starts, and its place
    for i in range(len(s)):
        start, here = i, place(i, i + 1)
        while blocks and s[start] - here >= s[blocks[-1][0]] - blocks[-1][1]:
            start, _ = blocks.pop()
            here = place(start, i + 1)
        blocks.append((start, here))
    ends = [start for start, _ in blocks[1:]] + [len(s)] * (len(s) > 0)
    u = np.zeros_like(s)
    for (start, here), end in zip(blocks, ends, strict=True):
        u[start:end] = s[start:end] - s[start] + here
    return u


def _find(excess: Callable[[float], float]) -> float:
    """The root of an increasing function."""
    low, high = -1.0, 1.0
    while excess(low) > 0:
        low *= 2
    while excess(high) < 0:
        high *= 2
    return scipy.optimize.brentq(excess, low, high, xtol=1e-15, rtol=1e-15)
