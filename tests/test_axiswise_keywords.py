"""Keywords of axiswise operators: softness, gated_grad, standardize, levels."""

import functools

import cases
import facts
import inputs
import jax
import jax.numpy as jnp
import numpy as np
import parametrize
import pytest
from assertions import assert_close

import softjax as sj

X = inputs.rng("axiswise").normal(size=(2, 3, 4)).astype(np.float32)
Q = np.asarray([[0.0, 0.3, 0.5], [0.77, 1.0, 0.25]], np.float32)


def test_softness_broadcasts():
    x = X[0]
    softness = np.asarray([[0.05], [0.5], [5.0]], np.float32)
    out = sj.sort(x, softness=softness)
    for row, alone in enumerate(softness[:, 0]):
        assert_close(out[row], sj.sort(x[row], softness=alone))
    assert_close(
        sj.argmax(x.T, axis=0, softness=softness[:, 0]),
        sj.argmax(x, axis=1, softness=softness),
    )
    gradient = jax.grad(lambda s: jnp.sum(sj.sort(x, softness=s)[:, 0]))(softness)
    assert gradient.shape == (3, 1)
    assert np.all(gradient != 0)


_OF_ROWS = ("argmax", "max", "argmin", "min", "argsort", "sort", "rank", "ranking")
_OF_ROWS += ("argmedian", "median", "median_newton", "quantile", "top_k", "top_k_mask")


@parametrize.each("name", list(_OF_ROWS), fast=("argsort", "quantile", "top_k_mask"))
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
    assert_close(expected[0, 1], run(x[0, 1], 0.5, 2.5, 0), atol=1e-5)
    for axis in (0, 1):
        y = run(*(np.moveaxis(a, -1, axis) for a in (x, softness, k)), axis)
        if y.ndim == expected.ndim == 3 and y.shape != (1, 3, 4):
            y = np.moveaxis(y, axis, -1)
        if name == "argsort":
            y = np.moveaxis(y, axis, -2)
        assert_close(y, expected, atol=1e-5)


def test_gated_grad():
    """Without the gate, the gradient is the transposed soft permutation matrix."""
    x = X[0, 0]
    jacobian = jax.jacrev(lambda x: sj.sort(x, gated_grad=False))(x)
    assert_close(jacobian, sj.argsort(x))
    assert not np.allclose(jax.jacrev(sj.sort)(x), jacobian, atol=1e-3)


@parametrize.each("method", cases.INDEX_METHODS, fast=("softsort",))
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
    assert_close(gradient, expected)
    assert_close(values, same)
    jacobian = jax.jacrev(lambda x: sj.top_k(x, 2, method=method, gated_grad=False)[0])
    assert_close(jacobian(x), index)


@pytest.mark.parametrize(
    ("call", "times"), [(sj.sort, 1), (lambda x, **kw: sj.top_k(x, 2, **kw), 2)]
)
def test_gated_grad_solves_values_once(call, times):
    """And once more for an index that is returned, which has its own gradient."""
    solved = []

    class Counted(sj.methods.IndexMethod):
        def argsort(self, sample, relaxation):
            solved.append(sample)
            return sj.methods.SoftSort().argsort(sample, relaxation)

    call(X, method=Counted(), gated_grad=False)
    assert len(solved) == times


def test_without_a_gate_only_what_is_averaged_moves():
    """Neither softness, level, weights nor what the mode and the method are made of."""
    x, gated = X[0, 0], dict(gated_grad=False)

    @jax.jit
    def values(softness, level, weights, scale):
        mode = sj.solvers.Scaled(sj.solvers.Entropy(), scale)
        given = dict(softness=softness, mode=mode, **gated)
        fused = sj.methods.Fused(strength=level)
        return jnp.stack(
            [
                sj.max(x, weights=weights, **given),
                sj.max(x, method=fused, softness=softness, mode="c0", **gated),
                sj.quantile(x, level, **given),
                jnp.sum(sj.top_k(x, 2, **given)[0]),
            ]
        )

    args = 0.1, 0.3, jnp.array([1.0, 2.0, 0.5, 1.0]), 1.5
    for jacobian in jax.jit(jax.jacrev(values, (0, 1, 2, 3)))(*args):
        np.testing.assert_array_equal(jacobian, 0)
    # An index that is returned has its own.
    index = lambda s: sj.top_k(x, 2, softness=s, **gated)[1]  # noqa: E731
    assert np.any(jax.jacfwd(index)(0.1) != 0)


def test_gated_grad_of_hard_operators():
    """There is nothing to stop, whatever the method."""
    for method in cases.METHODS:
        out = sj.sort(X, mode="hard", method=method, gated_grad=False)
        assert_close(out, np.sort(X))


@parametrize.each("method", cases.METHODS, fast=("softsort",))
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
        assert_close(index, sj.argsort(keys, **keywords))
        assert_close(values, np.einsum("bij,bj->bi", index, x))
    elif not facts.stays_in_range(method):
        expected = center + scale * np.asarray(
            sj.sort((x - center) / scale, **keywords)
        )
        assert_close(values, expected, atol=1e-5)
    else:
        # Which have no unit, and are not divided by their deviation.
        plain = {"fast_soft_sort": sj.methods.FastSoftSort(scale=1)}.get(method, method)
        ordered = np.asarray(sj.sort(keys, method=plain))
        restored = center + scale * np.log(ordered / (1 - ordered))
        assert_close(values, restored, atol=1e-5)
    scaled = sj.sort(1000 * x + 7, standardize=True, **keywords)
    assert_close(scaled / 1000, values + 7e-3, atol=1e-5)
    constant = jax.jacrev(lambda x: sj.sort(x, standardize=True, **keywords))(
        np.ones(3)
    )
    assert np.all(np.isfinite(constant))


def test_quantile_methods_and_traced_levels():
    for rule in ("linear", "lower", "higher", "midpoint", "nearest"):
        expected = np.quantile(X, Q, axis=1, method=rule)
        out = sj.quantile(X, Q, axis=1, quantile_method=rule, mode="hard")
        assert_close(out, expected, atol=1e-6)
        out = sj.quantile(X, Q, axis=1, quantile_method=rule, softness=1e-4)
        assert_close(out, expected, atol=1e-3)
    x = X[0, 0]
    slope = jax.jit(jax.grad(lambda q: sj.quantile(x, q, mode="hard")))(0.4)
    assert_close(slope, jax.grad(lambda q: jnp.quantile(x, q))(0.4), atol=1e-4)


def test_traced_levels_beyond_the_ends():
    """They can't be refused, and are the nearest that there is, as of `jnp`."""
    x, ids = X[0, 0], np.zeros(4, int)

    @jax.jit
    def run(q):
        hard, given = dict(mode="hard"), dict(quantile_method="inverted_cdf")
        return [
            sj.quantile(x, q, **hard),
            sj.quantile(x, q, softness=1e-4),
            sj.quantile(x, q, **hard, **given),
            sj.percentile(x, 100 * q, softness=1e-4, **given),
            sj.segment.quantile(x, ids, q, 1, **hard)[0],
        ]

    for q, expected in ((-0.2, x.min()), (1.2, x.max())):
        for found in run(q):
            assert_close(found, expected, atol=1e-3)
