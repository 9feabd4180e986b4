"""Logarithms of soft indices, against float64 and numbers of 60 digits."""

import decimal
import itertools

import hypothesis
import hypothesis.strategies as hs
import inputs
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from assertions import assert_close, finite_difference
from cases import ALL_REGULARIZERS, INDEX_METHODS, METHODS, OPERATORS, REGULARIZERS
from operator_references import SOFTNESS, reference
from parametrize import each, each_pair, pick

import softjax as sj
from softjax.solvers import Entropy, Scaled

INDEX = [operator for operator in OPERATORS if operator.kind == "index"]
LOGS = dict(return_log_probs=True)
X = inputs.rng("logs").normal(size=(2, 5))


def all_of(x, operators=INDEX, **keywords):
    """The soft index of each operator, and its logarithm."""

    @jax.jit
    def run(x):
        return {
            operator.name: (
                operator.call(x, **keywords),
                operator.call(x, **keywords, **LOGS),
            )
            for operator in operators
        }

    return run(x)


def check_logarithms(case, method, operators):
    keywords = dict(method=method, mode=case.mode, softness=SOFTNESS)
    found = all_of(X, operators, **keywords)
    for name, (index, logs) in found.items():
        assert_close(jnp.exp(logs), index, atol=5e-15)
        np.testing.assert_array_equal(logs == -np.inf, index == 0)
        expected = reference(name, method, X, case)
        inside = expected > 1e-5
        expected = np.log(np.where(inside, expected, 1))
        assert_close(np.where(inside, logs, 0), expected, atol=1e-8)


@each_pair(
    ALL_REGULARIZERS,
    fast=dict.fromkeys(METHODS, None),
    holds=INDEX_METHODS.__contains__,
)
def test_logarithms_of_references(x64, case, method):
    check_logarithms(case, method, INDEX)


def test_logarithms_of_rows(x64):
    check_logarithms(*pick(REGULARIZERS, "c1"), "softsort", INDEX[:1])


# Numbers so small that no type has them.

decimal.getcontext().prec = 60
decimal.getcontext().Emin = decimal.MIN_EMIN


def exact(*terms):
    """The logarithm of a sum of exponentials of some numbers."""
    total = sum(decimal.Decimal(float(t)).exp() for t in terms)
    return float(total.ln())


def exact_rows(scores):
    return np.array([[s - exact(*row) for s in row] for row in np.asarray(scores)])


def scores_of(method, x, softness):
    """Scores of the rows of argsort, from the smallest."""
    s = np.sort(x)
    if method == "softsort":
        return -np.abs(s[:, None] - x) / softness
    deviations = np.abs(x[:, None] - x).sum(axis=-1)
    n = len(x)
    return ((2 * np.arange(n) + 1 - n)[:, None] * x - deviations) / softness


@each("method", ["softsort", "neuralsort"])
@each("dtype", ["float32", "float64"])
def test_underflow(x64, method, dtype):
    """Rows, mixtures of two, and the first: in float32 with gaps of 1e4."""
    x = np.array([0.25, 8.0, 1.0, -1.5]) * (1e4 if dtype == "float32" else 64)
    rows = exact_rows(scores_of(method, x, 0.5))
    share = 0.25
    mixed = [
        exact(np.log(1 - share) + a, np.log(share) + b)
        for a, b in zip(rows[1], rows[2], strict=True)
    ]

    @jax.jit
    def run(x):
        keywords = dict(method=method, softness=0.5, **LOGS)
        return (
            sj.argsort(x, **keywords),
            sj.argmax(x, **keywords),
            sj.argquantile(x, (1 + share) / 3, **keywords),
        )

    found = run(x.astype(dtype))
    eps = np.finfo(dtype).eps
    for actual, expected in zip(found, (rows, rows[-1], mixed), strict=True):
        assert actual.dtype == dtype
        np.testing.assert_allclose(actual, expected, rtol=8 * eps, atol=8 * eps)
    assert found[0].min() < -690


