"""NeuralSort by windows of neighbours, where they suffice and where they do not."""

import functools

import helpers
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from cases import REGULARIZERS, each, pick
from helpers import (
    assert_close,
    finite_difference,
    neuralsort_oracle,
    neuralsort_rank_oracle,
    tolerance,
)

import softjax as sj
from softjax.methods import Sample
from softjax.methods._windows import Entries, Windows, group_size
from softjax.solvers import get_regularizer

SIZE = 400
"""Enough for windows."""


def _samples():
    rng = helpers.rng("windows")
    return {
        "normal": rng.normal(size=SIZE),
        "ties": np.round(rng.normal(size=SIZE), 2),
        "heavy tails": rng.standard_cauchy(SIZE),
        "equal": np.full(SIZE, 0.3),
        "two clusters": np.repeat([-1.0, 1.0], SIZE // 2)
        + 1e-3 * rng.normal(size=SIZE),
    }


NARROW = ("normal", "ties", "heavy tails")
CASES = pick(REGULARIZERS, "smooth", "c0", "c2", "user_link")


@functools.cache
def _compute(name: str):
    (case,) = pick(REGULARIZERS, name)
    keywords = dict(mode=case.mode, method="neuralsort", softness=0.1)
    return jax.jit(
        lambda x: (sj.sort(x, **keywords), sj.rank(x, descending=False, **keywords))
    )


def _suffice(x, mode) -> bool:
    ordered = Sample(x).ordered()
    windows = Windows.of(Entries.of(ordered), ordered.values, group_size(x.size))
    softness = jnp.full(1, 0.1, x.dtype)
    return bool(windows.suffice(get_regularizer(mode), softness, x.size))


@pytest.mark.parametrize("name", list(_samples()))
@each("case", CASES, fast=("smooth", "c2"))
def test_values(case, name):
    x = np.asarray(jnp.asarray(_samples()[name]))
    assert _suffice(x, case.mode) == (name in NARROW)
    exact = x.astype(np.float64)
    # Prefix sums over some hundred gaps, over a softness of 0.1.
    atol = 30 * tolerance(x.dtype) * max(1.0, np.max(np.abs(x)))
    ordered, ranks = _compute(case.name)(x)
    expected = neuralsort_oracle(exact, 0.1, case.link) @ exact
    assert_close(ordered, expected, atol=atol)
    ranks_expected = neuralsort_rank_oracle(exact, 0.1, case.link)
    assert_close(ranks, ranks_expected, atol=SIZE * 30 * tolerance(x.dtype))


@each("case", pick(REGULARIZERS, "smooth", "c2"))
def test_derivatives(case, x64):
    x = _samples()["normal"]
    rng = helpers.rng("windows", "derivatives")
    weights, direction = rng.normal(size=(2, SIZE))
    direction *= np.min(np.diff(np.sort(x)))
    compute = _compute(case.name)

    @jax.jit
    def total(x):
        return sum(jnp.vdot(weights, out) for out in compute(x))

    gradient = jax.jit(jax.grad(total))
    args, moves = (x,), (direction,)
    forward = jax.jvp(total, args, moves)[1]
    assert_close(forward, finite_difference(total, args, moves), rtol=1e-5)
    assert_close(np.vdot(gradient(x), direction), forward, rtol=1e-9)
    second = jax.jvp(gradient, args, moves)[1]
    assert_close(second, finite_difference(gradient, args, moves), atol=1e-5, rtol=1e-5)


def test_a_batch_by_vmap_stays_a_branch():
    """One for all rows, where a predicate of each row would make both be done."""
    samples = _samples()
    x = jnp.asarray(np.stack(list(samples.values())))
    mapped = jax.jit(jax.vmap(_compute("smooth")))
    assert "conditional" in mapped.lower(x).compile().as_text()
    for out, row in zip(zip(*mapped(x), strict=True), x, strict=True):
        for a, b in zip(out, _compute("smooth")(row), strict=True):
            assert_close(a, b, atol=1e-5, rtol=1e-5)
