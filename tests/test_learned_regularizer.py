"""The network of `examples/learned_regularizer.py`: its link and all that follows."""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.integrate import quad
from scipy.optimize import brentq

import softjax as sj

ROOT = Path(__file__).parents[1]
RNG = np.random.default_rng(5)
PARAMETERS = 0.7, *RNG.normal(size=(2, 4)), np.linspace(-2, 4, 4)
T = np.array([-9.0, -4.0, -1.0, 0.0, 0.7, 2.0])
Y = np.array([0.01, 0.2, 0.5, 0.9])


@pytest.fixture
def example(monkeypatch):
    for name in ("optax", "sklearn", "tqdm"):
        pytest.importorskip(name)
    monkeypatch.syspath_prepend(str(ROOT / "examples"))
    import learned_regularizer

    return learned_regularizer


def _link(t):
    """The formula, in NumPy, one number at a time."""
    s, a, w = (np.logaddexp(0, p) for p in PARAMETERS[:3])
    b = PARAMETERS[3]
    return np.logaddexp(0, s * t + np.sum(a * (np.tanh(w * (t + b)) - np.tanh(w * b))))


def _make(example):
    return example.Learned(*(jnp.asarray(p) for p in PARAMETERS))


@pytest.mark.slow
def test_link_inverse_potential_and_projection(example, x64):
    """Against NumPy, a root by SciPy, and integrals by adaptive quadrature."""

    @jax.jit
    def compute(t, y):
        r = _make(example)
        z = jnp.stack([t, jnp.zeros_like(t)], axis=-1)
        sides = sj.argmax(z, axis=-1, softness=1.0, mode=r)
        out = r.link(t), r.slope(t), r.conjugate(t)
        return *out, r.gradient(y), r.value(y), sides

    link, slope, conjugate, gradient, value, sides = compute(T, Y)
    expected = np.array([_link(t) for t in T])
    np.testing.assert_allclose(link, expected, rtol=1e-12)
    differences = [(_link(t + 1e-6) - _link(t - 1e-6)) / 2e-6 for t in T]
    np.testing.assert_allclose(slope, differences, rtol=1e-5, atol=1e-9)
    assert np.all(np.asarray(slope) > 0)
    areas = [quad(_link, -60, t, epsabs=1e-13, limit=200)[0] for t in T]
    np.testing.assert_allclose(conjugate, areas, rtol=1e-6)
    roots = [brentq(lambda t, y=y: _link(t) - y, -60, 60, xtol=1e-13) for y in Y]
    np.testing.assert_allclose(gradient, roots, atol=1e-9)
    # r(y) is the integral of its slope, of which the limit at 0 is a logarithm.
    potential = [
        t * y - quad(_link, -60, t, epsabs=1e-13, limit=200)[0]
        for t, y in zip(roots, Y, strict=True)
    ]
    np.testing.assert_allclose(value, potential, rtol=1e-6)
    for t, side in zip(T, np.asarray(sides)[:, 0], strict=True):
        theta = brentq(lambda u, t=t: _link(t - u) + _link(-u) - 1, -60, 60)
        np.testing.assert_allclose(side, _link(t - theta), atol=1e-8)


@pytest.mark.slow
def test_gradients_in_its_parameters(example, x64):
    """A soft maximum, against finite differences."""
    x = jnp.asarray([0.3, 1.0, -0.2])

    def fn(r):
        return sj.max(x, softness=0.7, mode=r)

    r = _make(example)
    value_and_grad = jax.jit(jax.value_and_grad(fn))
    _, gradient = value_and_grad(r)
    leaves, tree = jax.tree.flatten(r)
    directions = [jnp.asarray(RNG.normal(size=np.shape(x))) for x in leaves]
    along = sum(
        jnp.sum(a * b)
        for a, b in zip(jax.tree.leaves(gradient), directions, strict=True)
    )
    moved = [
        value_and_grad(
            tree.unflatten([x + h * d for x, d in zip(leaves, directions, strict=True)])
        )[0]
        for h in (1e-5, -1e-5)
    ]
    np.testing.assert_allclose(along, (moved[0] - moved[1]) / 2e-5, atol=1e-8)


@pytest.mark.slow
def test_what_is_learned_is_a_regularizer(example):
    """After some steps, that move all parameters and lower the loss."""
    start = example.Learned.start()
    parameters, wrong, squared = example.experiment("wine", "learned", 60, 2)
    *_, first = example.experiment("wine", "learned", 0, 2)
    assert np.all(squared < first)
    assert np.all(wrong < 30)
    learned = example.first(parameters)
    for before, after in zip(
        jax.tree.leaves(start), jax.tree.leaves(learned), strict=True
    ):
        assert np.all(np.asarray(before) != np.asarray(after))
    report = sj.solvers.check_regularizer(learned, orders=1)
    assert report.consistent, report
    assert (report.sparse, report.bounded) == (False, False)
