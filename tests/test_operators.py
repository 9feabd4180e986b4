"""Every axiswise operator x regularizer x method: values and derivatives."""

import abc
from collections.abc import Callable
from typing import Any

import helpers
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from cases import (
    FURTHER,
    METHODS,
    OPERATORS,
    REGULARIZERS,
    REPRESENTATIVES,
    VALUE_METHODS,
    each,
    each_pair,
    has,
    is_read_off,
    takes,
)

import softjax as sj

SOFTNESS = 0.3
# Those that behave alike are tested on the level of problems.
CASES = [case for case in REGULARIZERS if case.name not in ("c4", "cubic")]
# Those that are not another one with a sign, a shift or a factor.
DISTINCT = ("argmax", "max", "argsort", "sort", "argquantile", "quantile", "argmedian")
DISTINCT += (
    "median",
    "top_k_values",
    "top_k_index",
    "rank",
    "top_k_mask",
    "hypersimplex_mask",
)


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
        return helpers.softsort_oracle(self.x, SOFTNESS, self.link, queries)

    def rank(self) -> np.ndarray:
        return helpers.softsort_rank_oracle(self.x, SOFTNESS, self.link)


class NeuralSortReference:
    """Dense rows of NeuralSort in float64."""

    def __init__(self, x, link):
        self.x, self.link, self.n = x, link, x.shape[-1]

    def rows(self, positions) -> np.ndarray:
        return helpers.neuralsort_oracle(self.x, SOFTNESS, self.link, positions)

    def rank(self) -> np.ndarray:
        return helpers.neuralsort_rank_oracle(self.x, SOFTNESS, self.link)


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
        return helpers.line_oracle(sign * self.x, counts, SOFTNESS, self.link)

    def level(self, level) -> np.ndarray:
        h = level * (self.n - 1)
        k = int(np.floor(h))
        other = min(k + 1, self.n - 1)
        plan = self.plan([k, 1, other - k, self.n - other - 1])
        return (1 - h + k) * plan[..., 1, :] + (h - k) * plan[..., 2, :]

    def index(self, operator: str) -> np.ndarray:
        n = self.n
        if operator == "argquantile":
            return np.stack([self.level(q) for q in (0.2, 0.75)])
        if operator == "argpercentile":
            return self.level(0.3)
        if operator == "argmedian":
            return self.level(0.5)
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
        return helpers.permutahedron_oracle(z, w, SOFTNESS, case.link, case.at_zero)

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
            return scale * helpers.majorization_oracle(z, x / scale, SOFTNESS / scale)

        return np.apply_along_axis(values, -1, self.x)

    def rank(self) -> np.ndarray:
        def ranks(x):
            included = helpers.inclusion_oracle(x / SOFTNESS)
            return self.n - np.sum(included[:-1], axis=0)

        return np.apply_along_axis(ranks, -1, self.x)


class NetworkReference:
    """Soft permutation matrices of a bitonic network, of x or of minus x."""

    def __init__(self, x, case):
        self.x, self.case, self.n = x, case, x.shape[-1]

    def matrix(self, sign) -> np.ndarray:
        """From the first in descending order of `sign * x` to the last."""
        return helpers.sorting_network_oracle(sign * self.x, SOFTNESS, self.case)

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
        return helpers.hypersimplex_oracle(x, 2, SOFTNESS, case.link)
    if operator == "top_k_mask":
        return helpers.two_sided_oracle(x, 2, SOFTNESS, case.link)
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


_FAST = REPRESENTATIVES | {"neuralsort": "user_link", "fast_soft_sort": "c2"}
# Of methods that are not the default: those that do not follow from one another.
_SEPARATE = dict.fromkeys(METHODS, ("max", "argsort", "sort", "rank"))
_SEPARATE |= {"softsort": DISTINCT, "ot": ("max", "argsort", "rank")}
_SEPARATE["neuralsort"] = ("max", "argsort", "rank", "quantile")


def _combinations():
    """All of the distinct operators; the others with one regularizer for each method.

    What is slow is so because it takes a compilation of its own. What is not is one
    regularizer for each method, and the operators that others do not imply.
    """
    for operator in OPERATORS:
        for case in CASES:
            for method in METHODS:
                if not (takes(method, case) and has(method, operator)):
                    continue
                fast, distinct = case.name == _FAST[method], operator.name in DISTINCT
                if fast or distinct:
                    fast &= not is_read_off(operator, method)
                    fast &= operator.name in _SEPARATE[method]
                    yield pytest.param(
                        operator,
                        case,
                        method,
                        id=f"{operator.name}-{case.name}-{method}",
                        marks=[] if fast and distinct else [pytest.mark.slow],
                    )