@pytest.mark.slow
@each("network", ["bitonic", "odd_even"])
def test_underflow_of_networks(x64, network):
    """Sums over paths through the exchanges, of products of steps."""
    from oracles import bitonic, odd_even

    x, softness = np.array([0.0, 7.0, 3.0, -9.0]), 0.01
    logs = np.where(np.eye(4) > 0, 0.0, -np.inf)
    keys = x.copy()
    for up, down in bitonic(0, 4) if network == "bitonic" else odd_even(4):
        t = (keys[up] - keys[down]) / softness
        stays, goes = (-float(np.logaddexp(0, -s)) for s in (t, -t))
        pair = np.array(
            [
                np.logaddexp(stays + logs[up], goes + logs[down]),
                np.logaddexp(goes + logs[up], stays + logs[down]),
            ]
        )
        p = np.exp(stays)
        keys[[up, down]] = np.array([[p, 1 - p], [1 - p, p]]) @ keys[[up, down]]
        logs[[up, down]] = pair
    method = sj.methods.SortingNetwork(network)
    keywords = dict(descending=True, method=method, softness=softness)
    found = sj.argsort(jnp.asarray(x), **keywords, **LOGS)
    np.testing.assert_array_equal(found == -np.inf, logs == -np.inf)
    np.testing.assert_allclose(found, logs, rtol=1e-12, atol=1e-15)
    assert found.min(where=np.isfinite(found), initial=0) < -690


def pull(fn, x, cotangent):
    """Logarithms that are finite, weighted and summed; and their two derivatives."""

    def total(x):
        logs = fn(x)
        return jnp.sum(jnp.where(jnp.isfinite(logs), logs, 0) * cotangent)

    return total(x), jax.grad(total)(x), jax.jvp(jax.grad(total), (x,), (x,))[1]


def check_derivatives(operators, mode, method, x, atol=1e-6, **keywords):
    def run(x):
        out = {}
        for operator in operators:
            keys = dict(mode=mode, method=method, softness=1.5, **keywords)
            call = lambda x: operator.call(x, **keys, **LOGS)  # noqa: B023, E731
            logs = call(still)
            weights = jnp.cos(jnp.arange(logs.size)).reshape(logs.shape)
            # Where a sparse one leaves 0, differences of logarithms mean nothing.
            seen = (logs > -4) | (mode == "smooth")
            out[operator.name] = pull(call, x, jnp.where(seen, weights, 0))
        return out

    still = x

    run = jax.jit(run)
    found = run(x)
    direction = inputs.rng("direction").normal(size=x.shape)
    slopes = finite_difference(run, (x,), (direction,), 1e-3)
    along = finite_difference(run, (x,), (np.asarray(x),), 1e-3)
    for name, (_, gradient, second) in found.items():
        actual = jnp.sum(gradient * direction)
        assert_close(actual, slopes[name][0], atol=atol)
        assert_close(second, along[name][1], atol=atol)


@each("method", INDEX_METHODS, fast=())
@each("mode", ["smooth", "c2"])
def test_derivatives(x64, method, mode):
    """On the support; of both orders."""
    check_derivatives(INDEX, mode, method, jnp.asarray(X))


def test_derivatives_of_rows(x64):
    check_derivatives(INDEX[:1], "c2", "softsort", jnp.asarray(X[:1, :3]))


@pytest.mark.slow
@each("method", INDEX_METHODS)
def test_derivatives_with_weights(x64, method):
    if method == "sorting_network":
        pytest.skip("which takes none")
    where = np.array([True, True, False, True, True])
    # No sums of them are whole numbers, at which units of mass end with a kink.
    weights = np.array([0.53, 1.51, 1.07, 2.03, 0.72])
    keywords = dict(where=where, weights=weights)
    check_derivatives(INDEX, "smooth", method, jnp.asarray(X), **keywords)

    @jax.jit
    def slopes(weights):
        def call(weights):
            return sj.argsort(X, weights=weights, method=method, **LOGS)

        probability = jax.jacfwd(lambda w: sj.argsort(X, weights=w, method=method))
        return (
            jnp.exp(call(weights))[..., None] * jax.jacfwd(call)(weights),
            probability(weights),
        )

    assert_close(*slopes(weights), atol=1e-10)


