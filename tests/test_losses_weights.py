"""The keyword `weights` of losses: whole ones are copies of elements."""

import inputs
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special
import scipy.stats
from assertions import assert_close, finite_difference
from parametrize import each

import softjax as sj
from softjax import losses

COUNTS = np.array([2, 1, 3, 0, 1, 2])
OWNER = np.repeat(np.arange(6), COUNTS)
_rng = inputs.rng("losses of weights")
SCORES = _rng.normal(size=6)
OTHER = np.array([0.3, -1.0, 0.7, 0.2, 0.4, -0.3])
SHARES = COUNTS / COUNTS.sum() * np.array([0.5, 1, 1.2, 1, 0.9, 1])
SHARES /= SHARES.sum()


def _merged(gradient):
    """The gradient of an element is that of all of its copies together."""
    return np.asarray(gradient) @ np.eye(6)[OWNER]


@each("mode", ["smooth", "c0", "c1"], fast=())
def test_fenchel_young_losses(x64, mode):
    weights = jnp.asarray(COUNTS, float)
    masks = _rng.uniform(size=6)
    masks *= 4 / (COUNTS @ masks)
    ranks = np.linspace(1, 6, 6)
    cases = {
        "simplex": (
            lambda s, t, w: losses.simplex_loss(s, t, mode=mode, weights=w),
            SHARES,
            SHARES[OWNER] / COUNTS[OWNER],
        ),
        "top_k": (
            lambda s, t, w: losses.top_k_loss(s, t, 4, mode=mode, weights=w),
            masks,
            masks[OWNER],
        ),
    }
    if mode != "smooth":
        cases["rank"] = (
            lambda s, t, w: losses.rank_loss(s, t, mode=mode, weights=w),
            ranks,
            ranks[OWNER],
        )
    for name, (loss, target, copied) in cases.items():
        run = jax.jit(jax.value_and_grad(loss))
        value, gradient = run(SCORES, target, weights)
        whole, exact = jax.value_and_grad(loss)(SCORES[OWNER], copied, None)
        assert_close(value, whole, atol=1e-9)
        np.testing.assert_allclose(gradient, _merged(exact), atol=1e-8, err_msg=name)
        assert losses.simplex_loss(SCORES, SHARES, weights=0 * weights) == 0


@pytest.mark.slow
def test_spearman(x64):
    weights = jnp.asarray(COUNTS, float)
    value = losses.spearman(SCORES, OTHER, weights=weights)
    assert_close(value, losses.spearman(SCORES[OWNER], OTHER[OWNER]), atol=1e-9)
    hard = losses.spearman(SCORES, OTHER, weights=weights, mode="hard")
    expected = scipy.stats.spearmanr(SCORES[OWNER], OTHER[OWNER]).statistic
    assert_close(hard, expected, atol=1e-9)
    where = np.array([1, 1, 0, 1, 1, 1], bool)
    masked = losses.spearman(
        np.where(where, SCORES, np.nan), OTHER, weights=weights, where=where
    )
    alone = losses.spearman(SCORES[where], OTHER[where], weights=weights[where])
    assert_close(masked, alone, atol=1e-9)


@each("method", ["softsort", "neuralsort", "ot"], fast=("softsort",))
def test_top_k_cross_entropy(x64, method):
    """The right class may be taken in any of its copies."""
    right = np.eye(6)[2] * 0.7 + np.eye(6)[4] * 0.3
    keywords = dict(k=(0.2, 0.5, 0.3), softness=0.5, method=method)

    def loss(scores, right, weights=None):
        return losses.top_k_cross_entropy(scores, right, weights=weights, **keywords)

    run = jax.jit(jax.value_and_grad(loss))
    value, gradient = run(SCORES, right, jnp.asarray(COUNTS, float))
    expected, copied = run(SCORES[OWNER], right[OWNER])
    assert_close(value, expected, atol=1e-8)
    assert_close(gradient, _merged(copied), atol=1e-7)


@pytest.mark.slow
def test_trimmed_mean(x64):
    weights = jnp.asarray(COUNTS, float)
    for keywords in (dict(softness=0.3), dict(mode="hard")):
        for proportion in (0.0, 0.25, (0.1, 0.4)):
            value = losses.trimmed_mean(SCORES, proportion, weights=weights, **keywords)
            whole = losses.trimmed_mean(SCORES[OWNER], proportion, **keywords)
            assert_close(value, whole, atol=1e-9)
    hard = losses.trimmed_mean(SCORES, 0.25, weights=weights, mode="hard")
    assert_close(hard, scipy.stats.trim_mean(SCORES[OWNER], 0.25), atol=1e-9)
    assert np.isnan(losses.trimmed_mean(SCORES, 0.1, weights=jnp.zeros(6)))


def _soft_ranks(z, w):
    """Of SoftSort at a softness of 0.3: means of hard ranks of all copies."""
    above, equal = z[None, :] > z[:, None], z[None, :] == z[:, None]
    positions = above @ w + (equal @ w + 1) / 2
    rows = w * np.exp(-np.abs(z[:, None] - z) / 0.3)
    return rows @ positions / rows.sum(axis=-1), positions


def _correlation(r, s, w):
    covariance = np.cov(r, s, aweights=w)
    return covariance[0, 1] / np.sqrt(covariance[0, 0] * covariance[1, 1])


def _auc(z, t, w):
    step = scipy.special.expit((z[:, None] - z) / 0.3)
    pairs = np.outer(w * t, w * (1 - t))
    return np.sum(pairs * step) / np.sum(pairs)


def _ndcg(z, t, w):
    rows = np.exp(-np.abs(-np.sort(-z)[:, None] - z) / 0.3)
    gains, discount = w * (2**t - 1), 1 / np.log2(np.arange(2, len(z) + 2))
    found = rows @ gains / rows.sum(axis=-1)
    return found @ discount / (-np.sort(-gains) @ discount)


