"""Derivatives of regularizers: in their argument, and in a parameter."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import oracles
import pytest
from assertions import assert_close, finite_difference
from cases import REGULARIZERS, Mixed
from parametrize import each, pick

from softjax.solvers import PNorm, SimplexProjection, solve


@each("case", REGULARIZERS, fast=("smooth", "c0", "c2", "quintic"))
def test_derivatives(case, x64):
    """Derivatives of all methods in their argument, forward and reverse."""
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
    two_point = functools.partial(oracles.two_point_oracle, link=case.link)
    assert_close(conjugate, case.link(t), atol=1e-9)
    assert_close(softplus, two_point(t), atol=1e-9)
    assert_close(value, oracles.gradient_oracle(y, case.link), atol=1e-9)

    def differentiate(fn, x):
        return finite_difference(fn, (x,), (np.ones_like(x),))

    inverse = functools.partial(oracles.gradient_oracle, link=case.link)
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
        return oracles.two_point_oracle(t, case.link)

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
    return lambda t: oracles.mixed_link(np.asarray(t) + np.log(weight)) / weight


PARAMETRIC = {
    "pnorm": (PNorm, oracles.power_link, 0.0, 1.43),
    "pnorm_near_2": (PNorm, oracles.power_link, 0.0, 1.9),
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
        lambda link, _: oracles.gradient_oracle(_y, link),
    ),
    "conjugate": (
        lambda r: r.conjugate(jnp.asarray(_t)),
        lambda link, at_zero: oracles.conjugate_oracle(_t, link, at_zero),
    ),
    "value": (
        lambda r: r.value(jnp.asarray(_y)),
        lambda link, _: oracles.value_oracle(_y, link),
    ),
    "sigmoid": (
        lambda r: r.sigmoid(jnp.asarray(_t)),
        lambda link, _: oracles.two_point_oracle(_t, link),
    ),
    "softplus": (
        lambda r: r.softplus(jnp.asarray(_t)),
        lambda link, _: oracles.softplus_oracle(_t, link),
    ),
    "simplex": (
        lambda r: solve(SimplexProjection(jnp.asarray(_z), 0.7), r).value,
        lambda link, _: oracles.simplex_oracle(_z, 0.7, link),
    ),
}
"""Functions of a regularizer, and references for them."""


_SLOW = [
    ("pnorm", "sigmoid"),
    ("pnorm", "softplus"),
    *(("user_gradient", name) for name in ("value", "sigmoid", "softplus", "simplex")),
    ("user_gradient", "conjugate"),
]
"""Pairs that take long to compile. All of `pnorm_near_2` is slow."""


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