@pytest.mark.parametrize(("operator", "case", "method"), list(_combinations()))
def test_value_and_derivatives(operator, case, method, x64):
    """One compiled function: value, gradient, jvp, and a Hessian-vector product.

    The direction moves the input and the softness together.
    """
    rng = helpers.rng(operator.name, case.name, method)
    x, v = rng.normal(size=(2, 2, 5))
    expected = reference(operator.name, method, x, case)
    weight = rng.normal(size=expected.shape)

    def fn(x, softness):
        out = operator.call(x, softness=softness, mode=case.mode, method=method)
        return jnp.sum(weight * out), out

    @jax.jit
    def everything(x, softness):
        gradient = jax.value_and_grad(fn, (0, 1), has_aux=True)
        return jax.jvp(gradient, (x, softness), (v, 0.1))

    h = 1e-6
    ((value, out), grad), ((value_dot, _), grad_dot) = everything(x, SOFTNESS)
    ((upper, _), upper_grad), _ = everything(x + h * v, SOFTNESS + 0.1 * h)
    ((lower, _), lower_grad), _ = everything(x - h * v, SOFTNESS - 0.1 * h)
    helpers.assert_close(out, expected, atol=1e-8)
    # Reverse mode, forward mode and finite differences agree ...
    helpers.assert_close(np.sum(grad[0] * v) + 0.1 * grad[1], value_dot, atol=1e-10)
    scale = 1 + np.abs(value)
    helpers.assert_close(value_dot, (upper - lower) / (2 * h), atol=1e-7 * scale)
    # ... and so do forward over reverse mode and those of the gradient.
    for dot, up, low in zip(grad_dot, upper_grad, lower_grad, strict=True):
        scale = 1 + np.max(np.abs(dot))
        helpers.assert_close(dot, (up - low) / (2 * h), atol=1e-5 * scale)


@each_pair(CASES, dict.fromkeys(METHODS) | {"softsort": "smooth"})
@each("n", [1, 2, 6], fast=("1", "6"))
def test_sizes_in_float32(case, method, n):
    """n = 1, ties and values far apart, against the dense reference."""
    x = np.asarray([0.5, -2.0, 0.5, 0.75, 1e4, -2.0], np.float32)[:n]
    wide = x.astype(np.float64)
    for operator in OPERATORS:
        if operator.name not in ("argsort", "sort", "rank", "median", "max"):
            continue
        if not has(method, operator):
            continue
        out = operator.call(x, softness=SOFTNESS, mode=case.mode, method=method)
        assert out.dtype == jnp.result_type(np.float32)
        expected = reference(operator.name, method, wide, case)
        scale = np.maximum(1, np.abs(expected))
        helpers.assert_close(out / scale, expected / scale, atol=2e-5)


_DIVERSE = [
    ("argmax", "softsort"),
    ("sort", "neuralsort"),
    ("rank", "ot"),
    ("max", "fast_soft_sort"),
    ("median", "sorting_network"),
    ("top_k_mask", METHODS[0]),
]


@pytest.mark.defaults
@each("case", FURTHER, fast=())
def test_further_regularizers(case, x64):
    """One operator of each method: the value, and the gradient of a mean of all."""
    rng = helpers.rng("further", case.name)
    x, v = rng.normal(size=(2, 5))
    operators = {operator.name: operator for operator in OPERATORS}
    pairs = [pair for pair in _DIVERSE if takes(pair[1], case)]
    expected = [reference(name, method, x, case) for name, method in pairs]

    def fn(x, softness):
        keywords = dict(softness=softness, mode=case.mode)
        out = [operators[n].call(x, method=m, **keywords) for n, m in pairs]
        return sum(jnp.mean(jnp.cos(3 * y)) for y in out), out

    compute = jax.jit(jax.value_and_grad(fn, (0, 1), has_aux=True))
    (_, out), (gradient, softness_gradient) = compute(x, SOFTNESS)
    for y, truth, pair in zip(out, expected, pairs, strict=True):
        np.testing.assert_allclose(y, truth, atol=1e-7, err_msg=str(pair))
    dot = np.sum(gradient * v) + 0.1 * softness_gradient
    h = 1e-6
    (upper, _), _ = compute(x + h * v, SOFTNESS + 0.1 * h)
    (lower, _), _ = compute(x - h * v, SOFTNESS - 0.1 * h)
    helpers.assert_close(dot, (upper - lower) / (2 * h), atol=1e-6)


@each("k", [8, 9], fast=("9",))
@each("case", REGULARIZERS, fast=("c0",))
def test_few_and_many_rows(case, k):
    """SoftSort's rows are dense where they are few."""
    x = helpers.rng("few", "many").normal(size=(2, 20)).astype(np.float32)
    weights = np.cos(np.arange(float(k)))

    @jax.jit
    def values(x):
        return sj.top_k(x, k, softness=SOFTNESS, mode=case.mode, method="softsort")[0]

    def total(x):
        return jnp.sum(weights * values(x))

    rows = helpers.softsort_oracle(x, SOFTNESS, case.link)[:, ::-1][:, :k]
    expected = np.einsum("bkn,bn->bk", rows, x)
    helpers.assert_close(values(x), expected, atol=1e-5)
    with helpers.x64():
        x = x.astype(np.float64)
        move = helpers.rng("few", "move").normal(size=x.shape)
        found = np.vdot(jax.jit(jax.grad(total))(x), move)
        expected = helpers.finite_difference(total, (x,), (move,))
        helpers.assert_close(found, expected, atol=1e-5)
