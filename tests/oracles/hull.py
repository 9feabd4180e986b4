"""Regularized maxima over the hull of points, by general optimization."""

import numpy as np
import scipy.optimize

from .links import Link


def hull_oracle(vertices, scores, r: Link):
    """The loss `R(y) - <scores, y>`, and its minimum over means y of vertices.

    By sequential quadratic programming in the weights of all vertices.
    """
    count = len(vertices)

    def loss(y):
        return np.sum(r(y)) - scores @ y

    best = scipy.optimize.minimize(
        lambda weights: loss(weights @ vertices),
        np.full(count, 1 / count),
        method="SLSQP",
        bounds=[(0, 1)] * count,
        constraints=dict(type="eq", fun=lambda weights: weights.sum() - 1),
        options=dict(ftol=1e-15, maxiter=1000),
    )
    # Of weights that add up to 1 only nearly, the loss may be less than the least.
    return loss, best.x @ vertices / best.x.sum()


def distance_to_hull(vertices, y):
    """The distance of y from the means of vertices, by nonnegative least squares."""
    # One row makes the weights add up to 1.
    system = np.vstack([vertices.T, np.ones(len(vertices))])
    return scipy.optimize.nnls(system, np.append(y, 1))[1]
