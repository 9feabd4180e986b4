"""Elements far from all others: what is beside them is as if they were not there."""

import inputs
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from assertions import assert_close, finite_difference
from cases import METHODS
from parametrize import each

import softjax as sj

INF = np.inf
X = np.array([0.3, 50.0, -0.2, 0.9, 0.31], np.float32)
OTHERS = np.array([0, 2, 3, 4])
WEIGHTS = np.array([[1, 1, 2, 1, 1], [0.6, 1.3, 1.7, 0.9, 1.1]], np.float32)
IDS = np.zeros(5, int)


def _median_of_segment(x, w, sign):
    keywords = dict(weights=w, method="neuralsort")
    return sign * sj.segment.median(sign * x, IDS, 1, **keywords)[0]


def _index(x, w, sign):
    index = sj.argquantile(sign * x, 0.5, weights=w)
    return index @ jnp.asarray([1.0, 0.0, -2.0, 0.5, 3.0])


WEIGHTED = {
    "median": lambda x, w, sign: sign * sj.median(sign * x, weights=w),
    "sort": lambda x, w, sign: sj.sort(
        sign * x, weights=w, method="neuralsort", descending=bool(sign > 0)
    )[3],
    "argquantile": _index,
    "segment": _median_of_segment,
}


@each("name", list(WEIGHTED), fast=("median", "segment"))
def test_gradients_beside_an_outlier(name):
    """In weights too, which moves of mass alone change, and not how far it is."""
    for sign in (1, -1):

        def loss(x, w, sign=sign):
            return WEIGHTED[name](x, w, sign)

        run = jax.jit(jax.grad(loss, (0, 1)))
        for w in WEIGHTS:
            expected_x, expected_w = run(X, w)
            assert np.any(np.abs(expected_x) > 1e-3)
            for far in (1e6, INF):
                of_x, of_w = run(jnp.asarray(X).at[1].set(far), w)
                assert_close(of_x[OTHERS], expected_x[OTHERS], atol=2e-5)
                assert_close(of_w, expected_w, atol=2e-5)


@each("over", ["rows", "segments"], fast=("rows",))
def test_weights_of_neuralsort_beside_an_outlier(over, x64):
    x = jnp.asarray(X, float).at[1].set(1e6)
    direction = inputs.rng("outlier").normal(size=5)

    @jax.jit
    def median(w):
        if over == "rows":
            return sj.median(x, weights=w)
        return _median_of_segment(x, w, 1)

    w = np.asarray(WEIGHTS[1], float)
    found = jax.jit(jax.grad(median))(w) @ direction
    expected = finite_difference(median, (w,), (direction,))
    # At this distance, the values themselves have fewer digits.
    assert_close(found, expected, atol=1e-5)


def _exponential(method):
    return method == "smooth_sort"


@each("method", METHODS, fast=("fast_soft_sort", "softsort"))
def test_hard_limit_of_standardized_rows(method):
    """Beyond 17 deviations from the mean, keys are rounded to 0 or 1."""
    x = np.append(np.linspace(-1, 1, 399), 1e4).astype(np.float32)
    mode = "smooth" if _exponential(method) else "c0"
    keywords = dict(method=method, standardize=True, softness=1e-6, mode=mode)
    run = jax.jit(lambda x: sj.sort(x, **keywords))
    for sign in (1, -1):
        out = sign * run(sign * x)[::sign]
        np.testing.assert_allclose(out[-1], 1e4, rtol=1e-3)
        assert np.all(np.abs(out[:-1]) < 1.1)


def test_gradient_of_a_standardized_outlier():
    x = jnp.append(jnp.linspace(-1, 1, 399), 1e4)
    keywords = dict(method="fast_soft_sort", standardize=True, softness=1e-6)
    gradient = jax.grad(lambda x: sj.sort(x, mode="c0", **keywords)[-1])(x)
    assert_close(gradient, np.eye(400)[-1])
    # Next to infinite elements, and where nothing else is left.
    beside = sj.sort(jnp.append(x, INF), mode="c0", **keywords)
    np.testing.assert_array_equal(beside[-2:], [1e4, INF])
    nothing = sj.sort(jnp.array([INF, -INF]), mode="c0", **keywords)
    np.testing.assert_array_equal(nothing, [-INF, INF])


@each("weighted", [False, True], fast=("False",))
def test_standardized_rows_of_equal_elements(weighted):
    """Their deviation is 0 and not the rounding of their mean."""
    weights = jnp.linspace(0.7, 2.1, 10) if weighted else None

    @jax.jit
    def gradient(x):
        def first(x):
            return sj.argmax(x, standardize=True, weights=weights)[0]

        return jax.grad(first)(x)

    expected = gradient(jnp.full(10, 0.5))
    assert np.max(np.abs(expected)) < 1
    for number in (0.1, 0.7, 3.3, 1 / 3, 1e6 / 7):
        assert_close(gradient(jnp.full(10, number)), expected, atol=1e-5)


@each("mode", ["smooth", "c0"], fast=("smooth",))
def test_argmedian_half_way_to_infinity(mode):
    """The finite elements share the rest as those of the extremum, in float32."""
    x, far = jnp.array([1.0, 1.05]), jnp.full(2, INF)
    direction = jnp.array([0.3, -1.0])
    keywords = dict(method="softsort", mode=mode)
    for sign, top in ((1, sj.argmax), (-1, sj.argmin)):

        def median(x, sign=sign):
            row = jnp.append(x, sign * far)
            return sj.argmedian(row, **keywords)

        def half(x, top=top):
            return jnp.append(top(x, **keywords) / 2, jnp.full(2, 0.25))

        found, expected = (jax.jvp(fn, (x,), (direction,)) for fn in (median, half))
        assert_close(found[0], expected[0])
        assert_close(found[1], expected[1], atol=1e-4)


@pytest.mark.slow
def test_weighted_argmedian_half_way_to_infinity():
    x = jnp.array([1.0, 1.05, 0.9, INF])
    w = jnp.array([0.5, 0.7, 0.3, 1.5])
    found = sj.argmedian(x, weights=w, method="softsort")
    finite = sj.argmax(x[:3], weights=w[:3])
    assert_close(found, np.append(finite / 2, 0.5))


@each("mode", ["smooth", "c0", "c2"], fast=("c0",))
def test_weights_of_transport_beside_an_outlier(mode):
    """How far it is away has no say, in derivatives in parts of units either."""

    def sort(w, far):
        x = jnp.asarray(X).at[1].set(far)
        return sj.sort(x, weights=w, method="ot", mode=mode)[:4]

    of = jax.jit(jax.jacobian(sort))

    near, *others = (of(WEIGHTS[1], far) for far in (50.0, 1e3, 1e6))
    for other in others:
        assert_close(other, near, rtol=1e-5, atol=1e-5)
