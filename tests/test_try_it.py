"""Curves of the interactive page, which `docs/check_browser.py` tries in a browser."""

import sys
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest
from parametrize import each

import softjax as sj

sys.path.append(str(Path(__file__).parents[1] / "docs"))
try_it = pytest.importorskip("try_it")

# The hard operators, of NumPy in float64.
TRUTH = {
    "relu": lambda x: np.maximum(x, 0),
    "gated_relu": lambda x: np.maximum(x, 0),
    "leaky_relu": lambda x: np.where(x > 0, x, 0.2 * x),
    "abs": np.abs,
    "sign": np.sign,
    "heaviside": lambda x: np.heaviside(x, 0.5),
    "round": np.round,
    "floor": np.floor,
    "clip": lambda x: np.clip(x, -0.5, 0.5),
    "maximum": lambda x: np.maximum(x, 0.3),
    "hard_tanh": lambda x: np.clip(x, -1, 1),
    "greater": lambda x: x > 0.5,
    "less": lambda x: x < 0.5,
    "equal": lambda x: 0 * x,
    "isclose": lambda x: np.abs(x) <= 0.5,
    "logical_and": lambda x: (x > -0.5) & (x < 0.5),
    "logical_xor": lambda x: (x > -0.5) ^ (x > 0.5),
    "where": lambda x: np.where(x > 0, 1 - x, x),
}
ROWS = {
    "max": np.max,
    "argmax": lambda r: np.argmax(r) == 0,
    "sort": lambda r: np.sort(r)[1],
    "argsort": lambda r: np.argsort(r)[1] == 0,
    "rank": lambda r: 1 + np.sum(r > r[0]),
    "top_k": lambda r: np.sort(r)[-2],
    "top_k_mask": lambda r: np.sum(r > r[0]) < 2,
    "median": np.median,
    # The middle two, each of them with half of the weight.
    "argmedian": lambda r: 0.5 * (np.sum(r > r[0]) in (1, 2)),
    "quantile": lambda r: np.quantile(r, 0.3),
}
LEVEL = try_it.SOFTNESS.index(0.5)


def _grid(name):
    return np.linspace(-1, 1, try_it.POINTS) * try_it.OPERATORS[name].reach


def test_curves_survive_their_encoding():
    rng = np.random.default_rng(0)
    shape = (len(try_it.SOFTNESS), try_it.POINTS)
    curves = [rng.normal(size=shape), 1e4 * rng.normal(size=shape)]
    decoded = try_it.decode(try_it.encode(curves))
    for curve, found in zip(curves, decoded, strict=True):
        largest = np.abs(curve).max(axis=1, keepdims=True)
        assert np.all(np.abs(found - curve) <= largest * 0.51 / try_it.STEPS)


@pytest.mark.slow
@each("name", list(try_it.OPERATORS))
def test_curves(name):
    """Hard values, derivatives that integrate to values, straight-through variants."""
    x = _grid(name)
    if name in TRUTH:
        truth = np.asarray(TRUTH[name](x), float)
    else:
        truth = [ROWS[name](np.array([t, -0.6, -0.1, 0.5])) for t in x]
    (hard,), _ = try_it.compute([name], [1.0], mode="hard")[name]
    np.testing.assert_allclose(hard, truth, atol=1e-6)

    value, slope = try_it.compute([name], try_it.SOFTNESS, mode="smooth")[name]
    between = 0.5 * (x[1] - x[0]) * (slope[:, 1:] + slope[:, :-1])
    integral = value[:, :1] + np.cumsum(between, axis=1)
    # Trapezoids are wrong by half a step times the jump of a derivative.
    allowed = 0.01 * np.ptp(value)
    np.testing.assert_allclose(integral[LEVEL:], value[LEVEL:, 1:], atol=allowed)

    operator = try_it.OPERATORS[name]
    if operator.straight_through:
        expression = operator.expression.replace(f"sj.{_called(name)}", _straight(name))
        variant = operator._replace(expression=expression)
        level = jnp.asarray([0.5])
        found = variant.differentiated(jnp.asarray(x), level, mode="smooth")
        np.testing.assert_allclose(found[0][0], hard, atol=1e-6)
        np.testing.assert_allclose(found[1][0], slope[LEVEL], atol=1e-5)


def _called(name):
    return try_it.OPERATORS[name].expression.split("(")[0].removeprefix("sj.")


def _straight(name):
    assert hasattr(sj, f"{_called(name)}_st")
    return f"sj.{_called(name)}_st"
