"""The keyword `where`: `op(x, where=m)` is `op(x[m])` row by row."""

import inputs
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from assertions import assert_close
from cases import METHODS, REGULARIZERS
from parametrize import each, each_pair
from row_operators import ALL, INDICES, operators

import softjax as sj

SIZE = 6
# Odd, even and alone; masked elements are in front, behind and between.
WHERE = np.array([[1, 1, 0, 1, 1, 1], [0, 1, 1, 0, 1, 1], [0, 0, 0, 1, 0, 0]], bool)
# Behind the last, and of rows without any element.
BEYOND = {"sort": np.inf, "sort_descending": -np.inf, "top_k": -np.inf}
NOTHING = BEYOND | dict(max=-np.inf, min=np.inf, median=np.nan, quantile=np.nan)
NOTHING |= dict(rank=1, ranking=0)


def compute(names, x, direction, **keywords):
    """All results, and how they change along a direction."""

    @jax.jit
    def run(x, direction):
        def results(x):
            return {name: op(x, **keywords) for name, op in names.items()}

        return jax.jvp(results, (x,), (direction,))

    return run(jnp.asarray(x), jnp.asarray(direction))


def assert_rows(names, atol, where=WHERE, **keywords):
    rng = inputs.rng("where")
    x, direction = rng.normal(size=(2, *where.shape))
    hidden = rng.choice([np.nan, np.inf, 1e30], size=where.shape)
    masked = np.where(where, x, hidden), np.where(where, direction, 0)
    found = compute(names, *masked, where=where, **keywords)
    for row, here in enumerate(where):
        count = here.sum()
        few = compute(names, x[row, here], direction[row, here], **keywords)
        for order, (actual, exact) in enumerate(zip(found, few, strict=True)):
            for name, out in actual.items():
                out, wanted = np.asarray(out[row]), np.asarray(exact[name])
                if name in INDICES:
                    assert np.all(out[..., ~here] == 0)
                    assert np.all(out[len(wanted) :] == 0)
                    out = out[: len(wanted), here]
                elif name in ("rank", "ranking"):
                    behind = count + (name == "rank") if order == 0 else 0
                    assert np.all(out[~here] == behind)
                    out = out[here]
                else:
                    beyond = BEYOND.get(name) if order == 0 else 0
                    assert np.all(out[len(wanted) :] == beyond)
                    out = out[: len(wanted)]
                np.testing.assert_allclose(
                    out, wanted, atol=atol, rtol=atol, err_msg=f"{name} {row} {order}"
                )


@each_pair(REGULARIZERS, fast=dict.fromkeys(METHODS))
def test_rows_are_those_of_what_there_is(x64, case, method):
    names = operators(method)
    assert_rows(names, 1e-7, method=method, mode=case.regularizer, softness=0.4)


@each("method", METHODS, fast=())
def test_standardized_rows(x64, method):
    assert_rows(operators(method), 1e-7, method=method, standardize=True)


def test_hard_rows(x64):
    assert_rows(ALL, 1e-12, mode="hard")


@each("method", [*METHODS, "hard"], fast=("hard",))
def test_rows_without_elements(method):
    """Values are those of nothing, and nothing moves them."""
    keywords = dict(mode="hard") if method == "hard" else dict(method=method)
    names = operators(method)
    x = np.array([[np.nan, 1.0, np.inf], [0.2, 1.0, 0.7]], np.float32)
    where = np.array([[False] * 3, [True] * 3])
    values, moves = compute(names, x, np.ones_like(x), where=where, **keywords)
    whole, _ = compute(names, x[1], np.ones(3, np.float32), **keywords)
    for name, out in values.items():
        expected = 0 if name in INDICES else NOTHING[name]
        np.testing.assert_array_equal(out[0], np.full(out[0].shape, expected))
        assert_close(out[1], whole[name], atol=1e-5)
        assert np.all(np.asarray(moves[name])[0] == 0)


