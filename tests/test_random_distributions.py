"""Hard draws have exactly the distribution of their namesakes in `jax.random`."""

import itertools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats
from parametrize import each

import softjax as sj

R = sj.random
DRAWS = 20_000
LOGITS = np.array([0.2, 1.0, -np.inf, 0.7, -0.4])
SHARES = np.array([0.1, 0.0, 0.5, 0.4])
WEIGHTS = np.array([2.0, 0.5, 1.0, 0.0, 3.0])
WHERE = np.array([True, True, False, True, False])
Outcomes = dict[tuple[float, ...], float]


class Case(NamedTuple):
    """A draw and the probabilities of its outcomes, as they are flattened."""

    name: str
    draw: Callable[[Any], Any]
    outcomes: Outcomes


def softmax(logits, weights=1.0, where=True):
    p = np.where(where, weights * np.exp(logits), 0)
    return p / p.sum()


def one_hot(i, n):
    return tuple(float(i == j) for j in range(n))


def of_one(p):
    """One-hot outcomes of these probabilities."""
    return {one_hot(i, len(p)): share for i, share in enumerate(p) if share > 0}


def independent(*parts: Outcomes) -> Outcomes:
    """Outcomes of independent draws, one behind the other."""
    return {
        sum((key for key, _ in chosen), ()): float(np.prod([p for _, p in chosen]))
        for chosen in itertools.product(*(part.items() for part in parts))
    }


def in_order(p, k):
    """Sequences of k positions, drawn one after the other from what is left."""
    found = {}
    for chosen in itertools.permutations(np.flatnonzero(p).tolist(), k):
        share, left = 1.0, 1.0
        for i in chosen:
            share, left = share * p[i] / left, left - p[i]
        found[chosen] = share
    return found


def merged(sequences, outcome) -> Outcomes:
    """Outcomes that sequences lead to."""
    found = {}
    for chosen, share in sequences.items():
        key = outcome(chosen)
        found[key] = found.get(key, 0) + share
    return found


def rows(n):
    return lambda chosen: sum((one_hot(i, n) for i in chosen), ())


def mask(n):
    return lambda chosen: tuple(float(i in chosen) for i in range(n))


def read(values):
    return lambda chosen: tuple(float(values[i]) for i in chosen)


def binomial(n, p) -> Outcomes:
    return {(float(k),): scipy.stats.binom.pmf(k, n, p) for k in range(n + 1)}


def multinomial(n, p) -> Outcomes:
    counts = itertools.product(range(n + 1), repeat=len(p))
    return {
        tuple(map(float, c)): scipy.stats.multinomial.pmf(c, n, p)
        for c in counts
        if sum(c) == n and all(p[i] > 0 or c[i] == 0 for i in range(len(p)))
    }


def geometric(p, last) -> Outcomes:
    found = {(float(k),): p * (1 - p) ** (k - 1) for k in range(1, last)}
    return found | {(float(last),): (1 - p) ** (last - 1)}