def derivatives(x, weights, where, method, mode, eps):
    """All that might be NaN."""
    out = {}
    for operator in INDEX:
        for masked in (False, True):
            given = dict(where=where) if masked else {}
            if masked and method != "sorting_network":
                given["weights"] = weights
            keys = dict(mode=mode, method=method, log_prob_eps=eps, **given, **LOGS)
            call = lambda x: operator.call(x, **keys)  # noqa: B023, E731
            out[operator.name, masked] = call(x), *pull(call, x, 1.0)
    return out


def check_finite(method, mode, eps, given):
    compiled = jax.jit(derivatives, static_argnames=("method", "mode", "eps"))

    @hypothesis.given(*given)
    def check(x, weights, where):
        args = (np.float32(a) for a in (x, weights))
        found = compiled(*args, np.array(where), method, mode, eps)
        for logs, *rest in found.values():
            assert not np.any(np.isnan(logs))
            assert np.all(logs <= 1e-5)
            for leaf in rest:
                assert np.all(np.isfinite(leaf))

    check()


_NUMBERS = hs.sampled_from([0.0, -0.0, 0.05, 1.0, 1.0001, -1e4, 1e4, 3e-9, np.inf])
_ROWS = (
    hs.lists(_NUMBERS, min_size=4, max_size=4),
    hs.lists(hs.sampled_from([0.0, 0.5, 1.0, 2.0]), min_size=4, max_size=4).filter(
        lambda w: sum(w) > 1
    ),
    hs.lists(hs.booleans(), min_size=4, max_size=4),
)


@pytest.mark.slow
@each("method", INDEX_METHODS)
@each("mode", ["smooth", "c0", "c1", "pseudohuber"])
@each("eps", [0.0, 1e-3])
def test_never_nan(method, mode, eps):
    check_finite(method, mode, eps, _ROWS)


def test_zeros_and_floor():
    """Sparse zeros have no gradient, and with a floor, logarithms of what is left."""
    x, eps = jnp.array([0.2, 1.0, 0.7, -jnp.inf]), 1e-3

    @jax.jit
    def run(x):
        keywords = dict(mode="c0", softness=0.5, **LOGS)
        logs = sj.argmax(x, **keywords)
        floor = sj.argmax(x, **keywords, log_prob_eps=eps)
        hard = sj.argmax(x, mode="hard", **LOGS, log_prob_eps=eps)
        st = sj.argmax_st(x, softness=0.5, **LOGS)
        jacobians = jax.jacrev(lambda x: sj.argmax(x, **keywords))(x)
        slopes = jax.jacrev(lambda x: sj.argmax_st(x, softness=0.5, **LOGS))(x)
        soft = jax.jacrev(lambda x: sj.argmax(x, softness=0.5, **LOGS))(x)
        return logs, floor, hard, st, jacobians, slopes, soft

    logs, floor, hard, st, jacobian, slope, soft = run(x)
    p = np.array([0, 0.8, 0.2, 0])
    with np.errstate(divide="ignore"):
        np.testing.assert_allclose(logs, np.log(p), rtol=1e-6)
    # An element of -inf is absent.
    floored = [np.log((q + eps) / (1 + 3 * eps)) for q in (p, np.eye(4)[1])]
    for actual, expected in zip((floor, hard), floored, strict=True):
        np.testing.assert_allclose(actual[:3], expected[:3], rtol=1e-6, atol=1e-7)
        assert actual[3] == -np.inf
    np.testing.assert_array_equal(st, [-np.inf, 0, -np.inf, -np.inf])
    np.testing.assert_array_equal(slope, soft)
    expected = np.zeros((4, 4))
    expected[1:3, 1:3] = np.array([[1, -1], [-1, 1]]) / p[1:3, None]
    np.testing.assert_allclose(jacobian, expected, rtol=1e-5)


