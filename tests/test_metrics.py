"""Metrics with soft operators: AUC, NDCG, Spearman, top-k accuracy, trimmed means."""

import inputs
import jax
import jax.numpy as jnp
import numpy as np
import oracles
import pytest
import scipy.special
import scipy.stats
from assertions import assert_close, finite_difference

import softjax as sj
from softjax import losses

N, K = 5, 2
SCORES = inputs.rng("losses").normal(size=(3, N))
ONE_HOT = np.eye(N)[[1, 4, 0]]


LABELS = np.array([[0, 1, 0, 0, 1], [1, 1, 0, 1, 0], [0, 0, 0, 0, 1]])
RELEVANCE = np.array([[3, 0, 1, 2, 0], [0, 0, 1, 0, 2.5], [0, 0, 0, 0, 0]])


def _hard_ndcg(scores, relevance, k):
    gains = 2.0**relevance - 1
    order = np.argsort(-scores)
    discount = 1 / np.log2(np.arange(2, k + 2))
    ideal = -np.sort(-gains)[:k] @ discount
    return gains[order][:k] @ discount / ideal if ideal > 0 else 0.0


@pytest.mark.slow
def test_metrics_in_the_hard_limit():
    keywords = dict(softness=1e-4)
    auc = losses.auc(SCORES, LABELS, **keywords)
    for row, scores, labels in zip(auc, SCORES, LABELS, strict=True):
        positive, negative = scores[labels == 1], scores[labels == 0]
        u = scipy.stats.mannwhitneyu(positive, negative).statistic
        assert_close(row, u / (len(positive) * len(negative)), atol=1e-4)
    for k in (None, 1, 3):
        out = losses.ndcg(SCORES, RELEVANCE, k, **keywords)
        expected = [
            _hard_ndcg(*row, k or N) for row in zip(SCORES, RELEVANCE, strict=True)
        ]
        assert_close(out, np.array(expected), atol=1e-4)
    other = np.round(SCORES[:, ::-1], 0)
    expected = [
        scipy.stats.spearmanr(*row).statistic for row in zip(SCORES, other, strict=True)
    ]
    for method in ("softsort", "fast_soft_sort"):
        out = losses.spearman(SCORES, other, method=method, **keywords)
        assert_close(out, np.array(expected), atol=1e-4)
    for proportion in (0.2, 0.45, 0.0):
        expected = scipy.stats.trim_mean(SCORES, proportion, axis=-1)
        out = losses.trimmed_mean(SCORES, proportion, **keywords)
        assert_close(out, expected, atol=1e-4)
    expected = np.sort(SCORES**2)[:, :3].mean(-1)
    out = losses.trimmed_mean(SCORES**2, (0.0, 0.4), **keywords)
    assert_close(out, expected, atol=1e-4)
    place = scipy.stats.rankdata(-SCORES, axis=-1)
    inside = np.sum(ONE_HOT * (place <= K), axis=-1) == 1
    out = np.asarray(losses.top_k_cross_entropy(SCORES, ONE_HOT, K, **keywords))
    assert np.all(out[inside] < 1e-4)
    assert np.all(out[~inside] > 10)


def test_soft_metrics():
    """At finite softness, against their definitions."""
    z = SCORES[0]
    sigmoid = scipy.special.expit((z[:, None] - z) / 0.3)
    p = LABELS[0]
    expected = (p @ sigmoid @ (1 - p)) / (p.sum() * (1 - p).sum())
    assert_close(losses.auc(z, p, softness=0.3), expected)
    index = oracles.softsort_oracle(z, 0.3, oracles.exp_link)[::-1]
    gains = index @ (2 ** RELEVANCE[0] - 1)
    discount = 1 / np.log2(np.arange(2, N + 2))
    expected = gains @ discount / (-np.sort(-(2 ** RELEVANCE[0] - 1)) @ discount)
    assert_close(losses.ndcg(z, RELEVANCE[0], softness=0.3), expected, atol=1e-5)
    chance = index[0] + 0.4 * index[1]  # the first for sure, the second at times
    expected = -np.log(chance @ ONE_HOT[0])
    out = losses.top_k_cross_entropy(z, ONE_HOT[0], (0.6, 0.4), softness=0.3)
    assert_close(out, expected, atol=1e-5)
    ranks = np.asarray(sj.rank(z, softness=0.3))
    expected = np.corrcoef(ranks, scipy.stats.rankdata(-RELEVANCE[0]))[0, 1]
    assert_close(losses.spearman(z, RELEVANCE[0], softness=0.3), expected, atol=1e-5)


@pytest.mark.parametrize(
    "metric",
    [
        lambda z: losses.auc(z, LABELS),
        lambda z: losses.ndcg(z, RELEVANCE, 2),
        lambda z: losses.spearman(z, RELEVANCE),
        lambda z: losses.trimmed_mean(z, 0.2),
        lambda z: losses.top_k_cross_entropy(z, ONE_HOT, 2),
        lambda z: (
            losses.mrr(z, LABELS, 3)
            + losses.average_precision(z, LABELS)
            + losses.precision(z, LABELS, 2)
            + losses.recall(z, LABELS, 1)
            + losses.pairwise_loss(z, RELEVANCE)
        ),
    ],
    ids=["auc", "ndcg", "spearman", "trimmed_mean", "top_k_cross_entropy", "ranking"],
)
def test_metrics_have_gradients(metric, x64):
    """Against finite differences; of constant rows they are finite."""
    v = inputs.rng("metrics").normal(size=SCORES.shape)
    total = jax.jit(lambda z: jnp.sum(metric(z)))
    gradient = jax.jit(jax.grad(total))
    expected = finite_difference(total, (SCORES,), (v,))
    assert_close(np.sum(gradient(SCORES) * v), expected, atol=1e-7)
    assert np.all(np.isfinite(gradient(np.zeros_like(SCORES))))
