"""Regularizers: everything that follows from a link, against quadrature and root finds."""

import functools

import helpers
import hypothesis
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special
from cases import REGULARIZERS, Mixed, Shifted, each, pick
from helpers import assert_close, finite_difference

from softjax.solvers import (
    MODES,
    Entropy,
    PNorm,
    PseudoHuber,
    Regularizer,
    SimplexProjection,
    get_regularizer,
    link_from_gradient,
    solve,
)

T = np.array([-30.0, -4.0, -1.3, -0.97, -0.4, -0.1, 0.0, 0.05, 0.3, 0.6, 0.99, 1.2, 3.0])
"""Arguments of links and two-point functions: on both sides of every bound."""

Y = np.array([0.001, 0.02, 0.1, 0.3, 0.5, 0.7, 0.95, 0.999])
"""Probabilities."""


@functools.cache
def _everything(name: str):
    """All methods of a regularizer in one compiled function."""
    (case,) = pick(REGULARIZERS, name)
    regularizer = case.regularizer

    @jax.jit
    def compute(t, y):
        return dict(
            link=regularizer.link(t),
            slope=regularizer.slope(t),
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


@pytest.mark.x64
@each("case", REGULARIZERS)
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
        expected = finite_difference(case.link, (t,), (np.ones_like(t),), step=1e-3)
        actual = np.asarray(self.compute(case, "slope"))
        kink = t == case.at_zero if case.smoothness == 0 else np.zeros_like(t, bool)
        assert_close(actual[~kink], expected[~kink], atol=2e-5)

    def test_gradient_inverts_the_link(self, case):
        scale = 1 + np.abs(helpers.gradient_oracle(Y, case.link))
        expected = helpers.gradient_oracle(Y, case.link) / scale
        assert_close(self.compute(case, "gradient") / scale, expected, atol=1e-5)
        assert_close(self.compute(case, "round_trip"), Y)

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
        expected = helpers.conjugate_oracle(t, case.link, case.at_zero)
        assert_close(self.compute(case, "conjugate"), expected, atol=3e-6, rtol=1e-6)

    def test_value(self, case):
        expected = helpers.value_oracle(Y, case.link)
        assert_close(self.compute(case, "value"), expected, atol=3e-6)

    def test_sigmoid(self, case):
        t = _reached(case, T)
        expected = helpers.two_point_oracle(t, case.link)
        assert_close(self.compute(case, "sigmoid"), expected)

    def test_softplus(self, case):
        expected = helpers.softplus_oracle(_reached(case, T), case.link)
        assert_close(self.compute(case, "softplus"), expected, atol=3e-6, rtol=1e-6)

    def test_transition_scale(self, case):
        expected = helpers.transition_scale(case.at_zero, case.at_one)
        assert self.compute(case, "transition_scale") == pytest.approx(expected, rel=1e-5)


@each("case", REGULARIZERS)
def test_extreme_arguments(case):
    out = _everything(case.name)(
        jnp.resize(jnp.asarray([-1e6, -1e3, 60.0, 1e3, 1e6]), T.shape), jnp.asarray(Y)
    )
    expected = np.resize([0.0, 0.0, 1.0, 1.0, 1.0], T.shape)
    # The tail of the pseudo-Huber step is 1 / (4 t^2).
    assert_close(out["sigmoid"], expected, atol=1e-4)
    softplus = np.resize([0.0, 0.0, 60.0, 1e3, 1e6], T.shape)
    assert_close(out["softplus"], softplus, atol=5e-3)


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


@each("case", REGULARIZERS)
@hypothesis.given(
    t=st.lists(st.floats(-3, 3, width=32), min_size=T.size, max_size=T.size).map(sorted),
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


@each("case", REGULARIZERS)
def test_derivatives(case, x64):
    """Of the methods in their argument, in both modes and to second order."""
    regularizer = case.regularizer
    t, y = jnp.asarray([-0.83, -0.21, 0.17, 0.66]), jnp.asarray([0.07, 0.41, 0.83])

    def methods(t, y):
        return dict(
            link=regularizer.link(t),
            conjugate=regularizer.conjugate(t),
            sigmoid=regularizer.sigmoid(t),
            softplus=regularizer.softplus(t),
            gradient=regularizer.gradient(y),
            value=regularizer.value(y),
        )

    def along(t, y):
        return jax.jvp(methods, (t, y), (jnp.ones_like(t), jnp.ones_like(y)))[1]

    @jax.jit
    def derivatives(t, y):
        _, transpose = jax.vjp(lambda t, y: list(methods(t, y).values()), t, y)
        ones = [jnp.ones_like(leaf) for leaf in methods(t, y).values()]
        out, second = jax.jvp(along, (t, y), (jnp.ones_like(t), jnp.ones_like(y)))
        reverse = jax.grad(lambda t, y: sum(jnp.sum(v) for v in along(t, y).values()), 0)
        return methods(t, y), out, second, transpose(ones), reverse(t, y)

    _, first, second, (t_bar, y_bar), second_bar = derivatives(t, y)
    compiled = jax.jit(methods)
    tangents = (np.ones(t.shape), np.ones(y.shape))
    expected = finite_difference(compiled, (t, y), tangents, step=1e-3)
    for key, value in first.items():
        assert_close(value, expected[key], atol=1e-6)
    expected = finite_difference(jax.jit(along), (t, y), tangents, step=1e-3)
    for key, value in second.items():
        assert_close(value, expected[key], atol=1e-5)
    of_t = ("link", "conjugate", "sigmoid", "softplus")
    assert_close(t_bar, sum(first[key] for key in of_t), atol=1e-12)
    assert_close(y_bar, first["gradient"] + first["value"], atol=1e-12)
    assert_close(second_bar, sum(second[key] for key in of_t), atol=1e-10)
    # What is an integral has the integrand as its derivative.
    assert_close(first["conjugate"], case.link(np.asarray(t)), atol=1e-9)
    sigmoid = helpers.two_point_oracle(t, case.link)
    assert_close(first["softplus"], sigmoid, atol=1e-9)
    assert_close(first["value"], helpers.gradient_oracle(y, case.link), atol=1e-9)


@each("case", pick(REGULARIZERS, "smooth", "c0", "c2", "cubic", "user_gradient"))
def test_derivatives_are_finite_at_the_bounds(case):
    regularizer = case.regularizer
    t = jnp.asarray([-1e4, -1.0, -0.5, 0.0, 0.5, 1.0, 50.0])

    @jax.jit
    def derivatives(t):
        fns = (regularizer.sigmoid, regularizer.softplus)
        return [jax.vmap(jax.value_and_grad(fn))(t) for fn in fns]

    for value, slope in derivatives(t):
        assert np.all(np.isfinite(value))
        assert np.all(np.isfinite(slope))
        assert np.all((slope >= 0) & (slope <= 2))


# The parameter of a regularizer


def _of_parameter(make, link_of, parameter):
    """A regularizer's functions of its parameter, and references for them."""
    t = np.array([-0.62, -0.2, 0.13, 0.37, 0.81])
    y = np.array([0.1, 0.45, 0.8])
    z = np.array([0.3, -0.2, 0.55, 0.1])

    def compute(parameter):
        regularizer = make(parameter)
        return dict(
            link=regularizer.link(jnp.asarray(t)),
            gradient=regularizer.gradient(jnp.asarray(y)),
            conjugate=regularizer.conjugate(jnp.asarray(t)),
            value=regularizer.value(jnp.asarray(y)),
            sigmoid=regularizer.sigmoid(jnp.asarray(t)),
            softplus=regularizer.softplus(jnp.asarray(t)),
            simplex=solve(SimplexProjection(jnp.asarray(z), 0.7), regularizer).value,
        )

    def reference(parameter):
        link, at_zero = link_of(float(parameter))
        return dict(
            link=link(t),
            gradient=helpers.gradient_oracle(y, link),
            conjugate=helpers.conjugate_oracle(t, link, at_zero),
            value=helpers.value_oracle(y, link),
            sigmoid=helpers.two_point_oracle(t, link),
            softplus=helpers.softplus_oracle(t, link),
            simplex=helpers.simplex_oracle(z, 0.7, link),
        )

    return compute, reference, parameter


def _weighted_link(weight):
    # y + log(y) / 1 with y = w u: the Wright omega function again.
    return lambda t: helpers.mixed_link(np.asarray(t) + np.log(weight)) / weight


PARAMETERS = {
    "pnorm": lambda: _of_parameter(
        lambda p: PNorm(p), lambda p: (helpers.power_link(p), 0.0), 1.43
    ),
    "pnorm_near_2": lambda: _of_parameter(
        lambda p: PNorm(p), lambda p: (helpers.power_link(p), 0.0), 1.9
    ),
    "user_gradient": lambda: _of_parameter(
        lambda w: Mixed(w), lambda w: (_weighted_link(w), -np.inf), 1.7
    ),
}


@pytest.mark.parametrize("name", PARAMETERS)
def test_parameter_is_traced_and_differentiated(name, x64):
    compute, reference, parameter = PARAMETERS[name]()

    @jax.jit
    def everything(parameter):
        forward = jax.jacfwd(compute)
        return (
            compute(parameter),
            forward(parameter),
            jax.jacrev(compute)(parameter),
            jax.jacfwd(forward)(parameter),
            jax.jacrev(forward)(parameter),
        )

    value, forward, reverse, second, mixed = everything(jnp.asarray(parameter))
    expected = reference(parameter)
    slope = finite_difference(reference, (np.asarray(parameter),), (1.0,), step=1e-3)
    by_difference = finite_difference(
        jax.jit(jax.jacfwd(compute)), (np.asarray(parameter),), (1.0,), step=1e-3
    )
    for key in expected:
        assert_close(value[key], expected[key], atol=1e-8)
        assert_close(forward[key], slope[key], atol=1e-6)
        assert_close(reverse[key], forward[key], atol=1e-10)
        assert_close(second[key], by_difference[key], atol=1e-5)
        assert_close(mixed[key], second[key], atol=1e-8)


# Names and errors


@pytest.mark.parametrize(
    ("name", "p"), [("c0", 2), ("c1", 3 / 2), ("c2", 4 / 3), ("c3", 5 / 4), ("c11", 13 / 12)]
)
def test_pnorm_modes(name, p):
    regularizer = get_regularizer(name)
    assert isinstance(regularizer, PNorm)
    assert regularizer.p == pytest.approx(p, rel=1e-15)


def test_modes():
    assert isinstance(get_regularizer("smooth"), Entropy)
    assert isinstance(get_regularizer("entropic"), Entropy)
    assert get_regularizer("euclidean").p == 2
    assert isinstance(get_regularizer("pseudohuber"), PseudoHuber)
    for name in MODES:
        assert isinstance(get_regularizer(name), Regularizer)
    own = Shifted()
    assert get_regularizer(own) is own


@pytest.mark.parametrize("name", ["sooth", "", "c", "c-1", "c1.5", "C1", "xc1", "c1x"])
def test_unknown_mode(name):
    with pytest.raises(ValueError, match="mode=") as error:
        get_regularizer(name)
    message = str(error.value)
    assert repr(name) in message
    for allowed in ("smooth", "c<k>", "pseudohuber", "Regularizer"):
        assert allowed in message


def test_mode_of_the_wrong_type():
    with pytest.raises(TypeError, match=r"Entropy\(\)"):
        get_regularizer(Entropy)
    for wrong in (None, 2, jnp.ones(())):
        with pytest.raises(TypeError, match="mode"):
            get_regularizer(wrong)


@pytest.mark.parametrize("p", [1, 1.0, 2.0001, 0.5, -1.5, float("nan"), float("inf")])
def test_pnorm_exponent_out_of_range(p):
    for exponent in (p, np.float64(p), jnp.asarray(p)):
        with pytest.raises(ValueError, match="1 < p <= 2"):
            PNorm(exponent)


def test_pnorm_exponent_of_the_wrong_type():
    for wrong in ("2", None, True, [1.5]):
        with pytest.raises(TypeError, match="p must be"):
            PNorm(wrong)
    with pytest.raises(ValueError, match="scalar"):
        PNorm(jnp.asarray([1.5, 2.0]))


def test_regularizer_is_abstract():
    with pytest.raises(TypeError, match="link"):
        Regularizer()


def test_concrete_and_traced_exponents_agree():
    t = jnp.linspace(-1.5, 1.5, 11)

    @jax.jit
    def both(p):
        return [
            [fn(t) for fn in (r.link, r.sigmoid, r.softplus, r.conjugate)]
            for r in (PNorm(1.5), PNorm(p))
        ]

    concrete, traced = both(jnp.asarray(1.5))
    for a, b in zip(concrete, traced, strict=True):
        assert_close(a, b, atol=3e-6)


def test_link_from_gradient():
    def link(t):
        return link_from_gradient(lambda y: jnp.log(y) + y, t)

    t = np.array([-60.0, -3.0, 0.0, 1.0, 20.0, 500.0])
    expected = helpers.mixed_link(t)
    assert_close(link(jnp.asarray(t, jnp.float32)), expected, atol=0, rtol=1e-5)
    assert link(1.0).shape == ()
    # r'(y) = y, which starts at 0: no mass for t <= 0, and slopes 0 and 1.
    half = jax.vmap(jax.value_and_grad(lambda t: link_from_gradient(lambda y: y, t)))
    value, slope = half(jnp.asarray([-1.0, 0.0, 0.25, 3.0]))
    assert_close(value, [0.0, 0.0, 0.25, 3.0], atol=1e-6)
    assert_close(slope, [0.0, 0.0, 1.0, 1.0], atol=1e-6)
