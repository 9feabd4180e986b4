"""Samples of spanning trees, subsets and lists, against all of them."""

import inputs
import jax
import numpy as np
import pytest
import scipy.special
import scipy.stats
from oracles import links, sets, simplex
from parametrize import each
from structures import SETS, flat

import softjax.structured as st

CASES = [case for case in SETS if case.structure.log_partition() is not None]
SAMPLES = 4000


def _frequencies(case, scores, **keywords):
    """The number of draws of each structure."""
    keys = jax.random.split(jax.random.key(5), SAMPLES)
    draw = jax.jit(
        jax.vmap(lambda key: st.sample(key, case.structure, scores, **keywords))
    )
    drawn = np.asarray(draw(keys)).reshape(SAMPLES, -1)
    same = np.all(drawn[:, None] == case.enumerate(), axis=-1)
    assert np.all(np.sum(same, axis=1) == 1)
    return np.sum(same, axis=0)


def _assert_drawn_from(counts, p):
    """A chi-squared test that fails once in 10,000 times, of a fixed key."""
    assert not np.any(counts[p == 0])
    counts, p = counts[p > 0], p[p > 0]
    distance = np.sum((counts - SAMPLES * p) ** 2 / (SAMPLES * p))
    assert distance < scipy.stats.chi2.ppf(1 - 1e-4, max(len(p) - 1, 1))


@each("case", CASES, fast=("spanning_tree_of_edges", "knapsack"))
def test_distributions_are_sampled_exactly(case):
    scores = case.scores("samples", dtype=np.float32)
    softness = 1.2
    counts = _frequencies(
        case, scores, softness=softness, mode="smooth", method="distribution"
    )
    p = scipy.special.softmax(case.enumerate() @ flat(scores) / softness)
    _assert_drawn_from(counts, p)


@pytest.mark.slow
def test_lists_are_sampled_with_their_weights():
    case = next(case for case in SETS if case.name == "matching")
    scores = case.scores("samples", dtype=np.float32)
    counts = _frequencies(case, scores, softness=1.0, mode="c0", method="k_best")
    of_all = simplex.simplex_oracle(
        case.enumerate() @ flat(scores).astype(float), 1.0, links.power_link(2)
    )
    _assert_drawn_from(counts, of_all)


def test_noise_is_drawn_anew():
    """Gumbel noise of the simplex samples the softmax."""
    structure = st.KSubset(1)
    case = SETS[0]._replace(structure=structure, enumerate=lambda: sets.subsets(4, 1))
    scores = inputs.rng("noise").normal(size=4).astype(np.float32)
    method = st.Perturbed(jax.random.key(0))
    counts = _frequencies(case, scores, softness=0.8, method=method)
    _assert_drawn_from(counts, scipy.special.softmax(scores / 0.8))


def test_trees_of_any_softness():
    """At a small one, the best; and the marginals are the mean in a large graph."""
    tree = st.SpanningTree(12)
    scores = inputs.rng("sampled trees").normal(size=66).astype(np.float32)
    keys = jax.random.split(jax.random.key(0), 2000)

    @jax.jit
    @jax.vmap
    def draw(key):
        return (
            st.sample(key, tree, scores, softness=1e-4),
            st.sample(key, tree, scores, softness=0.7),
        )

    sharp, soft = map(np.asarray, draw(keys))
    best = st.argmax(tree, scores, mode="hard")
    assert np.all(sharp == best)
    assert np.all(np.sum(soft, axis=1) == 11)
    mu = np.asarray(st.argmax(tree, scores, softness=0.7))
    error = 5 * np.sqrt(mu * (1 - mu) / 2000) + 1e-3
    assert np.all(np.abs(np.mean(soft, axis=0) - mu) < error)


def test_what_has_no_distribution_is_not_sampled():
    key, scores = jax.random.key(0), np.zeros((3, 3))
    with pytest.raises(TypeError, match="no distribution"):
        st.sample(key, st.Matching(), scores)
