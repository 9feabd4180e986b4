"""Regularizers: what follows from a link, against quadrature and root finds."""

import functools

import hypothesis
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import oracles
import pytest
import scipy.optimize
import scipy.special
from assertions import assert_close, finite_difference
from cases import ALL_REGULARIZERS, Mixed
from parametrize import each, pick

import softjax as sj
from softjax.solvers import get_regularizer, link_from_gradient

T = np.array(
    [-30.0, -4.0, -1.3, -0.97, -0.4, -0.1, 0.0, 0.05, 0.3, 0.6, 0.99, 1.2, 3.0]
)
"""Arguments of links and two-point functions: on both sides of every bound."""

Y = np.array([0.001, 0.02, 0.1, 0.3, 0.5, 0.7, 0.95, 0.999])
"""Probabilities."""


@functools.cache
def _everything(name: str):
    """All methods of a regularizer in one compiled function."""
    (case,) = pick(ALL_REGULARIZERS, name)
    regularizer = case.regularizer

    @jax.jit
    def compute(t, y):
        return dict(
            link=regularizer.link(t),
            slope=regularizer.slope(t),
            link_dot=jax.jvp(regularizer.link, (t,), (jnp.ones_like(t),))[1],
            gradient=regularizer.gradient(y),
            round_trip=regularizer.link(regularizer.gradient(y)),
            edges=regularizer.gradient(jnp.asarray([0.0, 1.0], y.dtype)),
            conjugate=regularizer.conjugate(t),
            value=regularizer.value(y),
            sigmoid=regularizer.sigmoid(t),
            softplus=regularizer.softplus(t),
            transition_scale=regularizer.transition_scale(),
        )

    return compute


def _reached(case, t):
    """Arguments at which a link that grows without bound is still of order 1."""
    return np.minimum(t, max(case.at_one, 1.2) if np.isfinite(case.at_one) else np.inf)


INTEGRABLE = [case for case in ALL_REGULARIZERS if case.integrable]
# Regularizers that another one stands for.
_ALIKE = ("c4", "tsallis_1", "tsallis_2", "scaled", "sum")
_QUICK = tuple(case.name for case in INTEGRABLE if case.name not in _ALIKE)


@pytest.mark.x64
@each("case", INTEGRABLE, fast=_QUICK)
class TestMethods:
    """Each method against a reference in float64."""

    def compute(self, case, key):
        t, y = jnp.asarray(_reached(case, T)), jnp.asarray(Y)
        return _everything(case.name)(t, y)[key]

    def test_link(self, case):
        assert_close(self.compute(case, "link"), case.link(_reached(case, T)))

    def test_slope(self, case):
        # No argument lies near a kink of any link but 0, where the slope is either's.
        t = _reached(case, T)
        expected = finite_difference(case.link, (t,), (np.ones_like(t),), step=1e-6)
        actual = np.asarray(self.compute(case, "slope"))
        smooth = t != case.at_zero if case.smoothness == 0 else np.ones_like(t, bool)
        assert_close(actual[smooth], expected[smooth], atol=1e-5)
        # At a kink too it is the derivative of the link: one choice for both.
        assert_close(actual, self.compute(case, "link_dot"), atol=1e-5)

    def test_gradient_inverts_the_link(self, case):
        scale = 1 + np.abs(oracles.gradient_oracle(Y, case.link))
        expected = oracles.gradient_oracle(Y, case.link) / scale
        assert_close(self.compute(case, "gradient") / scale, expected, atol=1e-5)
        # Where a link is steep, the rounding of its argument counts for more.
        atol = 1e-4 if case.steep else None
        assert_close(self.compute(case, "round_trip"), Y, atol=atol)

    def test_gradient_at_the_ends(self, case):
        at_zero, at_one = np.asarray(self.compute(case, "edges"))
        if np.isfinite(case.at_zero):
            assert at_zero == pytest.approx(case.at_zero, abs=1e-5)
        else:
            assert at_zero == -np.inf
        if np.isfinite(case.at_one):
            assert at_one == pytest.approx(case.at_one, abs=1e-5)
        else:
            assert at_one > 100

    def test_conjugate(self, case):
        t = _reached(case, T)
        expected = oracles.conjugate_oracle(t, case.link, case.at_zero)
        assert_close(self.compute(case, "conjugate"), expected, atol=3e-6, rtol=1e-6)

    def test_sigmoid(self, case):
        t = _reached(case, T)
        expected = oracles.two_point_oracle(t, case.link)
        assert_close(self.compute(case, "sigmoid"), expected)

    def test_transition_scale(self, case):
        expected = oracles.transition_scale(*case.ends)
        assert self.compute(case, "transition_scale") == pytest.approx(
            expected, rel=1e-5
        )


