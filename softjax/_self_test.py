"""Checks that an installation computes what it should, in a few seconds."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from . import _api as sj

_X = np.array([0.2, 1.0, 0.7])
_TOLERANCE = 1e-4


def _softmax(scores: Any) -> Any:
    e = np.exp(scores - scores.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def _gradient_of_max() -> Any:
    p = _softmax(_X / 0.1)
    return p * (1 + (_X - p @ _X) / 0.1)


# Name -> what is computed of x, and a formula of it that uses NumPy alone.
CHECKS: dict[str, tuple[Callable[[Any], Any], Callable[[], Any]]] = {
    "argmax": (sj.argmax, lambda: _softmax(_X / 0.1)),
    'argmax, mode="c0"': (
        lambda x: sj.argmax(x, mode="c0", softness=0.5),
        lambda: [0, 0.8, 0.2],
    ),
    'argmax, mode="c0", solver="newton"': (
        lambda x: sj.argmax(x, mode="c0", softness=0.5, solver="newton"),
        lambda: [0, 0.8, 0.2],
    ),
    "gradient of max": (jax.grad(sj.max), _gradient_of_max),
    "sort": (
        sj.sort,
        lambda: _softmax(-np.abs(np.sort(_X)[:, None] - _X) / 0.1) @ _X,
    ),
    'rank, mode="hard"': (lambda x: sj.rank(x, mode="hard"), lambda: [3, 1, 2]),
    "st(sort)": (
        sj.st(sj.sort),
        lambda: np.sort(_X),
    ),
    'sort, method="fast_soft_sort"': (
        # A softness so large that the projection is the mean of all.
        lambda x: sj.sort(x, method="fast_soft_sort", mode="c0", softness=1e4),
        lambda: np.full(3, _X.mean()),
    ),
    'top_k_mask, method="hypersimplex"': (
        lambda x: jnp.sum(sj.top_k_mask(x, 2, method="hypersimplex")),
        lambda: 2.0,
    ),
    "structured.argmax": (
        lambda x: sj.structured.argmax(sj.structured.KSubset(1), x, mode="smooth"),
        lambda: _softmax(_X / 0.1),
    ),
}


def run() -> Iterator[tuple[str, str]]:
    """The name of each check, and what is wrong: nothing if it is empty."""
    for name, (compute, formula) in CHECKS.items():
        try:
            found = np.asarray(jax.jit(compute)(jnp.asarray(_X, jnp.float32)))
        except Exception as error:  # a check that fails must not hide the others
            yield name, f"{type(error).__name__}: {error}"
            continue
        expected = np.asarray(formula())
        right = found.shape == expected.shape and np.allclose(
            found, expected, rtol=0, atol=_TOLERANCE
        )
        yield name, "" if right else f"expected {expected}, got {found}"
