"""Spanning trees, matchings and subsets, against all of them."""

import inputs
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.optimize
from assertions import assert_close, finite_difference
from oracles import hulls, sets
from parametrize import each
from structures import SETS, flat

import softjax.structured as st
from softjax_solvers.internal import assign

FAST = ("spanning_tree", "arborescence_of_arcs", "wide_matching")
MODES = ("c0", "c1")


def _difficult_scores(case):
    """Generic scores, ties, large ones, and a few different ones."""
    whole = inputs.rng(case.name, "whole")
    rows = [
        case.scores("generic"),
        case.scores("zero", scale=0.0),
        case.scores("large", scale=1e6),
        case.scores("offset") + 1e3,
        whole.integers(0, 3, size=case.shapes),
    ]
    return np.stack([np.asarray(row, np.float32) for row in rows])


@each("case", SETS, fast=FAST)
def test_best_structures_are_those_of_all(case):
    """The best, and as many more as there are, are found; none is found twice."""
    structures, k = case.enumerate(), 12

    @jax.jit
    @jax.vmap
    def find(scores):
        best = st.argmax(case.structure, scores, mode="hard")
        return best, st.top_k(case.structure, scores, k, mode="hard")

    scores = _difficult_scores(case)
    best, (values, found, exact) = find(scores)
    assert np.all(exact)
    for row, first, kth, some in zip(scores, best, values, found, strict=True):
        expected = np.sort(structures @ flat(row).astype(float))[::-1][:k]
        size = max(1.0, np.max(np.abs(row)))
        count = len(expected)
        assert_close(kth[:count], expected, atol=4e-6 * size)
        assert np.all(np.isneginf(kth[count:]))
        some = np.asarray(some).reshape(k, -1)
        assert not np.any(some[count:])
        for one in [flat(first), *some[:count]]:
            assert np.any(np.all(structures == one, axis=1))
        assert len(np.unique(some[:count], axis=0)) == count
        assert_close(flat(first) @ flat(row), kth[0], atol=4e-6 * size)


@each("mode", MODES, fast=("c0",))
@each("case", SETS, fast=("matching",))
def test_marginals_are_optimal(case, mode, x64):
    """Marginals are in the hull, no structure is better, and derivatives are right."""
    structures, softness = case.enumerate(), 0.7
    scores = case.scores("marginals")

    def find(scores):
        keywords = dict(softness=softness, mode=mode, method="marginals")
        value = st.value(case.structure, scores, **keywords)
        return value, st.argmax(case.structure, scores, **keywords)

    @jax.jit
    def differentiate(scores, along):
        gradient = jax.grad(lambda scores: find(scores)[0])(scores)
        return find(scores), gradient, jax.jvp(find, (scores,), (along,))[1]

    along = case.scores("along")
    (value, mu), gradient, moves = differentiate(scores, along)
    mu, z = flat(mu), flat(scores)
    assert hulls.distance_from_hull(structures, mu) < 1e-6
    assert abs(hulls.optimality_gap(structures, z, softness, mode, mu)) < 1e-8
    assert_close(value, z @ mu - softness * hulls.regularizer(mu, mode), atol=1e-8)
    assert_close(flat(gradient), mu, atol=1e-10)
    expected = finite_difference(jax.jit(find), (scores,), (along,))
    assert_close(moves[0], expected[0], atol=1e-5)
    assert_close(moves[1], expected[1], atol=1e-5)


PARTITIONED = [case for case in SETS if case.structure.log_partition() is not None]


@each("case", PARTITIONED, fast=("subset",))
def test_distributions_are_those_over_all(case):
    """Value, marginals, covariances and entropy, however small the softness is."""
    structures, scores = case.enumerate(), case.scores("gibbs", dtype=np.float32)

    @jax.jit
    @jax.vmap
    def find(softness, scores):
        keywords = dict(softness=softness, mode="smooth", method="distribution")

        def marginals(scores):
            return st.argmax(case.structure, scores, **keywords)

        value = st.value(case.structure, scores, **keywords)
        entropy = st.entropy(case.structure, scores, **keywords)
        return value, marginals(scores), jax.jacfwd(marginals)(scores), entropy

    softnesses = np.array([3.0, 1.0, 0.1, 0.02, 1e-3, 1e3, 1.0], np.float32)
    rows = np.stack([scores] * len(softnesses))
    rows[-1] = 0
    results = find(softnesses, rows)
    for softness, z, value, mu, jacobian, entropy in zip(
        softnesses, rows, *results, strict=True
    ):
        expected = hulls.gibbs(structures, z, softness)
        size = max(1.0, softness)
        assert_close(value, expected.value, atol=1e-6 * size)
        assert_close(mu, expected.marginals, atol=1e-5)
        assert_close(softness * jacobian, expected.covariance, atol=1e-5)
        assert_close(entropy, expected.entropy, atol=2e-3 if softness < 0.1 else 2e-5)


@each("case", [case for case in PARTITIONED if "tree" in case.name], fast=())
def test_distributions_in_64_bits(case, x64):
    structures, scores = case.enumerate(), case.scores("gibbs")
    keywords = dict(softness=0.3, method="distribution", mode="smooth")
    expected = hulls.gibbs(structures, scores, 0.3)
    mu = st.argmax(case.structure, scores, **keywords)
    assert_close(st.value(case.structure, scores, **keywords), expected.value)
    assert_close(mu, expected.marginals)


