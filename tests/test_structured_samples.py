"""Samples of structures have the distribution that they should."""

from typing import Any

import jax
import numpy as np
import oracles
import pytest
import scipy.stats
from assertions import assert_close
from parametrize import each
from structures import PROGRAMS, flat

import softjax.structured as st

COUNT = 20000


def _draws(case, z, mode):
    """Samples, flattened: `(COUNT, d)`."""
    keys = jax.random.split(jax.random.key(0), COUNT)

    @jax.jit
    def draw(keys, z):
        def one(key):
            given: Any = dict(softness=0.8, mode=mode, method="recursion")
            return st.sample(key, case.structure, z, **given)

        return jax.vmap(one)(keys)

    drawn = draw(keys, jax.tree.map(np.float32, z))
    parts = [np.reshape(x, (COUNT, -1)) for x in jax.tree.leaves(drawn)]
    return np.concatenate(parts, axis=1)


# At scores of zero, what is symmetric must still be drawn independently.
@pytest.mark.parametrize("scale", [0.0, 1.0], ids=["ties", "scores"])
@each("case", PROGRAMS, fast=("labelled_segments",))
def test_gibbs_distribution(case, scale):
    z = case.scores("samples", scale=scale)
    drawn = _draws(case, z, "smooth")
    structures = case.enumerate()
    match = np.all(drawn[:, None] == structures, axis=-1)
    assert match.sum(axis=1).tolist() == [1] * COUNT
    expected = COUNT * oracles.gibbs(structures, flat(z), 0.8)
    counts = match.sum(axis=0)
    # Rare ones are counted together.
    rare = expected < 10
    counts = np.append(counts[~rare], counts[rare].sum())
    expected = np.append(expected[~rare], expected[rare].sum() + 1e-9)
    statistic = np.sum((counts - expected) ** 2 / np.maximum(expected, 1))
    assert scipy.stats.chi2.sf(statistic, len(counts) - 1) > 1e-3


@pytest.mark.slow
@each("case", PROGRAMS)
def test_sparse_choices_have_the_marginals(case):
    z = case.scores("samples")
    drawn = _draws(case, z, "c0")
    mu = flat(st.argmax(case.structure, z, softness=0.8, mode="c0", method="recursion"))
    assert not drawn[:, mu == 0].any()
    deviation = np.sqrt(np.maximum(mu * (1 - mu), 0) / COUNT)
    assert np.all(np.abs(drawn.mean(axis=0) - mu) <= 4.5 * deviation + 1e-6)


def test_what_is_never_drawn():
    """Hard samples are the best; marginals alone have no distribution."""
    z = np.array([[0.0, 0.2, 0.9], [0.1, 0.5, 0.3]])
    key = jax.random.key(1)
    best = st.argmax(st.GridPath(), z, mode="hard")
    assert_close(st.sample(key, st.GridPath(), z, mode="hard"), best)
    with pytest.raises(TypeError, match="no distribution"):
        st.sample(key, st.GridPath(), z, mode="c0")
    missing = st.sample(key, st.GridPath(), np.where(z == 0, np.nan, z))
    assert np.isnan(missing).all()
