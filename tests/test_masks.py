"""Samples with a mask: `op(x, where)` is `op(x[where])`, row by row."""

import inputs
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from assertions import assert_close
from cases import INDEX_METHODS, METHODS, REGULARIZERS, Case
from parametrize import each, each_pair, pick

import softjax as sj
from softjax.methods import IndexMethod, Intervals, Relaxation, Sample
from softjax.methods.hard import Hard

SIZE = 6
# Odd, even, and alone; masked elements are in front, behind and between.
WHERE = np.array([[1, 1, 0, 1, 1, 1], [0, 1, 1, 0, 1, 1], [0, 0, 0, 1, 0, 0]], bool)
LEVELS = np.array([0.0, 0.3, 0.5, 1.0])
QUANTILES = dict(linear=LEVELS, midpoint=LEVELS, nearest=LEVELS, higher=LEVELS)
(SMOOTH,) = pick(REGULARIZERS, "smooth")


class Columns(IndexMethod):
    """A formulation with nothing but argsort, to which all defaults apply."""

    def argsort(self, sample, relaxation):
        return sj.methods.NeuralSort().argsort(sample, relaxation)


def operators(method, sample: Sample, relaxation: Relaxation) -> dict[str, jax.Array]:
    """All results of a method: those with an axis of positions have it first."""
    out = dict(
        sort=method.sort(sample, relaxation),
        rank=method.rank(sample, relaxation),
        max=method.max(sample, relaxation)[..., None],
        median=method.median(sample, relaxation)[..., None],
        top=method.top_k(sample, relaxation, 1)[0],
    )
    for name, levels in QUANTILES.items():
        cells = sample.quantile_cells(jnp.asarray(levels), name)
        out[name] = method.quantile(sample, relaxation, cells)
    if isinstance(method, sj.methods.ValueMethod):
        return out
    levels = sample.quantile_cells(jnp.asarray(LEVELS))
    return out | dict(
        argsort=method.argsort(sample, relaxation),
        argmax=method.argmax(sample, relaxation)[..., None, :],
        argmedian=method.argmedian(sample, relaxation)[..., None, :],
        argtop=method.top_k(sample, relaxation, 1)[1],
        argquantile=method.argquantile(sample, relaxation, levels),
    )


def standardized(x: jax.Array, where: jax.Array | None) -> Sample:
    """A sample that compares other numbers than it averages."""
    center, scale = jnp.full(1, 0.2), jnp.full(1, 1.5)
    keys = jax.nn.sigmoid((x - center) / scale)
    return Sample(keys, x, where, center=center, scale=scale)


def plain(x: jax.Array, where: jax.Array | None) -> Sample:
    return Sample(x, where=where)


def values_and_tangents(method, mode, x, direction, where=None, make=plain):
    """Results, and their derivatives along a direction, in one program."""

    @jax.jit
    def run(x, direction, where):
        relaxation = Relaxation(mode, jnp.full(1, 0.3, x.dtype))

        def results(x):
            return operators(method, make(x, where), relaxation)

        return jax.jvp(results, (x,), (direction,))

    return jax.device_get(run(x, direction, where))


def assert_row_by_row(method, mode, atol: float, make=plain):
    rng = inputs.rng("masks")
    x, direction = rng.normal(size=(2, *WHERE.shape))
    # Whatever is masked, and however it moves, makes no difference.
    x = np.where(WHERE, x, 50 * x)
    found = values_and_tangents(method, mode, x, direction, WHERE, make)
    for row, here in enumerate(WHERE):
        few, moves = x[row, here], direction[row, here]
        expected = values_and_tangents(method, mode, few, moves, make=make)
        for actual, exact in zip(found, expected, strict=True):
            for name, out in actual.items():
                out = out[row]
                if out.shape[-1] == SIZE:
                    assert name in ("sort", "rank") or np.all(
                        out[: here.sum(), ~here] == 0
                    )
                    out = out[..., : here.sum()] if name == "sort" else out[..., here]
                out = out[: here.sum()] if name == "argsort" else out
                np.testing.assert_allclose(
                    out, exact[name], atol=atol, rtol=atol, err_msg=f"{name} {row}"
                )


# By default, `test_where.py` has operators with masks.
@each_pair(REGULARIZERS, fast=dict.fromkeys(METHODS))
def test_masked_rows_are_those_of_what_is_left(x64, case: Case, method):
    chosen = sj.methods.get_method(method)
    assert_row_by_row(chosen, case.regularizer, atol=2e-8)


