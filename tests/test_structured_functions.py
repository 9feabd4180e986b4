"""Functions of structures at hard inputs: ties, extremes, NaN, types, batches."""

import functools
from typing import Any

import inputs
import jax
import jax.numpy as jnp
import numpy as np
import oracles
import pytest
from assertions import assert_close
from parametrize import each
from structures import LENGTHS, PROGRAMS, assert_padded, flat, short_and_padded

import softjax as sj
import softjax.structured as st

FAST = "segments", "alignment"
MODES = "smooth", "c0", "c1"


@functools.partial(jax.jit, static_argnums=(0, 1))
def _batch(case, mode, z, softness):
    """All there is, of a batch of scores and of softness."""

    def one(z, softness):
        given: Any = dict(softness=softness, mode=mode, method="recursion")
        value, gradient = jax.value_and_grad(
            lambda z: st.value(case.structure, z, **given)
        )(z)
        mu = st.argmax(case.structure, z, **given)
        best = st.argmax(case.structure, z, mode="hard")
        return value, gradient, mu, best, st.entropy(case.structure, z, **given)

    return jax.vmap(one)(z, softness)


def _stacked(trees):
    return jax.tree.map(lambda *x: np.stack(x).astype(np.float32), *trees)


def _single(tree):
    return jax.tree.map(lambda x: np.asarray(x, np.float32), tree)


def _rows(tree):
    parts = [np.reshape(x, (len(x), -1)) for x in jax.tree.leaves(tree)]
    return np.concatenate(parts, axis=1)


@pytest.mark.parametrize(
    ("case", "mode"),
    [
        pytest.param(
            case,
            mode,
            id=f"{case.name}-{mode}",
            marks=[] if (case.name in FAST and mode == "c0") else [pytest.mark.slow],
        )
        for case in PROGRAMS
        for mode in MODES
    ],
)
def test_extremes(case, mode):
    zero = jax.tree.map(np.zeros_like, case.scores(0))
    missing = jax.tree.map(np.copy, case.scores(0))
    jax.tree.leaves(missing)[-1].flat[0] = np.nan
    z = [zero, zero, case.scores(0), case.scores(0), case.scores(1, scale=1e6), missing]
    softness = np.array([0.1, 1e3, 1e-3, 1e3, 0.1, 0.1], np.float32)
    found = _batch(case, mode, _stacked(z), softness)
    value, gradient, mu, best, entropy = found
    value, entropy = np.asarray(value), np.asarray(entropy)
    gradient, mu, best = map(_rows, (gradient, mu, best))
    structures = case.enumerate()
    for i, scores in enumerate(z[:-1]):
        scores = structures @ flat(scores).astype(np.float32).astype(np.float64)
        size = max(1, np.abs(scores).max())
        np.testing.assert_array_equal(gradient[i], mu[i])
        # The hard one is a structure, and none is better.
        found = np.flatnonzero(np.all(structures == best[i], axis=1))
        assert len(found) == 1
        assert scores[found[0]] >= scores.max() - 1e-6 * size
        # A point of the hull, at least by its bounds and by its softness.
        assert np.all(mu[i] >= structures.min(0) - 1e-5)
        assert np.all(mu[i] <= structures.max(0) + 1e-5)
        assert scores.max() - 1e-5 * size <= value[i]
        most = softness[i] * np.log(len(structures))
        assert value[i] <= scores.max() + most + 1e-5 * max(size, most)
        if mode == "smooth":
            p = np.exp((scores - scores.max()) / softness[i])
            best_value = scores.max() + softness[i] * np.log(p.sum())
            assert_close(value[i], best_value, atol=1e-5 * max(size, most))
            p = p / p.sum()
            assert_close(mu[i], (p @ structures).astype(np.float32), atol=1e-4)
            shannon = -np.sum(p * np.log(np.maximum(p, 1e-300)))
            assert_close(entropy[i], shannon, atol=1e-4)
    # The last but one is as good as hard.
    assert_close(mu[-2], best[-2], atol=1e-5)
    assert np.isnan(value[-1])
    assert np.isnan(mu[-1]).all()
    assert np.isnan(best[-1]).all()


