"""Soft lists and soft sets of the k best structures, against all of them."""

import functools

import inputs
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from assertions import assert_close, finite_difference
from oracles import hulls, links, sets
from oracles.sorted_rows import neuralsort_oracle, softsort_oracle
from parametrize import each
from structures import SETS, STRUCTURES, flat

import softjax.structured as st

CASES = [*SETS, *(case for case in STRUCTURES if case.name in ("chain", "graph_path"))]
BY_NAME = {case.name: case for case in CASES}
K = 3


def _rows(method: str, scores, softness, link):
    """Soft indices of the largest K among all scores."""
    if method == "softsort":
        queries = np.sort(scores)[::-1][:K]
        return softsort_oracle(scores, [softness], link, queries)
    n = len(scores)
    return neuralsort_oracle(scores, [softness], link, n - np.arange(K))


@each("mode", ["c0", "c1"], fast=("c0",))
@each("method", ["softsort", "neuralsort"])
@each("case", CASES, fast=("spanning_tree",))
def test_certified_lists_are_those_of_all_structures(case, method, mode):
    structures = case.enumerate()
    scores = case.scores("top k", dtype=np.float32)
    link = links.power_link(hulls.POWERS[mode])
    of_all = structures @ flat(scores).astype(float)

    @jax.jit
    @functools.partial(jax.vmap, in_axes=(0, None))
    def find(softness, scores):
        keywords = dict(softness=softness, mode=mode, index_method=method)
        return st.top_k(case.structure, scores, K, candidates=9, **keywords)

    softnesses = np.array([0.1, 0.5, 1e4], np.float32)
    found = find(softnesses, scores)
    assert bool(found.exact[0])
    few = len(structures) >= 9  # of which the last might not be the last
    assert bool(found.exact[2]) != few
    for i, softness in enumerate(softnesses):
        if found.exact[i]:
            index = _rows(method, of_all, softness, link)
            soft = np.concatenate(
                [np.reshape(x[i], (K, -1)) for x in jax.tree.leaves(found.structures)],
                axis=1,
            )
            assert_close(found.values[i], index @ of_all, atol=5e-6)
            assert_close(soft, index @ structures, atol=1e-5)


@pytest.mark.slow
def test_transport_is_exact_for_complete_lists_only():
    """Transport regularizes relative to the number of elements."""
    tree = st.SpanningTree(3)
    scores = jnp.array([1.0, 0.8, 0.1])
    keywords = dict(mode="c0", index_method="ot", softness=0.01)
    assert not st.top_k(tree, scores, 2, candidates=3, **keywords).exact
    assert st.top_k(tree, scores, 2, candidates=4, **keywords).exact


@each("mode", ["smooth", "c0"], fast=())
def test_derivatives_of_lists(mode, x64):
    """In both directions, also where there are fewer structures than k."""
    tree = st.SpanningTree(3)

    def find(scores):
        best = st.top_k(tree, scores, 4, mode=mode, softness=0.5)
        return jnp.where(jnp.isinf(best.values), 0, best.values), best.structures

    scores, along = jnp.array([1.0, 0.8, 0.15]), jnp.array([0.3, -0.5, 1.0])

    @jax.jit
    def differentiate(scores):
        return jax.jvp(find, (scores,), (along,)), jax.jacrev(find)(scores)

    ((values, structures), forward), jacobians = differentiate(scores)
    assert values[3] == 0
    assert not np.any(structures[3])
    expected = finite_difference(jax.jit(find), (scores,), (along,))
    for i in range(2):
        assert_close(forward[i], expected[i], atol=1e-7)
        assert_close(jacobians[i] @ along, expected[i], atol=1e-7)


def _both(surrogate, straight_through, softness):
    """Values and derivatives of a function of trees, and of its variant."""
    tree, keywords = st.SpanningTree(3), dict(mode="c0", softness=softness)
    scores, along = jnp.array([1.0, 0.8, 0.1]), jnp.array([0.2, 1.0, -0.5])

    @jax.jit
    def find(scores):
        def of(fn):
            return jax.jvp(
                lambda z: fn(tree, z, 2, **keywords)[:2], (scores,), (along,)
            )

        return of(surrogate)[1], *of(straight_through)

    soft, value, moves = find(scores)
    for x, y in zip(moves, soft, strict=True):
        assert_close(x, np.array(y))
        assert np.any(x)
    return value


