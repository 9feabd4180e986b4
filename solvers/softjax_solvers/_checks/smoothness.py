"""Measurement of the smoothness of functions."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from .._kernels.derivatives import derivative


def measure_smoothness(
    fn: Callable[[Array], Array], lower: float, upper: float, orders: int = 3
) -> float:
    """Count how many times a function of one number is continuously differentiable.

    Its derivatives, by automatic differentiation, are looked at on a grid of 400
    points. Where one of them changes most, the interval is halved until what is left
    of the change is a jump or nothing. A jump far smaller than the function's variation
    goes unnoticed, and so does one of several where another is larger.

    **Arguments:**

    - `fn`: maps an array to one of the same shape, elementwise. It is best computed in
        64 bits.
    - `lower`, `upper`: the interval.
    - `orders`: up to which derivative to look.

    **Returns:** -1 if it jumps itself, k if it is C^k on the interval and not C^(k+1),
    infinity if no derivative up to `orders` jumps.

    **Example:**

        >>> with jax.enable_x64(True):
        ...     print(sj.solvers.measure_smoothness(jnp.abs, -1.03, 1.0, 1))
        ...     print(sj.solvers.measure_smoothness(jnp.sin, -1.03, 1.0, 1))
        ...
        0
        inf
    """
    grid = np.linspace(lower, upper, 402)
    rounding = 0.0  # largest jump that it may leave of a derivative that is 0
    for order in range(orders + 1):
        # A method of what has arrays cannot be hashed, as what is compiled must be.
        at = jax.jit(lambda t, fn=fn: fn(t))
        values = np.asarray(at(jnp.asarray(grid)))
        if order == 0:
            rounding = 1e-8 * np.ptp(values)
        steps = np.abs(np.diff(values))
        i = int(np.argmax(np.where(np.isnan(steps), np.inf, steps)))
        a, b = grid[i], grid[i + 1]
        for _ in range(30):
            middle = (a + b) / 2
            fa, fm, fb = np.asarray(at(jnp.asarray([a, middle, b])))
            a, b = (a, middle) if not abs(fm - fa) < abs(fb - fm) else (middle, b)
        fa, fb = np.asarray(at(jnp.asarray([a, b])))
        scale = np.median(np.abs(values[np.isfinite(values)])) + np.ptp(values) / 10
        if not abs(fb - fa) <= max(1e-2 * scale, rounding / (upper - lower) ** order):
            return order - 1
        fn = differentiate(fn)
    return np.inf


def differentiate(fn: Callable) -> Callable:
    """Derivative of an elementwise function, as a function."""
    return lambda t: derivative(fn, t)[1]
