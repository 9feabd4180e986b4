"""Regularizers: what follows from a link, against quadrature and root finds."""

import functools

import helpers
import hypothesis
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.optimize
import scipy.special
from cases import ALL_REGULARIZERS, REGULARIZERS, Mixed, Shifted, each, pick
from helpers import assert_close, finite_difference

import softjax as sj
from softjax.solvers import (
    MODES,
    Entropy,
    LogBarrier,
    PNorm,
    PseudoHuber,
    Regularizer,
    Scaled,
    SimplexProjection,
    Sum,
    Tsallis,
    get_regularizer,
    link_from_gradient,
    solve,
)

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
# Those that another one stands for.
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
        scale = 1 + np.abs(helpers.gradient_oracle(Y, case.link))
        expected = helpers.gradient_oracle(Y, case.link) / scale
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
        expected = helpers.conjugate_oracle(t, case.link, case.at_zero)
        assert_close(self.compute(case, "conjugate"), expected, atol=3e-6, rtol=1e-6)

    def test_sigmoid(self, case):
        t = _reached(case, T)
        expected = helpers.two_point_oracle(t, case.link)
        assert_close(self.compute(case, "sigmoid"), expected)

    def test_transition_scale(self, case):
        expected = helpers.transition_scale(*case.ends)
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
        expected = helpers.value_oracle(Y, case.link)
        found = _everything(case.name)(jnp.asarray(_reached(case, T)), jnp.asarray(Y))
        assert_close(found["value"], expected, atol=3e-6)

    def test_softplus(self, case):
        t = _reached(case, T)
        expected = helpers.softplus_oracle(t, case.link)
        found = _everything(case.name)(jnp.asarray(t), jnp.asarray(Y))
        assert_close(found["softplus"], expected, atol=3e-6, rtol=1e-6)


@each("case", INTEGRABLE, fast=_QUICK)
def test_extreme_arguments(case):
    t = np.array([-1e6, -1e3, 60.0, 1e3, 1e6])
    out = _everything(case.name)(jnp.resize(jnp.asarray(t), T.shape), jnp.asarray(Y))
    expected = helpers.two_point_oracle(t, case.link)
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
    """Of y and 1 - y, cube roots differ by t: the small one, to its own accuracy."""
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


@each("case", REGULARIZERS, fast=("smooth", "c0", "c2", "quintic"))
def test_derivatives(case, x64):
    """Of the methods in their argument, in both modes."""
    regularizer = case.regularizer
    t, y = np.array([-0.83, -0.21, 0.17, 0.66]), np.array([0.07, 0.41, 0.83])
    methods_of_t = (
        regularizer.link,
        regularizer.conjugate,
        regularizer.sigmoid,
        regularizer.softplus,
    )
    methods_of_y = (regularizer.gradient, regularizer.value)

    def methods(t, y):
        return [f(t) for f in methods_of_t] + [f(y) for f in methods_of_y]

    @jax.jit
    def derivatives(t, y):
        ones = (jnp.ones_like(t), jnp.ones_like(y))
        out, tangents = jax.jvp(methods, (t, y), ones)
        _, transpose = jax.vjp(methods, t, y)
        return tangents, transpose([jnp.ones_like(leaf) for leaf in out])

    forward, reverse = derivatives(t, y)
    link, conjugate, sigmoid, softplus, gradient, value = forward
    assert_close(reverse[0], link + conjugate + sigmoid + softplus, atol=1e-12)
    assert_close(reverse[1], gradient + value, atol=1e-12)
    # What is an integral has the integrand as its derivative.
    two_point = functools.partial(helpers.two_point_oracle, link=case.link)
    assert_close(conjugate, case.link(t), atol=1e-9)
    assert_close(softplus, two_point(t), atol=1e-9)
    assert_close(value, helpers.gradient_oracle(y, case.link), atol=1e-9)

    def differentiate(fn, x):
        return finite_difference(fn, (x,), (np.ones_like(x),))

    inverse = functools.partial(helpers.gradient_oracle, link=case.link)
    assert_close(link, differentiate(case.link, t), atol=1e-7)
    assert_close(sigmoid, differentiate(two_point, t), atol=1e-7)
    assert_close(gradient, differentiate(inverse, y), atol=1e-7, rtol=1e-7)


