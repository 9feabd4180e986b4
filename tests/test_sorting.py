"""Sorting with the permutation, against NumPy."""

import hypothesis
import hypothesis.extra.numpy as hnp
import hypothesis.strategies as st
import inputs
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from assertions import assert_close

from softjax_solvers._kernels.sorting import kth_largest
from softjax_solvers.internal import (
    invert,
    largest,
    permute,
    reorder,
    sort_with_permutation,
    tie_groups,
)

_sort = jax.jit(sort_with_permutation)


def check(x):
    """Against a stable NumPy sort; XLA flushes subnormal numbers, which thus tie."""
    values, permutation = _sort(jnp.asarray(x))
    flushed = np.where(np.abs(x) < np.finfo(x.dtype).tiny, 0, x)
    expected = np.argsort(flushed, axis=-1, kind="stable")
    np.testing.assert_array_equal(permutation, expected)
    np.testing.assert_array_equal(values, np.take_along_axis(x, expected, axis=-1))
    assert values.dtype == x.dtype


@hypothesis.given(
    hnp.arrays(
        np.float32,
        (3, 9),
        elements=st.one_of(
            st.floats(width=32, allow_nan=False, allow_subnormal=False),
            st.sampled_from([0.0, -0.0, 1.0, -1.0, np.inf, -np.inf]),
        ),
    )
)
def test_float32(x):
    check(x)


@hypothesis.given(
    hnp.arrays(
        np.float64,
        (3, 9),
        elements=st.one_of(
            st.floats(allow_nan=False, allow_subnormal=False),
            st.sampled_from([0.0, -0.0, 1.0, -1.0, np.inf, -np.inf]),
        ),
    )
)
def test_float64(x):
    with jax.enable_x64(True):
        check(x)


_FINITE = st.floats(width=32, allow_nan=False, allow_subnormal=False)
_kth = jax.jit(kth_largest)


@hypothesis.given(
    x=hnp.arrays(np.float32, (2, 9), elements=_FINITE | st.just(-0.0)),
    k=st.lists(st.integers(1, 9), min_size=2, max_size=2),
)
def test_kth_largest(x, k):
    """The k-th largest in every floating type; 16 bits tell the elements apart."""
    k = np.asarray(k)[:, None]
    with jax.enable_x64(True):
        for dtype in (np.float16, np.float32, np.float64):
            wide = np.clip(x, -6e4, 6e4).astype(dtype)
            wide = np.where(np.abs(wide) < np.finfo(dtype).tiny, 0, wide)
            expected = np.take_along_axis(-np.sort(-wide, axis=-1), k - 1, axis=-1)
            found = _kth(jnp.asarray(wide), jnp.asarray(k, jnp.int32))
            np.testing.assert_array_equal(found, expected)


_largest = jax.jit(largest, static_argnums=1)


@hypothesis.given(x=hnp.arrays(np.float32, (2, 6), elements=_FINITE | st.just(np.inf)))
def test_largest(x):
    """The largest in every floating type; of equals, the first come first."""
    with jax.enable_x64(True):
        for dtype in (np.float16, np.float32, np.float64):
            wide = np.clip(x, -6e4, 6e4).astype(dtype)
            wide = np.where(np.abs(wide) < np.finfo(dtype).tiny, 0, wide)
            order = np.argsort(-wide, axis=-1, kind="stable")
            for k in (1, 4, 6):
                found, places = _largest(jnp.asarray(wide), k)
                np.testing.assert_array_equal(places, order[:, :k])
                expected = np.take_along_axis(wide, order[:, :k], axis=-1)
                np.testing.assert_array_equal(found, expected)
                assert found.dtype == dtype


@pytest.mark.slow
def test_derivatives_of_the_largest():
    """Derivatives are those of the entries found, to second order and under `vmap`."""
    x = jnp.asarray(inputs.rng("largest").normal(size=(2, 3, 7)), jnp.float32)
    order = np.argsort(-x, axis=-1)[..., :2]

    def total(x):
        return jnp.sum(jnp.asarray([1.0, 3.0]) * largest(x, 2)[0] ** 2)

    expected = np.zeros_like(x)
    found = np.take_along_axis(np.asarray(x), order, axis=-1)
    np.put_along_axis(expected, order, 2 * np.array([1, 3], np.float32) * found, -1)
    assert_close(jax.grad(total)(x), expected, atol=0)
    mapped = jax.vmap(jax.vmap(jax.grad(total)), 1, 1)(x)
    assert_close(mapped, expected, atol=0)
    curvature = jax.hessian(total)(x[0, 0])
    diagonal = np.zeros(7)
    diagonal[order[0, 0]] = 2, 6
    assert_close(curvature, np.diag(diagonal), atol=0)


