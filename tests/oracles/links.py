"""Links of regularizers, `y = phi(t)`, in closed form."""

from collections.abc import Callable

import numpy as np
import scipy.special

Link = Callable[[np.ndarray], np.ndarray]


def power_link(p: float) -> Link:
    return lambda t: np.maximum(t, 0.0) ** (1 / (p - 1))


def exp_link(t):
    return np.exp(np.minimum(t, 700.0))


def smoothstep(s, coefficients):
    s = np.clip(s, 0.0, 1.0)
    return sum(c * s**power for power, c in coefficients.items())


def cubic_link(t):
    return smoothstep(np.asarray(t) + 0.5, {2: 3, 3: -2})


def quintic_link(t):
    return smoothstep(np.asarray(t) + 0.5, {3: 10, 4: -15, 5: 6})


def pseudohuber_link(t):
    # (1 + sin a) / 2 with tan a = 2t; the complement keeps small values accurate.
    return np.cos(np.pi / 4 - np.arctan(2 * np.asarray(t)) / 2) ** 2


def tsallis_link(alpha: float) -> Link:
    if alpha == 1:
        return lambda t: exp_link(np.asarray(t) - 1)
    outside = 0.0 if alpha > 1 else np.inf

    def link(t):
        base = (alpha - 1) * np.asarray(t, np.float64) + 1 / alpha
        inside = base > 0
        power = np.where(inside, base, 1) ** (1 / (alpha - 1))
        return np.where(inside, power, outside)

    return link


def barrier_link(t):
    t = np.asarray(t, np.float64)
    return np.where(t < 0, -1 / np.where(t < 0, t, -1), np.inf)


def expm1_link(t):
    return np.expm1(np.clip(t, 0.0, 700.0))


def mixed_link(t):
    """`y + log y = t` is solved by the Wright omega function."""
    return np.real(scipy.special.wrightomega(np.asarray(t, np.float64)))