def test_hard_lists_have_soft_derivatives():
    values, structures = _both(st.top_k, st.top_k_st, 0.5)
    assert_close(values, np.array([1.8, 1.1], np.float32))
    assert_close(structures, np.array([[1, 1, 0], [1, 0, 1]], np.float32))


@pytest.mark.slow
def test_hard_sets_have_soft_derivatives():
    mean = _both(st.mean_of_k, st.mean_of_k_st, 3.0)
    assert_close(mean, np.array([1, 0.5], np.float32))


@each("name", ["spanning_tree", "wide_matching", "knapsack"], fast=())
def test_soft_sets_are_optimal(name, x64):
    """Among all means of k different structures, of which the hard one is the best."""
    case, k = BY_NAME[name], 2
    scores, softness = case.scores("sets"), 1.3
    means = sets.means_of_k(case.enumerate(), k)

    @jax.jit
    def find(scores):
        def value(scores):
            of = st.MeanOfK(case.structure, k)
            return st.value(of, scores, mode="c0", softness=softness)

        soft = st.mean_of_k(case.structure, scores, k, softness=softness)
        hard = st.mean_of_k(case.structure, scores, k, mode="hard")
        return soft, hard, *jax.value_and_grad(value)(scores)

    soft, hard, value, gradient = find(scores)
    mu, z = flat(soft), flat(scores)
    assert_close(flat(hard) @ z, np.max(means @ z))
    assert abs(hulls.optimality_gap(means, z, softness, "c0", mu)) < 1e-8
    assert hulls.distance_from_hull(means, mu) < 1e-5
    assert_close(value, mu @ z - softness * hulls.regularizer(mu, "c0"), atol=1e-8)
    assert_close(flat(gradient), mu, atol=1e-10)
    # One structure alone is none of the hull.
    assert hulls.optimality_gap(case.enumerate(), z, softness, "c0", mu) > 0.1


def test_means_of_more_than_there_are():
    """The mean of five of three trees is that of three."""
    tree, scores = st.SpanningTree(3), jnp.array([1.0, 0.8, 0.1])
    mean = st.mean_of_k(tree, scores, 5, mode="hard")
    assert_close(mean, np.full(3, 2 / 3, np.float32))


@pytest.mark.slow
def test_lists_under_vmap_are_those_of_each():
    tree = st.SpanningTree(4)
    scores = jnp.asarray(inputs.rng("batch").normal(size=(3, 6)), jnp.float32)

    def find(scores):
        return st.top_k(tree, scores, 2, mode="c0", softness=0.4)[:2]

    batch = jax.jit(jax.vmap(find))(scores)
    for i in range(3):
        for x, y in zip(batch, find(scores[i]), strict=True):
            assert_close(x[i], np.array(y))


def test_parts_that_must_not_be_have_an_infinite_score():
    """Lists end where only structures with them are left."""
    scores = jnp.array([[0.0, 1.0, -jnp.inf], [-1e30, 0.5, 0.2], [0.1, 0.0, 0.3]])
    best = st.top_k(st.Matching(), scores, 4, mode="hard")
    assert_close(best.values[:3], np.array([1.3, 0.8, 0.2], np.float32))
    assert np.isneginf(best.values[3])


BAD = [
    (dict(k=0), "top_k: k must be an integer of at least 1, got 0"),
    (dict(k=3, candidates=2), "candidates must be an integer of at least 3, got 2"),
    (dict(k=1, index_method="sorting_network"), "index_method='sorting_network'"),
    (dict(k=1, index_method="fast_soft_sort"), "has no soft indices"),
    (dict(k=1, softness=-1.0), "softness must be positive"),
]


@pytest.mark.parametrize(("keywords", "message"), BAD)
def test_lists_refuse_by_name(keywords, message):
    with pytest.raises(ValueError, match=message):
        st.top_k(st.SpanningTree(3), np.zeros(3), **keywords)


def test_lists_and_sets_refuse_what_is_of_another_type():
    with pytest.raises(TypeError, match="k must be an integer of at least 1"):
        st.top_k(st.SpanningTree(3), np.zeros(3), 2.0)
    with pytest.raises(TypeError, match="lists of means"):
        st.top_k(st.MeanOfK(st.KSubset(1), 2), np.zeros(3), 2)
    with pytest.raises(ValueError, match="mean_of_k: k must be"):
        st.mean_of_k(st.KSubset(1), np.zeros(3), 0)
    with pytest.raises(TypeError, match="structure must be"):
        st.mean_of_k(max, np.zeros(3), 2)
