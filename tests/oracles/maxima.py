"""Maxima of lists, hard and regularized, and means of structures, in NumPy."""

from collections.abc import Callable

import numpy as np
import scipy.optimize
import scipy.special

from .links import Link, exp_link, power_link, pseudohuber_link
from .primal import PRIMAL
from .simplex import simplex_oracle

LINKS: dict[str, Link] = {
    "smooth": exp_link,
    "c0": power_link(2.0),
    "c1": power_link(1.5),
    "c2": power_link(4 / 3),
    "pseudohuber": pseudohuber_link,
}
"""Links of modes whose r is in `PRIMAL`."""


def regularized_maximum(mode: str, softness: float) -> Callable[[np.ndarray], float]:
    """`max_y <x, y> - softness (R(y) - r(1))` of a list x, over the simplex."""
    link, r = LINKS[mode], PRIMAL[mode]

    def maximum(x: np.ndarray) -> float:
        y = simplex_oracle(x, softness, link)
        return float(x @ y - softness * (np.sum(r(y)) - r(np.ones(()))))

    return maximum


def gibbs(structures: np.ndarray, z: np.ndarray, softness: float) -> np.ndarray:
    """Probabilities in proportion to `exp(<z, v> / softness)`."""
    return scipy.special.softmax(structures @ z / softness)


def hull_projection(
    structures: np.ndarray, z: np.ndarray, softness: float, mode: str
) -> np.ndarray:
    """`argmax <z, mu> - softness R(mu)` over the hull of structures.

    By sequential quadratic programming over the weights of all of them.
    """
    r = PRIMAL[mode]
    count = len(structures)

    def loss(w):
        mu = structures.T @ w
        return np.sum(r(mu)) - z @ mu / softness

    def slope(w):
        mu = np.maximum(structures.T @ w, 0)
        power = {"c0": 1.0, "c1": 0.5, "c2": 1 / 3}[mode]
        return structures @ (mu**power - z / softness)

    best = scipy.optimize.minimize(
        loss,
        np.full(count, 1 / count),
        jac=slope,
        method="SLSQP",
        bounds=[(0, 1)] * count,
        constraints=dict(
            type="eq", fun=lambda w: w.sum() - 1, jac=lambda w: np.ones(count)
        ),
        options=dict(ftol=1e-15, maxiter=1000),
    )
    return structures.T @ best.x
