"""Loops of iterative solvers, and where they stop."""

from __future__ import annotations

from collections.abc import Callable

import jax
from jaxtyping import Array, PyTree

from .._platform.batches import any_true
from .._platform.varying import varying_as
from .arrays import eps


def iterate(
    advance: Callable[[PyTree], PyTree], state: PyTree, max_steps: int, like: Array
) -> PyTree:
    """Advance a state until all its elements are `done` or have made `max_steps`.

    `like` is an array that varies over devices as a state that was advanced does.
    """
    return jax.lax.while_loop(
        lambda s: any_true(~s.done & (s.steps < max_steps)),
        advance,
        varying_as(state, like),
    )


def choose_tolerance(tolerance: float | None, units: float, like: Array) -> float:
    """`tolerance`, or its default of so many `units` of rounding where it is None."""
    return units * eps(like) if tolerance is None else tolerance