@each("case", PROGRAMS, fast=FAST)
def test_derivatives_of_the_entropy(case):
    """Of `H(p)`, with `p ~ exp(<z, v> / s)`: covariances of scores and structures."""

    @jax.jit
    def slopes(z, softness):
        given: Any = dict(mode="smooth", method="recursion")

        def entropy(z, softness):
            return st.entropy(case.structure, z, softness=softness, **given)

        return jax.grad(entropy, argnums=(0, 1))(z, softness)

    structures = case.enumerate()
    # The last one has structures of no probability in float32.
    for softness, scale in ((0.5, 1), (2, 1), (0.1, 30)):
        z = _single(case.scores(2, scale=scale))
        found = slopes(z, np.float32(softness))
        scores = structures @ flat(z).astype(np.float64)
        p = np.exp((scores - scores.max()) / softness)
        p /= p.sum()
        moves = scores - p @ scores
        slope = -(p * moves) @ (structures - p @ structures) / softness**2
        scale = max(1, np.abs(slope).max())
        assert_close(flat(found[0]), slope.astype(np.float32), atol=2e-4 * scale)
        steep = p @ moves**2 / softness**3
        assert_close(found[1], np.float32(steep), atol=2e-4 * max(1, steep))


@pytest.mark.parametrize("method", ["recursion", "distribution"])
@each("case", PROGRAMS, fast=FAST)
def test_scores_of_minus_infinity(case, method):
    """The value and its derivatives in the softness, over structures without them."""

    @jax.jit
    def derivatives(z, softness):
        def value(softness):
            given: Any = dict(mode="smooth", method=method)
            return st.value(case.structure, z, softness=softness, **given)

        slope = jax.grad(value)
        return value(softness), slope(softness), jax.grad(slope)(softness)

    structures, z = case.enumerate(), case.scores(3)
    leaf = jax.tree.leaves(z)[0]
    place = len(leaf.flat) // 2
    leaf.flat[place] = -np.inf
    found = derivatives(_single(z), np.float32(0.7))
    structures = structures[structures[:, place] == 0]
    if not len(structures):
        return
    scores = structures @ np.where(np.isinf(flat(z)), 0, flat(z))
    p = np.exp((scores - scores.max()) / 0.7)
    total, p = p.sum(), p / p.sum()
    value = scores.max() + 0.7 * np.log(total)
    spread = p @ (scores - p @ scores) ** 2
    wanted = value, (value - p @ scores) / 0.7, spread / 0.7**3
    assert_close(np.array(found), np.array(wanted, np.float32), atol=2e-4)


@pytest.mark.parametrize("mode", ["smooth", "c0"])
@pytest.mark.parametrize("filler", [7.0, np.nan], ids=["number", "nan"])
@each("name", list(LENGTHS), fast=("chain",))
def test_lengths_are_exact_to_the_bit(name, filler, mode):
    make, lengths, short, padded = short_and_padded(name, mode, filler)
    given: Any = dict(softness=0.7, mode=mode, method="recursion")

    @jax.jit
    def both(lengths, short, padded):
        def found(structure, z):
            value, mu = jax.value_and_grad(lambda z: st.value(structure, z, **given))(z)
            move = jax.jvp(lambda z: st.argmax(structure, z, **given), (z,), (mu,))[1]
            best = st.argmax(structure, z, mode="hard")
            return value, mu, move, best, structure.k_best(z, 3)

        return found(make(None), short), found(make(lengths), padded)

    one, other = both(lengths, short, padded)
    np.testing.assert_array_equal(one[0], other[0])
    np.testing.assert_array_equal(one[4].values, other[4].values)
    found, expected = [(x[1], x[3], x[4].structures) for x in (other, one)]
    assert_padded(found, expected)
    assert_padded(other[2], one[2], functools.partial(assert_close, atol=1e-5))


def test_ragged_batch():
    lengths = jnp.array([2, 5])
    unary, pairs = jnp.zeros((2, 5, 3)), jnp.zeros((2, 4, 3, 3))

    def value(length, unary, pairs):
        return st.value(st.Chain(length), (unary, pairs), softness=1.0)

    assert_close(jax.vmap(value)(lengths, unary, pairs), np.log([9.0, 243.0]))


@each(
    "dtype",
    [jnp.float16, jnp.bfloat16, jnp.float32, jnp.int32],
    fast=("float32", "bfloat16"),
)
def test_types(dtype):
    z = jnp.array([[1, 2], [3, 4]], dtype)
    out = dtype if dtype != jnp.int32 else jnp.float32
    assert st.value(st.GridPath(), z).dtype == out
    assert st.argmax(st.GridPath(), z).dtype == out
    assert st.argmax(st.GridPath(), z, mode="hard").dtype == out
    assert st.entropy(st.GridPath(), z).dtype == out


