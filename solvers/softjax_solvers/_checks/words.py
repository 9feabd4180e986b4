"""Findings in words."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np


def report(problems: tuple[str, ...], lines: Iterable[str]) -> str:
    """The text of a report: what is wrong, and then what else was found."""
    if not problems:
        return "\n".join(["consistent", *lines])
    found = [f"- {problem}" for problem in problems]
    return "\n".join([f"{len(found)} problem(s):", *found, *lines])


def differ(name: str, got: Any, expected: Any, tolerance: float) -> Iterator[str]:
    """A finding if arrays differ by more than a tolerance, relative above 1."""
    got, expected = np.asarray(got), np.asarray(expected)
    if got.shape != expected.shape:
        yield f"{name} has the shape {got.shape}, and should have {expected.shape}."
        return
    if got.size == 0:
        return
    error = np.abs(got - expected) / (1 + np.abs(expected))
    error = np.where(np.isnan(error), np.inf, error)
    i = np.unravel_index(np.argmax(error), error.shape)
    if not error[i] <= tolerance:
        where = f" at {tuple(map(int, i))}" if i else ""
        yield (
            f"{name}{where} is {float(got[i]):.6g}, and should be "
            f"{float(expected[i]):.6g}."
        )


def distance_to_hull(y: np.ndarray, vertices: np.ndarray) -> float:
    """How far a vector is from all means of vertices, which are rows."""
    import scipy.optimize

    rows = np.concatenate([vertices.T, np.ones((1, len(vertices)))])
    return float(scipy.optimize.nnls(rows, np.append(y, 1.0))[1])
