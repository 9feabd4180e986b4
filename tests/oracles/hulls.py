"""Regularized maxima over the hull of structures: distributions, and conditions."""

from typing import NamedTuple

import numpy as np
import scipy.optimize
import scipy.special

POWERS = {"c0": 2.0, "c1": 1.5, "c2": 4 / 3}
"""Exponents p of modes with `r(y) = y^p / p`."""


class Gibbs(NamedTuple):
    """The distribution in proportion to `exp(<scores, v> / softness)`."""

    value: float
    marginals: np.ndarray
    covariance: np.ndarray
    entropy: float


def gibbs(structures: np.ndarray, z: np.ndarray, softness: float) -> Gibbs:
    """The distribution over all structures, and its maximum with the entropy."""
    scores = structures @ np.asarray(z, np.float64) / softness
    p = scipy.special.softmax(scores)
    mean = p @ structures
    covariance = (structures.T * p) @ structures - np.outer(mean, mean)
    value = softness * scipy.special.logsumexp(scores)
    return Gibbs(value, mean, covariance, scipy.special.entr(p).sum())


def regularizer(y: np.ndarray, mode: str) -> float:
    """`R(y)` of a mode with a power."""
    p = POWERS[mode]
    return np.sum(np.asarray(y, np.float64) ** p) / p


def optimality_gap(
    structures: np.ndarray, z: np.ndarray, softness: float, mode: str, mu: np.ndarray
) -> float:
    """The gap by which a structure is better than mu, by the linearized objective.

    0 for the maximizer of `<z, mu> - softness R(mu)` over the hull of the structures
    alone, and for p = 2 at least `softness` times the squared distance from it.
    """
    slope = np.asarray(z, np.float64) - softness * mu ** (POWERS[mode] - 1)
    return np.max(structures @ slope) - mu @ slope


def distance_from_hull(structures: np.ndarray, mu: np.ndarray) -> float:
    """The distance of mu from the hull of structures, which all are of equal weight."""
    weight = 10.0  # of the sum of the coefficients
    rows = np.vstack([structures.T, np.full(len(structures), weight)])
    return scipy.optimize.nnls(rows, np.append(mu, weight))[1]