@each("method", METHODS, fast=())
def test_masked_rows_of_standardized_samples(x64, method):
    chosen = sj.methods.get_method(method)
    assert_row_by_row(chosen, SMOOTH.regularizer, atol=2e-8, make=standardized)


@each("network", ["bitonic", "odd_even"], fast=())
def test_networks_compare_what_is_left(x64, network):
    method = sj.methods.SortingNetwork(network)
    assert_row_by_row(method, SMOOTH.regularizer, atol=1e-9)


@pytest.mark.slow
def test_defaults_of_index_methods(x64):
    assert_row_by_row(Columns(), SMOOTH.regularizer, atol=1e-9)


def test_hard_mode(x64):
    assert_row_by_row(Hard(), SMOOTH.regularizer, atol=1e-12)


def test_hard_mode_with_infinite_elements():
    """Elements of -inf take part, masked ones do not, whatever they are."""
    x = jnp.array([[9.0, -np.inf, 1.0, -np.inf], [-np.inf, 9.0, 9.0, -np.inf]])
    where = jnp.array([[False, True, True, True], [True, False, False, False]])
    sample, none = Sample(x, where=where), Relaxation(sj.solvers.Entropy(), jnp.ones(1))
    hard = Hard()
    np.testing.assert_array_equal(
        hard.argsort(sample, none)[0], np.eye(4)[[2, 1, 3, 0]] * [[1], [1], [1], [0]]
    )
    np.testing.assert_array_equal(hard.argmax(sample, none)[1], [1, 0, 0, 0])
    np.testing.assert_array_equal(hard.max(sample, none), [1, -np.inf])
    assert_close(hard.rank(sample, none)[0, 1:], [2.5, 1, 2.5])
    assert hard.rank(sample, none)[1, 0] == 1
    np.testing.assert_array_equal(hard.median(sample, none), [-np.inf, -np.inf])


@each("method", METHODS, fast=("softsort", "sorting_network"))
def test_masks_beside_infinite_elements(method):
    """A mask and infinite elements at once: the median counts what takes part."""
    x = jnp.array([2.0, 7.0, 1.0, 100.0, 3.0, 8.0])
    where = jnp.array([True, False, True, True, True, False])
    one, none = jnp.array([1]), jnp.array([0])
    infinite = sj.methods.Infinite(one, none, jnp.array([10.0]))
    relaxation = Relaxation(sj.solvers.Entropy(), jnp.array([1e-3]))
    sample = Sample(x, where=where, infinite=infinite)
    out = sj.methods.get_method(method).median(sample, relaxation)
    atol = 0.6 if method in ("fast_soft_sort", "smooth_sort", "ot") else 1e-3
    assert_close(out, 2.5, atol=atol)


def test_cells_of_masked_rows():
    sample = Sample(jnp.zeros(WHERE.shape), where=jnp.asarray(WHERE))
    np.testing.assert_array_equal(sample.total[:, 0], [5, 4, 1])
    cells = sample.cells(3)
    np.testing.assert_array_equal(cells.stop, [[1, 2, 3], [1, 2, 3], [1, 1, 2]])
    median = sample.median_cells()
    np.testing.assert_array_equal(median.start, [[2, 2], [1, 2], [0, 0]])
    quartile = sample.quantile_cells(jnp.array([0.25]))
    np.testing.assert_array_equal(quartile.start, [[2, 3], [2, 3], [0, 0]])
    assert_close(quartile.share, [[0, 1], [0.75, 0.25], [0, 1]])


def test_positions_of_full_rows_are_known():
    """Nothing about them is left to the program."""

    @jax.jit
    def run(x):
        sample = Sample(x)
        for found in (sample.cells(3), sample.median_cells()):
            assert isinstance(found, Intervals)
            for part in found:
                assert part is None or isinstance(part, np.ndarray)
        assert isinstance(sample.total, np.ndarray)
        return x

    run(jnp.zeros((2, 3)))


@pytest.mark.parametrize("method", INDEX_METHODS)
def test_quantiles_at_the_ends(method):
    """Between 0 and 1, quantiles are continuous in the level, ends included."""
    x = jnp.array([0.2, 1.0, 0.7, -0.3])
    levels = jnp.array([0.0, 1e-4, 1 - 1e-4, 1.0])
    out = sj.quantile(x, levels, method=method)
    assert_close(out[:2], np.full(2, out[0]), atol=1e-3)
    assert_close(out[2:], np.full(2, out[3]), atol=1e-3)
    index = sj.argquantile(x, levels, method=method)
    assert_close(index.sum(-1), np.ones(4), atol=1e-5)
