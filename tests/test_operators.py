"""Every axiswise operator x regularizer x method: values and derivatives."""

from collections.abc import Callable
from typing import Any

import helpers
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from cases import OPERATORS, REGULARIZERS, REPRESENTATIVES, each, each_pair

SOFTNESS = 0.3
# Those that are not another one with a sign, a shift or a factor.
DISTINCT = ("argmax", "max", "argsort", "sort", "argquantile", "quantile", "argmedian")
DISTINCT += ("median", "top_k_values", "top_k_index", "rank")


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


METHOD_REFERENCES: dict[str, Callable[..., Any]] = {
    "softsort": SoftSortReference,
    "neuralsort": NeuralSortReference,
}


def mixed_rows(reference, levels) -> np.ndarray:
    h = np.asarray(levels) * (reference.n - 1)
    lower, weight = np.floor(h), (h - np.floor(h))[:, None]
    low, high = reference.rows(lower + 1), reference.rows(lower + 2)
    return np.moveaxis((1 - weight) * low + weight * high, -2, 0)


INDEX_REFERENCES: dict[str, Callable[..., np.ndarray]] = {
    "argmax": lambda r: r.rows([r.n])[..., 0, :],
    "argmin": lambda r: r.rows([1])[..., 0, :],
    "argsort": lambda r: r.rows(np.arange(1, r.n + 1)),
    "argquantile": lambda r: mixed_rows(r, [0.2, 0.75]),
    "argpercentile": lambda r: mixed_rows(r, [0.3])[0],
    "argmedian": lambda r: r.rows([(r.n + 1) / 2])[..., 0, :],
    "top_k_index": lambda r: r.rows([r.n, r.n - 1]),
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


def reference(operator: str, method: str, x, link) -> np.ndarray:
    r = METHOD_REFERENCES[method](x, link)
    if operator in ("rank", "ranking"):
        return r.n + 1 - r.rank() - (operator == "ranking")
    if operator in INDEX_REFERENCES:
        return INDEX_REFERENCES[operator](r)
    index = INDEX_REFERENCES[VALUE_OF[operator]](r)
    if operator == "quantile":  # the levels lead
        return np.einsum("q...n,...n->q...", index, x)
    if operator in ("sort", "top_k_values"):
        return np.einsum("...mn,...n->...m", index, x)
    return np.sum(index * x, axis=-1)


@each_pair(REGULARIZERS, REPRESENTATIVES | {"neuralsort": "user_link"})
@each("operator", OPERATORS, fast=DISTINCT)
def test_value_and_derivatives(operator, case, method, x64):
    """One compiled function: value, gradient, jvp, and a Hessian-vector product.

    The direction moves the input and the softness together.
    """
    rng = helpers.rng(operator.name, case.name, method)
    x, v = rng.normal(size=(2, 2, 5))
    expected = reference(operator.name, method, x, case.link)
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


@each_pair(REGULARIZERS, REPRESENTATIVES | {"neuralsort": "c1"})
@pytest.mark.parametrize("n", [1, 2, 6])
def test_sizes_in_float32(case, method, n):
    """n = 1, ties and values far apart, against the dense reference."""
    x = np.asarray([0.5, -2.0, 0.5, 0.75, 1e4, -2.0], np.float32)[:n]
    link, wide = case.link, x.astype(np.float64)
    for operator in OPERATORS:
        if operator.name not in ("argsort", "sort", "rank", "median", "max"):
            continue
        out = operator.call(x, softness=SOFTNESS, mode=case.mode, method=method)
        assert out.dtype == jnp.result_type(np.float32)
        expected = reference(operator.name, method, wide, link)
        scale = np.maximum(1, np.abs(expected))
        helpers.assert_close(out / scale, expected / scale, atol=2e-5)