@each("case", REGULARIZERS, fast=("smooth", "c0"))
def test_second_derivatives_of_the_two_point_functions(case, x64):
    """In all combinations of modes; also at 0, where every step is smooth."""
    regularizer = case.regularizer
    t = np.array([-0.61, -0.2, 0.0, 0.13, 0.52])

    @jax.jit
    def derivatives(t):
        fns = (regularizer.sigmoid, regularizer.softplus)
        first = [jax.grad(fn) for fn in fns]
        over = (jax.grad, jax.jacfwd)
        second = [[jax.vmap(d(fn))(t) for d in over] for fn in first]
        forward = [jax.vmap(jax.jacfwd(jax.jacfwd(fn)))(t) for fn in fns]
        return [jax.vmap(fn)(t) for fn in first], second, forward

    first, second, forward = derivatives(t)

    def step(t):
        return helpers.two_point_oracle(t, case.link)

    ones = np.ones_like(t)
    slope = finite_difference(step, (t,), (ones,))
    assert_close(first[0], slope, atol=1e-7)
    assert_close(first[1], step(t), atol=1e-9)
    curvature = finite_difference(lambda t: derivatives(t)[0][0], (t,), (ones,))
    for sigmoid, softplus in zip(*second, strict=True):
        assert_close(sigmoid, curvature, atol=1e-6)
        assert_close(softplus, slope, atol=1e-7)
    assert_close(forward[0], second[0][0], atol=1e-9)
    assert_close(forward[1], slope, atol=1e-7)


@each(
    "case",
    pick(REGULARIZERS, "smooth", "c0", "c2", "cubic", "user_gradient"),
    fast=("smooth", "c0", "c2", "cubic"),
)
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


def _weighted_link(weight):
    # u = weight y solves log u + u = t + log weight.
    return lambda t: helpers.mixed_link(np.asarray(t) + np.log(weight)) / weight


PARAMETRIC = {
    "pnorm": (PNorm, helpers.power_link, 0.0, 1.43),
    "pnorm_near_2": (PNorm, helpers.power_link, 0.0, 1.9),
    "user_gradient": (Mixed, _weighted_link, -np.inf, 1.7),
}
"""Name -> what makes it, its link in NumPy, r'(0), and a value of its parameter."""

_t = np.array([-0.62, -0.2, 0.13, 0.37, 0.81])
_y = np.array([0.1, 0.45, 0.8])
_z = np.array([0.3, -0.2, 0.55, 0.1])

FUNCTIONS = {
    "link": (lambda r: r.link(_t), lambda link, _: link(_t)),
    "gradient": (
        lambda r: r.gradient(jnp.asarray(_y)),
        lambda link, _: helpers.gradient_oracle(_y, link),
    ),
    "conjugate": (
        lambda r: r.conjugate(jnp.asarray(_t)),
        lambda link, at_zero: helpers.conjugate_oracle(_t, link, at_zero),
    ),
    "value": (
        lambda r: r.value(jnp.asarray(_y)),
        lambda link, _: helpers.value_oracle(_y, link),
    ),
    "sigmoid": (
        lambda r: r.sigmoid(jnp.asarray(_t)),
        lambda link, _: helpers.two_point_oracle(_t, link),
    ),
    "softplus": (
        lambda r: r.softplus(jnp.asarray(_t)),
        lambda link, _: helpers.softplus_oracle(_t, link),
    ),
    "simplex": (
        lambda r: solve(SimplexProjection(jnp.asarray(_z), 0.7), r).value,
        lambda link, _: helpers.simplex_oracle(_z, 0.7, link),
    ),
}
"""Functions of a regularizer, and references for them."""


_SLOW = [
    ("pnorm", "sigmoid"),
    ("pnorm", "softplus"),
    *(("user_gradient", name) for name in ("value", "sigmoid", "softplus", "simplex")),
    ("user_gradient", "conjugate"),
]
"""What takes long to compile. `pnorm_near_2` is slow as a whole."""


@pytest.mark.parametrize(
    ("name", "function"),
    [
        pytest.param(
            name,
            function,
            marks=[pytest.mark.slow]
            if name == "pnorm_near_2" or (name, function) in _SLOW
            else [],
        )
        for name in PARAMETRIC
        for function in FUNCTIONS
    ],
)
def test_parameter_is_traced_and_differentiated(name, function, x64):
    make, link_of, at_zero, parameter = PARAMETRIC[name]
    of, reference_of = FUNCTIONS[function]

    def compute(parameter):
        return of(make(parameter))

    def reference(parameter):
        return reference_of(link_of(float(parameter)), at_zero)

    @jax.jit
    def everything(parameter):
        forward = jax.jacfwd(compute)
        return (
            compute(parameter),
            forward(parameter),
            jax.jacrev(compute)(parameter),
            jax.jacrev(forward)(parameter),
        )

    value, forward, reverse, second = everything(jnp.asarray(parameter))
    args = (np.asarray(parameter),)
    assert_close(value, reference(parameter), atol=1e-8)
    expected = finite_difference(reference, args, (1.0,), step=1e-3)
    assert_close(forward, expected, atol=1e-6)
    assert_close(reverse, forward, atol=1e-10)

    expected = finite_difference(lambda p: everything(p)[1], args, (1.0,), step=1e-3)
    assert_close(second, expected, atol=1e-6)


# Names and errors


