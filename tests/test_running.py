"""Running extrema, and reductions without NaN."""

import functools

import inputs
import jax
import jax.numpy as jnp
import numpy as np
import oracles
import pytest
from assertions import assert_close, finite_difference
from cases import REGULARIZERS
from parametrize import each

import softjax as sj

SOFTNESS = 0.3
X = inputs.rng("running").normal(size=(2, 6))


def reference(x, case):
    """The maximum of each prefix, from the projection onto its own simplex."""
    rows = [oracles.simplex_oracle(x[:, :i], SOFTNESS, case.link) for i in range(1, 7)]
    return np.stack(
        [np.sum(p * x[:, : i + 1], axis=-1) for i, p in enumerate(rows)], axis=-1
    )


@each("case", REGULARIZERS, fast=("smooth",))
def test_values_and_derivatives(case, x64):
    """One by a scan, the other ones by masks."""
    move = np.cos(np.arange(X.size)).reshape(X.shape)

    @jax.jit
    def run(x, softness):
        def fn(x, softness):
            keywords = dict(axis=1, mode=case.mode, softness=softness)
            return sj.cummax(x, **keywords), sj.cummin(x, reverse=True, **keywords)

        out, slope = jax.jvp(fn, (x, softness), (move, 0.5))
        weigh = lambda x, s: sum(jnp.sum(y * move) for y in fn(x, s))  # noqa: E731
        return out, slope, jax.grad(weigh, (0, 1))(x, softness)

    (top, low), slopes, (pulled, by_softness) = run(X, SOFTNESS)
    assert_close(top, reference(X, case), atol=1e-8)
    assert_close(low, -reference(-X[:, ::-1], case)[:, ::-1], atol=1e-8)
    differences = finite_difference(lambda *p: run(*p)[0], (X, SOFTNESS), (move, 0.5))
    for slope, difference in zip(slopes, differences, strict=True):
        assert_close(slope, difference, atol=1e-6)
    total = sum(np.sum(slope * move) for slope in slopes)
    assert_close(np.sum(pulled * move) + 0.5 * by_softness, total, atol=1e-8)


def test_scan_and_masks_agree():
    """Keywords that the scan does not know say the same where they change nothing."""
    where = np.asarray([[1, 0, 1, 1, 0, 1], [0, 0, 1, 0, 1, 1]], bool)
    call = functools.partial(sj.cummax, X, axis=1, softness=SOFTNESS)
    np.testing.assert_allclose(call(), call(weights=np.ones(6)), atol=1e-6)
    masked = call(where=where)
    np.testing.assert_allclose(masked, call(where=where, weights=np.ones(6)), atol=1e-6)
    assert np.all(masked[1, :2] == -np.inf)
    for i in range(2, 6):
        kept = X[1, : i + 1][where[1, : i + 1]]
        weights = oracles.simplex_oracle(kept[None], SOFTNESS, oracles.exp_link)
        np.testing.assert_allclose(masked[1, i], (weights @ kept)[0], atol=1e-6)
    # A whole weight is that many copies.
    doubled = call(weights=np.asarray([1, 2, 1, 1, 3, 1]))
    copies = np.repeat(X, [1, 2, 1, 1, 3, 1], axis=1)
    ends = np.cumsum([1, 2, 1, 1, 3, 1]) - 1
    again = sj.cummax(copies, axis=1, softness=SOFTNESS)[:, ends]
    np.testing.assert_allclose(doubled, again, atol=1e-6)


@each("mode", ["hard", "smooth", "c0"], fast=("hard", "smooth"))
def test_infinities_and_nan(mode):
    x = jnp.asarray([-np.inf, 1.0, -np.inf, 3.0, np.inf, 2.0, np.nan, 4.0])
    for soft, hard in ((sj.cummax, jax.lax.cummax), (sj.cummin, jax.lax.cummin)):
        for values in (x, -x):
            for reverse in (False, True):
                found = soft(values, reverse=reverse, mode=mode, softness=1e-3)
                expected = hard(values, reverse=reverse)
                np.testing.assert_allclose(found, expected, atol=1e-6)


