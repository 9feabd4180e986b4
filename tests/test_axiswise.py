"""Axiswise operators as drop-in replacements: axes, shapes and types."""

import functools
import itertools

import cases
import facts
import inputs
import jax
import jax.numpy as jnp
import numpy as np
import parametrize
import pytest
import scipy.stats
from assertions import assert_close

import softjax as sj

X = inputs.rng("axiswise").normal(size=(2, 3, 4)).astype(np.float32)
Q = np.asarray([[0.0, 0.3, 0.5], [0.77, 1.0, 0.25]], np.float32)
FEW = parametrize.pick(
    cases.OPERATORS,
    *("argmax", "argsort", "quantile", "top_k_values", "rank", "top_k_mask"),
)
slow = functools.partial(pytest.param, marks=pytest.mark.slow)
AXES = [None, 1, slow(0), slow(-1), slow(np.int64(2))]


def one_hot_shape(jax_index, x, axis):
    return (*np.shape(jax_index), x.size if axis is None else x.shape[axis])


REDUCTIONS = {
    "max": jnp.max,
    "min": jnp.min,
    "median": jnp.median,
    "median_newton": jnp.median,
    "quantile": lambda x, **kw: np.quantile(x, Q, **kw),
    "percentile": lambda x, **kw: np.percentile(x, 100 * Q, **kw),
}
SOFT = {
    "quantile": lambda x, **kw: sj.quantile(x, Q, **kw),
    "percentile": lambda x, **kw: sj.percentile(x, 100 * Q, **kw),
    "argquantile": lambda x, **kw: sj.argquantile(x, Q, **kw),
    "argpercentile": lambda x, **kw: sj.argpercentile(x, 100 * Q, **kw),
}


def soft(name):
    return SOFT.get(name, getattr(sj, name))


@pytest.mark.parametrize("axis", [*AXES, (-1, 1), slow((0, 2)), slow((0, 1, 2))])
@parametrize.each("name", list(REDUCTIONS), fast=("max", "median", "quantile"))
def test_reductions_follow_jax_numpy(name, axis):
    for keepdims in (False, True):
        expected = REDUCTIONS[name](X, axis=axis, keepdims=keepdims)
        hard = soft(name)(X, axis=axis, keepdims=keepdims, mode="hard")
        assert_close(hard, expected, atol=1e-6)
        smooth = soft(name)(X, axis=axis, keepdims=keepdims, softness=1e-4)
        assert_close(smooth, expected, atol=1e-2)


@pytest.mark.parametrize("axis", AXES)
@pytest.mark.parametrize("name", ["argmax", "argmin"])
def test_soft_indices_put_the_candidates_last(name, axis):
    for keepdims, mode in itertools.product((False, True), ("hard", "smooth")):
        index = getattr(jnp, name)(X, axis=axis, keepdims=keepdims)
        out = getattr(sj, name)(
            X, axis=axis, keepdims=keepdims, mode=mode, softness=1e-3
        )
        assert out.shape == one_hot_shape(index, X, axis)
        np.testing.assert_array_equal(np.argmax(out, axis=-1), index)


@pytest.mark.parametrize("axis", AXES)
@pytest.mark.parametrize(
    ("name", "value"), [("argquantile", "quantile"), ("argmedian", "median")]
)
def test_soft_indices_of_quantiles(name, value, axis):
    """Their mean of x is the quantile itself."""
    flat = X.reshape(-1) if axis is None else np.moveaxis(X, axis, -1)
    for keepdims, mode in itertools.product((False, True), ("hard", "smooth")):
        index = soft(name)(X, axis=axis, keepdims=keepdims, mode=mode)
        expected = soft(value)(X, axis=axis, keepdims=keepdims, mode=mode)
        assert index.shape == (*expected.shape, flat.shape[-1])
        values = (
            flat if axis is None or not keepdims else np.expand_dims(flat, axis % 3)
        )
        assert_close(jnp.sum(index * values, axis=-1), expected)


@parametrize.each("descending", [False, True], fast=("True",))
@pytest.mark.parametrize("axis", AXES)
def test_sort_argsort_rank(axis, descending):
    expected = jnp.sort(X, axis=axis, descending=descending)
    order = jnp.argsort(X, axis=axis, descending=descending)
    ranks = scipy.stats.rankdata(-X if descending else X, axis=axis)
    ranks = ranks.reshape(expected.shape) if axis is None else ranks
    for keywords in (dict(mode="hard"), dict(softness=1e-4)):
        keywords |= dict(axis=axis, descending=descending)
        assert_close(sj.sort(X, **keywords), expected, atol=1e-3)
        index = sj.argsort(X, **keywords)
        assert index.shape == one_hot_shape(order, X, axis)
        np.testing.assert_array_equal(np.argmax(index, axis=-1), order)
        assert_close(sj.rank(X, **keywords), ranks, atol=1e-2)
        assert_close(sj.ranking(X, **keywords), ranks - 1, atol=1e-2)


@pytest.mark.parametrize("axis", [0, 1, -1])
def test_top_k(axis):
    moved = np.moveaxis(X, axis, -1)
    values, index = jax.lax.top_k(moved, 2)
    for keywords in (dict(mode="hard"), dict(softness=1e-4)):
        found, where = sj.top_k(X, 2, axis=axis, **keywords)
        assert_close(np.moveaxis(found, axis, -1), values, atol=1e-3)
        where = np.moveaxis(where, axis % 3, -2)
        assert where.shape == (*index.shape, X.shape[axis])
        np.testing.assert_array_equal(np.argmax(where, axis=-1), index)


