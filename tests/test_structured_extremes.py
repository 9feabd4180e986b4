"""Functions of structures of forbidden parts, of large scores, infinity and NaN."""

import functools
from typing import Any

import inputs
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from assertions import assert_close
from jax.flatten_util import ravel_pytree
from parametrize import each
from structures import SETS, STRUCTURES, flat

import softjax as sj
import softjax.structured as st

CASES = [*STRUCTURES, *SETS]
KEY = jax.random.key(3)
METHODS: dict[str, Any] = {
    "hard": None,
    "recursion": "recursion",
    "marginals": "marginals",
    "k_best": st.KBestDistribution(4),
    "distribution": "distribution",
    "perturbed": st.Perturbed(KEY, samples=4),
}
FAST = {
    "grid_path-recursion",
    "knapsack-marginals",
    "matching-marginals",
    "spanning_tree-distribution",
    "graph_path-k_best",
    "subset-perturbed",
    "chain-hard",
}


def _has(case, method):
    if method == "recursion":
        return isinstance(case.structure, st.DynamicProgram)
    return method != "distribution" or case.structure.log_partition() is not None


each_method = pytest.mark.parametrize(
    ("case", "method"),
    [
        pytest.param(case, method, id=name, marks=marks)
        for case in CASES
        for method in METHODS
        if _has(case, method)
        for name in [f"{case.name}-{method}"]
        for marks in [[] if name in FAST else [pytest.mark.slow]]
    ],
)


@functools.partial(jax.jit, static_argnums=(0, 1))
def _answers(case, method, scores, target):
    """All functions of a structure by a method, in its own mode or a smooth one."""
    hard, smooth = method == "hard", method in ("recursion", "distribution")
    mode = "hard" if hard else "smooth" if smooth else "c0"
    given: Any = dict(softness=0.5, mode=mode, method=METHODS[method])
    value, gradient = jax.value_and_grad(
        lambda scores: st.value(case.structure, scores, **given)
    )(scores)
    found = {
        "value": value,
        "gradient": gradient,
        "argmax": st.argmax(case.structure, scores, **given),
        "entropy": st.entropy(case.structure, scores, **given),
        "loss": st.fenchel_young_loss(case.structure, scores, target, **given),
    }
    if method != "marginals":
        found["sample"] = st.sample(KEY, case.structure, scores, **given)
    return {name: ravel_pytree(x)[0] for name, x in found.items()}


def _with(case, place, filler, *seed):
    """Scores with a filler in a place, and how to make a pytree of flat ones."""
    z, unravel = ravel_pytree(case.scores(*seed, dtype=np.float32))
    return unravel(z.at[place].set(filler)), unravel


def _optional(case):
    """A part that some structures have and others do not, and one that does not."""
    structures = case.enumerate()
    share = structures.mean(axis=0)
    place = int(np.argmin(abs(share - 0.5)))
    return place, structures[structures[:, place] == 0][0]


@each_method
def test_what_is_forbidden_by_any_number(case, method):
    """-inf, the least float and `ABSENT` are the same, and no answer is NaN."""
    place, other = _optional(case)
    fillers = -np.inf, np.finfo(np.float32).min, st.ABSENT
    found = []
    for filler in fillers:
        scores, unravel = _with(case, place, filler, "forbidden")
        target = unravel(jnp.asarray(other, np.float32))
        found.append(_answers(case, method, scores, target))
    for name, answer in found[-1].items():
        assert np.isfinite(answer).all(), name
        for again in found:
            np.testing.assert_array_equal(again[name], answer, err_msg=name)
    for name in {"argmax", "gradient", "sample"} & set(found[0]):
        assert found[0][name][place] == 0, name
    if method == "hard":
        assert found[0]["entropy"] == 0


@each_method
def test_nan_is_no_answer(case, method):
    """One score of NaN makes all numbers NaN, and some of the derivative of a value."""
    place, other = _optional(case)
    scores, unravel = _with(case, place, np.nan, "nan")
    target = unravel(jnp.asarray(other, np.float32))
    for name, answer in _answers(case, method, scores, target).items():
        if name == "gradient":
            assert np.isnan(answer).any(), name
        else:
            assert np.isnan(answer).all(), name


