"""Checks of regularizers: what their authors are told."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from cases import ALL_REGULARIZERS, Shifted
from parametrize import each

from softjax.solvers import (
    Entropy,
    Exponential,
    PNorm,
    Regularizer,
    check_regularizer,
    measure_smoothness,
)

_QUICK = ("smooth",)


@each("case", ALL_REGULARIZERS, fast=_QUICK)
def test_what_is_right(case):
    report = check_regularizer(case.regularizer)
    assert report.problems == ()
    assert report.consistent
    # Of more derivatives than are looked at, none jumps.
    assert report.smoothness == (case.smoothness if case.smoothness <= 2 else np.inf)
    assert report.sparse == np.isfinite(case.at_zero)
    assert report.bounded == (case.link(np.array(1e6)) <= 1)
    assert str(report).startswith("consistent\n")


@pytest.mark.slow
@pytest.mark.parametrize(("p", "smoothness"), [(1.2, 4), (1.25, 3), (1.37, 2)])
def test_smoothness_is_measured(p, smoothness):
    report = check_regularizer(PNorm(p), orders=5)
    assert report.smoothness == smoothness
    assert "sparse solutions: yes" in str(report)


class Wave(Regularizer):
    def link(self, t):
        return 1 + jnp.sin(t)


class Low(Regularizer):
    def link(self, t):
        return 0.4 * (1 + jnp.tanh(t))


class Negative(Regularizer):
    def link(self, t):
        return t


class Broken(Regularizer):
    def link(self, t):
        raise RuntimeError("no link")


class WrongSlope(Shifted):
    def slope(self, t):
        return jnp.exp(t)


class WrongLogarithm(Entropy):
    def log_link(self, t):
        return t + 0.1


class WrongGradient(Entropy):
    def gradient(self, y):
        return jnp.log(y) + 0.1


class WrongConjugate(Entropy):
    def conjugate(self, t):
        return jnp.exp(t) + t


class WrongValue(PNorm):
    def value(self, y):
        return y**self.p


class WrongSigmoid(PNorm):
    def sigmoid(self, t):
        return jnp.clip((1 + 1.1 * t) / 2, 0, 1)


class WrongSoftplus(PNorm):
    def softplus(self, t):
        return jnp.maximum(t, 0)


class WrongDual(PNorm):
    def simplex_dual(self):
        return lambda scores, where: jnp.max(scores, axis=-1) - 0.5


class NotExponential(PNorm):
    def structure(self):
        return Exponential(1.0)


@pytest.mark.parametrize(
    ("regularizer", "message"),
    [
        (Wave(), "link decreases, from"),
        (Low(), r"link is between 0 and 0\.8 .* reach all of \(0, 1\)"),
        (Negative(), r"link\(-1e\+04\) is -1e\+04; it must be at least 0"),
        (Broken(), "It raises RuntimeError: no link"),
        (WrongSlope(), r"slope at"),
        pytest.param(
            *(WrongLogarithm(), r"exp\(log_link\), which should be link, at"),
            marks=pytest.mark.slow,
        ),
        (WrongGradient(), r"link\(gradient\(y\)\) at"),
        (WrongConjugate(), "derivative of conjugate"),
        (WrongValue(1.5), r"Fenchel and Young"),
        (WrongValue(1.5), r"derivative of value"),
        (WrongSigmoid(2.0), r"sigmoid, which should be the projection"),
        (WrongSoftplus(2.0), r"derivative of softplus"),
        (WrongDual(2.0), r"simplex_dual, of row at 1 is 1.5, and should be 1"),
        (NotExponential(2.0), r"which should be phi\(0\) exp"),
    ],
    ids=lambda x: type(x).__name__ if isinstance(x, Regularizer) else "",
)
def test_what_is_wrong(regularizer, message):
    report = check_regularizer(regularizer)
    assert not report.consistent
    text = str(report)
    assert "problem(s):" in text
    assert re.search(message, text), text


def test_what_is_no_regularizer():
    with pytest.raises(TypeError, match="'c0'"):
        check_regularizer("c0")


class Scattered(Regularizer):
    """A size that is an array, as learned parameters are: methods have no hash."""

    size: jnp.ndarray

    def link(self, t):
        return self.size * (1 + jnp.sin(t))


def test_methods_of_what_has_arrays():
    report = check_regularizer(Scattered(jnp.asarray(1.0)))
    assert "link decreases" in report.problems[0]
    steps = PNorm(jnp.asarray(2.0))
    with jax.enable_x64(True):
        assert measure_smoothness(steps.link, -1.03, 1.0, 1) == 0
