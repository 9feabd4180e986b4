"""Axiswise operators as drop-in replacements: axes, shapes, types, errors."""

import functools
import itertools

import cases
import helpers
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

import softjax as sj

X = helpers.rng("axiswise").normal(size=(2, 3, 4)).astype(np.float32)
Q = np.asarray([[0.0, 0.3, 0.5], [0.77, 1.0, 0.25]], np.float32)
FEW = cases.pick(
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
@cases.each("name", list(REDUCTIONS), fast=("max", "median", "quantile"))
def test_reductions_follow_jax_numpy(name, axis):
    for keepdims in (False, True):
        expected = REDUCTIONS[name](X, axis=axis, keepdims=keepdims)
        hard = soft(name)(X, axis=axis, keepdims=keepdims, mode="hard")
        helpers.assert_close(hard, expected, atol=1e-6)
        smooth = soft(name)(X, axis=axis, keepdims=keepdims, softness=1e-4)
        helpers.assert_close(smooth, expected, atol=1e-2)


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
        helpers.assert_close(jnp.sum(index * values, axis=-1), expected)


@cases.each("descending", [False, True], fast=("True",))
@pytest.mark.parametrize("axis", AXES)
def test_sort_argsort_rank(axis, descending):
    expected = jnp.sort(X, axis=axis, descending=descending)
    order = jnp.argsort(X, axis=axis, descending=descending)
    ranks = scipy.stats.rankdata(-X if descending else X, axis=axis)
    ranks = ranks.reshape(expected.shape) if axis is None else ranks
    for keywords in (dict(mode="hard"), dict(softness=1e-4)):
        keywords |= dict(axis=axis, descending=descending)
        helpers.assert_close(sj.sort(X, **keywords), expected, atol=1e-3)
        index = sj.argsort(X, **keywords)
        assert index.shape == one_hot_shape(order, X, axis)
        np.testing.assert_array_equal(np.argmax(index, axis=-1), order)
        helpers.assert_close(sj.rank(X, **keywords), ranks, atol=1e-2)
        helpers.assert_close(sj.ranking(X, **keywords), ranks - 1, atol=1e-2)


@pytest.mark.parametrize("axis", [0, 1, -1])
def test_top_k(axis):
    moved = np.moveaxis(X, axis, -1)
    values, index = jax.lax.top_k(moved, 2)
    for keywords in (dict(mode="hard"), dict(softness=1e-4)):
        found, where = sj.top_k(X, 2, axis=axis, **keywords)
        helpers.assert_close(np.moveaxis(found, axis, -1), values, atol=1e-3)
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


@cases.each_pair(
    cases.pick(cases.REGULARIZERS, "smooth", "c0", "pseudohuber"),
    dict.fromkeys(cases.METHODS) | {"softsort": "smooth"},
    holds=cases.ignores_places,
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
    helpers.assert_close(out["largest"], expected["largest"])
    helpers.assert_close(out["other"], expected["largest"])
    helpers.assert_close(out["values"][:3], expected["values"])
    assert out["values"][3] == -np.inf
    helpers.assert_close(out["gradient"][there], expected["gradient"], atol=1e-5)
    assert np.all(out["gradient"][~there] == 0)
    nobody = all_of(np.full(5, -np.inf, np.float32), 4)
    assert nobody["largest"] == -np.inf
    assert np.all(nobody["values"] == -np.inf)
    if indices:
        helpers.assert_close(out["argmax"][there], expected["argmax"])
        assert np.all(out["argmax"][~there] == 0)
        helpers.assert_close(out["index"][:3, there], expected["index"])
        np.testing.assert_array_equal(out["index"][3], ~there / 2)
        np.testing.assert_allclose(nobody["argmax"], 0.2)


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


def test_softness_broadcasts():
    x = X[0]
    softness = np.asarray([[0.05], [0.5], [5.0]], np.float32)
    out = sj.sort(x, softness=softness)
    for row, alone in enumerate(softness[:, 0]):
        helpers.assert_close(out[row], sj.sort(x[row], softness=alone))
    helpers.assert_close(
        sj.argmax(x.T, axis=0, softness=softness[:, 0]),
        sj.argmax(x, axis=1, softness=softness),
    )
    gradient = jax.grad(lambda s: jnp.sum(sj.sort(x, softness=s)[:, 0]))(softness)
    assert gradient.shape == (3, 1)
    assert np.all(gradient != 0)


_OF_ROWS = ("argmax", "max", "argmin", "min", "argsort", "sort", "rank", "ranking")
_OF_ROWS += ("argmedian", "median", "median_newton", "quantile", "top_k", "top_k_mask")


@cases.each("name", list(_OF_ROWS), fast=("argsort", "quantile", "top_k_mask"))
def test_parameters_of_rows_move_with_the_axis(name):
    """Softness of each row, and k of a mask, with size 1 along any axis."""
    x = X[0][None]  # of three rows
    softness = np.asarray([0.05, 0.5, 5.0], np.float32)[None, :, None]
    k = np.asarray([1.0, 2.5, 3.0], np.float32)[None, :, None]

    further = {
        "quantile": lambda x, k, **kw: sj.quantile(x, 0.3, **kw),
        "top_k": lambda x, k, **kw: sj.top_k(x, 2, **kw)[0],
        "top_k_mask": sj.top_k_mask,
    }
    call = further.get(name, lambda x, k, **kw: getattr(sj, name)(x, **kw))

    @functools.partial(jax.jit, static_argnums=3)
    def run(x, softness, k, axis):
        return call(x, k, axis=axis, softness=softness)

    expected = run(x, softness, k, -1)
    helpers.assert_close(expected[0, 1], run(x[0, 1], 0.5, 2.5, 0), atol=1e-5)
    for axis in (0, 1):
        y = run(*(np.moveaxis(a, -1, axis) for a in (x, softness, k)), axis)
        if y.ndim == expected.ndim == 3 and y.shape != (1, 3, 4):
            y = np.moveaxis(y, axis, -1)
        if name == "argsort":
            y = np.moveaxis(y, axis, -2)
        helpers.assert_close(y, expected, atol=1e-5)


def test_gated_grad():
    """Without the gate, the gradient is the transposed soft permutation matrix."""
    x = X[0, 0]
    jacobian = jax.jacrev(lambda x: sj.sort(x, gated_grad=False))(x)
    helpers.assert_close(jacobian, sj.argsort(x))
    assert not np.allclose(jax.jacrev(sj.sort)(x), jacobian, atol=1e-3)


@cases.each("method", cases.INDEX_METHODS, fast=("softsort",))
def test_gated_grad_of_returned_indices(method):
    """An index keeps its gradient: a mask of selected features has to learn."""
    x = X[0, 0]
    weights = jnp.cos(jnp.arange(float(x.size)))

    def masked(x, gated_grad):
        values, index = sj.top_k(x, 2, method=method, gated_grad=gated_grad)
        return jnp.sum(index * weights), (values, index)

    run = jax.grad(masked, has_aux=True)
    gradient, (values, index) = run(x, False)
    expected, (same, _) = run(x, True)
    assert np.any(expected != 0)
    helpers.assert_close(gradient, expected)
    helpers.assert_close(values, same)
    jacobian = jax.jacrev(lambda x: sj.top_k(x, 2, method=method, gated_grad=False)[0])
    helpers.assert_close(jacobian(x), index)


def test_gated_grad_of_hard_operators():
    """There is nothing to stop, whatever the method."""
    for method in cases.METHODS:
        out = sj.sort(X, mode="hard", method=method, gated_grad=False)
        helpers.assert_close(out, np.sort(X))


@cases.each("method", cases.METHODS, fast=("softsort",))
def test_standardize(method):
    """Scale-free: the index is that of squashed z-scores, the values are averaged.

    Without an index, the values are those of squashed z-scores, in their old scale, or
    of the z-scores themselves where values may leave the range of what is squashed.
    """
    x = X[0]
    center, scale = x.mean(-1, keepdims=True), x.std(-1, keepdims=True)
    keys = 1 / (1 + np.exp(-(x - center) / scale))
    keywords = dict(method=method)
    values = sj.sort(x, standardize=True, **keywords)
    if method in cases.INDEX_METHODS:
        index = sj.argsort(x, standardize=True, **keywords)
        helpers.assert_close(index, sj.argsort(keys, **keywords))
        helpers.assert_close(values, np.einsum("bij,bj->bi", index, x))
    elif not cases.stays_in_range(method):
        expected = center + scale * np.asarray(
            sj.sort((x - center) / scale, **keywords)
        )
        helpers.assert_close(values, expected, atol=1e-5)
    else:
        ordered = np.asarray(sj.sort(keys, **keywords))
        restored = center + scale * np.log(ordered / (1 - ordered))
        helpers.assert_close(values, restored, atol=1e-5)
    scaled = sj.sort(1000 * x + 7, standardize=True, **keywords)
    helpers.assert_close(scaled / 1000, values + 7e-3, atol=1e-5)
    constant = jax.jacrev(lambda x: sj.sort(x, standardize=True, **keywords))(
        np.ones(3)
    )
    assert np.all(np.isfinite(constant))


def test_quantile_methods_and_traced_levels():
    for rule in ("linear", "lower", "higher", "midpoint", "nearest"):
        expected = np.quantile(X, Q, axis=1, method=rule)
        out = sj.quantile(X, Q, axis=1, quantile_method=rule, mode="hard")
        helpers.assert_close(out, expected, atol=1e-6)
        out = sj.quantile(X, Q, axis=1, quantile_method=rule, softness=1e-4)
        helpers.assert_close(out, expected, atol=1e-3)
    x = X[0, 0]
    slope = jax.jit(jax.grad(lambda q: sj.quantile(x, q, mode="hard")))(0.4)
    helpers.assert_close(slope, jax.grad(lambda q: jnp.quantile(x, q))(0.4), atol=1e-4)


@cases.each("operator", FEW, fast=("argsort", "quantile"))
def test_vmap_matches_batches(operator):
    x = X[0]
    mapped = jax.vmap(operator.call)(x)
    batch = operator.call(x)
    if "quantile" in operator.name:
        batch = np.moveaxis(batch, 1, 0)
    helpers.assert_close(mapped, batch)


ERRORS = [
    (lambda: sj.sort(X, mode="c"), ValueError, "mode='c'.*'hard'"),
    (lambda: sj.sort(X, mode="gated_c0"), ValueError, "gat.*'c0'"),
    (lambda: sj.sort(X, mode=3), TypeError, "mode"),
    (lambda: sj.sort(X, method="bubble"), ValueError, "'bubble'.*'softsort'"),
    (lambda: sj.sort(X, method=sj.methods.SoftSort), TypeError, r"SoftSort\(\)"),
    (lambda: sj.sort(X, solver="gauss"), ValueError, "'gauss'.*'newton'"),
    (lambda: sj.sort(X, solver=3), TypeError, "solver"),
    (lambda: sj.sort(X, mode="c2", solver="closed_form"), TypeError, "'newton'"),
    (lambda: sj.sort(X, softness=0.0), ValueError, "softness.*0.0.*hard"),
    (lambda: sj.sort(X, softness=-1), ValueError, "softness.*-1"),
    (lambda: sj.sort(X, softness=np.nan), ValueError, "softness"),
    (lambda: sj.sort(X, softness=None), TypeError, "softness"),
    (lambda: sj.sort(X, softness=np.ones(4)), ValueError, r"softness.*\(4,\)"),
    (lambda: sj.sort(X, axis=3), ValueError, "axis=3"),
    (lambda: sj.sort(X, axis=1.0), TypeError, "axis"),
    (lambda: sj.sort(X, axis=(0, 1)), TypeError, "axis"),
    (lambda: sj.max(X, axis=(0, 0)), ValueError, "twice"),
    (lambda: sj.max(np.zeros((2, 0)), axis=1), ValueError, "at least one"),
    (lambda: sj.top_k(X, 0), ValueError, "k=0"),
    (lambda: sj.top_k(X, 5), ValueError, "k=5.*4"),
    (lambda: sj.top_k(X, 1.0), TypeError, "k"),
    (lambda: sj.quantile(X, 1.1), ValueError, "q"),
    (lambda: sj.percentile(X, -1), ValueError, r"\[0, 100\]"),
    (lambda: sj.quantile(X, 0.5, quantile_method="no"), ValueError, "'linear'"),
    (lambda: sj.sort(X.astype(complex)), TypeError, "complex"),
    (lambda: sj.sort("abc"), TypeError, "x"),
    (lambda: sj.sort(X, softnes=1.0), TypeError, "softnes"),
    (lambda: sj.argsort(X, gated_grad=True), TypeError, "gated_grad"),
]


@pytest.mark.parametrize(("call", "error", "message"), ERRORS)
def test_errors(call, error, message):
    with pytest.raises(error, match=f"(?s){message}"):
        call()


def _refused():
    """What a method does not have, with its own regularizer, and others' without it."""
    for method in cases.METHODS:
        own = {case.name: case for case in cases.REGULARIZERS}[
            cases.REPRESENTATIVES[method]
        ]
        for operator in cases.OPERATORS:
            if operator.name == "top_k_index" or operator.kind == "mask":  # None
                continue
            if not cases.has(method, operator):
                yield operator, own, method, r"no soft indices.*'softsort'"
                continue
            for case in cases.REGULARIZERS:
                if not cases.takes(method, case):
                    name = type(case.regularizer).__name__
                    yield operator, case, method, rf"{name}\(.*mode.*method"


@pytest.mark.parametrize(
    ("operator", "case", "method", "message"),
    [
        pytest.param(*entry, id=f"{entry[0].name}-{entry[1].name}-{entry[2]}")
        for entry in _refused()
    ],
)
def test_what_a_method_refuses(operator, case, method, message):
    """The message says what to use in its place."""
    with pytest.raises(ValueError, match=f"(?s){message}"):
        operator.call(X[0], mode=case.mode, method=method)


@cases.each("method", cases.VALUE_METHODS, fast=("fast_soft_sort",))
def test_a_method_without_indices(method):
    values, index = sj.top_k(X[0], 2, method=method)
    helpers.assert_close(values, sj.sort(X[0], method=method)[:, :1:-1])
    assert index is None
    for call in (sj.sort, sj.max, lambda x, **kw: sj.top_k(x, 2, **kw)):
        with pytest.raises(ValueError, match=f"gated_grad=False.*'{method}'"):
            call(X[0], method=method, gated_grad=False)


class Halfway(sj.methods.ValueMethod):
    """A formulation with values only: half way to the mean."""

    def sort(self, sample, relaxation):
        ordered = -sample.ordered().support
        return (ordered + jnp.mean(ordered, axis=-1, keepdims=True)) / 2

    def rank(self, sample, relaxation):
        return jnp.full_like(sample.keys, (sample.size + 1) / 2)


class Plain(sj.methods.IndexMethod):
    """A formulation with nothing but argsort, which is SoftSort's."""

    def argsort(self, sample, relaxation):
        return sj.methods.SoftSort().argsort(sample, relaxation)


def test_a_value_method_of_the_users_own():
    x = X[0]
    expected = (np.sort(x) + x.mean(-1, keepdims=True)) / 2
    keywords = dict(method=Halfway())
    helpers.assert_close(sj.sort(x, **keywords), expected)
    helpers.assert_close(sj.max(x, axis=-1, **keywords), expected[:, -1])
    helpers.assert_close(sj.min(x, axis=-1, **keywords), expected[:, 0])
    helpers.assert_close(sj.median(x, axis=-1, **keywords), expected[:, 1:3].mean(-1))
    helpers.assert_close(
        sj.quantile(x, 0.25, axis=-1, **keywords), np.quantile(expected, 0.25, axis=-1)
    )
    values, index = sj.top_k(x, 2, **keywords)
    helpers.assert_close(values, expected[:, :1:-1])
    assert index is None
    for name in ("argmax", "argsort", "argmedian"):
        with pytest.raises(ValueError, match=r"Halfway.*softsort"):
            getattr(sj, name)(x, **keywords)
    with pytest.raises(ValueError, match="gated_grad"):
        sj.sort(x, gated_grad=False, **keywords)


def test_an_index_method_of_the_users_own():
    """All defaults, against SoftSort's own operators (but for the rank and median)."""
    x = X[0]
    for operator in cases.OPERATORS:
        if operator.name in ("rank", "ranking", "median", "argmedian"):
            continue
        expected = operator.call(x, method="softsort")
        helpers.assert_close(operator.call(x, method=Plain()), expected, atol=1e-5)
    index = np.asarray(sj.argsort(x))
    ranks = (index * np.arange(1, 5)[:, None]).sum(-2) / index.sum(-2)
    helpers.assert_close(sj.rank(x, method=Plain()), 5 - ranks, atol=1e-5)
    middle = index[:, 1:3].mean(1)
    helpers.assert_close(sj.argmedian(x, axis=-1, method=Plain()), middle, atol=1e-5)
