"""Samples with mass: a whole weight is as many copies, weight 0 is absence."""

import inputs
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from assertions import assert_close, finite_difference
from cases import METHODS

import softjax as sj
from softjax.methods import Relaxation, Sample
from softjax.methods.hard import Hard

RELAXATION = Relaxation(sj.solvers.Entropy(), jnp.ones(1))
COUNTS = np.array([[2, 1, 0, 3, 1], [0, 0, 4, 0, 2], [0, 1, 0, 0, 0]])
LEVELS = np.array([0.0, 0.3, 0.5, 1.0])
HARD = Hard()


def oracle(x, mass, intervals):
    """Soft indices of intervals: each divides what it has of the sorted row."""
    order = np.argsort(-x, kind="stable")
    after = np.cumsum(mass[order])
    before = after - mass[order]
    start, stop = (np.asarray(end)[:, None] for end in intervals)
    common = np.clip(np.minimum(stop, after) - np.maximum(start, before), 0, None)
    index = np.zeros_like(common)
    index[:, order] = common
    total = index.sum(-1, keepdims=True)
    return index / np.where(total > 0, total, 1)


def rows(name: str, counts=COUNTS):
    return inputs.rng("weights", name).normal(size=counts.shape)


def test_whole_weights_are_copies(x64):
    x, k = rows("copies"), COUNTS.shape[-1]
    sample = Sample(jnp.asarray(x), mass=jnp.asarray(COUNTS, float))
    cells = sample.quantile_cells(jnp.asarray(LEVELS))
    found = dict(
        sort=HARD.sort(sample, RELAXATION),
        rank=HARD.rank(sample, RELAXATION),
        max=HARD.max(sample, RELAXATION),
        median=HARD.median(sample, RELAXATION),
        quantile=HARD.quantile(sample, RELAXATION, cells),
        argsort=HARD.argsort(sample, RELAXATION),
        argmax=HARD.argmax(sample, RELAXATION),
        argmedian=HARD.argmedian(sample, RELAXATION),
        argquantile=HARD.argquantile(sample, RELAXATION, cells),
    )
    values, index = HARD.top_k(sample, RELAXATION, 3)
    for row, counts in enumerate(COUNTS):
        copies = np.repeat(x[row], counts)
        owner = np.repeat(np.arange(k), counts)
        alone = Sample(jnp.asarray(copies))
        levels = alone.quantile_cells(jnp.asarray(LEVELS))
        out = {name: value[row] for name, value in found.items()}
        largest = -np.sort(-copies)[:k]
        assert_close(out["sort"][: len(largest)], largest)
        assert np.all(out["sort"][len(largest) :] == -np.inf)
        assert_close(values[row], out["sort"][:3])
        ranks = [(copies > v).sum() + ((copies == v).sum() + 1) / 2 for v in x[row]]
        assert_close(out["rank"][counts > 0], np.array(ranks)[counts > 0])
        assert_close(out["max"], copies.max())
        assert_close(out["median"], np.median(copies))
        assert_close(out["quantile"], np.quantile(copies, LEVELS))

        def merged(index, owner=owner):
            """The shares of all copies of an element together."""
            return np.asarray(index) @ np.eye(k)[owner]

        rest = ((0, max(k - len(copies), 0)), (0, 0))
        expected = np.pad(merged(HARD.argsort(alone, RELAXATION))[:k], rest)
        assert_close(out["argsort"], expected)
        assert_close(index[row], expected[:3])
        assert_close(out["argmax"], merged(HARD.argmax(alone, RELAXATION)))
        assert_close(out["argmedian"], merged(HARD.argmedian(alone, RELAXATION)))
        found_alone = HARD.argquantile(alone, RELAXATION, levels)
        assert_close(out["argquantile"], merged(found_alone))


def test_any_weights(x64):
    """Units of mass divide elements, and elements units."""
    x = rows("any")[0]
    for scale in (0.2, 0.7, 1.0, 1.9):
        mass = scale * np.array([0.3, 1.4, 0.0, 2.1, 0.9])
        total, n = mass.sum(), len(x)
        sample = Sample(jnp.asarray(x), mass=jnp.asarray(mass))
        start = np.arange(n)
        index = oracle(x, mass, (start, np.minimum(start + 1, total)))
        assert_close(HARD.argsort(sample, RELAXATION), index)
        expected = np.where(start < total, index @ x, -np.inf)
        assert_close(HARD.sort(sample, RELAXATION), expected)
        middle = [max(total - 1, 0) / 2], [min(total, (total + 1) / 2)]
        assert_close(HARD.argmedian(sample, RELAXATION), oracle(x, mass, middle)[0])
        for q in LEVELS:
            h = q * max(total - 1, 0)
            lower, share = np.floor(h), h % 1
            parts = [
                oracle(x, mass, ([max(total - cell - 1, 0)], [total - cell]))[0]
                for cell in (lower, min(lower + 1, max(np.ceil(total) - 1, 0)))
            ]
            expected = (1 - share) * parts[0] + share * parts[1]
            cells = sample.quantile_cells(jnp.array([q]))
            found = HARD.argquantile(sample, RELAXATION, cells)[0]
            assert_close(found, expected, atol=1e-9)
            assert_close(HARD.quantile(sample, RELAXATION, cells)[0], expected @ x)


def test_derivatives_in_weights(x64):
    x = rows("derivatives")[0]
    mass, direction = np.array([0.3, 1.4, 0.25, 2.1, 0.9]), rows("direction")[0]

    @jax.jit
    def run(x, mass):
        sample = Sample(x, mass=mass)
        cells = sample.quantile_cells(jnp.array([0.3, 0.8]))
        return dict(
            sort=HARD.sort(sample, RELAXATION),
            argsort=HARD.argsort(sample, RELAXATION),
            rank=HARD.rank(sample, RELAXATION),
            median=HARD.median(sample, RELAXATION),
            quantile=HARD.quantile(sample, RELAXATION, cells),
        )

    args, tangents = (x, mass), (direction[::-1].copy(), direction)
    actual = jax.jvp(run, tuple(map(jnp.asarray, args)), tangents)[1]
    expected = finite_difference(run, args, tangents, step=1e-3)
    for name in actual:
        assert_close(actual[name], expected[name], atol=1e-7)


def test_masked_weights_count_nothing():
    x, mass = jnp.array([1.0, 5.0, 2.0]), jnp.array([2.0, np.nan, 1.0])
    where = jnp.array([True, False, True])
    sample = Sample(x, where=where, mass=mass)
    assert sample.total == 3
    assert_close(HARD.sort(sample, RELAXATION), [2.0, 1.0, 1.0])
    gradient = jax.grad(
        lambda w: HARD.median(Sample(x, where=where, mass=w), RELAXATION)
    )(mass)
    assert np.all(np.isfinite(gradient))


@pytest.mark.parametrize(
    "method", [m for m in METHODS if not sj.methods.get_method(m).takes_weights]
)
def test_methods_refuse_weights_by_name(method):
    chosen = sj.methods.get_method(method)
    sample = Sample(jnp.ones(3), mass=jnp.ones(3))
    for operator in ("sort", "min", "percentile"):
        HARD.check_weights(sample, operator)
        chosen.check_weights(Sample(jnp.ones(3)), operator)
        with pytest.raises(ValueError, match=rf"{operator}.*{type(chosen).__name__}"):
            chosen.check_weights(sample, operator)
    for name in ("sort", "rank", "max", "median"):
        with pytest.raises(ValueError, match=rf"{type(chosen).__name__}.*no weights"):
            getattr(chosen, name)(sample, RELAXATION)
