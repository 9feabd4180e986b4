"""What `check_structure` says of structures, right and wrong ones."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from parametrize import each
from structures import SETS, STRUCTURES

import softjax.structured as st
from softjax.solvers import HypersimplexProjection


class Best(st.Structure):
    """One of each row."""

    def oracle(self, scores):
        return jax.nn.one_hot(jnp.argmax(scores, axis=-1), scores.shape[-1])


class Worst(Best):
    def oracle(self, scores):
        return Best().oracle(jnp.stack([scores[0], -scores[1]]))


class Flat(Best):
    def oracle(self, scores):
        return Best().oracle(scores).ravel()


class Minus(Best):
    def oracle(self, scores):
        return -Best().oracle(-scores)


class Broken(Best):
    def oracle(self, scores):
        return Best().oracle(scores) / 0


class Raises(Best):
    def oracle(self, scores):
        raise RuntimeError("no oracle")


class Elsewhere(Best):
    """Marginals over another polytope."""

    def projection(self, scores, softness):
        return HypersimplexProjection(scores, 1.5, softness[None])


class Few(Best):
    def k_best(self, scores, k):
        values, structures = Best().k_best(scores, k)
        there = jnp.arange(k) < 3
        return st.Ranked(jnp.where(there, values, st.ABSENT), structures)


class Partition(Best):
    def log_partition(self):
        return lambda scores: jnp.sum(jax.nn.logsumexp(scores, axis=-1)) + 0.5


class Sampling(Best):
    def sample(self, key, scores):
        return jax.nn.one_hot(jax.random.categorical(key, 0 * scores) * 0 + 9, 3)


class Twice(st.DynamicProgram):
    """The largest of all, derived in two ways if it is the first."""

    def recursion(self, scores, semiring):
        flat = scores.ravel()
        return semiring.max(semiring.lift(jnp.append(flat, flat[0])), 0)


class Slanted(st.DynamicProgram):
    """A recursion whose maximum is not the score of its oracle."""

    def recursion(self, scores, semiring):
        return semiring.max(semiring.lift(scores.ravel() + 1), 0)


WRONG = {
    "worst": (Worst(), "oracle returns a structure of the score"),
    "flat": (Flat(), r"oracle returns the shapes \(6,\)"),
    "minus": (Minus(), "none may be negative"),
    "broken": (Broken(), "not finite"),
    "raises": (Raises(), "raises RuntimeError: no oracle"),
    "elsewhere": (Elsewhere(), "Marginals are .* outside of the hull"),
    "few": (Few(), "lists 3 structures as all, but oracle returns"),
    "partition": (Partition(), "log_partition, of all 9 structures"),
    "sampling": (Sampling(), "sample returns what is no structure"),
    "twice": (Twice(), "of which 6 are different"),
    "slanted": (Slanted(), "The maximum by recursion"),
}


@each("name", list(WRONG), fast=("flat", "broken", "raises"))
def test_what_is_wrong_is_said(name):
    structure, words = WRONG[name]
    report = st.check_structure(structure, jnp.zeros((2, 3)))
    assert not report.consistent
    assert any(re.search(words, problem) for problem in report.problems), report
    assert "problem(s):" in str(report)


@each("case", [*STRUCTURES, *SETS], fast=())
def test_structures_are_consistent(case):
    """Structures of the library, and how many members their sets have."""
    report = st.check_structure(case.structure, case.scores("check"))
    assert report.consistent, report
    count = len(case.enumerate())
    assert report.complete == (count < 200)
    if report.complete:
        assert report.structures == count
    assert report.binary


@pytest.mark.slow
def test_own_structures_are_consistent():
    report = st.check_structure(Best(), np.zeros((2, 3)))
    assert report.consistent, report
    assert str(report).endswith("structures: all 9\nof zeros and ones: yes")


def test_errors():
    with pytest.raises(TypeError, match="instance of Structure"):
        st.check_structure(st.GridPath, jnp.zeros((2, 2)))  # pyright: ignore
    report = st.check_structure(st.GridPath(), jnp.zeros(3))
    assert "raises ValueError: GridPath" in report.problems[0]
