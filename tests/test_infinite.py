"""Infinite elements by example; test_invariants.py has what holds of all of them."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from assertions import assert_close
from cases import INDEX_METHODS, METHODS
from parametrize import each

import softjax as sj

INF = np.inf
# One method of either kind: all of them are given the same stand-ins.
_FAST = ("softsort", "fast_soft_sort")


@each("method", METHODS, fast=_FAST)
def test_one_infinity(method):
    """An infinity takes the last place, and leaves the other elements as they are."""
    x = jnp.array([1.0, -INF, 2.0])
    two = jnp.array([1.0, 2.0])

    @jax.jit
    def outputs(x):
        return {
            name: getattr(sj, name)(x, method=method)
            for name in ("rank", "sort", "median", "max")
        }

    out, alone = outputs(x), outputs(two)
    assert_close(out["rank"], [alone["rank"][0], 3, alone["rank"][1]], atol=1e-6)
    assert_close(out["rank"], [2, 3, 1], atol=0.1)
    assert out["sort"][0] == -INF
    assert_close(out["sort"][1:], alone["sort"], atol=1e-6)
    assert_close(out["median"], 1, atol=0.1)
    assert_close(out["max"], alone["max"], atol=1e-6)


@each("method", METHODS, fast=("softsort",))
def test_infinite_maxima(method):
    x = jnp.array([[1.0, INF, 2.0, INF], [1.0, 3.0, 2.0, -INF]])
    largest, gradient = jax.vmap(
        jax.value_and_grad(lambda x: sj.max(x, method=method))
    )(x)
    assert largest[0] == INF
    np.testing.assert_array_equal(gradient[0], 0)
    assert np.isfinite(largest[1])
    assert gradient[1, 3] == 0
    smallest = sj.min(x, axis=1, method=method)
    assert smallest[1] == -INF
    assert np.isfinite(smallest[0])
    values, _ = sj.top_k(x, 3, method=method)
    np.testing.assert_array_equal(values[0, :2], INF)
    assert_close(values[0, 2], 2, atol=0.3)
    assert np.all(np.isfinite(values[1]))


@each("mode", ["smooth", "c0"], fast=("smooth",))
def test_maxima_of_all_kinds_of_rows(mode):
    """Next to hard, with masks and without: those of NumPy, and ties are shared."""
    kinds = [-INF, -2.0, 0.5, 3.0, INF, np.nan]
    x = np.array(list(itertools.product(kinds, repeat=3)), np.float32)
    where = np.array(list(itertools.product([False, True], repeat=3)))[1:]

    @jax.jit
    def outputs(x, where):
        def both(x, where=None):
            keywords = dict(where=where, mode=mode, softness=1e-3)
            value = lambda x: sj.max(x, **keywords)  # noqa: E731
            return *jax.value_and_grad(value)(x), sj.argmax(x, **keywords)

        rows = jax.vmap(both)(x)
        return rows, jax.vmap(lambda m: jax.vmap(lambda x: both(x, m))(x))(where)

    plain, masked = outputs(x, where)
    given = [np.ones((len(x), 3), bool), *np.repeat(where[:, None], len(x), 1)]
    found = [plain, *zip(*masked, strict=True)]
    for here, (value, gradient, index) in zip(given, found, strict=True):
        kept = np.where(here, x, -INF)
        largest = np.max(kept, axis=-1)
        np.testing.assert_allclose(value, largest, atol=1e-6)
        number = ~np.isnan(largest)
        ties = (kept == largest[:, None]) & here
        shares = ties / np.maximum(np.sum(ties, axis=-1, keepdims=True), 1)
        np.testing.assert_allclose(index[number], shares[number], atol=1e-6)
        assert np.all(np.isnan(index[~number]))
        finite = np.isfinite(largest)[:, None]
        np.testing.assert_allclose(
            gradient[number], np.where(finite, shares, 0)[number], atol=1e-6
        )


@each("method", INDEX_METHODS, fast=("softsort",))
def test_equal_infinities_share_places(method):
    x = jnp.array([1.0, INF, 2.0, INF, -INF])
    index = sj.argsort(x, descending=True, method=method)
    shared = [0, 0.5, 0, 0.5, 0]
    assert_close(index[:2], [shared, shared], atol=1e-7)
    np.testing.assert_array_equal(index[4], [0, 0, 0, 0, 1])
    np.testing.assert_array_equal(index[2:4][:, [1, 3, 4]], 0)
    assert_close(sj.argmax(x, method=method), shared, atol=1e-7)
    assert_close(sj.top_k(x, 2, method=method)[1], [shared, shared], atol=1e-7)
    assert_close(sj.argquantile(x, 1.0, method=method), shared, atol=1e-7)
    np.testing.assert_array_equal(
        sj.argquantile(x, 0.0, method=method), [0, 0, 0, 0, 1]
    )


@each("method", METHODS, fast=("softsort",))
def test_nothing_but_infinities(method):
    up, both = jnp.full(3, INF), jnp.array([INF, -INF, -INF])
    for standardize in (False, True):
        keywords = dict(method=method, standardize=standardize)
        np.testing.assert_array_equal(sj.sort(up, **keywords), up)
        np.testing.assert_array_equal(sj.rank(up, **keywords), 2)
        np.testing.assert_array_equal(sj.sort(both, **keywords), [-INF, -INF, INF])
        np.testing.assert_array_equal(sj.rank(both, **keywords), [1, 2.5, 2.5])
        assert sj.median(both, **keywords) == -INF
        gradient = jax.grad(lambda x, kw=keywords: jnp.sum(sj.rank(x, **kw)))(both)
        np.testing.assert_array_equal(gradient, 0)


@pytest.mark.parametrize("mode", ["hard", "smooth", "c0"])
@each("method", METHODS, fast=("softsort",))
def test_quantiles_next_to_infinities(method, mode):
    """Quantiles are those of jax.numpy; an infinity without weight does not count."""
    if method == "smooth_sort" and mode == "c0":
        pytest.skip("takes the entropy only")
    x = jnp.array([3.0, INF, 1.0, 2.0, -INF])
    levels = jnp.array([0.0, 0.1, 0.25, 0.5, 0.75, 0.9, 1.0])
    out = sj.quantile(x, levels, method=method, mode=mode, softness=0.01)
    assert_close(out[2:5], [1, 2, 3], atol=0.05)
    np.testing.assert_array_equal(np.asarray(out)[[0, 1, 5, 6]], [-INF, -INF, INF, INF])
    pair = jnp.array([INF, -INF])
    assert np.isnan(sj.median(pair, method=method, mode=mode))
    assert sj.median(jnp.array([1.0, INF]), method=method, mode=mode) == INF


@each("method", METHODS, fast=("softsort",))
def test_standardized_rows_have_finite_moments(method):
    x = jnp.array([1.0, 0.2, INF, -0.5, 0.7])
    finite = x[jnp.array([0, 1, 3, 4])]
    keywords = dict(method=method, standardize=True)
    out, alone = sj.sort(x, **keywords), sj.sort(finite, **keywords)
    assert out[-1] == INF
    assert_close(out[:-1], alone, atol=1e-5)


@pytest.mark.slow
def test_masks_and_medians_by_newton():
    x = jnp.array([1.0, INF, 2.0, INF, -INF])
    mask = sj.top_k_mask(x, 3)
    np.testing.assert_array_equal(mask[jnp.array([1, 3])], 1)
    assert mask[4] == 0
    assert_close(jnp.sum(mask), 3, atol=1e-6)
    assert_close(sj.top_k_mask(x, 1), [0, 0.5, 0, 0.5, 0], atol=1e-6)
    gradient = jax.jacobian(lambda x: sj.top_k_mask(x, 3))(x)
    assert np.all(np.isfinite(gradient))
    np.testing.assert_array_equal(gradient[:, jnp.array([1, 3, 4])], 0)
    assert_close(sj.median_newton(x), 2, atol=1e-3)
    assert sj.median_newton(jnp.array([1.0, INF, INF])) == INF


def test_infinities_in_other_types():
    for dtype in (jnp.float16, jnp.bfloat16, jnp.float32):
        out = sj.sort(jnp.array([1.0, INF, 0.0], dtype))
        assert out.dtype == dtype
        assert out[2] == INF
        assert_close(np.asarray(out[:2], np.float32), [0, 1], atol=0.01)


@pytest.mark.parametrize(
    ("size", "softness"), [(1e38, 0.1), (-1e30, 0.1), (3.0, 1e-30)]
)
def test_absent_beside_huge_or_at_tiny_softness(size, softness):
    """Elements that are -inf take no part where a width is less than rounding."""
    x = jnp.asarray([-np.inf, size, -np.inf, size], jnp.float32)
    assert_close(sj.argmax(x, softness=softness), [0.0, 0.5, 0.0, 0.5])
    assert_close(sj.max(x, softness=softness), jnp.float32(size))