@pytest.mark.parametrize("mode", ["smooth", "c0", "hard"])
@pytest.mark.parametrize("method", ["ot", "hypersimplex"])
def test_masks(mode, method):
    """Sums are k, or as many as there are; absent candidates share what is left."""
    x = np.array([0.3, 5.0, -np.inf, 0.1, -np.inf, 0.9], np.float32)
    where = np.array([True, False, True, True, False, True])
    for k in (1, 2.5, 4, 6):
        y = np.asarray(sj.top_k_mask(x, k, mode=mode, method=method, where=where))
        expected = sj.top_k_mask(x[where], min(k, 4), mode=mode, method=method)
        assert np.all(y[~where] == 0)
        assert_close(y[where], expected, atol=1e-5)


@pytest.mark.parametrize("mode", ["smooth", "c1", "hard"])
def test_median_newton(mode, x64):
    rng = inputs.rng("median")
    x = rng.normal(size=WHERE.shape)
    out = sj.median_newton(np.where(WHERE, x, np.nan), -1, mode=mode, where=WHERE)
    for row, here in enumerate(WHERE):
        assert_close(out[row], sj.median_newton(x[row, here], mode=mode), atol=1e-9)
    assert np.isnan(sj.median_newton(x[0], mode=mode, where=False))


def test_any_axis_and_shape():
    """A mask broadcasts to the input, along one axis or several."""
    x = inputs.rng("axes").normal(size=(2, 3, 4)).astype(np.float32)
    where = np.array([[True], [False], [True]])
    found = sj.max(x, axis=(0, 1), where=where)
    assert_close(found, sj.max(x[:, [0, 2]], axis=(0, 1)), atol=1e-6)
    found = sj.sort(x, axis=1, where=where)
    assert_close(found[:, :2], sj.sort(x[:, [0, 2]], axis=1), atol=1e-6)
    assert np.all(np.asarray(found)[:, 2] == np.inf)
    assert_close(sj.sort(x, where=True), sj.sort(x), atol=1e-6)
    assert_close(
        jax.vmap(lambda x, w: sj.rank(x, where=w))(x[0], x[1] > 0),
        sj.rank(x[0], where=x[1] > 0),
        atol=1e-5,
    )
    st = sj.argmax_st(x, axis=1, where=where)
    assert_close(st[..., [0, 2]], sj.argmax(x[:, [0, 2]], axis=1, mode="hard"))


@each("method", METHODS, fast=("softsort",))
def test_infinite_elements_beside_masked_ones(method):
    x = np.array([np.inf, 0.3, -np.inf, np.nan, 0.1], np.float32)
    where = np.array([True, True, True, False, True])
    found = sj.sort(x, method=method, where=where)
    expected = sj.sort(x[where], method=method)
    assert_close(found[:4], expected, atol=1e-5)
    assert found[4] == np.inf
    ranks = sj.rank(x, method=method, where=where)
    assert_close(ranks[where], sj.rank(x[where], method=method), atol=1e-5)
    assert ranks[3] == 5


def test_errors():
    x = jnp.arange(3.0)
    with pytest.raises(TypeError, match=r"sort: where must be a Boolean array.*int"):
        sj.sort(x, where=jnp.array([1, 0, 1]))
    with pytest.raises(ValueError, match=r"max: where of shape \(2,\).*\(3,\)"):
        sj.max(x, where=np.array([True, False]))


@each("mode", ["smooth", "c0"], fast=("smooth",))
def test_long_rows_by_few_anchors(mode):
    """Sums of columns of long rows are formed in another way, to the same numbers."""
    size = 2**15
    x = inputs.rng("long").normal(size=size).astype(np.float32)
    where = np.arange(size) < size - 64

    def both(x, where):
        def value(x):
            values, index = sj.top_k(x, 2, method="ot", mode=mode, where=where)
            return jnp.sum(values), index.sum(axis=-1)

        (out, total), slope = jax.value_and_grad(value, has_aux=True)(x)
        return out, total, slope

    long, short = both(x, where), both(x[where], None)
    np.testing.assert_allclose(long[1], [1, 1], atol=1e-4)
    np.testing.assert_allclose(long[0], short[0], rtol=1e-5)
    scale = np.abs(short[2]).max()
    np.testing.assert_allclose(long[2][where], short[2], atol=1e-3 * scale)
    np.testing.assert_array_equal(long[2][~where], 0)
