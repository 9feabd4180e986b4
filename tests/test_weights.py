"""Samples with mass: a whole weight is as many copies, weight 0 is absence."""

import functools

import inputs
import jax
import jax.numpy as jnp
import numpy as np
import oracles
import pytest
from assertions import assert_close, finite_difference
from cases import ALL_REGULARIZERS, METHODS
from parametrize import each, pick

import softjax as sj
from softjax.methods import FastSoftSort, Relaxation, Sample
from softjax.methods.hard import Hard

RELAXATION = Relaxation(sj.solvers.Entropy(), jnp.ones(1))
COUNTS = np.array([[2, 1, 0, 3, 1], [0, 0, 4, 0, 2], [0, 1, 0, 0, 0]])
LEVELS = np.array([0.0, 0.3, 0.5, 1.0])
HARD, FAST_SOFT_SORT = Hard(), FastSoftSort()


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


@pytest.mark.slow
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


@pytest.mark.slow
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


@pytest.mark.slow
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


RANKED = pick(ALL_REGULARIZERS, "smooth", "c0", "c1", "c2", "user_link", "tsallis_3")


@functools.cache
def compiled_rank(name: str, solver: str | None = None):
    (case,) = pick(ALL_REGULARIZERS, name)

    @jax.jit
    def rank(x, mass, softness, where=None):
        relaxation = Relaxation(case.regularizer, softness, solver)
        return FAST_SOFT_SORT.rank(Sample(x, where=where, mass=mass), relaxation)

    return rank


def rank_oracle(case, x, counts, softness):
    """Ranks of copies, projected one by one."""
    copies = np.repeat(x, counts)
    n, owner = len(copies), np.repeat(np.arange(len(x)), counts)
    gaps = max(n - 1, 1)
    w = np.arange(1, n + 1) / gaps
    y = gaps * oracles.permutahedron_oracle(
        -copies, w, softness, case.link, case.at_zero
    )
    return np.array([y[owner == i].mean() for i in np.flatnonzero(counts)])


@each("solver", [None, "merging"], fast=("None",))
@each("case", RANKED, fast=("smooth",))
def test_soft_ranks_of_copies(case, solver, x64):
    """And of elements with ties, of which the order makes no difference."""
    x, softness = rows("soft ranks"), np.array([[0.05], [0.6], [4.0]])
    x[0, 3] = x[0, 1]
    rank = compiled_rank(case.name, solver)
    out = rank(x, COUNTS, softness)
    for row, counts in enumerate(COUNTS):
        expected = rank_oracle(case, x[row], counts, softness[row])
        assert_close(out[row][counts > 0], expected, atol=1e-9)
    mass = np.where(COUNTS > 0, COUNTS * np.array([0.3, 1.4, 0.0, 2.1, 0.9]), 0)
    out = rank(x, mass, softness)
    turned = rank(x[:, ::-1], mass[:, ::-1], softness)
    assert_close(turned[:, ::-1], out)
    where = np.array([[1, 1, 0, 1, 0], [1, 0, 1, 0, 1], [0, 1, 1, 0, 0]], bool)
    spoiled = np.where(where, x, np.nan), np.where(where, mass, np.nan)
    masked = rank(np.where(where, x, 0), spoiled[1], softness, where)
    alone = rank(x, np.where(where, mass, 0), softness)
    assert_close(np.asarray(masked)[where], np.asarray(alone)[where])


def test_soft_ranks_of_any_weights():
    """The mass above, and half of what is around the own, as softness goes to 0."""
    x, mass = rows("any")[0], np.array([0.3, 1.4, 0.0, 2.1, 0.9])
    x[4] = x[1]
    above = np.array([mass[x > v].sum() for v in x])
    equal = np.array([mass[x == v].sum() for v in x])
    hard = above + (equal + 1) / 2
    relaxation = Relaxation(sj.solvers.get_regularizer("c0"), jnp.full(1, 1e-3))
    ranks = jax.jit(lambda x, w: FAST_SOFT_SORT.rank(Sample(x, mass=w), relaxation))
    assert_close(ranks(x, mass), hard, atol=1e-5)
    ordered = jax.jit(lambda x, w: HARD.rank(Sample(x, mass=w), RELAXATION))
    assert_close(ordered(x, mass), hard, atol=1e-6)