# Quadrature of a root find takes up to 25 seconds.
_INTEGRALS = ("smooth", "c1", "quintic", "user_gradient")


@pytest.mark.x64
@each("case", INTEGRABLE, fast=_INTEGRALS)
class TestIntegrals:
    """Methods whose references are quadratures."""

    def test_value(self, case):
        expected = oracles.value_oracle(Y, case.link)
        found = _everything(case.name)(jnp.asarray(_reached(case, T)), jnp.asarray(Y))
        assert_close(found["value"], expected, atol=3e-6)

    def test_softplus(self, case):
        t = _reached(case, T)
        expected = oracles.softplus_oracle(t, case.link)
        found = _everything(case.name)(jnp.asarray(t), jnp.asarray(Y))
        assert_close(found["softplus"], expected, atol=3e-6, rtol=1e-6)


@each("case", INTEGRABLE, fast=_QUICK)
def test_extreme_arguments(case):
    t = np.array([-1e6, -1e3, 60.0, 1e3, 1e6])
    out = _everything(case.name)(jnp.resize(jnp.asarray(t), T.shape), jnp.asarray(Y))
    expected = oracles.two_point_oracle(t, case.link)
    assert_close(out["sigmoid"][:5], expected, atol=1e-5)
    # What is left far out: tails fall at least like 1 / t^2.
    left = np.abs(t) * np.minimum(expected, 1 - expected) + 1e-6
    ramp = np.maximum(t, 0)
    assert np.all(out["softplus"][:5] >= ramp)
    assert np.all(out["softplus"][:5] <= ramp + 1.1 * left)


@pytest.mark.parametrize("mode", ["smooth", "c0", "cubic", "quintic", "pseudohuber"])
def test_known_sigmoids(mode):
    t = np.linspace(-2, 2, 9)
    s = np.clip((1 + t) / 2, 0, 1)
    expected = {
        "smooth": scipy.special.expit(t),
        "c0": s,
        "cubic": 3 * s**2 - 2 * s**3,
        "quintic": 6 * s**5 - 15 * s**4 + 10 * s**3,
        "pseudohuber": (1 + t / np.sqrt(t**2 + 1)) / 2,
    }[mode]
    assert_close(get_regularizer(mode).sigmoid(jnp.asarray(t)), expected)


def test_small_sigmoids_of_c2():
    """Small y, of which cube roots of y and 1 - y differ by t, to relative accuracy."""
    t = np.asarray(-1 + np.logspace(-6, -0.1, 30), np.float32)

    def root(t):
        total = lambda v: (v - t) ** 3 + v**3 - 1  # noqa: E731
        return scipy.optimize.brentq(total, 0, 1, xtol=1e-15)

    expected = [root(float(v)) ** 3 for v in t]
    assert_close(get_regularizer("c2").sigmoid(jnp.asarray(t)), expected, rtol=3e-6)