def test_scan_is_exact_far_from_zero():
    """In float32, at a small softness and large numbers, with finite gradients."""
    x = jnp.asarray([-3e38, 1e6, 1e6 + 1, -1e30, 3e38, 0.0], jnp.float32)

    @jax.jit
    def run(x, softness):
        fn = lambda x, s: sj.cummax(x, softness=s).sum()  # noqa: E731
        out = sj.cummax(x, softness=softness)
        return out, jax.grad(fn, (0, 1))(x / 2, softness)

    for softness in (1e-4, 100.0):
        out, gradients = run(x, softness)
        np.testing.assert_allclose(out, np.maximum.accumulate(x), rtol=1e-6)
        assert all(np.all(np.isfinite(g)) for g in gradients)


# Name -> how hard ones are called
WITHOUT_NAN = {
    **{name: {} for name in ("nanmax", "nanmin", "nanmedian")},
    "nanquantile": dict(q=np.asarray([0.1, 0.6])),
    "nanpercentile": dict(q=np.asarray([10.0, 60.0])),
}


@each("name", list(WITHOUT_NAN), fast=("nanmax", "nanmedian"))
def test_without_nan(name):
    """Each row is what the operator is of its numbers alone."""
    x = np.asarray(X, np.float32).copy()
    x[0, [1, 4]] = x[1, 3] = np.nan
    x = np.concatenate([x, np.full((1, 6), np.nan, np.float32)])
    soft, plain = getattr(sj, name), getattr(sj, name.removeprefix("nan"))
    keywords = dict(WITHOUT_NAN[name], axis=1, keepdims=True)
    hard = getattr(jnp, name)(x, **keywords)
    np.testing.assert_allclose(soft(x, mode="hard", **keywords), hard, rtol=1e-6)
    found = soft(x, **keywords)
    np.testing.assert_array_equal(np.isnan(found), np.isnan(hard))
    # The references of these are in `test_operators.py`.
    alone = plain(x[1][~np.isnan(x[1])], **WITHOUT_NAN[name])
    np.testing.assert_allclose(found[..., 1, 0], alone, atol=1e-6)
    gradient = jax.grad(lambda x: jnp.nansum(soft(x, **keywords)))(x)
    assert np.all(np.isfinite(gradient))
    np.testing.assert_array_equal(gradient[np.isnan(x)], 0)
    assert np.all(np.abs(gradient).sum(1)[:2] > 0)


def test_masks_without_nan():
    x, where = np.asarray([-1.0, np.nan, -3.0]), np.asarray([False, True, True])
    for mode in ("hard", "smooth"):
        assert sj.nanmax(x, where=where, mode=mode) == -3
        np.testing.assert_array_equal(
            sj.nanargmax(x, where=where, mode=mode), [0, 0, 1]
        )


def test_weights_without_nan():
    x, weights = np.asarray([0.2, np.nan, 0.4], np.float32), np.asarray([1, 5, 2])
    for soft in (sj.nanmax, sj.nanmedian):
        found = soft(x, weights=weights)
        np.testing.assert_allclose(found, soft(x[[0, 2, 2]]), atol=1e-6)


def test_indices_without_nan():
    x = np.asarray([[0.2, np.nan, 0.3], [np.nan] * 3], np.float32)
    step = 1 / (1 + np.exp(-1))
    for soft, first in ((sj.nanargmax, 1 - step), (sj.nanargmin, step)):
        np.testing.assert_allclose(soft(x, 1)[0], [first, 0, 1 - first], atol=1e-6)
        np.testing.assert_array_equal(soft(x, 1)[1], 0)
        place = jnp.nanargmax(x[0]) if soft is sj.nanargmax else jnp.nanargmin(x[0])
        np.testing.assert_array_equal(soft(x, 1, mode="hard")[0], np.eye(3)[place])


def test_partitions():
    """Elements in front of a place are below those behind it."""
    x = jnp.asarray(X, jnp.float32)
    for kth in (0, 2, -1):
        for found in (
            sj.partition(x, kth, mode="hard"),
            sj.take_along_axis(x, sj.argpartition(x, kth, mode="hard")),
        ):
            assert np.all(found[:, :kth] <= found[:, [kth % 6]])
            expected = jnp.partition(x, kth)[:, kth]
            np.testing.assert_array_equal(found[:, kth], expected)
    for kth in (6, -7):
        with pytest.raises(ValueError, match="kth"):
            sj.partition(x, kth)
    with pytest.raises(TypeError, match="kth"):
        sj.argpartition(x, 1.0)
