"""Soft counts: places among edges, histograms and counts of indices."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import oracles
import pytest
from assertions import assert_close, finite_difference
from cases import REGULARIZERS
from parametrize import each, pick

import softjax as sj

SOFTNESS = 0.27
EDGES = np.asarray([-0.9, -0.1, 0.45, 1.3])
X = np.asarray([-2.1, -0.55, -0.1, 0.2, 0.4, 2.9])
WEIGHTS = np.asarray([0.5, 2.0, 1.0, 0.0, 1.5, 3.0])
CASES = pick(REGULARIZERS, "smooth", "c1", "quintic", "user_link")


def operators(x, edges, weights, softness, mode):
    common = dict(softness=softness, mode=mode)
    return {
        "searchsorted": sj.searchsorted(edges, x, **common),
        "position": sj.searchsorted(edges, x, as_index=True, **common),
        "digitize": sj.digitize(x, edges[::-1], **common),
        "bin": sj.digitize(x, edges[::-1], as_index=True, **common),
        "histogram": sj.histogram(x, edges, weights=weights, **common)[0],
        "density": sj.histogram(x, 4, (-1.0, 1.0), density=True, **common)[0],
        "within": sj.histogram(x, 3, **common)[0],
        "bincount": sj.bincount(x + 1, weights, length=4, **common),
    }


def references(case, x, edges, weights):
    """Everything from the step alone, in NumPy."""

    def step(x):
        return oracles.heaviside_oracle(x, SOFTNESS, case.link, *case.ends)

    def positions(edges):
        above = step(x[:, None] - edges)
        ones, zeros = np.ones((len(x), 1)), np.zeros((len(x), 1))
        return -np.diff(np.hstack([ones, above, zeros]))

    index = positions(edges)
    fine = positions(np.linspace(-1, 1, 5))[:, 1:-1].sum(0)
    return {
        "searchsorted": step(x[:, None] - edges).sum(1),
        "position": index,
        "digitize": step(edges - x[:, None]).sum(1),
        "bin": index[:, ::-1],
        "histogram": weights @ index[:, 1:-1],
        "density": fine / 0.5 / fine.sum(),
        "within": positions(np.linspace(x.min(), x.max(), 4)[1:-1]).sum(0),
        # All below the first bin count in it.
        "bincount": (weights @ positions(np.arange(1, 5) - 1.5))[:4],
    }


@each("case", CASES, fast=("smooth",))
def test_values_and_derivatives(case, x64):
    moves = [np.cos(i + np.arange(len(a))) for i, a in enumerate((X, EDGES, WEIGHTS))]

    @jax.jit
    def run(x, edges, weights):
        fn = functools.partial(operators, softness=SOFTNESS, mode=case.mode)
        out, push = jax.linearize(fn, x, edges, weights)
        weigh = jax.tree.map(
            lambda y: jnp.cos(jnp.arange(y.size)).reshape(y.shape), out
        )
        pulled = jax.linear_transpose(push, x, edges, weights)(weigh)
        return out, push(*moves), pulled

    point = (X, EDGES, WEIGHTS)
    out, slopes, pulled = run(*point)
    expected = references(case, *point)
    differences = finite_difference(lambda *p: run(*p)[0], point, moves)
    for name, value in out.items():
        assert_close(value, expected[name], atol=1e-8)
        assert_close(slopes[name], differences[name], atol=1e-6)
    total = sum(
        np.sum(np.cos(np.arange(y.size)) * np.ravel(y)) for y in slopes.values()
    )
    assert_close(sum(m @ p for m, p in zip(moves, pulled, strict=True)), total)


SPECIAL = np.asarray([-np.inf, -1.0, -0.0, 0.0, 0.5, 1.0, 2.5, np.inf, np.nan], "f4")


@pytest.mark.parametrize("side", ["left", "right"])
def test_hard_mode_is_that_of_jax_numpy(side):
    """Ties, infinities and NaN included."""
    edges = jnp.asarray([-np.inf, 0.0, 0.0, 1.0, np.inf])
    place = jnp.searchsorted(edges, SPECIAL, side=side)
    found = sj.searchsorted(edges, SPECIAL, side, mode="hard")
    index = sj.searchsorted(edges, SPECIAL, side, mode="hard", as_index=True)
    np.testing.assert_array_equal(found, place)
    np.testing.assert_array_equal(index, np.eye(6)[place])
    for bins in (edges, edges[::-1]):
        right = side == "right"
        np.testing.assert_array_equal(
            sj.digitize(SPECIAL, bins, right, mode="hard"),
            jnp.digitize(SPECIAL, bins, right),
        )
    x = SPECIAL[1:-2]
    weights = np.arange(6.0, dtype="f4")
    for bins, span, density in (
        (3, None, True),
        (3, (0.0, 1.0), None),
        (x[[0, 4]], None, 0),
    ):
        found = sj.histogram(x, bins, span, weights, density, mode="hard")
        expected = jnp.histogram(x, bins, span, weights, density)
        jax.tree.map(np.testing.assert_array_equal, found, expected)
    np.testing.assert_array_equal(
        sj.bincount(x, weights, minlength=5, mode="hard"),
        np.bincount(np.round(x.clip(0)).astype(int), weights, 5),
    )


def test_infinities_and_nan():
    """Soft steps are hard at infinity, and NaN stays where it is."""
    edges = jnp.asarray([-np.inf, 0.0, np.inf])
    found = sj.searchsorted(edges, SPECIAL)
    np.testing.assert_array_equal(np.isnan(found), np.isnan(SPECIAL))
    np.testing.assert_allclose(found[jnp.asarray([0, -2])], [0.5, 2.5])
    index = sj.searchsorted(edges, SPECIAL, as_index=True)[:-1]
    np.testing.assert_allclose(index.sum(-1), 1, atol=1e-6)
    np.testing.assert_allclose(index @ np.arange(4.0), found[:-1], atol=1e-6)
    gradient = jax.grad(lambda x: sj.searchsorted(edges, x).sum())(SPECIAL[1:-2])
    assert np.all(np.isfinite(gradient))


def test_hard_places_of_integers_are_exact():
    """Beyond 2**24 too, where float32 rounds them."""
    n = jnp.arange(2**24, 2**24 + 4)
    np.testing.assert_array_equal(sj.searchsorted(n, n, mode="hard"), np.arange(4))
    np.testing.assert_array_equal(sj.digitize(n, n[::-1], mode="hard"), [3, 2, 1, 0])
    # Numbers of Python's do not decide about the type.
    half = jnp.arange(3, dtype=jnp.bfloat16)
    assert sj.searchsorted(half, 0.5).dtype == jnp.bfloat16


STRICT = {
    "searchsorted": lambda: sj.searchsorted(X, X, softness=np.ones(6)),
    "digitize": lambda: sj.digitize(X, X, as_index=True),
    "histogram": lambda: sj.histogram(X, 3),
    "bincount": lambda: sj.bincount(X, length=3),
    "round": lambda: sj.round(X, softness=np.ones(6)),
    "choose": lambda: sj.choose(np.ones(2) / 2, [X, X]),
    "dynamic_slice": lambda: sj.dynamic_slice_in_dim(X, np.ones(6), 2),
}


@each("name", list(STRICT), fast=("bincount", "choose"))
def test_nothing_is_promoted_by_the_way(name):
    """Where a user has all promotion checked, that of ours is explicit."""
    expected = STRICT[name]()
    jax.clear_caches()
    with jax.numpy_rank_promotion("raise"), jax.numpy_dtype_promotion("strict"):
        found = STRICT[name]()
    jax.tree.map(np.testing.assert_array_equal, found, expected)


def test_histograms_keep_what_is_in_range():
    """Without edges of one's own, no element is outside of the first and last."""
    x = np.asarray([0.0, 0.1, 0.9, 1.0], np.float32)
    counts, edges = sj.histogram(x, 2, softness=0.3)
    np.testing.assert_allclose(counts, [2, 2], atol=1e-6)
    np.testing.assert_allclose(edges, [0, 0.5, 1])
    bins = jnp.asarray([0.0, 0.5, 1.0])
    total = sj.histogram(x, bins, softness=0.01)[0].sum()
    np.testing.assert_allclose(total, 3, atol=1e-3)  # two halves are beyond the ends