def test_losses():
    z = jnp.array([[0.0, 0.2, 0.9], [0.1, 0.5, 0.3]])
    grid = st.GridPath()
    structures = np.array([[1, 1, 1, 0, 0, 1], [1, 1, 0, 0, 1, 1], [1, 0, 0, 1, 1, 1]])
    target = structures[1].reshape(2, 3).astype(np.float32)
    scores = structures @ np.ravel(z)
    loss, gradient = jax.value_and_grad(st.fenchel_young_loss, 1)(
        grid, z, target, softness=0.5
    )
    p = np.exp(scores / 0.5) / np.exp(scores / 0.5).sum()
    assert_close(loss, -0.5 * np.log(p[1]))
    assert_close(gradient, (p @ structures).reshape(2, 3) - target)
    perceptron = st.fenchel_young_loss(grid, z, target, mode="hard")
    assert_close(perceptron, scores.max() - scores[1])
    found = st.argmax_st(grid, z)
    assert_close(found, structures[0].reshape(2, 3))
    weights = np.arange(6.0).reshape(2, 3)
    hard = jax.grad(lambda z: jnp.sum(weights * st.argmax_st(grid, z)))(z)
    soft = jax.grad(lambda z: jnp.sum(weights * st.argmax(grid, z)))(z)
    assert_close(hard, soft)


@pytest.mark.slow
def test_divergence_of_time_series():
    rng = inputs.rng("series")
    x, y = rng.normal(size=(3, 2)), rng.normal(size=(4, 2))

    def warped(a, b):
        costs = np.sum((a[:, None] - b) ** 2, axis=-1)
        paths = oracles.structures.grid_paths(*costs.shape, ((1, 1), (1, 0), (0, 1)))
        return -0.5 * np.log(np.sum(np.exp(-paths @ costs.ravel() / 0.5)))

    expected = warped(x, y) - (warped(x, x) + warped(y, y)) / 2
    found = functools.partial(st.soft_dtw_divergence, softness=0.5)
    assert_close(found(x, y), expected, atol=1e-5)
    assert_close(found(y, x), expected, atol=1e-5)
    longer = np.full((6, 2), np.nan)
    longer[:3] = x
    assert_close(found(longer, y, lengths=(3, 4)), expected, atol=1e-5)
    assert_close(found(x, x), 0.0)


def test_regularizers_of_any_kind():
    """Multiples of the entropy and the square are those with another softness."""
    z = jnp.array([[0.0, 0.2, 0.9], [0.1, 0.5, 0.3]])
    given: Any = dict(method="recursion")
    for mode in ("smooth", "c0"):
        r = sj.solvers.Scaled(sj.solvers.get_regularizer(mode), 2.0)
        twice = st.value(st.GridPath(), z, softness=0.2, mode=mode, **given)
        assert_close(st.value(st.GridPath(), z, softness=0.1, mode=r, **given), twice)

        def scaled(factor, mode=mode):
            r = sj.solvers.Scaled(sj.solvers.get_regularizer(mode), factor)
            return st.value(st.GridPath(), z, softness=0.1, mode=r, **given)

        slope = jax.grad(scaled)(jnp.array(2.0))
        entropy = st.entropy(st.GridPath(), z, softness=0.2, mode=mode, **given)
        assert_close(slope, 0.1 * entropy)


@pytest.mark.slow
def test_steep_links():
    """The entmax of two scores at a distance of d, with all that there is below."""
    r = sj.solvers.Tsallis(3.0)
    z = jnp.array([[0.0, 0.02, 0.09], [0.01, 0.05, 0.03]])
    given: Any = dict(mode=r, method="recursion", softness=1.0)
    value, mu = jax.value_and_grad(lambda z: st.value(st.GridPath(), z, **given))(z)
    assert_close(mu, st.argmax(st.GridPath(), z, **given))
    # The second path joins the first one before the last cell, or never leaves it.
    maximum = functools.partial(_entmax_maximum, softness=1.0)
    expected = oracles.structures.grid_recursion(
        np.ravel(z), (2, 3), ((1, 0), (0, 1)), maximum
    )
    assert_close(value, expected, atol=1e-5)
    assert np.isfinite(
        jax.hessian(lambda z: st.value(st.GridPath(), z, **given))(z)
    ).all()


