"""Metrics of the first k, and of pairs, against scikit-learn and Rax's formulas."""

import itertools

import inputs
import jax
import jax.numpy as jnp
import numpy as np
import oracles
import pytest
import scipy.optimize
import scipy.special
import scipy.stats
import sklearn.metrics
from assertions import assert_close, finite_difference
from parametrize import each

from softjax import losses

N = 5
_rng = inputs.rng("ranking")
SCORES = _rng.normal(size=(4, N))
# Grades: 1 and above is relevant; nothing is in the last row.
RELEVANCE = np.array([[0, 1, 0, 0, 3], [1, 1, 0, 2, 0], [0, 0, 0, 0, 1], [0] * 5])
BINARY = np.minimum(RELEVANCE, 1)
CHANCES = _rng.uniform(size=(4, N))
WEIGHTS = _rng.uniform(0.2, 3, size=(4, N))
RANKS = scipy.stats.rankdata(-SCORES, axis=-1)


def _reciprocal_rank(k):
    found = BINARY * (k >= RANKS) / RANKS
    return found.max(axis=-1)


def _average_precision(k):
    """By ranks of pairs, as in Rax."""
    before = (RANKS[:, None, :] <= RANKS[:, :, None]) * BINARY[:, None, :]
    precisions = before.sum(axis=-1) / RANKS
    found = np.sum(BINARY * (k >= RANKS) * precisions, axis=-1)
    return found / np.maximum(BINARY.sum(axis=-1), 1)


@each("method", ["softsort", "neuralsort", "ot", "sorting_network"], fast=("softsort",))
def test_hard_limit_of_places(method):
    for keywords in (dict(mode="hard"), dict(softness=1e-4, method=method)):
        for k in (None, 1, 3):
            last = k or N
            out = losses.mrr(SCORES, RELEVANCE, k, **keywords)
            assert_close(out, _reciprocal_rank(last), atol=1e-4)
            out = losses.average_precision(SCORES, RELEVANCE, k, **keywords)
            assert_close(out, _average_precision(last), atol=1e-4)
        out = losses.average_precision(SCORES, RELEVANCE, **keywords)
        for row in range(3):
            y, s = BINARY[row], SCORES[row]
            expected = sklearn.metrics.average_precision_score(y, s)
            assert_close(out[row], expected, atol=1e-4)
            expected = sklearn.metrics.label_ranking_average_precision_score([y], [s])
            assert_close(out[row], expected, atol=1e-4)


@each("method", ["ot", "hypersimplex"])
def test_hard_limit_of_masks(method):
    for keywords in (dict(mode="hard"), dict(softness=1e-4, method=method)):
        for k in (None, 1, 3):
            precision = losses.precision(SCORES, RELEVANCE, k, **keywords)
            recall = losses.recall(SCORES, RELEVANCE, k, **keywords)
            for row, (y, r) in enumerate(zip(BINARY, RANKS, strict=True)):
                found = r <= (k or N)
                score = sklearn.metrics.precision_score(y, found, zero_division=0)
                assert_close(precision[row], score, atol=1e-4)
                score = sklearn.metrics.recall_score(y, found, zero_division=0)
                assert_close(recall[row], score, atol=1e-4)


def test_probabilities_of_relevance():
    """Expectations over what is relevant, in a hard order."""
    s, p = SCORES[0], CHANCES[0]
    order = np.argsort(-s)
    rank, precisions = 0.0, 0.0
    for outcome in itertools.product((0, 1), repeat=N):
        y = np.array(outcome)
        chance = np.prod(np.where(y, p, 1 - p))
        y = y[order]
        if y.any():
            rank += chance / (1 + np.argmax(y))
        precisions += chance * np.sum(y * np.cumsum(y) / np.arange(1, N + 1))
    assert_close(losses.mrr(s, p, mode="hard"), rank)
    out = losses.average_precision(s, p, mode="hard")
    assert_close(out, precisions / p.sum())