@each("solver", [None, "merging"], fast=("None",))
@each("case", RANKED, fast=("smooth",))
def test_derivatives_of_soft_ranks(case, solver, x64):
    """In elements and weights; of weights of 0 to one side, to second order."""
    x, mass = rows("soft derivatives"), np.abs(rows("soft masses")) + 0.1
    softness = np.array([[0.05], [0.6], [4.0]])
    mass[:, 2], light = 0, np.array([0, 0, 1.3, 0, 0])
    rank, some = compiled_rank(case.name, solver), rows("soft values")
    tangents = rows("moves"), rows("more") * (light == 0)

    @jax.jit
    def gradient(x, mass):
        return jax.grad(lambda *a: jnp.sum(some * rank(*a, softness)), (0, 1))(x, mass)

    by_x, by_mass = gradient(x, mass)
    expected = finite_difference(
        lambda *args: np.sum(some * rank(*args, softness)), (x, mass), tangents
    )
    product = np.vdot(by_x, tangents[0]) + np.vdot(by_mass, tangents[1])
    assert_close(product, expected, atol=1e-7)
    step = 1e-4
    zero, one, two = (
        np.sum(some * rank(x, mass + i * step * light, softness)) for i in range(3)
    )
    slope = (4 * one - two - 3 * zero) / (2 * step)
    assert_close(np.sum(by_mass * light), slope, atol=1e-6)


@each("mode", ["smooth", "c0", "c1"], fast=("smooth",))
def test_derivatives_of_soft_ranks_are_finite(mode):
    """Elements of no weight, alone, among equals and everywhere, and tiny ones."""
    x = rows("soft zeros", np.zeros((3, 8))).astype(np.float32)
    x[0, 1], x[1] = x[0, 0], 1
    mass = np.array(
        [[0, 0, 1, 2, 0, 1.3, 0, 0.6], [0] * 8, [1e-6, 0, 1e-12, 3, 0, 0, 0.2, 0]],
        np.float32,
    )
    softness = np.array([[0.1], [1.0], [3.0]], np.float32)

    @jax.jit
    def derivatives(x, mass):
        def gradient(x, mass):
            def total(*args):
                return jnp.sum(jnp.sin(compiled_rank(mode)(*args, softness)))

            return jax.grad(total, (0, 1))(x, mass)

        return jax.jvp(gradient, (x, mass), (x, mass))

    for part in jax.tree.leaves(derivatives(x, mass)):
        assert np.all(np.isfinite(part))
    for part in derivatives(x, mass)[0]:
        assert np.max(np.abs(part)) < 1e3


def test_weights_of_soft_ranks_by_modes_without_a_closed_form():
    (case,) = pick(ALL_REGULARIZERS, "user_gradient")
    sample = Sample(jnp.ones(3), mass=jnp.ones(3))
    with pytest.raises(ValueError, match=r"Mixed.*'smooth', 'c0', 'c1'"):
        FAST_SOFT_SORT.rank(sample, Relaxation(case.regularizer, jnp.ones(1)))


@pytest.mark.parametrize("method", METHODS)
def test_methods_refuse_weights_by_name(method):
    """Each takes weights, or says for the operator which methods do."""
    chosen = sj.methods.get_method(method)
    sample = Sample(jnp.ones(3), mass=jnp.ones(3))
    asked = dict(sort="sort", min="max", percentile="quantile", ranking="rank")
    for operator, name in asked.items():
        HARD.check_weights(sample, operator)
        chosen.check_weights(Sample(jnp.ones(3)), operator)
        if name in chosen.takes_weights:
            continue
        message = rf"{operator}: method={type(chosen).__name__}.*no weights.*softsort"
        with pytest.raises(ValueError, match=message):
            chosen.check_weights(sample, operator)
        ask = getattr(chosen, name)
        more = (sample.median_cells(),) if name == "quantile" else ()
        with pytest.raises(ValueError, match=rf"{type(chosen).__name__}.*no weights"):
            ask(sample, RELAXATION, *more)
