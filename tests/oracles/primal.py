"""Projections onto the hypersimplex by minimization of the primal problem."""

import numpy as np
import scipy.optimize

from .links import Link

PRIMAL: dict[str, Link] = {
    "smooth": lambda y: y * np.log(np.maximum(y, 1e-300)) - y,
    "c0": lambda y: y**2 / 2,
    "c1": lambda y: np.maximum(y, 0) ** 1.5 / 1.5,
    "c2": lambda y: np.maximum(y, 0) ** (4 / 3) * 3 / 4,
    "pseudohuber": lambda y: -np.sqrt(np.clip(y * (1 - y), 1e-300, None)) / 2,
}
"""r itself, of modes for which it has a closed form."""


def primal_optimum(z, k, softness, r: Link):
    """The loss `softness R(y) - <z, y>`, and its minimum over 0 <= y <= 1, sum y = k.

    By sequential quadratic programming on the primal problem.
    """

    def loss(y):
        return softness * np.sum(r(y)) - z @ y

    best = scipy.optimize.minimize(
        loss,
        np.full(len(z), k / len(z)),
        method="SLSQP",
        bounds=[(0, 1)] * len(z),
        constraints=dict(type="eq", fun=lambda y: y.sum() - k),
        options=dict(ftol=1e-14, maxiter=500),
    )
    return loss, best.x
