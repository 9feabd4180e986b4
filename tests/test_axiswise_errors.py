"""Errors of axiswise operators, and what methods refuse."""

import cases
import facts
import inputs
import jax
import numpy as np
import parametrize
import pytest
from assertions import assert_close

import softjax as sj

X = inputs.rng("axiswise").normal(size=(2, 3, 4)).astype(np.float32)


ERRORS = [
    (lambda: sj.sort(X, mode="c"), ValueError, "mode='c'.*'hard'"),
    (lambda: sj.sort(X, mode="gated_c0"), ValueError, "gat.*'c0'"),
    (lambda: sj.sort(X, mode=3), TypeError, "mode"),
    (lambda: sj.sort(X, method="bubble"), ValueError, "'bubble'.*'softsort'"),
    (lambda: sj.sort(X, method=sj.methods.SoftSort), TypeError, r"SoftSort\(\)"),
    (lambda: sj.sort(X, solver="gauss"), ValueError, "'gauss'.*'newton'"),
    (lambda: sj.sort(X, solver=3), TypeError, "solver"),
    (lambda: sj.sort(X, mode="c2", solver="closed_form"), TypeError, "'newton'"),
    (lambda: sj.sort(X, softness=0.0), ValueError, "softness.*0.0.*hard"),
    (lambda: sj.sort(X, softness=-1), ValueError, "softness.*-1"),
    (lambda: sj.sort(X, softness=np.nan), ValueError, "softness"),
    (lambda: sj.sort(X, softness=None), TypeError, "softness"),
    (lambda: sj.sort(X, softness=np.ones(4)), ValueError, r"softness.*\(4,\)"),
    (lambda: sj.sort(X, axis=3), ValueError, "axis=3"),
    (lambda: sj.sort(X, axis=1.0), TypeError, "axis"),
    (lambda: sj.sort(X, axis=(0, 1)), TypeError, "axis"),
    (lambda: sj.max(X, axis=(0, 0)), ValueError, "twice"),
    (lambda: sj.max(np.zeros((2, 0)), axis=1), ValueError, "at least one"),
    (lambda: sj.top_k(X, 0), ValueError, "k=0"),
    (lambda: sj.top_k(X, 5), ValueError, "k=5.*4"),
    (lambda: sj.top_k(X, 1.0), TypeError, "k"),
    (lambda: sj.quantile(X, 1.1), ValueError, "q"),
    (lambda: sj.percentile(X, -1), ValueError, r"\[0, 100\]"),
    (lambda: sj.quantile(X, 0.5, quantile_method="no"), ValueError, "'linear'"),
    (lambda: sj.sort(X.astype(complex)), TypeError, "complex"),
    (lambda: sj.sort("abc"), TypeError, "x"),
    (lambda: sj.sort(X, softnes=1.0), TypeError, "softnes"),
    (lambda: sj.argsort(X, gated_grad=True), TypeError, "gated_grad"),
    (lambda: sj.sort(X[0, 0, 0]), ValueError, r"axis=-1.*\(\).*axis=None"),
    (lambda: sj.sort(X, descending=X), TypeError, "descending must be True or False"),
]


@pytest.mark.parametrize(("call", "error", "message"), ERRORS)
def test_errors(call, error, message):
    with pytest.raises(error, match=f"(?s){message}"):
        call()


TRACED = [
    ("k", lambda x, k: sj.top_k(x, k), 2),
    ("kth", lambda x, kth: sj.partition(x, kth), 2),
    ("axis", lambda x, axis: sj.max(x, axis=axis), 0),
    ("axis", lambda x, axis: sj.median(x, axis=axis), 0),
    ("descending", lambda x, flag: sj.sort(x, descending=flag), True),
    ("descending", lambda x, flag: sj.rank(x, descending=flag), True),
    ("standardize", lambda x, flag: sj.argmax(x, axis=-1, standardize=flag), True),
    ("gated_grad", lambda x, flag: sj.sort(x, gated_grad=flag), True),
    ("keepdims", lambda x, flag: sj.max(x, axis=-1, keepdims=flag), True),
    ("keepdims", lambda x, flag: sj.quantile(x, 0.5, axis=-1, keepdims=flag), True),
]


@pytest.mark.parametrize(("name", "call", "value"), TRACED)
def test_what_is_compiled_in_must_not_be_traced(name, call, value):
    """The message names the argument, and what to do."""
    match = f"{name} must be .* traced array: .* static_argnames"
    with pytest.raises(TypeError, match=match):
        jax.jit(call).lower(X, value)
    # And the remedy is one.
    jax.eval_shape(lambda x: call(x, value), X)


def _refused():
    """Operators that a method does not have, and regularizers that it does not take."""
    for method in cases.METHODS:
        own = {case.name: case for case in cases.REGULARIZERS}[
            cases.REPRESENTATIVES[method]
        ]
        for operator in cases.OPERATORS:
            if operator.name == "top_k_index" or operator.kind == "mask":  # None
                continue
            if not facts.has(method, operator):
                yield operator, own, method, r"no soft indices.*'softsort'"
                continue
            for case in cases.REGULARIZERS:
                if not facts.takes(method, case):
                    name = type(case.regularizer).__name__
                    yield operator, case, method, rf"{name}\(.*mode.*method"


@pytest.mark.parametrize(
    ("operator", "case", "method", "message"),
    [
        pytest.param(*entry, id=f"{entry[0].name}-{entry[1].name}-{entry[2]}")
        for entry in _refused()
    ],
)
def test_what_a_method_refuses(operator, case, method, message):
    """The message says what to use in its place."""
    with pytest.raises(ValueError, match=f"(?s){message}"):
        operator.call(X[0], mode=case.mode, method=method)


@parametrize.each("method", cases.VALUE_METHODS, fast=("fast_soft_sort",))
def test_a_method_without_indices(method):
    values, index = sj.top_k(X[0], 2, method=method)
    assert_close(values, sj.sort(X[0], method=method)[:, :1:-1])
    assert index is None
    for call in (sj.sort, sj.max, lambda x, **kw: sj.top_k(x, 2, **kw)):
        with pytest.raises(ValueError, match=f"gated_grad=False.*'{method}'"):
            call(X[0], method=method, gated_grad=False)
