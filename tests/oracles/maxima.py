"""Maxima of lists, hard and regularized, and means of structures, in NumPy."""

from collections.abc import Callable

import numpy as np
import scipy.special

from .links import Link, exp_link, power_link
from .primal import PRIMAL
from .simplex import simplex_oracle

_LINKS: dict[str, Link] = {
    "smooth": exp_link,
    "c0": power_link(2.0),
    "c1": power_link(1.5),
    "c2": power_link(4 / 3),
}


def regularized_maximum(mode: str, softness: float) -> Callable[[np.ndarray], float]:
    """`max_y <x, y> - softness (R(y) - r(1))` of a list x, over the simplex."""
    link, r = _LINKS[mode], PRIMAL[mode]

    def maximum(x: np.ndarray) -> float:
        y = simplex_oracle(x, softness, link)
        return float(x @ y - softness * (np.sum(r(y)) - r(np.ones(()))))

    return maximum


def gibbs(structures: np.ndarray, z: np.ndarray, softness: float) -> np.ndarray:
    """Probabilities in proportion to `exp(<z, v> / softness)`."""
    return scipy.special.softmax(structures @ z / softness)