@each("case", INTEGRABLE, fast=_QUICK)
@hypothesis.given(
    t=st.lists(st.floats(-3, 3, width=32), min_size=T.size, max_size=T.size).map(
        sorted
    ),
    y=st.lists(st.floats(2**-10, 1, width=32), min_size=Y.size, max_size=Y.size),
)
def test_invariants(case, t, y):
    t, y = np.asarray(t), np.asarray(y)
    out = {
        k: np.asarray(v) for k, v in _everything(case.name)(jnp.asarray(t), y).items()
    }
    mirrored = {k: np.asarray(v) for k, v in _everything(case.name)(-t, y).items()}
    slack = 2e-6
    # Monotone, and within bounds.
    assert np.all(out["link"] >= 0)
    assert np.all(out["slope"] >= 0)
    assert np.all(np.diff(out["link"]) >= -slack * (1 + out["link"][1:]))
    assert np.all(np.diff(out["sigmoid"]) >= -slack)
    assert np.all((out["sigmoid"] >= 0) & (out["sigmoid"] <= 1))
    assert np.all(out["softplus"] >= np.maximum(t, 0) - slack)
    # Symmetric.
    assert_close(out["sigmoid"] + mirrored["sigmoid"], np.ones_like(t))
    assert_close(out["softplus"] - mirrored["softplus"], t, atol=5e-6)
    # Fenchel and Young: r(y) + r*(t) >= t y.
    gap = out["value"][:, None] + out["conjugate"] - t * y[:, None]
    assert np.all(gap >= -2e-5)


def test_link_from_gradient():
    def link(t):
        return link_from_gradient(lambda y: jnp.log(y) + y, t)

    t = np.array([-60.0, -3.0, 0.0, 1.0, 20.0, 500.0])
    expected = oracles.mixed_link(t)
    assert_close(link(jnp.asarray(t, jnp.float32)), expected, atol=1e-18, rtol=1e-5)
    assert link(1.0).shape == ()
    # r'(y) = y, which starts at 0: no mass for t <= 0, and slopes 0 and 1.
    half = jax.vmap(jax.value_and_grad(lambda t: link_from_gradient(lambda y: y, t)))
    value, slope = half(jnp.asarray([-1.0, 0.0, 0.25, 3.0]))
    assert_close(value, [0.0, 0.0, 0.25, 3.0], atol=1e-6)
    assert_close(slope, [0.0, 0.0, 1.0, 1.0], atol=1e-6)


def test_link_from_gradient_far_out():
    """Derivatives next to nothing where y is, to second order too."""
    link = Mixed().link
    t = jnp.asarray([-40.0, -60.0, -90.0, -1e3, -1e6])

    @jax.jit
    def derivatives(t):
        first = jax.grad(link)
        return [jax.vmap(fn)(t) for fn in (link, first, jax.grad(first))]

    for out in derivatives(t):
        assert_close(out, np.zeros(5), atol=1e-16)


def test_a_barrier():
    """The logarithmic barrier: its closed forms, and no relu but the gated one."""
    (case,) = pick(ALL_REGULARIZERS, "barrier")
    barrier = case.regularizer
    t, y = jnp.asarray([-50.0, -3.0, -0.2]), jnp.asarray(Y)
    assert_close(barrier.link(t), -1 / t)
    assert_close(barrier.slope(t), 1 / t**2, atol=1e-5)
    assert_close(barrier.gradient(y), -1 / y)
    assert_close(barrier.value(y), -jnp.log(y))
    fenchel = barrier.value(barrier.link(t)) + barrier.conjugate(t)
    assert_close(fenchel, t * barrier.link(t))
    x = jnp.asarray([-2000.0, -1.0, 0.0, 0.5, 100.0])
    assert_close(barrier.sigmoid(x), oracles.two_point_oracle(x, case.link), atol=1e-5)
    with pytest.raises(ValueError, match="gated=True"):
        sj.relu(x, mode=barrier)
    expected = x * barrier.sigmoid(x / 0.1)
    assert_close(sj.relu(x, mode=barrier, gated=True), expected, atol=1e-4)
    # NaN flows through.
    assert np.isnan(barrier.link(jnp.asarray(jnp.nan)))