def test_soft_places(x64):
    """At finite softness, against their definitions."""
    s, p, k, tau = SCORES[1], CHANCES[1], 4, 0.5
    index = oracles.softsort_oracle(s, tau, oracles.exp_link)[::-1][:k]
    hits = index * p
    reciprocal, missed = 0.0, 1.0
    for i in range(k):
        before, missed = missed, np.prod([1 - h.sum() for h in hits[: i + 1].T])
        reciprocal += (before - missed) / (i + 1)
    assert_close(losses.mrr(s, p, k, softness=tau), reciprocal, atol=1e-8)
    # Where one is relevant, both are its mean reciprocal place.
    one = np.eye(N)[2]
    expected = index[:, 2] @ (1 / np.arange(1, k + 1))
    for metric in (losses.mrr, losses.average_precision):
        assert_close(metric(s, one, k, softness=tau), expected, atol=1e-8)
    total = 0.0
    for i, a in itertools.product(range(k), range(N)):
        others = [hits[j, b] for j in range(i) for b in range(N) if b != a]
        total += hits[i, a] * (1 + sum(others)) / (i + 1)
    out = losses.average_precision(s, p, k, softness=tau)
    assert_close(out, total / p.sum(), atol=1e-8)


def test_soft_masks(x64):
    s, p, tau = SCORES[1], CHANCES[1], 0.5
    for k in (2, 2.5):

        def mask(theta):
            return scipy.special.expit(s / tau - theta)

        theta = scipy.optimize.brentq(lambda t: mask(t).sum() - k, -50, 50, xtol=1e-14)  # noqa: B023
        found = mask(theta) @ p
        assert_close(losses.precision(s, p, k, softness=tau), found / k, atol=1e-8)
        assert_close(losses.recall(s, p, k, softness=tau), found / p.sum(), atol=1e-8)


def test_k_of_each_row():
    """A fraction or an array, differentiable, as for a mask of the k largest."""
    k = np.array([[1.0], [2.5], [4.0], [0.0]])
    out = losses.precision(SCORES, RELEVANCE, k, softness=0.5)
    for row in range(4):
        alone = losses.precision(SCORES[row], RELEVANCE[row], k[row, 0], softness=0.5)
        assert_close(out[row], alone)
    with pytest.raises(ValueError, match=r"recall: k=6 must be from 0 to .* 5"):
        losses.recall(SCORES, RELEVANCE, 6)
    with pytest.raises(ValueError, match="mrr needs soft indices"):
        losses.mrr(SCORES, RELEVANCE, method="fast_soft_sort")


def test_pairs_in_the_wrong_order():
    """Kendall's tau counts them; soft ones, weights and masks are as in Rax."""
    ranked = np.array([3.0, 1.0, 0.5, 4.0, 2.0])
    out = losses.pairwise_loss(SCORES, np.tile(ranked, (4, 1)), mode="hard")
    tau = [scipy.stats.kendalltau(s, ranked).statistic for s in SCORES]
    assert_close(out, (1 - np.array(tau)) / 2)
    where = np.array([True, True, False, True, True])
    for here, weights in (
        (None, None),
        (where, None),
        (None, WEIGHTS),
        (where, WEIGHTS),
    ):
        present = np.ones(N, bool) if here is None else here
        w = np.ones_like(WEIGHTS) if weights is None else weights
        expected = []
        for s, y, w_row in zip(SCORES, RELEVANCE, w, strict=True):
            pairs = [
                w_row[i] * scipy.special.expit((s[j] - s[i]) / 0.4)
                for i, j in itertools.product(np.flatnonzero(present), repeat=2)
                if y[i] > y[j]
            ]
            expected.append(np.mean(pairs) if pairs else 0)
        hidden = np.where(present, SCORES, np.nan)
        out = losses.pairwise_loss(
            hidden, RELEVANCE, softness=0.4, where=here, weights=weights
        )
        assert_close(out, np.array(expected))
    unknown = losses.pairwise_loss(SCORES[0], [0, 1, np.nan, 2, 3])
    assert np.isnan(unknown)


