"""References of every operator x regularizer x method, in float64."""

import abc
from collections.abc import Callable
from typing import Any

import numpy as np
import oracles
from cases import VALUE_METHODS

SOFTNESS = 0.3


class SoftSortReference:
    """Dense rows of SoftSort in float64."""

    def __init__(self, x, link):
        self.x, self.link, self.n = x, link, x.shape[-1]

    def rows(self, positions) -> np.ndarray:
        """Rows at positions 1 (the smallest) to n, real between two elements."""
        s = np.sort(self.x, axis=-1)
        whole = np.floor(positions).astype(int)
        lower = s[..., whole - 1]
        upper = s[..., np.minimum(whole, self.n - 1)]
        queries = lower + (np.asarray(positions) - whole) * (upper - lower)
        return oracles.softsort_oracle(self.x, SOFTNESS, self.link, queries)

    def rank(self) -> np.ndarray:
        return oracles.softsort_rank_oracle(self.x, SOFTNESS, self.link)


class NeuralSortReference:
    """Dense rows of NeuralSort in float64."""

    def __init__(self, x, link):
        self.x, self.link, self.n = x, link, x.shape[-1]

    def rows(self, positions) -> np.ndarray:
        return oracles.neuralsort_oracle(self.x, SOFTNESS, self.link, positions)

    def rank(self) -> np.ndarray:
        return oracles.neuralsort_rank_oracle(self.x, SOFTNESS, self.link)


def mixed(reference, levels) -> np.ndarray:
    """Two rows of the n, mixed by a linear interpolation; the levels lead."""
    h = np.asarray(levels) * (reference.n - 1)
    lower, weight = np.floor(h), (h - np.floor(h))[:, None]
    low, high = reference.rows(lower + 1), reference.rows(lower + 2)
    return np.moveaxis((1 - weight) * low + weight * high, -2, 0)


class Rows:
    """The soft indices of a method each row of which is a problem of its own."""

    def __init__(self, reference):
        self.n, self.rows, self.rank = reference.n, reference.rows, reference.rank

    def index(self, operator: str) -> np.ndarray:
        n, rows = self.n, self.rows
        if operator == "argquantile":
            return mixed(self, [0.2, 0.75])
        if operator == "argpercentile":
            return mixed(self, [0.3])[0]
        positions, several = {
            "argmax": ([n], False),
            "argmin": ([1], False),
            "argsort": (np.arange(1, n + 1), True),
            "argmedian": ([(n + 1) / 2], False),
            "top_k_index": ([n, n - 1], True),
        }[operator]
        return rows(positions) if several else rows(positions)[..., 0, :]


class TransportReference:
    """Transposed optimal transport plans, one with its own anchors for each operator.

    Of minus x, so that positions count from the smallest, where an operator does.
    """

    def __init__(self, x, link):
        self.x, self.link, self.n = x, link, x.shape[-1]

    def plan(self, counts, sign=-1) -> np.ndarray:
        return oracles.line_oracle(sign * self.x, counts, SOFTNESS, self.link)

    def level(self, level) -> np.ndarray:
        h = level * (self.n - 1)
        k = int(np.floor(h))
        lower, upper = (self.unit(i) for i in (k, min(k + 1, self.n - 1)))
        return (1 - h + k) * lower + (h - k) * upper

    def unit(self, start) -> np.ndarray:
        """The row of the unit of mass that starts there."""
        return self.plan([start, 1, self.n - 1 - start])[..., 1, :]

    def index(self, operator: str) -> np.ndarray:
        n = self.n
        if operator == "argquantile":
            return np.stack([self.level(q) for q in (0.2, 0.75)])
        if operator == "argpercentile":
            return self.level(0.3)
        if operator == "argmedian":
            return self.unit((n - 1) / 2)
        if operator == "argsort":
            return self.plan([1] * n)
        if operator == "top_k_index":
            return self.plan([1, 1, n - 2], sign=1)[..., :2, :]
        return self.plan([1, n - 1], sign=1 if operator == "argmax" else -1)[..., 0, :]

    def rank(self) -> np.ndarray:
        positions = np.arange(1, self.n + 1)
        return np.einsum("...ij,i->...j", self.plan([1] * self.n), positions)


class ValueReference(abc.ABC):
    """Everything that is read off sorted values and ranks."""

    def __init__(self, x, case):
        self.x, self.case, self.n = x, case, x.shape[-1]

    @abc.abstractmethod
    def descending(self) -> np.ndarray: ...

    @abc.abstractmethod
    def rank(self) -> np.ndarray: ...

    def level(self, level) -> np.ndarray:
        ascending = self.descending()[..., ::-1]
        h = level * (self.n - 1)
        lower = int(np.floor(h))
        upper = min(lower + 1, self.n - 1)
        return (1 - h + lower) * ascending[..., lower] + (h - lower) * ascending[
            ..., upper
        ]

    def value(self, operator: str) -> np.ndarray:
        if operator in ("rank", "ranking"):
            return self.rank() - (operator == "ranking")
        if operator == "min":
            return -type(self)(-self.x, self.case).value("max")
        if operator == "quantile":
            return np.stack([self.level(q) for q in (0.2, 0.75)])
        values = self.descending()
        return {
            "max": values[..., 0],
            "sort": values[..., ::-1],
            "percentile": self.level(0.3),
            "median": self.level(0.5),
            "top_k_values": values[..., :2],
        }[operator]


