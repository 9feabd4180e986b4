"""Bias against curvature of operators, by functions of which both are known."""

from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest

import softjax as sj

ROOT = Path(__file__).parents[1]


@pytest.fixture
def landscape(monkeypatch):
    """The command, which is no part of what is installed."""
    monkeypatch.syspath_prepend(str(ROOT))
    from benchmarks import landscape

    return landscape


def _hyperbola(x, mode, softness=None):
    """Soft: `sqrt(x_0^2 + softness^2)`, off by the softness where x_0 is 0."""
    x = x[..., 0]
    return jnp.abs(x) if mode == "hard" else jnp.sqrt(x**2 + softness**2)


def _hinge(x, mode, softness=None):
    """Soft: with a kink still."""
    x = x[..., 0]
    return jnp.abs(x) * (1 if mode == "hard" else 1 + softness)


def test_known_curves(landscape, x64, monkeypatch):
    """Paths of x_0 = t / 2; curvature 1 / softness times a fourth."""
    monkeypatch.setattr(landscape, "START", np.zeros((1, 2)))
    monkeypatch.setattr(landscape, "DIRECTION", np.array([[0.5, 1.0]]))
    softness = (0.3, 1.0, 3.0)
    operators = {"hyperbola": _hyperbola, "hinge": _hinge}
    points = landscape.measure({"any": "soft"}, operators, softness)
    smooth, kinked = points[:3], points[3:]
    np.testing.assert_allclose([p.bias for p in smooth], softness, rtol=1e-12)
    bends = [p.curvature for p in smooth]
    np.testing.assert_allclose(bends, 0.25 / np.array(softness), rtol=1e-3)
    assert all(p.bounded for p in smooth)
    # The jump of the slope, over the step of the grid.
    step = 2 / (landscape.GRID - 1)
    jumps = [(1 + s) / step for s in softness]
    np.testing.assert_allclose([p.curvature for p in kinked], jumps, rtol=1e-9)
    assert not any(p.bounded for p in kinked)
    # Between points, on the line of slope -1 in logarithms: bias = 1 / (4 curvature).
    np.testing.assert_allclose(landscape.bias_at(smooth, 0.5), 0.5, rtol=1e-3)
    assert np.isnan(landscape.bias_at(smooth, 9.0))
    assert np.isnan(landscape.bias_at(kinked, 300.0))
    assert landscape.table(points).splitlines()[2:] == [
        "| hyperbola | any | - | - | - | - |",
        "| hinge | any | - | - | - | - |",
    ]


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["smooth", "c1"])
def test_curvature_of_a_maximum(landscape, x64, mode):
    """The soft maximum of five, against derivatives in closed form."""
    s = 0.7
    ((bias, bend, ratio),) = landscape.trace(landscape.largest, mode, (s,))
    t = np.linspace(-1, 1, landscape.GRID)
    x = landscape.START[:, None] + t[:, None] * landscape.DIRECTION[:, None]
    v = landscape.DIRECTION[:, None]
    if mode == "smooth":
        y = np.exp(x / s - x.max(axis=-1, keepdims=True) / s)
        y /= y.sum(axis=-1, keepdims=True)

        def mean(z):
            return np.sum(y * z, axis=-1)

        value = mean(x)
        # d/dt E[f] = E[f'] + Cov(f, v) / s, twice.
        a, b = mean(v * np.ones_like(x)), value
        second = 2 * (mean(v * v) - a * a) / s
        third = mean((x - b[..., None]) * (v - a[..., None]) ** 2)
        exact = np.abs(second + third / s**2).max()
        np.testing.assert_allclose(bend, exact, rtol=1e-3)
    else:  # differences of values by NumPy, with the threshold by halving
        a, b = x.min(axis=-1, keepdims=True) / s - 2, x.max(axis=-1, keepdims=True) / s
        for _ in range(100):
            theta = (a + b) / 2
            over = np.sum(np.maximum(x / s - theta, 0) ** 2, -1, keepdims=True) > 1
            a, b = np.where(over, theta, a), np.where(over, b, theta)
        value = np.sum(x * np.maximum(x / s - a, 0) ** 2, axis=-1)
        steps = np.diff(value, 2) / (t[1] - t[0]) ** 2
        np.testing.assert_allclose(bend, np.abs(steps).max(), rtol=1e-6)
    np.testing.assert_allclose(bias, np.abs(value - x.max(axis=-1)).max(), rtol=1e-9)
    # The second derivative of c1 jumps, where the grid decides.
    assert ratio < dict(smooth=1.1, c1=1.6)[mode]


@pytest.mark.slow
def test_regularizers_of_a_user(landscape, x64):
    """A class joins, and is drawn; methods that do not take it are left out."""
    own = {"Cubic": sj.solvers.Cubic()}
    softness = (0.3, 1.0)
    names = ("sort, softsort", "sort, smooth_sort")
    operators = {name: landscape.OPERATORS[name] for name in names}
    points = landscape.measure(own, operators, softness)
    assert {p.operator for p in points} == {"sort, softsort"}
    reference = landscape.measure(
        {"c": "cubic"}, dict([*operators.items()][:1]), (0.3,)
    )
    assert points[0].bias == pytest.approx(reference[0].bias, rel=1e-12)