def test_a_range_may_be_traced():
    x = jnp.asarray(X, jnp.float32)
    found = jax.jit(lambda x: sj.histogram(x, 3, (x.min(), x.max()))[1])(x)
    np.testing.assert_allclose(found, np.linspace(X.min(), X.max(), 4), rtol=1e-6)


def test_many_numbers_are_counted_in_chunks():
    x = np.linspace(0, 1, 3000, dtype=np.float32)
    edges = np.linspace(0, 1, 1000, dtype=np.float32)
    found = sj.searchsorted(edges, x, mode="c0", softness=0.01)
    step = np.clip((x[:, None].astype(float) - edges) / 0.1 + 0.5, 0, 1)
    np.testing.assert_allclose(found, step.sum(1), rtol=1e-4, atol=1e-2)
    counts, _ = sj.histogram(x, edges, mode="c0", softness=0.01)
    np.testing.assert_allclose(counts, -np.diff(step.sum(0)), atol=1e-2)


def test_indices_and_integers():
    p = np.asarray([[[0.5, 0.5, 0], [0, 0.25, 0.75]]], np.float32)
    np.testing.assert_allclose(sj.bincount(p), [0.5, 0.75, 0.75])
    found = sj.bincount(p, np.asarray([[2.0, 1.0]]), length=2)
    np.testing.assert_allclose(found, [1, 1.25])
    np.testing.assert_array_equal(sj.bincount(p, minlength=4)[3], 0)
    integers = np.asarray([0, 2, 2, 5])
    np.testing.assert_array_equal(sj.bincount(integers), [1, 0, 2, 0, 0, 1])
    np.testing.assert_array_equal(sj.bincount(integers, length=3), [1, 0, 2])
    # A sorter, as integers or soft.
    a, x = jnp.asarray([0.7, 0.1, 0.4]), jnp.asarray([0.2, 0.5])
    for sorter in (jnp.argsort(a), sj.argsort(a, mode="hard")):
        found = sj.searchsorted(a, x, sorter=sorter, mode="hard")
        np.testing.assert_array_equal(found, [1, 2])
    # Of integers and infinities, too.
    whole, ends = jnp.asarray([7, 1, 4]), jnp.asarray([jnp.inf, 0.0, -jnp.inf])
    index = sj.argsort(whole, softness=3.0)
    found = sj.searchsorted(whole, x, sorter=index, softness=3.0)
    expected = sj.searchsorted(index @ whole.astype(float), x, softness=3.0)
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    found = sj.searchsorted(ends, x, sorter=sj.argsort(ends, mode="hard"), mode="hard")
    np.testing.assert_array_equal(found, [2, 2])
    np.testing.assert_array_equal(sj.bincount(np.zeros((2, 0))), [])
    np.testing.assert_array_equal(sj.one_hot(p, 3, axis=0), np.moveaxis(p, -1, 0))
    np.testing.assert_array_equal(sj.one_hot(integers, 6), np.eye(6)[integers])


