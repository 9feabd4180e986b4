"""Functions of a regularizer that follow from its link, by quadrature and roots."""

from collections.abc import Callable

import numpy as np
import scipy.integrate
import scipy.optimize

from .links import Link
from .simplex import two_point_oracle


@np.vectorize
def _inverse(link: Link, y: float) -> float:
    low, high = -1.0, 1.0
    while link(low) > y:
        low *= 2
    while link(high) < y:
        high *= 2
    return scipy.optimize.brentq(lambda t: link(t) - y, low, high, xtol=1e-15)


def gradient_oracle(y, link: Link) -> np.ndarray:
    """`r'(y)` for 0 < y < 1, where the link is y."""
    return _inverse(link, y)


def _quad(fn: Callable[[float], float], lower: float, upper: float) -> float:
    return scipy.integrate.quad(fn, lower, upper, epsabs=1e-12, limit=200)[0]


def value_oracle(y, link: Link) -> np.ndarray:
    """`r(y) - r(0)`, the integral of the inverse link."""
    integral = np.vectorize(lambda y: _quad(lambda u: _inverse(link, u), 0, y))
    return integral(y)


def conjugate_oracle(t, link: Link, at_zero: float) -> np.ndarray:
    """`r*(t)`, the integral of the link from -inf, where it is 0 up to r'(0)."""
    integral = np.vectorize(
        lambda t: _quad(link, at_zero, t) if t > at_zero else 0.0, otypes=[float]
    )
    return integral(t)


def softplus_oracle(t, link: Link) -> np.ndarray:
    """The integral of the two-point step of unit softness from -inf to t.

    The step at t is y where `t = r'(y) - r'(1 - y)`. So, by Young's formula, it is
    `t y` minus the integral of that from 0 to y: over a finite interval, and errors in
    y do not matter to first order.
    """

    def tail(t):
        y = float(two_point_oracle(t, link))
        if y == 0:
            return 0.0
        area = _quad(lambda u: _inverse(link, u) - _inverse(link, 1 - u), 0, y)
        return t * y - area

    t = np.asarray(t, np.float64)
    # At t and -t, the integrals differ by t.
    return np.maximum(t, 0) + np.vectorize(tail, otypes=[float])(-np.abs(t))


def transition_scale(at_zero: float, at_one: float) -> float:
    """The factor by which elementwise operators multiply the softness."""
    width = at_one - at_zero
    return max(5 / width, 1.0)


def heaviside_oracle(x, softness, link: Link, at_zero: float, at_one: float):
    """The soft step: bounded transitions fill [-5 softness, 5 softness]."""
    scale = softness * transition_scale(at_zero, at_one)
    return two_point_oracle(np.asarray(x, np.float64) / scale, link)


def relu_oracle(x, softness, link: Link, at_zero: float, at_one: float) -> np.ndarray:
    """The integral of the soft step from -inf."""
    scale = softness * transition_scale(at_zero, at_one)
    return scale * softplus_oracle(np.asarray(x, np.float64) / scale, link)