def test_hard_ties():
    x = jnp.asarray([2.0, 1.0, 2.0, 1.0])
    one_hot = np.eye(4)
    hard = dict(mode="hard")
    np.testing.assert_array_equal(sj.argmax(x, **hard), one_hot[0])
    np.testing.assert_array_equal(sj.argmin(x, **hard), one_hot[1])
    np.testing.assert_array_equal(sj.argsort(x, **hard), one_hot[[1, 3, 0, 2]])
    np.testing.assert_array_equal(sj.top_k(x, 3, **hard)[1], one_hot[[0, 2, 1]])
    np.testing.assert_array_equal(sj.rank(x, **hard), [1.5, 3.5, 1.5, 3.5])
    # Softly, equals share.
    np.testing.assert_allclose(sj.rank(x, softness=1e-3), [1.5, 3.5, 1.5, 3.5])
    np.testing.assert_allclose(sj.argmax(x, softness=1e-3), [0.5, 0, 0.5, 0])


@parametrize.each_pair(
    parametrize.pick(cases.REGULARIZERS, "smooth", "c0", "pseudohuber"),
    dict.fromkeys(cases.METHODS) | {"softsort": "smooth"},
    holds=facts.ignores_places,
)
def test_absent_candidates(case, method):
    """-inf is as good as not there: for a maximum and for top-k."""

    indices = method in cases.INDEX_METHODS

    @functools.partial(jax.jit, static_argnums=1)
    def all_of(x, k):
        keywords = dict(method=method, mode=case.mode)

        def total(x):
            values, index = sj.top_k(x, k, **keywords)
            return jnp.sum(values[:3]), (values, index)

        gradient, (values, index) = jax.grad(total, has_aux=True)(x)
        out = dict(
            largest=sj.max(x, **keywords),
            other=-sj.min(-x, **keywords),
            values=values,
            gradient=gradient,
        )
        if indices:
            out |= dict(argmax=sj.argmax(x, **keywords), index=index)
        return out

    x = np.asarray([0.5, -np.inf, 1.5, -np.inf, 1.0], np.float32)
    there = np.isfinite(x)
    out = {name: np.asarray(value) for name, value in all_of(x, 4).items()}
    expected = all_of(x[there], 3)
    assert_close(out["largest"], expected["largest"])
    assert_close(out["other"], expected["largest"])
    assert_close(out["values"][:3], expected["values"])
    assert out["values"][3] == -np.inf
    assert_close(out["gradient"][there], expected["gradient"], atol=1e-5)
    assert np.all(out["gradient"][~there] == 0)
    nobody = all_of(np.full(5, -np.inf, np.float32), 4)
    assert nobody["largest"] == -np.inf
    assert np.all(nobody["values"] == -np.inf)
    if indices:
        assert_close(out["argmax"][there], expected["argmax"])
        assert np.all(out["argmax"][~there] == 0)
        assert_close(out["index"][:3, there], expected["index"])
        np.testing.assert_array_equal(out["index"][3], ~there / 2)
        assert_close(nobody["argmax"], np.full(5, 0.2))


@pytest.mark.slow
@pytest.mark.parametrize("dtype", [jnp.float16, jnp.bfloat16])
def test_floating_types_are_kept(dtype):
    x = jnp.asarray([0.5, -1.0, 2.0, 0.25], dtype)
    for operator in FEW:
        out = operator.call(x)
        assert out.dtype == dtype, operator.name
        wide = operator.call(x.astype(jnp.float32))
        np.testing.assert_allclose(
            out.astype(np.float32), wide, atol=float(jnp.finfo(dtype).eps) * 4
        )
    assert jax.grad(lambda x: sj.sort(x)[0])(x).dtype == dtype


@pytest.mark.x64
@pytest.mark.parametrize("dtype", [np.int8, np.int32, bool])
def test_integers_promote_like_mean(dtype):
    x = np.asarray([3, 0, 2, 1]).astype(dtype)
    assert sj.sort(x).dtype == jnp.mean(x).dtype
    assert sj.argmax(x).dtype == jnp.mean(x).dtype


@pytest.mark.x64
def test_float64_is_kept(x64):
    assert sj.sort(np.asarray([1.0, 0.0])).dtype == np.float64


def test_empty_batches_and_lists():
    assert sj.sort(jnp.zeros((0, 3))).shape == (0, 3)
    assert sj.argmax(jnp.zeros((0, 3)), axis=-1).shape == (0, 3)
    assert sj.top_k(jnp.zeros((2, 0, 3)), 2)[1].shape == (2, 0, 2, 3)
    assert sj.rank([3.0, 1.0]).shape == (2,)
    assert sj.max(2.0) == 2.0


@parametrize.each("operator", FEW, fast=("argsort", "quantile"))
def test_vmap_matches_batches(operator):
    x = X[0]
    mapped = jax.vmap(operator.call)(x)
    batch = operator.call(x)
    if "quantile" in operator.name:
        batch = np.moveaxis(batch, 1, 0)
    assert_close(mapped, batch)