def _pairwise(z, t, w):
    """Relative to the largest weight."""
    better = t[:, None] > t
    step = scipy.special.expit((z - z[:, None]) / 0.3)
    return np.sum(w[:, None] * better * step) / np.sum(better) / np.max(w)


# name -> a loss, and its definition, of scores, of targets and of weights.
RELATIVE = {
    "spearman": (
        lambda z, t, w: losses.spearman(z, t, softness=0.3, weights=w),
        lambda z, t, w: _correlation(_soft_ranks(z, w)[0], _soft_ranks(t, w)[1], w),
    ),
    "spearman_hard": (
        lambda z, t, w: losses.spearman(z, t, mode="hard", weights=w),
        lambda z, t, w: _correlation(_soft_ranks(z, w)[1], _soft_ranks(t, w)[1], w),
    ),
    "spearman_masked": (
        lambda z, t, w: losses.spearman(
            z, t, softness=0.3, weights=w, where=jnp.arange(6) < 5
        ),
        lambda z, t, w: RELATIVE["spearman"][1](z[:5], t[:5], w[:5]),
    ),
    "auc": (lambda z, t, w: losses.auc(z, t, softness=0.3, weights=w), _auc),
    "ndcg": (
        lambda z, t, w: losses.ndcg(z, 10 * t, softness=0.3, weights=w),
        lambda z, t, w: _ndcg(z, 10 * t, w),
    ),
    "pairwise_loss": (
        lambda z, t, w: (
            losses.pairwise_loss(z, t, softness=0.3, weights=w)
            / jax.lax.stop_gradient(jnp.max(w))
        ),
        _pairwise,
    ),
}


TARGETS = np.array([0.2, 0.9, 0.4, 0.7, 0.1, 0.6])
WEIGHTS = np.array([2.0, 1.5, 3.0, 0.5, 1.0, 2.5])
# From 1e-30 to where the sum is next to the largest number of float32.
SCALES = np.array([1e-30, 1e-7, 1.0, 2e6, 1e20, 1e30, 2.5e37], np.float32)


@each("name", list(RELATIVE), fast=("spearman", "auc"))
def test_the_scale_of_weights_is_irrelevant(name):
    """In float32; of gradients in scores too, and those in weights scale inversely."""
    loss, define = RELATIVE[name]
    z, t, w = SCORES, TARGETS, WEIGHTS
    rng = inputs.rng("scales of weights")
    z_dot, w_dot = rng.normal(size=6), rng.normal(size=6) * (w < w.max())
    expected = define(z, t, w)
    slope = finite_difference(lambda z: define(z, t, w), (z,), (z_dot,))
    weight_slope = finite_difference(lambda w: define(z, t, w), (w,), (w_dot,))
    run = jax.jit(jax.value_and_grad(loss, (0, 2)))
    for scale in SCALES:
        value, (of_z, of_w) = run(
            jnp.asarray(z, jnp.float32),
            jnp.asarray(t, jnp.float32),
            jnp.asarray(w, jnp.float32) * scale,
        )
        assert_close(value, expected, atol=2e-6)
        assert_close(np.asarray(of_z, float) @ z_dot, slope, atol=2e-5)
        found = (np.asarray(of_w, float) * scale) @ w_dot
        # Derivatives below 1e-38 are 0 in float32.
        if scale < 1e30:
            assert_close(found, weight_slope, atol=2e-5)


def test_spearman_of_constant_rows():
    """0 with a gradient of 0, also where sums of unequal weights are rounded."""
    rng = inputs.rng("constant rows")
    weights = jnp.asarray(rng.uniform(0.1, 3, size=(20, 6)), "float32")
    varied = jnp.asarray(rng.normal(size=(20, 6)), "float32")
    same = jnp.full((20, 6), 0.3, "float32")
    for method in ("softsort", "fast_soft_sort"):

        def total(x, y, weights, method=method):
            out = losses.spearman(x, y, weights=weights, method=method, mode="c0")
            return jnp.sum(jnp.abs(out)), out

        run = jax.jit(jax.value_and_grad(total, has_aux=True))
        for scale in (1e-20, 1.0, 1e20):
            for x, y in ((same, varied), (varied, same), (same, same)):
                (_, out), gradient = run(x, y, np.float32(scale) * weights)
                np.testing.assert_array_equal(out, 0)
                np.testing.assert_array_equal(gradient, 0)


def test_shares_of_whole_weights_are_whole():
    """Trimmed means drop whole numbers, also where float32 rounds a product down."""
    x = np.linspace(-1, 2, 10) ** 3
    for total, thousandths in ((1625, 72), (1750, 72), (2875, 72), (1900, 130)):
        counts = np.full(10, total // 10)
        counts[0] += total % 10
        expected = np.repeat(x, counts)[total * thousandths // 1000 :].mean()
        share = thousandths / 1000, 0.0
        out = losses.trimmed_mean(x, share, weights=counts, mode="hard")
        assert_close(out, expected, atol=1e-6)


def test_errors():
    ones = jnp.ones(3)
    with pytest.raises(TypeError, match="mrr: takes no weights"):
        losses.mrr(ones, ones, weights=ones)
    with pytest.raises(ValueError, match="spearman: weights must be nonnegative"):
        losses.spearman(ones, ones, weights=-ones)
    with pytest.raises(ValueError, match="trimmed_mean: with weights, method=Neural"):
        losses.trimmed_mean(ones, 0.1, weights=ones, method="neuralsort")
    with pytest.raises(ValueError, match=r"rank: method=SmoothSort.*fast_soft_sort"):
        sj.rank(ones, weights=ones, method="smooth_sort")