def test_zeros_are_ties():
    x = jnp.asarray([0.0, -0.0, 1.0, -0.0, 0.0, -1.0])
    np.testing.assert_array_equal(_sort(x)[1], [5, 0, 1, 3, 4, 2])


@pytest.mark.x64
def test_long():
    rng = inputs.rng("long")
    dtype = jnp.zeros(()).dtype
    check(rng.normal(size=(2, 3000)).astype(dtype))
    check(rng.integers(-20, 20, size=3000).astype(dtype))
    check(np.zeros((1, 1), dtype))
    check(np.zeros((0, 4), dtype))


@pytest.mark.x64
def test_derivatives_follow_the_permutation():
    rng = inputs.rng("permuted")
    x, cotangent = jnp.asarray(rng.normal(size=(2, 3, 7)))
    order = np.argsort(x, axis=-1, kind="stable")

    @jax.jit
    def derivatives(x, v):
        def values(x):
            return sort_with_permutation(x)[0]

        _, tangent = jax.jvp(values, (x,), (v,))
        (transposed,) = jax.vjp(values, x)[1](v)
        return tangent, transposed, jax.vmap(values)(x)

    tangent, transposed, batched = derivatives(x, cotangent)
    np.testing.assert_array_equal(tangent, np.take_along_axis(cotangent, order, -1))
    expected = np.zeros_like(x)
    np.put_along_axis(expected, order, cotangent, -1)
    np.testing.assert_array_equal(transposed, expected)
    np.testing.assert_array_equal(batched, np.sort(x, axis=-1))


def test_ties_keep_their_derivatives_apart():
    jacobian = jax.jacrev(lambda x: sort_with_permutation(x)[0])
    expected = [[0.0, 1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]]
    assert_close(jacobian(jnp.asarray([2.0, 1.0, 2.0])), expected, atol=0)


def test_invert_and_permute():
    rng = inputs.rng("invert")
    permutation = rng.permuted(np.tile(np.arange(8), (2, 3, 1)), axis=-1)
    inverse = invert(jnp.asarray(permutation))
    np.testing.assert_array_equal(inverse, np.argsort(permutation, axis=-1))
    x = jnp.asarray(rng.normal(size=permutation.shape))
    np.testing.assert_array_equal(permute(permute(x, permutation), inverse), x)


@hypothesis.given(
    st.lists(st.integers(0, 4), min_size=8, max_size=8).map(sorted),
    st.lists(st.booleans(), min_size=8, max_size=8),
)
def test_tie_groups(values, where):
    s = np.asarray(values, np.float32)
    for mask in (None, np.asarray(where)):
        known = np.ones(8, bool) if mask is None else mask
        start, end = tie_groups(jnp.asarray(s), mask)
        for i in range(8):
            low = high = i
            while low and (s[low - 1], known[low - 1]) == (s[i], known[i]):
                low -= 1
            while high < 8 and (s[high], known[high]) == (s[i], known[i]):
                high += 1
            assert (start[i], end[i]) == (low, high)


def test_exported_with_symbolic_sizes():
    """One program for any size."""
    n = jax.export.symbolic_shape("b, n")
    shape = jax.ShapeDtypeStruct(n, jnp.float32)
    program = jax.export.export(_sort)(shape)
    x = inputs.rng("export").normal(size=(3, 7)).astype(np.float32)
    values, permutation = program.call(x)
    np.testing.assert_array_equal(permutation, np.argsort(x, axis=-1, kind="stable"))
    np.testing.assert_array_equal(values, np.sort(x, axis=-1))


@pytest.mark.slow
@pytest.mark.parametrize("axis", [-1, -2])
def test_reorder_is_transposed_by_its_inverse(axis):
    """Without a scatter, in both modes and of second derivatives."""
    rng = inputs.rng("reorder")
    x, v, weights = rng.normal(size=(3, 2, 5, 5))
    place = np.argsort(rng.uniform(size=(2, 5)), axis=-1)
    place = place[:, None, :] if axis == -1 else place[..., None]
    inverse = np.argsort(place, axis=axis)

    def fn(x):
        return reorder(x, jnp.asarray(place), jnp.asarray(inverse), axis)

    def loss(x):
        return jnp.sum(weights * fn(x) ** 2)

    def take(x, place):
        return np.take_along_axis(x, place, axis)

    out, move = jax.jvp(fn, (x,), (v,))
    assert_close(out, take(x, place))
    assert_close(move, take(v, place))
    slope, bend = jax.jvp(jax.grad(loss), (x,), (v,))
    assert_close(slope, 2 * x * take(weights, inverse))
    assert_close(bend, 2 * v * take(weights, inverse))
    assert "scatter" not in jax.jit(jax.grad(loss)).lower(x).as_text()