def test_16_bits_are_computed_in_32():
    x = jnp.asarray(X, jnp.bfloat16)
    for fn in (sj.searchsorted, lambda e, x: sj.histogram(x, e)[0]):
        out = fn(EDGES.astype(np.float32), x)
        assert out.dtype == jnp.bfloat16
        wide = fn(EDGES.astype(np.float32), x.astype(jnp.float32))
        np.testing.assert_array_equal(out, wide.astype(jnp.bfloat16))


ERRORS = [
    (lambda: sj.searchsorted(EDGES, X, "middle"), ValueError, "side must be 'left'"),
    (lambda: sj.searchsorted(EDGES[:, None], X), ValueError, "a must have one axis"),
    (lambda: sj.searchsorted(EDGES, X, as_index="1"), TypeError, "as_index"),
    (lambda: sj.searchsorted(EDGES, X, sorter=X[:2]), ValueError, "sorter of shape"),
    (
        lambda: sj.searchsorted(EDGES, X, softness=np.ones((2, 1))),
        ValueError,
        r"softness of shape \(2, 1\) must broadcast to the shape \(6,\)",
    ),
    (lambda: sj.histogram(X, 1j * EDGES), TypeError, "bins must be .*complex"),
    (lambda: sj.bincount(1j * X), TypeError, "real numbers, got type complex"),
    (lambda: sj.one_hot(1j * X, 3), TypeError, "complex"),
    (lambda: sj.searchsorted(EDGES, X, softness=0), ValueError, "softness"),
    (lambda: sj.digitize(X, 0.5), ValueError, "bins must have one axis"),
    (lambda: sj.histogram(X, weights=[1.0]), ValueError, "weights of shape"),
    (lambda: sj.histogram(X, 0), ValueError, "bins must be at least 1, got 0"),
    (lambda: sj.histogram(X, 2.5), TypeError, "bins must be an integer, got 2.5"),
    (lambda: sj.histogram(X, [1.0, 0.0]), ValueError, "bins must not decrease"),
    (lambda: sj.histogram(X, [[0.0, 1.0]]), ValueError, "bins must have one axis"),
    (lambda: sj.histogram(X, 3, (1.0, 0.0)), ValueError, "range must not decrease"),
    (lambda: sj.histogram(X, 3, (1.0,)), ValueError, "range must have two numbers"),
    (lambda: sj.one_hot([0], -1), ValueError, "must not be negative, got -1"),
    (lambda: sj.bincount(X, [1.0]), ValueError, "weights of shape"),
    (lambda: sj.bincount(1.0), ValueError, "must have an axis"),
    (lambda: jax.jit(sj.bincount)(X), ValueError, "length must be given"),
    (lambda: sj.one_hot(X, 3), ValueError, "over the 3 classes"),
    (lambda: sj.bincount([0, np.nan]), ValueError, "x must be finite.* got nan"),
    (lambda: sj.bincount([0, np.inf, 1]), ValueError, "x must be finite.* got inf"),
    (lambda: sj.bincount([0, 1e30]), ValueError, r"below 2\*\*31 - 1, got 1e\+30"),
    (lambda: sj.bincount([0.0, 1], length=1.5), TypeError, "length must be an integer"),
    (lambda: sj.bincount([1.0], minlength=1.5), TypeError, "minlength must be an int"),
]


@pytest.mark.parametrize(("call", "error", "message"), ERRORS)
def test_errors(call, error, message):
    with pytest.raises(error, match=message):
        call()


@pytest.mark.parametrize("mode", ["smooth", "hard"])
def test_histogram_of_nothing(mode):
    counts, edges = sj.histogram(np.zeros(0), 4, mode=mode)
    expected = np.histogram(np.zeros(0), 4)
    np.testing.assert_array_equal(counts, expected[0])
    np.testing.assert_allclose(edges, expected[1], rtol=1e-6)