class PermutahedronReference(ValueReference):
    """Sorted values and ranks as projections of anchors and of minus x."""

    def project(self, z, w) -> np.ndarray:
        w = np.broadcast_to(w, self.x.shape)
        z = np.broadcast_to(z, self.x.shape)
        case = self.case
        return oracles.permutahedron_oracle(z, w, SOFTNESS, case.link, case.at_zero)

    def descending(self) -> np.ndarray:
        scale = np.std(self.x, axis=-1, keepdims=True)
        unit = np.where(scale > 0, scale, 1)
        values = unit * self.project(np.linspace(1, 0, self.n) * unit, self.x / unit)
        return np.where(scale > 0, values, np.mean(self.x, axis=-1, keepdims=True))

    def rank(self) -> np.ndarray:
        last = max(self.n - 1, 1)
        return last * self.project(-self.x, np.arange(1, self.n + 1) / last)


class SmoothReference(ValueReference):
    """Row by row, over all subsets."""

    def descending(self) -> np.ndarray:
        def values(x):
            z, scale = np.linspace(1, 0, self.n), np.std(x)
            if scale == 0:
                return x
            return scale * oracles.majorization_oracle(z, x / scale, SOFTNESS / scale)

        return np.apply_along_axis(values, -1, self.x)

    def rank(self) -> np.ndarray:
        def ranks(x):
            included = oracles.inclusion_oracle(x / SOFTNESS)
            return self.n - np.sum(included[:-1], axis=0)

        return np.apply_along_axis(ranks, -1, self.x)


class NetworkReference:
    """Soft permutation matrices of a bitonic network, of x or of minus x."""

    def __init__(self, x, case):
        self.x, self.case, self.n = x, case, x.shape[-1]

    def matrix(self, sign) -> np.ndarray:
        """From the first in descending order of `sign * x` to the last."""
        return oracles.sorting_network_oracle(sign * self.x, SOFTNESS, self.case)

    def rows(self, positions) -> np.ndarray:
        """Rows at positions 1 (the smallest) to n; half way, half of each."""
        ascending = self.matrix(1)[..., ::-1, :]
        lower, upper = (f(positions).astype(int) - 1 for f in (np.floor, np.ceil))
        return (ascending[..., lower, :] + ascending[..., upper, :]) / 2

    def index(self, operator: str) -> np.ndarray:
        if operator == "argsort":
            return self.matrix(-1)
        if operator == "argmin":
            return self.matrix(-1)[..., 0, :]
        return Rows(self).index(operator)

    def rank(self) -> np.ndarray:
        return np.einsum("...ij,i->...j", self.matrix(1), np.arange(self.n, 0, -1))


METHOD_REFERENCES: dict[str, Callable[..., Any]] = {
    "softsort": lambda x, case: Rows(SoftSortReference(x, case.link)),
    "neuralsort": lambda x, case: Rows(NeuralSortReference(x, case.link)),
    "ot": lambda x, case: TransportReference(x, case.link),
    "fast_soft_sort": PermutahedronReference,
    "smooth_sort": SmoothReference,
    "sorting_network": NetworkReference,
}
VALUE_OF = {
    "max": "argmax",
    "min": "argmin",
    "sort": "argsort",
    "quantile": "argquantile",
    "percentile": "argpercentile",
    "median": "argmedian",
    "top_k_values": "top_k_index",
}


def reference(operator: str, method: str, x, case) -> np.ndarray:
    if operator == "hypersimplex_mask":
        return oracles.hypersimplex_oracle(x, 2, SOFTNESS, case.link)
    if operator == "top_k_mask":
        return oracles.two_sided_oracle(x, 2, SOFTNESS, case.link)
    r = METHOD_REFERENCES[method](x, case)
    if method in VALUE_METHODS:
        return r.value(operator)
    if operator in ("rank", "ranking"):
        return r.n + 1 - r.rank() - (operator == "ranking")
    if operator not in VALUE_OF:
        return r.index(operator)
    index = r.index(VALUE_OF[operator])
    if operator == "quantile":  # the levels lead
        return np.einsum("q...n,...n->q...", index, x)
    if operator in ("sort", "top_k_values"):
        return np.einsum("...mn,...n->...m", index, x)
    return np.sum(index * x, axis=-1)