@pytest.mark.parametrize(
    ("name", "p"),
    [("c0", 2), ("c1", 3 / 2), ("c2", 4 / 3), ("c3", 5 / 4), ("c11", 13 / 12)],
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
        with pytest.raises(ValueError, match="above 1 and at most 2"):
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
    assert_close(link(jnp.asarray(t, jnp.float32)), expected, atol=1e-18, rtol=1e-5)
    assert link(1.0).shape == ()
    # r'(y) = y, which starts at 0: no mass for t <= 0, and slopes 0 and 1.
    half = jax.vmap(jax.value_and_grad(lambda t: link_from_gradient(lambda y: y, t)))
    value, slope = half(jnp.asarray([-1.0, 0.0, 0.25, 3.0]))
    assert_close(value, [0.0, 0.0, 0.25, 3.0], atol=1e-6)
    assert_close(slope, [0.0, 0.0, 1.0, 1.0], atol=1e-6)


def test_link_from_gradient_far_out():
    """Where y is next to nothing, so are its derivatives, to second order too."""
    link = Mixed().link
    t = jnp.asarray([-40.0, -60.0, -90.0, -1e3, -1e6])

    @jax.jit
    def derivatives(t):
        first = jax.grad(link)
        return [jax.vmap(fn)(t) for fn in (link, first, jax.grad(first))]

    for out in derivatives(t):
        assert_close(out, np.zeros(5), atol=1e-16)


def test_a_barrier():
    """What it has, and that there is no relu but the gated one."""
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
    assert_close(barrier.sigmoid(x), helpers.two_point_oracle(x, case.link), atol=1e-5)
    with pytest.raises(ValueError, match="gated=True"):
        sj.relu(x, mode=barrier)
    expected = x * barrier.sigmoid(x / 0.1)
    assert_close(sj.relu(x, mode=barrier, gated=True), expected, atol=1e-4)
    # NaN flows through.
    assert np.isnan(barrier.link(jnp.asarray(jnp.nan)))


Z = np.random.default_rng(0).normal(size=(4, 6))


@pytest.mark.parametrize(
    "alpha", [*(pytest.param(a, marks=pytest.mark.slow) for a in (1.05, 1.5, 1.9)), 2.0]
)
def test_tsallis_is_a_pnorm(alpha):
    """The projection onto the simplex is that of the p-norm at another softness."""
    softness = 0.7
    norm = solve(SimplexProjection(Z, softness / (alpha - 1)), PNorm(alpha)).value
    tsallis = solve(SimplexProjection(Z, softness), Tsallis(alpha)).value
    assert_close(tsallis, norm)
    # Up to a linear term, r is that of the p-norm over alpha - 1.
    linear = Tsallis(alpha).value(Y) - PNorm(alpha).value(jnp.asarray(Y)) / (alpha - 1)
    assert_close(linear, -Y / (alpha * (alpha - 1)), atol=2e-5)


# Through 1, closely: see `test_tsallis.py`.
@pytest.mark.slow
def test_tsallis_goes_to_the_entropy(x64):
    limit = solve(SimplexProjection(Z, 0.7), Tsallis(1.0001)).value
    assert_close(limit, solve(SimplexProjection(Z, 0.7), "smooth").value, atol=1e-3)


def test_scaled_is_a_softness():
    for base in (Entropy(), PNorm(1.5), LogBarrier(), PseudoHuber()):
        scaled = solve(SimplexProjection(Z, 0.7), Scaled(base, 3.0)).value
        assert_close(scaled, solve(SimplexProjection(Z, 2.1), base).value)


def test_sum_of_equals():
    twice = solve(SimplexProjection(Z, 0.7), Sum(PNorm(1.5), PNorm(1.5))).value
    assert_close(twice, solve(SimplexProjection(Z, 1.4), PNorm(1.5)).value, atol=1e-5)


def test_a_weight_is_differentiated(x64):
    """Of a sum: against finite differences."""

    @jax.jit
    def total(weight):
        mode = Sum(Entropy(), Scaled(PNorm(1.5), weight))
        y = solve(SimplexProjection(Z, 0.7), mode).value
        return jnp.sum(Z**2 * y)

    expected = finite_difference(total, (1.3,), (1.0,))
    assert_close(jax.grad(total)(1.3), expected, atol=1e-7)


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (
            lambda: Scaled(PNorm(2), -1.0),
            ValueError,
            "must be positive, got -1",
        ),
        (
            lambda: Scaled(PNorm(2), jnp.ones(2)),
            ValueError,
            r"got shape \(2,\)",
        ),
        (lambda: Scaled("c0", 1.0), TypeError, r"Scaled takes instances.*'c0'"),
        (lambda: Sum(), TypeError, "one or more"),
        (lambda: Sum(Entropy(), 3), TypeError, r"Sum takes instances.*3"),
        (lambda: Tsallis(0.0), ValueError, r"alpha must be positive and finite.*0\.0"),
        (lambda: Tsallis(jnp.inf), ValueError, r"Tsallis: alpha .* finite, got inf"),
        (lambda: Tsallis("a"), TypeError, r"Tsallis: alpha must be a real number"),
    ],
)
def test_what_combinations_refuse(make, error, message):
    with pytest.raises(error, match=message):
        make()