def _entmax_maximum(x, softness):
    y = oracles.entmax_oracle(x[None], np.array([[softness]]), 3.0)[0]
    return float(x @ y - softness * np.sum(y**3 - y) / 6)


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda z: st.value(st.Chain, z), TypeError, "Did you mean Chain"),
        (lambda z: st.value("chain", z), TypeError, "structure"),
        (lambda z: st.value(st.Chain(), z), TypeError, "tuple of 2"),
        (lambda z: st.value(st.Chain(), (z, z)), ValueError, "transition"),
        (lambda z: st.value(st.Chain(9), (z, z[:0])), ValueError, "transition"),
        (lambda z: st.value(st.Segments(4), z), ValueError, "lengths"),
        (lambda z: st.value(st.Segments(jnp.array(4)), z), ValueError, "from 1 to 3"),
        (lambda z: st.value(st.Segments(jnp.ones(2)), z), ValueError, "vmap"),
        (lambda z: st.value(st.Alignment(band=0), z[:1]), ValueError, "at least 2"),
        (lambda z: st.value(st.Alignment(lengths=3), z), TypeError, "pair"),
        (lambda z: st.value(st.GridPath(), z[0]), ValueError, "shape"),
        (lambda z: st.value(st.GridPath([(2, 0)]), z), ValueError, "no path"),
        (lambda z: st.GridPath([(1, -1)]), ValueError, "negative"),
        (lambda z: st.GraphPath([(0, 1), (1, 0)], 0, 1), ValueError, "cycle"),
        (lambda z: st.GraphPath([(0, 1), (2, 3)], 0, 3), ValueError, "reachable"),
        (lambda z: st.GraphPath([(0, 1), (-2, 3)], 0, 1), ValueError, "from 0"),
        (lambda z: st.value(st.ProjectiveTree(), z[:2]), ValueError, "shape"),
        (lambda z: st.value(st.GridPath(), z, softness=-1.0), ValueError, "softness"),
        (
            lambda z: st.value(st.GridPath(), z, softness=jnp.ones(2)),
            ValueError,
            "scalar",
        ),
        (lambda z: st.value(st.GridPath(), z, mode="soft"), ValueError, "mode"),
        (lambda z: st.value(st.GridPath(), z, method="crf"), ValueError, "recursion"),
        (
            lambda z: st.value(st.GridPath(), z, method=st.Recursion),
            TypeError,
            "Did you mean",
        ),
        (
            lambda z: st.value(st.GridPath(), z, solver="newton"),
            TypeError,
            "marginals",
        ),
        (
            lambda z: st.fenchel_young_loss(st.GridPath(), z, z[0]),
            ValueError,
            "target",
        ),
        (lambda z: st.KBest(0), ValueError, "at least 1"),
        (lambda z: st.KBest(1.5), TypeError, "integer"),
    ],
)
def test_errors(call, error, words):
    with pytest.raises(error, match=words):
        call(jnp.zeros((3, 3)))


@each("mode", ["hard", "smooth", "c1"], fast=())
def test_smallest_problems(mode):
    """There is one structure, whose score is the value."""
    one = np.full((1, 1), 0.3, np.float32)
    method = None if mode == "hard" else "recursion"
    given: Any = dict(mode=mode, method=method)
    for structure, z in (
        (st.Chain(), (one, np.zeros((0, 1, 1), np.float32))),
        (st.Segments(), one),
        (st.Alignment(), one),
        (st.Alignment(band=0), one),
        (st.GridPath(), one),
        (st.ProjectiveTree(), one),
        (st.ProjectiveTree(multiple_roots=True), one),
        (st.GraphPath([(0, 1)], 0, 1), one[0]),
    ):
        assert_close(st.value(structure, z, **given), np.float32(0.3))
        only = jax.tree.map(np.ones_like, z)
        for found in (
            st.argmax(structure, z, **given),
            st.sample(jax.random.key(0), structure, z, **given),
        ):
            np.testing.assert_array_equal(flat(found), flat(only))
        assert_close(st.entropy(structure, z, **given), np.float32(0.0))
        assert_close(structure.k_best(z, 2).values[0], np.float32(0.3))
    # A path of no edges.
    loop = st.GraphPath([(0, 1)], 0, 0)
    assert st.value(loop, one[0], **given) == 0
    assert st.argmax(loop, one[0], **given) == 0
