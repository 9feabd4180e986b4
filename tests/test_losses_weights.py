"""The keyword `weights` of losses: whole ones are copies of elements."""

import inputs
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats
from assertions import assert_close
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
