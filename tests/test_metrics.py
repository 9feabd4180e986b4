"""Metrics with soft operators: AUC, NDCG, Spearman, top-k accuracy, trimmed means."""

import re

import inputs
import jax
import jax.numpy as jnp
import numpy as np
import oracles
import pytest
import scipy.special
import scipy.stats
from assertions import assert_close, finite_difference
from parametrize import each

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


@each("k", [1, 2, (0.25, 0.75)], fast=(2,))
@each("method", ["softsort", "neuralsort", "ot", "sorting_network"], fast=("softsort",))
def test_cross_entropy_of_what_is_far_behind(x64, method, k):
    """Beyond where soft indices underflow it grows with the distance all the same."""
    softness = 0.125

    def loss(far):
        scores = jnp.array([0.0, 1.0, 2.0, 3.0]) - far * jnp.eye(4)[0]
        keywords = dict(softness=softness, method=method, standardize=False)
        return losses.top_k_cross_entropy(scores, jnp.eye(4)[0], k, **keywords)

    values, slopes = jax.vmap(jax.value_and_grad(loss))(jnp.array([500.0, 1000.0]))
    assert np.all(values > 1e3)  # where float64 ends, it is 708
    # Of a transport plan less than 1 / softness, as far as anchors are apart.
    assert np.all(slopes > 0.6 / softness)
    rise = (values[1] - values[0]) / 500
    assert_close(slopes, np.full(2, rise), rtol=1e-3)


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


@pytest.mark.slow
def test_spearman_of_many_elements():
    """The squares of as many ranks overflow float32."""
    x = np.arange(8_000_000, dtype=np.float32)
    y = inputs.rng("many elements").permutation(x) + x
    expected = scipy.stats.spearmanr(x, y).statistic
    assert_close(losses.spearman(x, y, mode="hard"), expected, atol=1e-5)
    assert_close(losses.spearman(x, x, mode="hard"), np.float32(1), atol=1e-5)


def test_spearman_of_nan():
    x = np.array([0.3, np.nan, 0.1, 0.7])
    for pair in ((x, SCORES[0, :4]), (SCORES[0, :4], x)):
        assert np.isnan(losses.spearman(*pair))
        where = ~np.isnan(x)
        expected = scipy.stats.spearmanr(*(a[where] for a in pair)).statistic
        out = losses.spearman(*pair, where=where, mode="hard")
        assert_close(out, expected, atol=1e-6)


def test_ndcg_of_large_grades():
    """Whose gains overflow float32, and not float64."""
    grades = np.array([300.0, 298.5, 0.0, 299.0, 120.0])
    for k in (None, 2):
        expected = _hard_ndcg(SCORES[0], grades, k or N)
        out = losses.ndcg(SCORES[0], grades, k, mode="hard")
        assert_close(out, expected, atol=2e-6)


def test_ndcg_of_an_element_in_two_places():
    """It may exceed 1, with a method by which an element may be in several places."""
    z = np.array([0.57861423, 0.37289533, 0.5815974, -1.3402208])
    relevance = np.array([2.0, 2.0, 2.0, 1.0])
    discount = 1 / np.log2(np.arange(2, 6))
    gains = 2**relevance - 1
    index = oracles.softsort_oracle(z, 1.0, oracles.exp_link)[::-1]
    expected = index @ gains @ discount / (gains @ discount)
    assert expected > 1.007
    assert_close(losses.ndcg(z, relevance, softness=1.0), expected, atol=3e-6)
    assert losses.ndcg(z, relevance, softness=1.0, method="ot") <= 1 + 1e-6


# Of what is read of other operators, without saying what those return.
FORWARDING = {
    "top_k_cross_entropy": lambda **kw: losses.top_k_cross_entropy(
        SCORES, ONE_HOT, 2, **kw
    ),
    "ndcg": lambda **kw: losses.ndcg(SCORES, RELEVANCE, **kw),
    "mrr": lambda **kw: losses.mrr(SCORES, LABELS, **kw),
    "average_precision": lambda **kw: losses.average_precision(SCORES, LABELS, **kw),
    "precision": lambda **kw: losses.precision(SCORES, LABELS, **kw),
    "recall": lambda **kw: losses.recall(SCORES, LABELS, **kw),
    "spearman": lambda **kw: losses.spearman(SCORES, RELEVANCE, **kw),
    "trimmed_mean": lambda **kw: losses.trimmed_mean(SCORES, 0.2, **kw),
}


@pytest.mark.parametrize("name", list(FORWARDING))
@pytest.mark.parametrize(
    ("keyword", "instead"),
    [
        (dict(return_log_probs=True), "softjax.top_k"),
        (dict(return_log_probs=False), "softjax.top_k"),
        (dict(log_prob_eps=0.1), "softjax.top_k"),
        (dict(descending=True), "minus the first array"),
        (dict(softnes=0.1), "it takes softness, mode"),
    ],
)
def test_keywords_that_are_refused(name, keyword, instead):
    ((word, value),) = keyword.items()
    message = re.escape(f"{name}() got an unexpected keyword argument {word}={value}.")
    with pytest.raises(TypeError, match=f"{message}.*{re.escape(instead)}"):
        FORWARDING[name](**keyword)


@pytest.mark.parametrize("weights", [None, np.ones(N)], ids=["plain", "weighted"])
def test_shares_of_a_trimmed_mean(weights):
    """A number or a pair, of whatever kind; anything else is refused by name."""
    keywords = dict(mode="hard", weights=weights)
    expected = np.sort(SCORES, axis=-1)[:, 1:3].mean(-1)
    for pair in ((0.2, 0.4), [0.2, 0.4], np.array([0.2, 0.4]), jnp.array([0.2, 0.4])):
        out = losses.trimmed_mean(SCORES, pair, **keywords)
        assert_close(out, expected, atol=1e-6)
    expected = scipy.stats.trim_mean(SCORES, 0.2, axis=-1)
    for share in (0.2, np.float32(0.2), jnp.array(0.2)):
        out = losses.trimmed_mean(SCORES, share, **keywords)
        assert_close(out, expected, atol=1e-6)
    for wrong in (None, "0.2", (0.1, None), (0.1, (0.2, 0.3)), 0.1j):
        message = re.escape(f"must be a number, or a pair of them, got {wrong!r}.")
        with pytest.raises(TypeError, match=f"trimmed_mean: proportion {message}"):
            losses.trimmed_mean(SCORES, wrong, **keywords)
    for wrong in ((0.1, 0.2, 0.3), ()):
        message = re.escape(f"must be a number, or a pair of them, got {wrong!r}.")
        with pytest.raises(ValueError, match=f"trimmed_mean: proportion {message}"):
            losses.trimmed_mean(SCORES, wrong, **keywords)
    for wrong in (np.nan, (0.1, np.nan), np.inf, -0.1, (0.6, 0.5)):
        message = re.escape(f"proportion={wrong} must be nonnegative and leave some")
        with pytest.raises(ValueError, match=f"trimmed_mean: {message}"):
            losses.trimmed_mean(SCORES, wrong, **keywords)
    for traced in (lambda p: p, lambda p: (0.1, p)):
        with pytest.raises(TypeError, match=r"proportion must be .* a traced array"):
            jax.jit(lambda p, t=traced: losses.trimmed_mean(SCORES, t(p), **keywords))(
                0.2
            )
