"""Smooth sorting: sums over all subsets, one by one, and the primal problem."""

import itertools

import numpy as np
import scipy.special


def _subsets(x, k: int) -> tuple[np.ndarray, np.ndarray]:
    """All subsets of k entries, as rows of a mask, and the sums of x over them."""
    chosen = np.array(list(itertools.combinations(range(len(x)), k)), int)
    mask = np.zeros((len(chosen), len(x)), bool)
    mask[np.arange(len(chosen))[:, None], chosen] = True
    return mask, np.sum(np.where(mask, x, 0), axis=-1)


def subset_sums_oracle(x) -> np.ndarray:
    """The logarithms of the sums of `exp(sum_S x)` over all S of k = 1, ..., n."""
    sums = (_subsets(x, k)[1] for k in range(1, len(x) + 1))
    return np.array([scipy.special.logsumexp(s) for s in sums])


def inclusion_oracle(x) -> np.ndarray:
    """Rows k = 1, ..., n: how probable it is that an entry is one of k drawn ones."""
    rows = []
    for k in range(1, len(x) + 1):
        mask, sums = _subsets(x, k)
        rows.append(scipy.special.softmax(sums) @ mask)
    return np.array(rows)


def majorization_oracle(z, w, softness) -> np.ndarray:
    """Newton's method with backtracking on the primal, in the partial sums of y."""
    z, w = np.asarray(z, np.float64), np.asarray(w, np.float64)
    m = len(w) - 1
    bounds = softness * subset_sums_oracle(w / softness)
    total, bounds = np.sum(w), bounds[:m]
    bend = 2 * np.eye(m) - np.eye(m, k=1) - np.eye(m, k=-1)
    end = np.zeros(m)
    end[m - 1 :] = total

    def slacks(sums):
        return bounds - sums, bend @ sums - end

    def objective(sums):
        s, d = slacks(sums)
        if min(np.min(s, initial=1), np.min(d, initial=1)) <= 0:
            return np.inf
        penalty = sum(np.sum(t * np.log(t) - t) for t in (s, d))
        return softness * penalty - (z[:-1] - z[1:]) @ sums

    # Half way from equal entries to where the bounds are tight.
    sums = (bounds + total * np.arange(1, m + 1) / (m + 1)) / 2
    for _ in range(500):
        s, d = slacks(sums)
        force = (z[:-1] - z[1:]) / softness + np.log(s) - bend @ np.log(d)
        step = np.linalg.solve(np.diag(1 / s) + bend @ np.diag(1 / d) @ bend, force)
        if np.max(np.abs(step), initial=0) <= 1e-13 * np.max(np.abs(w)):
            break
        share = 1.0
        # Where less is to be gained than rounding shows, the full step is taken.
        goal = objective(sums) + 1e-11 * np.max(np.abs(bounds), initial=softness)
        while objective(sums + share * step) > goal and share > 1e-12:
            share /= 2
        sums = sums + share * step
    return np.diff(np.concatenate([[0], sums, [total]]))