def test_nan_is_in_no_list():
    scores = jnp.array([jnp.nan, 1.0, 2.0])
    one = st.KSubset(1)
    assert np.isnan(st.mean_of_k(one, scores, 2, mode="hard")).all()
    assert np.isnan(st.value(st.MeanOfK(one, 2), scores, mode="hard"))
    assert np.isnan(st.top_k(one, scores, 2, mode="hard").values).all()


@pytest.mark.parametrize(
    "structure",
    [st.Chain(2), st.Segments(2), st.Alignment(lengths=(2, 2))],
    ids=["chain", "segments", "alignment"],
)
def test_entropy_of_the_best_beside_padding(structure):
    grid = jnp.zeros((3, 3)).at[2].set(jnp.nan)
    pairs = jnp.zeros((2, 3, 3)).at[1].set(jnp.nan)
    scores = (grid, pairs) if isinstance(structure, st.Chain) else grid
    assert st.entropy(structure, scores, mode="hard") == 0


@each("case", CASES, fast=("matching", "spanning_tree_of_edges", "subset", "chain"))
def test_lists_of_what_is_allowed(case):
    """The k best are those of all structures, wherever the scores of others lie."""
    structures = case.enumerate()
    rng = inputs.rng(case.name, "forbidden parts")
    _, unravel = ravel_pytree(case.scores(0, dtype=np.float32))
    for offset in (0, 10, 1e3):
        for filler in (-np.inf, st.ABSENT):
            # Eighths, whose sums are exact.
            z = rng.integers(-16, 16, structures.shape[1]) / 8 - offset
            absent = rng.random(z.size) < 0.25
            allowed = structures[~(structures[:, absent] > 0).any(axis=1)]
            values = np.append(-np.sort(-(allowed @ z)), np.full(5, -np.inf))[:5]
            z = jnp.asarray(np.where(absent, filler, z), np.float32)
            found = st.top_k(case.structure, unravel(z), 5, mode="hard")
            np.testing.assert_array_equal(found.values, np.float32(values))
            assert found.exact
            rows = np.stack([flat(unravel(v)) for v in _rows(found.structures)])
            count = min(len(allowed), 5)
            assert not rows[count:].any()
            kept = {tuple(row) for row in rows[:count]}
            assert len(kept) == count
            assert kept <= {tuple(row) for row in allowed}


def _rows(tree):
    parts = [jnp.reshape(x, (len(x), -1)) for x in jax.tree.leaves(tree)]
    return jnp.concatenate(parts, axis=1)


def test_few_structures_of_large_costs():
    costs = jnp.array([[100.0, 101, jnp.inf], [102, 100, 101], [101, 103, 100]])
    values = [-300, -303, -303, -304, -np.inf]
    found = st.top_k(st.Matching(), -costs, 5, mode="hard").values
    np.testing.assert_array_equal(found, values)
    tree = st.SpanningTree(3, [(0, 1), (0, 1), (0, 1), (1, 2)])
    scores = jnp.array([-1000, -1000.5, -jnp.inf, 0])
    found = st.top_k(tree, scores, 2, mode="hard").values
    np.testing.assert_array_equal(found, [-1000, -1000.5])
    mean = st.mean_of_k(tree, scores, 2, mode="hard")
    np.testing.assert_array_equal(mean, [0.5, 0.5, 0, 1])


def test_soft_matchings_of_large_scores():
    """Doubly stochastic, and the best matching if scores are far apart."""
    matching = st.Matching()
    for seed in range(12):
        scores = np.float32(1e6 * inputs.rng("large", seed).normal(size=(4, 4)))
        mu = st.argmax(matching, scores, softness=1e-4)
        for axis in (0, 1):
            assert_close(mu.sum(axis=axis), np.ones(4), atol=2e-5)
        assert_close(mu, st.argmax(matching, scores, mode="hard"), atol=2e-5)


@pytest.mark.parametrize("transposed", [False, True], ids=["wide", "tall"])
def test_matchings_of_infinite_scores(transposed):
    """They have the pair of infinite score, and otherwise the best."""
    case = next(case for case in SETS if case.name == "wide_matching")
    structures = case.enumerate()
    for scale in (1.0, 1e6):
        for place in range(4):
            scores = case.scores("infinite", place, scale=scale, dtype=np.float32)
            flat_scores = scores.ravel().copy()
            has = structures[structures[:, place] > 0]
            best = has[np.argmax(has @ flat_scores)].reshape(scores.shape)
            scores.flat[place] = np.inf
            given = scores.T if transposed else scores
            found = st.argmax(case.structure, given, mode="hard")
            np.testing.assert_array_equal(found, best.T if transposed else best)