def test_large_trees_have_marginals_at_any_softness():
    """20 nodes, by the determinant in more digits, and hard ones in the limit."""
    nodes = 20
    tree = st.SpanningTree(nodes)
    scores = inputs.rng("large trees").normal(size=len(tree.edges)).astype(np.float32)
    find = jax.jit(
        jax.vmap(lambda softness: st.argmax(tree, scores, softness=softness))
    )
    softnesses = np.array([1.0, 0.2, 0.02, 1e-3, 1e-6], np.float32)
    mu = find(softnesses)
    assert_close(np.sum(mu, axis=1), np.full(5, nodes - 1.0), atol=1e-4)
    assert_close(mu[-1], st.argmax(tree, scores, mode="hard"), atol=1e-6)
    tail, head = tree.pairs.T
    for softness, row in zip(softnesses[:2], mu[:2], strict=True):
        weights = np.zeros((nodes, nodes))
        weights[tail, head] = np.exp(scores.astype(float) / softness)
        weights += weights.T
        laplacian = np.diag(weights.sum(axis=0)) - weights
        inverse = np.zeros((nodes, nodes))
        inverse[1:, 1:] = np.linalg.inv(laplacian[1:, 1:])
        resistance = inverse[tail, tail] + inverse[head, head] - 2 * inverse[tail, head]
        assert_close(row, weights[tail, head] * resistance, atol=1e-5)


@pytest.mark.parametrize("root", [0, 2])
def test_arcs_into_the_root_are_in_no_arborescence(root):
    tree = st.SpanningTree(4, directed=True, root=root)
    scores = inputs.rng("root").normal(size=12).astype(np.float32)
    mu = st.argmax(tree, scores, softness=1.0)
    expected = hulls.gibbs(sets.arborescences(4, list(tree.edges), root), scores, 1.0)
    assert_close(mu, expected.marginals, atol=1e-6)
    assert not np.any(mu[tree.pairs[:, 1] == root])


def test_assignments_are_those_of_scipy():
    """Also where scores tie, or are large; and none loops forever."""
    find = jax.jit(jax.vmap(assign))
    rng = inputs.rng("assignments")
    for n, m in [(1, 1), (1, 4), (6, 6), (5, 9)]:
        rows = [
            rng.normal(size=(20, n, m)),
            1e6 * rng.normal(size=(20, n, m)),
            rng.integers(0, 3, size=(20, n, m)),
            np.zeros((1, n, m)),
            np.full((1, n, m), np.nan),
            np.full((1, n, m), -np.inf),
        ]
        scores = np.concatenate(rows).astype(np.float32)
        columns, reduced = map(np.asarray, find(scores))
        assert np.all((columns >= 0) & (columns < m))
        assert all(len(set(row)) == n for row in columns)
        assert not np.any(reduced[:-2] < 0)
        matched = np.take_along_axis(reduced[:-2], columns[:-2, :, None], axis=-1)
        size = np.abs(scores[:-2]).max(axis=(1, 2))[:, None, None]
        assert np.all(matched <= 1e-6 * size)
        for row, found in zip(scores[:-2].astype(float), columns, strict=False):
            best = row[scipy.optimize.linear_sum_assignment(row, maximize=True)].sum()
            assert_close(
                row[np.arange(n), found].sum(), best, atol=1e-6 * abs(row).max()
            )


@each("case", SETS, fast=("arborescence_of_arcs",))
def test_nan_flows(case):
    scores = case.scores("nan", dtype=np.float32)
    scores.flat[1] = np.nan
    find = jax.jit(
        lambda scores: (
            st.argmax(case.structure, scores, mode="hard"),
            st.value(case.structure, scores),
            st.top_k(case.structure, scores, 2)[:2],
        )
    )
    best, value, (values, structures) = find(scores)
    assert np.isnan(value)
    assert np.all(np.isnan(best))
    assert np.all(np.isnan(values))
    assert np.all(np.isnan(flat(structures)))


BAD = [
    (lambda: st.SpanningTree(1), "nodes must be an integer of at least 2, got 1"),
    (lambda: st.SpanningTree(3, [(0, 1)]), r"edges must join all nodes; \[2\]"),
    (lambda: st.SpanningTree(3, [(0, 3)]), "pairs of nodes from 0 to 2"),
    (lambda: st.SpanningTree(3, root=3), "root must be a node, from 0 to 2, got 3"),
    (
        lambda: st.SpanningTree(3, [(1, 0), (2, 1)], directed=True),
        r"\[1 2\] can't be reached from 0",
    ),
    (lambda: st.Knapsack((1, 0), 3), "sizes must be positive"),
    (lambda: st.Knapsack((1.5, 2.0), 3), "sizes must be a list of positive integers"),
    (
        lambda: st.Knapsack((1, 2), -1),
        "capacity must be an integer of at least 0, got -1",
    ),
    (lambda: st.KSubset(-1), "k must be an integer of at least 0, got -1"),
    (lambda: st.argmax(st.KSubset(4), np.zeros(3)), "k=4 must be at most .*, 3"),
    (lambda: st.argmax(st.Matching(), np.zeros(3)), r"shape \(n, m\), got \(3,\)"),
    (lambda: st.argmax(st.SpanningTree(3), np.zeros(4)), r"shape \(3\), got \(4,\)"),
    (lambda: st.Oracle(3), "fn must be a function from scores to a structure, got 3"),
]


@pytest.mark.parametrize(("call", "message"), BAD)
def test_what_does_not_fit_is_named(call, message):
    with pytest.raises((TypeError, ValueError), match=message):
        call()


def test_empty_and_full_subsets():
    scores = jnp.array([0.3, 0.1])
    methods = "marginals", "distribution", "recursion"

    @jax.jit
    def find(scores):
        return [
            [st.argmax(st.KSubset(k), scores, method=m, mode="smooth") for m in methods]
            for k in (0, 2)
        ]

    nothing, all_items = find(scores)
    assert_close(np.array(nothing), np.zeros((3, 2), np.float32))
    assert_close(np.array(all_items), np.ones((3, 2), np.float32))