@pytest.mark.slow
def test_floor_of_copies():
    """With whole weights, the floor is that of so many copies."""
    x, weights = jnp.array([0.2, 1.0, 0.7]), jnp.array([1, 3, 2])
    keywords = dict(log_prob_eps=jnp.float32(0.01), softness=0.2, **LOGS)
    for mode, method in itertools.product(("smooth", "c0"), ("softsort", "ot")):
        keys = keywords | dict(mode=mode, method=method)
        found = jnp.exp(sj.argmax(x, weights=weights, **keys))
        copies = jnp.exp(sj.argmax(jnp.repeat(x, weights), **keys))
        sums = [jnp.sum(part) for part in jnp.split(copies, [1, 4])]
        assert_close(found, jnp.stack(sums), atol=1e-5)


@pytest.mark.slow
@each("method", INDEX_METHODS)
def test_infinite_elements(method):
    """The logarithm of what the index is, wherever infinite elements are."""
    x = np.array([[0.2, np.inf, 0.7, -np.inf, 0.5], [np.inf] * 2 + [-np.inf] * 3])
    found = all_of(jnp.float32(x), method=method, mode="c1")
    for index, logs in found.values():
        assert_close(jnp.exp(logs), index, atol=1e-6)


class Uniform(sj.methods.IndexMethod):
    def argsort(self, sample, relaxation):
        return jnp.full((sample.size, sample.size), 1 / sample.size)


def test_own_method_and_rates():
    """A method that knows no logarithms; a multiple of the entropy."""
    x = jnp.array([0.0, -40.0, -90.0])
    found = sj.argmedian(x, method=Uniform(), **LOGS)
    np.testing.assert_allclose(found, np.full(3, -np.log(3)), rtol=1e-6)
    found = sj.argmax(x, mode=Scaled(Entropy(), 2.0), softness=0.05, **LOGS)
    np.testing.assert_allclose(found, [0, -400, -900])


def test_values_beside():
    """Values of `top_k` are those without logarithms, and stay so if they are gated."""
    x = jnp.array([0.2, 1.0, 0.7])
    values, index = sj.top_k(x, 2)
    same, logs = sj.top_k(x, 2, **LOGS)
    np.testing.assert_array_equal(same, values)
    assert_close(jnp.exp(logs), index)
    assert sj.nanargmin(x.at[0].set(jnp.nan), **LOGS)[0] == -np.inf


ERRORS = {
    "top_k: return_log_probs=True is for soft indices": lambda x: sj.top_k(
        x, 2, method="fast_soft_sort", **LOGS
    ),
    "yields values and no soft indices": lambda x: sj.argsort(
        x, method="smooth_sort", **LOGS
    ),
    "return_log_probs must be True or False, got 1": lambda x: sj.argmax(
        x, return_log_probs=1
    ),
    "log_prob_eps must be nonnegative": lambda x: sj.argmax(x, log_prob_eps=-1, **LOGS),
    "log_prob_eps must be a nonneg": lambda x: sj.argmax(x, log_prob_eps="a", **LOGS),
    "log_prob_eps must be a scalar": lambda x: sj.argmax(
        x, log_prob_eps=np.ones(2), **LOGS
    ),
    "which only return_log_probs=True returns": lambda x: sj.argmin(
        x, log_prob_eps=0.1
    ),
    "unexpected keyword argument 'return_log_probs'": lambda x: sj.max(x, **LOGS),
    "choice.*unexpected keyword argument 'return": lambda x: sj.random.choice(
        jax.random.key(0), x, **LOGS
    ),
}


@each("message", list(ERRORS))
def test_errors(message):
    with pytest.raises((TypeError, ValueError), match=message):
        ERRORS[message](jnp.ones(3))