UNIFORM = np.full(3, 1 / 3)
A = np.array([[10.0, 20.0, 30.0, 40.0]])
COIN = {(0.0,): 0.7, (1.0,): 0.3}
CASES = [
    Case("categorical", lambda k: R.categorical(k, LOGITS), of_one(softmax(LOGITS))),
    Case(
        "categorical, axis and shape",
        lambda k: R.categorical(k, jnp.stack([LOGITS[:2], -LOGITS[:2]], 1), 0, (2, 2)),
        independent(*(of_one(softmax(s * LOGITS[:2])) for s in (1, -1, 1, -1))),
    ),
    Case(
        "categorical, weights",
        lambda k: R.categorical(k, LOGITS, weights=WEIGHTS),
        of_one(softmax(LOGITS, WEIGHTS)),
    ),
    Case(
        "categorical, where",
        lambda k: R.categorical(k, np.where(WHERE, LOGITS, np.nan), where=WHERE),
        of_one(softmax(LOGITS, where=WHERE)),
    ),
    Case(
        "categorical, without replacement",
        lambda k: R.categorical(k, LOGITS, shape=(2,), replace=False),
        merged(in_order(softmax(LOGITS), 2), rows(5)),
    ),
    Case("bernoulli", lambda k: R.bernoulli(k, 0.3), COIN),
    Case(
        "bernoulli, shape",
        lambda k: R.bernoulli(k, jnp.array([[0.3], [0.9]]), (2, 2)),
        independent(COIN, COIN, *2 * [{(0.0,): 0.1, (1.0,): 0.9}]),
    ),
    Case(
        "rademacher",
        lambda k: R.rademacher(k, (3,)),
        independent(*3 * [{(-1.0,): 0.5, (1.0,): 0.5}]),
    ),
    Case(
        "choice",
        lambda k: R.choice(k, A, (2,), p=SHARES, axis=1),
        independent(*2 * [{(10.0,): 0.1, (30.0,): 0.5, (40.0,): 0.4}]),
    ),
    Case(
        "choice of numbers",
        lambda k: R.choice(k, 3, (2,)),
        independent(*2 * [{(float(i),): 1 / 3 for i in range(3)}]),
    ),
    Case(
        "choice, without replacement",
        lambda k: R.choice(k, A, (2,), False, SHARES, 1),
        merged(in_order(SHARES, 2), read(A[0])),
    ),
    Case(
        "choice of numbers, without replacement",
        lambda k: R.choice(k, 3, (2,), False),
        merged(in_order(UNIFORM, 2), read(range(3))),
    ),
    Case(
        "permutation",
        lambda k: R.permutation(k, A[0, :3]),
        merged(in_order(UNIFORM, 3), read(A[0])),
    ),
    Case(
        "permutation of rows",
        lambda k: R.permutation(k, jnp.stack([A[0, :3], -A[0, :3]], 1)),
        merged(
            in_order(UNIFORM, 3),
            lambda chosen: sum(((A[0, i], -A[0, i]) for i in chosen), ()),
        ),
    ),
    Case(
        "permutation, independent",
        lambda k: R.permutation(k, jnp.stack([A[0, :3]] * 2), 1, True),
        independent(*2 * [merged(in_order(UNIFORM, 3), read(A[0]))]),
    ),
    Case("binomial", lambda k: R.binomial(k, 5, 0.3), binomial(5, 0.3)),
    Case(
        "binomial, arrays",
        lambda k: R.binomial(k, np.array([2, 3]), jnp.array([0.3, 0.8])),
        independent(binomial(2, 0.3), binomial(3, 0.8)),
    ),
    Case("multinomial", lambda k: R.multinomial(k, 3, SHARES), multinomial(3, SHARES)),
    Case(
        "multinomial, arrays",
        lambda k: R.multinomial(k, np.array([1, 2]), UNIFORM, shape=(2,)),
        independent(multinomial(1, UNIFORM), multinomial(2, UNIFORM)),
    ),
    Case(
        "geometric",
        lambda k: jnp.minimum(R.geometric(k, 0.4), 9),
        geometric(0.4, 9),
    ),
    Case(
        "top_k",
        lambda k: R.top_k(k, LOGITS, 2),
        merged(in_order(softmax(LOGITS), 2), mask(5)),
    ),
    Case(
        "top_k, weights",
        lambda k: R.top_k(k, LOGITS[:, None], 2, 0, weights=WEIGHTS),
        merged(in_order(softmax(LOGITS, WEIGHTS), 2), mask(5)),
    ),
    Case(
        "orderings",
        lambda k: R.orderings(k, LOGITS[WHERE]),
        merged(in_order(softmax(LOGITS[WHERE]), 3), rows(3)),
    ),
    Case(
        "orderings, where",
        lambda k: R.orderings(k, LOGITS, where=WHERE)[:3],
        merged(in_order(softmax(LOGITS, where=WHERE), 3), rows(5)),
    ),
]
_FAST = ("categorical, without replacement", "binomial", "geometric", "top_k, weights")


@pytest.mark.x64
@each("case", CASES, fast=_FAST)
def test_hard_draws(case):
    """Pearson's chi-square of counts of outcomes, all of which are expected."""

    @jax.jit
    def draw(keys):
        with sj.defaults(mode="hard"):
            return jax.vmap(case.draw)(keys)

    out = np.asarray(draw(jax.random.split(jax.random.key(7), DRAWS)))
    found, counts = np.unique(out.reshape(DRAWS, -1), axis=0, return_counts=True)
    counts = dict(zip(map(tuple, found.tolist()), counts, strict=True))
    assert not set(counts) - set(case.outcomes)
    assert sum(case.outcomes.values()) == pytest.approx(1)
    observed = [counts.get(outcome, 0) for outcome in case.outcomes]
    expected = DRAWS * np.array(list(case.outcomes.values()))
    assert expected.min() > 5
    assert scipy.stats.chisquare(observed, expected).pvalue > 1e-3


@pytest.mark.slow
@each("case", CASES)
def test_soft_draws_approach_hard_ones(case):
    """Soft and hard draws by one key agree, but for ties nearer than the softness."""

    @jax.jit
    def draw(keys):
        found = []
        for mode, softness in (("hard", 1.0), ("smooth", 1e-4), ("c1", 1e-4)):
            with sj.defaults(mode=mode, softness=softness):
                found.append(jax.vmap(case.draw)(keys))
        return found

    hard, *soft = draw(jax.random.split(jax.random.key(8), 500))
    for found in soft:
        apart = np.abs(np.asarray(found) - np.asarray(hard)).reshape(500, -1)
        assert np.mean(apart.max(axis=-1) > 0.01) < 0.01
