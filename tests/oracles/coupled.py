"""Projections onto the simplex with penalties, by minimization of the primal."""

import itertools

import numpy as np
import scipy.optimize

from .linear_program import GRADIENTS
from .primal import PRIMAL

Pieces = list[np.ndarray]


def steps(n: int) -> Pieces:
    """Total variation, as a sum of largest entries of `A y`, one a matrix A."""
    rows = np.diff(np.eye(n), axis=0)
    return [np.stack([row, -row]) for row in rows]


def pairs(n: int) -> Pieces:
    """The sum over pairs of the larger one, in this form."""
    return [np.eye(n)[[i, j]] for i, j in itertools.combinations(range(n), 2)]


def tops(groups) -> Pieces:
    """The sum of the largest entries of groups, in this form."""
    groups = np.asarray(groups)
    return [np.eye(len(groups))[groups == g] for g in np.unique(groups)]


def pieces_value(y, pieces: Pieces) -> float:
    return sum(np.max(piece @ y) for piece in pieces)


def pieces_oracle(mode, z, softness, strength, pieces: Pieces) -> np.ndarray:
    """`argmin softness (R(y) + strength S(y)) - <z, y>` over the simplex.

    With a bound on each piece of S as a further variable, by sequential quadratic
    programming.
    """
    n, m, r, gradient = len(z), len(pieces), PRIMAL[mode], GRADIENTS[mode]
    price = softness * strength * np.ones(m)
    below = np.concatenate(
        [
            np.c_[-a, np.outer(np.ones(len(a)), np.eye(m)[k])]
            for k, a in enumerate(pieces)
        ]
        or [np.zeros((0, n))]
    )
    total = np.r_[np.ones(n), np.zeros(m)]
    start = np.r_[np.full(n, 1 / n), [np.max(a.sum(-1)) / n for a in pieces]]
    best = scipy.optimize.minimize(
        lambda x: softness * np.sum(r(x[:n])) - z @ x[:n] + price @ x[n:],
        start,
        jac=lambda x: np.r_[softness * gradient(np.maximum(x[:n], 1e-300)) - z, price],
        method="SLSQP",
        bounds=[(0, 1)] * n + [(-1, 1)] * m,
        constraints=[
            dict(type="eq", fun=lambda x: total @ x - 1, jac=lambda x: total),
            dict(type="ineq", fun=lambda x: below @ x, jac=lambda x: below),
        ],
        options=dict(ftol=1e-15, maxiter=1000),
    )
    return best.x[:n]


def smooth_oracle(mode, z, softness, penalty, slope) -> np.ndarray:
    """The same of a differentiable penalty, of which `mode` may be None for no R."""
    r = PRIMAL[mode] if mode else np.zeros_like
    gradient = GRADIENTS[mode] if mode else np.zeros_like
    best = scipy.optimize.minimize(
        lambda y: softness * (np.sum(r(y)) + penalty(y)) - z @ y,
        np.full(len(z), 1 / len(z)),
        jac=lambda y: softness * (gradient(np.maximum(y, 1e-300)) + slope(y)) - z,
        method="SLSQP",
        bounds=[(0, 1)] * len(z),
        constraints=dict(type="eq", fun=lambda y: y.sum() - 1, jac=np.ones_like),
        options=dict(ftol=1e-15, maxiter=1000),
    )
    return best.x


def group_lasso_oracle(z, softness, strength, groups) -> np.ndarray:
    """The projection with Euclidean lengths of groups, by alternating directions."""
    z, groups = np.asarray(z) / softness, np.asarray(groups)
    y = u = np.zeros_like(z)
    for _ in range(1500):
        x = (y - u + z) / 2  # of |x|^2 / 2 - <z, x> and |x - y + u|^2 / 2
        for g in np.unique(groups):
            v = (y - u + z)[groups == g]
            length = np.linalg.norm(v)
            x[groups == g] = max(1 - strength / max(length, 1e-300), 0) * v / 2
        ordered = np.sort(x + u)[::-1]
        sums = (np.cumsum(ordered) - 1) / np.arange(1, len(z) + 1)
        y = np.maximum(x + u - sums[np.sum(ordered > sums) - 1], 0)
        u = u + x - y
    return y


def sparse_oracle(mode, z, k, softness) -> np.ndarray:
    """The best projection onto a face of k entries, of all faces."""
    r, best = PRIMAL[mode], (np.inf, z)
    for face in itertools.combinations(range(len(z)), k):
        y = np.zeros(len(z))
        y[list(face)] = pieces_oracle(mode, z[list(face)], softness, 0.0, [])
        loss = softness * np.sum(r(y)) - z @ y
        best = min(best, (loss, y), key=lambda pair: pair[0])
    return best[1]