@pytest.mark.parametrize("method", ["recursion", "marginals", "k_best", None])
def test_traced_lengths_out_of_the_band(method):
    """No path, whether the band covers the rows or not."""
    mode = "hard" if method is None else "c0"

    @functools.partial(jax.jit, static_argnums=0)
    def both(rows, n, m):
        structure, scores = st.Alignment(1, (n, m)), jnp.zeros((rows, 3))
        given: Any = dict(mode=mode, method=method)
        largest = st.value(structure, scores, mode="hard")
        return largest, st.argmax(structure, scores, **given)

    for rows in (3, 4):
        largest, mu = both(rows, 3, 1)
        np.testing.assert_array_equal(mu, np.zeros((rows, 3)))
        assert largest < st.ABSENT / 2
        largest, mu = both(rows, 2, 1)
        np.testing.assert_array_equal(mu[:2, 0], [1, 1])
        assert largest == 0


@each("method", ["distribution", "k_best"], fast=("distribution",))
@each(
    "name",
    ["spanning_tree", "arborescence_of_arcs", "subset"],
    fast=("spanning_tree", "subset"),
)
def test_entropy_of_large_scores(name, method):
    """As that of small ones, of which each structure has as many."""
    case = next(case for case in CASES if case.name == name)
    if method == "k_best":
        method = st.KBestDistribution(len(case.enumerate()))
    z, unravel = ravel_pytree(case.scores("large", dtype=np.float32))
    z = jnp.round(4 * z) / 4  # exact, also beside the offset

    @jax.jit
    def entropy(scores):
        given: Any = dict(softness=0.5, mode="smooth", method=method)
        return st.entropy(case.structure, scores, **given)

    p = case.enumerate() @ np.asarray(z, float) / 0.5
    p = np.exp(p - p.max())
    p = p / p.sum()
    exact = np.float32(-np.sum(p * np.log(p)))
    assert_close(entropy(unravel(z)), exact, atol=2e-5)
    assert_close(entropy(unravel(z + 2.0**18)), exact, atol=2e-5)


@each("mode", ["smooth", "c0", "c1"], fast=("c0",))
def test_derivatives_of_the_entropy_of_a_list(mode):
    """Against the difference of value and mean, of a list of all."""
    tree = st.SpanningTree(3)
    given: Any = dict(mode=mode, method=st.KBestDistribution(3))

    def entropy(z, softness):
        return st.entropy(tree, z, softness=softness, **given)

    def difference(z, softness):
        value = st.value(tree, z, softness=softness, **given)
        mu = st.argmax(tree, z, softness=softness, **given)
        return (value - z @ mu) / softness

    z, softness = jnp.array([1.0, 0.8, 0.5]), jnp.float32(1.0)
    slopes = [
        jax.jit(jax.value_and_grad(fn, argnums=(0, 1)))(z, softness)
        for fn in (entropy, difference)
    ]
    for found, wanted in zip(*map(jax.tree.leaves, slopes), strict=True):
        assert_close(found, wanted, atol=1e-5)


def test_entropy_of_noise_beside_large_scores():
    scores = jnp.array([1.0, 0.75, 0.0])
    method = st.Perturbed(jax.random.key(0), samples=50)
    given: Any = dict(softness=0.5, method=method)
    small, large = (
        st.entropy(st.KSubset(1), scores + offset, **given) for offset in (0, 2.0**16)
    )
    assert_close(large, small, atol=1e-3)


def test_costs_of_what_is_forbidden():
    """The loss of a decision is that without what has an infinite cost."""
    loss = jax.value_and_grad(sj.losses.spo_plus)
    costs, target = jnp.array([1.0, 2.0]), jnp.array([2.0, 1.0])
    wanted, slope = loss(costs, target, st.KSubset(1))
    forbidden = jnp.array([jnp.inf])
    costs, target = (jnp.concatenate([c, forbidden]) for c in (costs, target))
    found, slopes = loss(costs, target, st.KSubset(1))
    assert found == wanted
    np.testing.assert_array_equal(slopes, np.append(slope, 0))
