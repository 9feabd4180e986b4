"""Every axiswise operator x regularizer x method: values and derivatives."""

import inputs
import jax
import jax.numpy as jnp
import numpy as np
import oracles
import pytest
from assertions import assert_close, finite_difference
from cases import FURTHER, METHODS, OPERATORS, REGULARIZERS, REPRESENTATIVES
from facts import has, is_read_off, takes
from operator_references import SOFTNESS, reference
from parametrize import each, each_pair

import softjax as sj

# Regularizers that behave like another one are tested on the level of problems.
CASES = [case for case in REGULARIZERS if case.name not in ("c4", "cubic")]
# Operators that are not another one with a sign, a shift or a factor.
DISTINCT = ("argmax", "max", "argsort", "sort", "argquantile", "quantile", "argmedian")
DISTINCT += (
    "median",
    "top_k_values",
    "top_k_index",
    "rank",
    "top_k_mask",
    "hypersimplex_mask",
)


_FAST = REPRESENTATIVES | {"neuralsort": "user_link", "fast_soft_sort": "c2"}
# Operators of each method that do not follow from one another.
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
    rng = inputs.rng(operator.name, case.name, method)
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
    assert_close(out, expected, atol=1e-8)
    # Reverse mode, forward mode and finite differences agree ...
    assert_close(np.sum(grad[0] * v) + 0.1 * grad[1], value_dot, atol=1e-10)
    scale = 1 + np.abs(value)
    assert_close(value_dot, (upper - lower) / (2 * h), atol=1e-7 * scale)
    # ... and so do forward over reverse mode and those of the gradient.
    for dot, up, low in zip(grad_dot, upper_grad, lower_grad, strict=True):
        scale = 1 + np.max(np.abs(dot))
        assert_close(dot, (up - low) / (2 * h), atol=1e-5 * scale)


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
        assert_close(out / scale, expected / scale, atol=2e-5)


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
    rng = inputs.rng("further", case.name)
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
    assert_close(dot, (upper - lower) / (2 * h), atol=1e-6)


@each("k", [8, 9], fast=("9",))
@each("case", REGULARIZERS, fast=("c0",))
def test_few_and_many_rows(case, k):
    """SoftSort's rows are dense where they are few."""
    x = inputs.rng("few", "many").normal(size=(2, 20)).astype(np.float32)
    weights = np.cos(np.arange(float(k)))

    @jax.jit
    def values(x):
        return sj.top_k(x, k, softness=SOFTNESS, mode=case.mode, method="softsort")[0]

    def total(x):
        return jnp.sum(weights * values(x))

    rows = oracles.softsort_oracle(x, SOFTNESS, case.link)[:, ::-1][:, :k]
    expected = np.einsum("bkn,bn->bk", rows, x)
    assert_close(values(x), expected, atol=1e-5)
    with jax.enable_x64(True):
        x = x.astype(np.float64)
        move = inputs.rng("few", "move").normal(size=x.shape)
        found = np.vdot(jax.jit(jax.grad(total))(x), move)
        expected = finite_difference(total, (x,), (move,))
        assert_close(found, expected, atol=1e-5)
