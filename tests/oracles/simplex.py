"""Projections onto the simplex and the hypersimplex, by roots of their duals."""

import numpy as np
import scipy.optimize

from .links import Link


def simplex_oracle(
    z, softness, link: Link, lower: float = -1.0, upper: float = 1.0, where=None
) -> np.ndarray:
    """`argmax_{y in simplex} <z, y> - softness R(y)` along the last axis.

    Row by row, theta with `sum_i link(z_i / softness - theta) = 1` is found by Brent's
    method, in a bracket that starts from [lower, upper] and is widened as needed.
    """
    z = np.asarray(z, np.float64)
    softness = np.broadcast_to(np.asarray(softness, np.float64), (*z.shape[:-1], 1))
    where = np.broadcast_to(True if where is None else where, z.shape)
    out = np.zeros_like(z)
    for row in np.ndindex(z.shape[:-1]):
        mask = where[row]
        if mask.sum() <= 1:
            out[row] = mask
            continue
        scores = (z[row][mask] - z[row][mask].max()) / softness[row]

        def excess(theta, scores=scores):
            return np.sum(link(scores - theta)) - 1

        low, high = lower, upper
        while excess(low) < 0:
            low -= high - low
        while excess(high) > 0:
            high += high - low
        theta = scipy.optimize.brentq(excess, low, high, xtol=1e-15, rtol=1e-15)
        y = link(scores - theta)
        out[row][mask] = y / y.sum()
    return out


def entmax_oracle(z, softness, alpha: float) -> np.ndarray:
    """The projection of z onto the simplex with the Tsallis entropy of alpha > 1.

    Of the entries above 0, the smallest one, v, is found by bisection, and the others
    follow from it: `y_i^(a - 1) - v^(a - 1)` is `(a - 1)` times the difference of
    scores. No digits are lost, as they are in a dual, however steep the link is.
    """
    z = np.asarray(z, np.float64)
    out = np.zeros_like(z)
    p = alpha - 1
    for row in np.ndindex(z.shape[:-1]):
        scores = np.sort(z[row])[::-1] / np.broadcast_to(softness, z.shape)[row][0]

        def rest(v, size, scores=scores):
            above = p * (scores[:size] - scores[size - 1])
            return (above + v**p) ** (1 / p)

        for size in range(len(scores), 0, -1):
            if rest(0.0, size).sum() <= 1:
                break
        low, high = 0.0, 1.0
        for _ in range(200):
            v = (low + high) / 2
            low, high = (low, v) if rest(v, size).sum() > 1 else (v, high)
        out[row][np.argsort(-z[row])[:size]] = rest(low, size)
    return out


def hypersimplex_oracle(z, k, softness, link: Link, where=None) -> np.ndarray:
    """`argmax <z, y> - softness R(y)` over `0 <= y <= 1` with `sum y = k`.

    Row by row, theta with `sum_i min(link(z_i / softness - theta), 1) = k` is found by
    bisection. k is in (0, n), a number or of shape `*batch 1`.
    """
    z = np.asarray(z, np.float64)
    rows = (*z.shape[:-1], 1)
    softness = np.broadcast_to(np.asarray(softness, np.float64), rows)
    k = np.broadcast_to(np.asarray(k, np.float64), rows)
    where = np.broadcast_to(True if where is None else where, z.shape)
    out = np.zeros_like(z)
    for row in np.ndindex(z.shape[:-1]):
        mask, total = where[row], k[row].item()
        # From the last entry of the hard mask, or spreads of 1e10 would be rounded.
        last = np.sort(z[row][mask])[-int(np.ceil(total))]
        scores = (z[row][mask] - last) / softness[row]

        def project(theta, scores=scores):
            return np.minimum(link(scores - theta), 1)

        low, high = -1.0, 1.0
        while project(low).sum() < total:
            low *= 2
        while project(high).sum() > total:
            high *= 2
        for _ in range(100):
            theta = (low + high) / 2
            above = project(theta).sum() > total
            low, high = (theta, high) if above else (low, theta)
        out[row][mask] = project(theta)
    return out


def two_point_oracle(t, link: Link) -> np.ndarray:
    """First entry of the projection of [t, 0], at unit softness."""
    t = np.asarray(t, np.float64)
    return simplex_oracle(np.stack([t, 0 * t], axis=-1), 1.0, link)[..., 0]


def two_sided_oracle(z, k, softness, link: Link) -> np.ndarray:
    """Masks with sum k: two-point projections of all scores, with one threshold."""

    def row(z):
        z = np.asarray(z, np.float64) / softness

        def mask(threshold):
            return two_point_oracle(z - threshold, link)

        reach = 1.0
        while (
            np.sum(mask(-reach + np.min(z))) < k or np.sum(mask(reach + np.max(z))) > k
        ):
            reach *= 2
        threshold = scipy.optimize.brentq(
            lambda t: np.sum(mask(t)) - k,
            np.min(z) - reach,
            np.max(z) + reach,
            xtol=1e-14,
            rtol=1e-14,
        )
        return mask(threshold)

    return np.apply_along_axis(row, -1, np.asarray(z))