def test_weights_of_auc():
    """Whole weights are copies; others are scikit-learn's."""
    s, y = np.round(SCORES[1], 2), BINARY[1]
    copies = np.array([2, 0, 1, 3, 2])
    out = losses.auc(s, y, softness=0.4, weights=copies)
    repeated = losses.auc(np.repeat(s, copies), np.repeat(y, copies), softness=0.4)
    assert_close(out, repeated)
    expected = sklearn.metrics.roc_auc_score(y, s, sample_weight=WEIGHTS[1])
    assert_close(losses.auc(s, y, mode="hard", weights=WEIGHTS[1]), expected)
    # Nothing positive, or none that counts: NaN, which does not move.
    for labels, weights in ((np.zeros(N), WEIGHTS[1]), (y, 1 - y)):
        out, moves = jax.value_and_grad(
            lambda s, w, y=labels: losses.auc(s, y, weights=w), (0, 1)
        )(s, weights.astype(float))
        assert np.isnan(out)
        assert not np.any(moves)


def test_weights_of_ndcg():
    """Weights multiply gains, and the ideal order is that of weighted gains."""
    gains = (2.0**RELEVANCE - 1) * WEIGHTS
    for k in (None, 2):
        discount = np.where((k or N) >= RANKS, 1 / np.log2(1 + RANKS), 0)
        ideal = -np.sort(-gains, axis=-1)[:, :k] / np.log2(2 + np.arange(k or N))
        expected = np.sum(gains * discount, -1) / np.maximum(ideal.sum(-1), 1e-30)
        out = losses.ndcg(SCORES, RELEVANCE, k, softness=1e-4, weights=WEIGHTS)
        assert_close(out, expected, atol=1e-4)


@each("name", ["auc", "ndcg", "pairwise_loss"], fast=("auc",))
def test_derivatives_in_weights(name, x64):
    """One-sided at 0, and finite."""
    weights = WEIGHTS[:3].copy()
    weights[0, 0] = weights[1, 2] = 0.0

    def total(w):
        out = getattr(losses, name)(SCORES[:3], RELEVANCE[:3] > 0, weights=w)
        return jnp.sum(out)

    v = inputs.rng("weights").uniform(size=weights.shape)
    slope = np.sum(jax.grad(total)(weights) * v)
    # The formulas hold for negative weights too, which only known ones may not be.
    assert_close(slope, finite_difference(jax.jit(total), (weights,), (v,)), atol=1e-8)


def test_what_weights_are_refused():
    for weights in (-WEIGHTS, np.full(N, np.inf), np.full(N, np.nan)):
        with pytest.raises(
            ValueError, match="auc: weights must be nonnegative and fin"
        ):
            losses.auc(SCORES, BINARY, weights=weights)
    with pytest.raises(ValueError, match=r"ndcg: weights of shape \(3,\) must broad"):
        losses.ndcg(SCORES, BINARY, weights=np.ones(3))
    # Behind the mask they may be anything.
    where = np.arange(N) < 4
    losses.auc(SCORES, BINARY, weights=np.where(where, WEIGHTS, np.nan), where=where)


@each(
    "name", ["ndcg", "mrr", "average_precision", "top_k_cross_entropy"], fast=("ndcg",)
)
def test_how_many_of_the_first(name):
    """From 1 to all, or an error that names the loss; a number of NumPy's will do."""
    loss = getattr(losses, name)
    target = scipy.special.softmax(SCORES, axis=-1)
    for k in (-1, 0, N + 1):
        message = f"^{name}: k={k} must be from 1 to the size of the axis, {N}"
        with pytest.raises(ValueError, match=message):
            loss(SCORES, target, k)
    for k in (True, 1.5):
        with pytest.raises(TypeError, match=f"^{name}: k must be an integer"):
            loss(SCORES, target, k)
    out = loss(SCORES, target, np.int64(2))
    np.testing.assert_array_equal(out, loss(SCORES, target, 2))


@each("name", ["precision", "recall", "mrr", "average_precision", "auc"], fast=("auc",))
def test_grades(name):
    """Grades above 1 count as 1, and negative ones are refused."""
    loss = getattr(losses, name)
    np.testing.assert_array_equal(loss(SCORES, RELEVANCE), loss(SCORES, BINARY))
    masked = np.where(BINARY > 0, RELEVANCE, -1)
    kept = loss(SCORES, masked, where=masked >= 0)
    np.testing.assert_array_equal(kept, loss(SCORES, BINARY, where=masked >= 0))
    with pytest.raises(ValueError, match=f"^{name}: .* must be nonnegative, got -1"):
        loss(SCORES, 2 * BINARY - 1)
