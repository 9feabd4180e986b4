"""Times of functions that take turns, so that other load falls on all alike."""

import math
import statistics
import time
from collections.abc import Callable
from typing import Any

import jax


def seconds(function: Callable, *args: Any) -> float:
    """Time of a call in seconds, with all that JAX computes after it returns."""
    start = time.perf_counter()
    jax.block_until_ready(function(*args))
    return time.perf_counter() - start


def medians(
    functions: dict[Any, Callable],
    *args: Any,
    repeats: int,
    budget: float = math.inf,
) -> dict[Any, float]:
    """Median time in seconds of each function: see `turns`."""
    taken = turns(functions, *args, repeats=repeats, budget=budget)
    return {name: statistics.median(times) for name, times in taken.items()}


def turns(
    functions: dict[Any, Callable],
    *args: Any,
    repeats: int,
    budget: float = math.inf,
) -> dict[Any, list[float]]:
    """Times in seconds of each function, after a call that may compile it.

    In each of `repeats` rounds each function is called once. One that has spent its
    budget in seconds sits out, from the fourth round on.
    """
    taken: dict[Any, list[float]] = {name: [] for name in functions}
    for function in functions.values():
        seconds(function, *args)
    for _ in range(repeats):
        for name, function in functions.items():
            if len(taken[name]) < 3 or sum(taken[name]) < budget:
                taken[name].append(seconds(function, *args))
    return taken
