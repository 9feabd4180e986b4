"""Logarithms of soft indices that are drawn, and of segments."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from assertions import assert_close
from parametrize import each
from test_log_probs import LOGS, pull

import softjax as sj


@pytest.mark.slow
def test_draws():
    """With the same noise as the index; with and without replacement."""
    key, logits = jax.random.key(0), jnp.array([0.2, 1.0, -3.0, 0.4])
    for mode in ("smooth", "c0", "hard"):
        for draw, args in (
            (sj.random.categorical, (-1, (3,))),
            (sj.random.categorical, (-1, (3,), False)),
            (sj.random.orderings, ()),
        ):
            index = draw(key, logits, *args, mode=mode)
            logs = draw(key, logits, *args, mode=mode, **LOGS)
            assert_close(jnp.exp(logs), index, atol=1e-6)
            floor = draw(key, logits, *args, mode=mode, **LOGS, log_prob_eps=0.25)
            assert_close(jnp.exp(floor), (index + 0.25) / 2, atol=1e-6)
    st = sj.random.categorical_st(key, logits, **LOGS)
    hard = sj.random.categorical(key, logits, mode="hard")
    np.testing.assert_array_equal(st, np.where(hard > 0, 0, -np.inf))


@pytest.mark.slow
@each("method", ["softsort", "neuralsort"])
@each("mode", ["smooth", "c0", "hard"])
def test_segments(method, mode):
    """Infinite elements, masks and weights; a floor renormalizes each segment."""
    ids = jnp.array([0, 0, 2, 2, 2, 1, -1, 5])
    x = np.array([np.inf, 1.0, 0.5, -np.inf, 0.1, 0.3, 9.0, 8.0], np.float32)
    weights = np.array([1.0, 1.5, 1.0, 0.0, 2.0, 1.0, 1.0, 1.0], np.float32)
    where = np.array([1, 1, 1, 1, 0, 1, 1, 1], bool)

    @jax.jit
    def run(x):
        out = []
        for given in ({}, dict(weights=weights), dict(where=where)):
            keywords = dict(mode=mode, method=method, softness=0.5, **given)
            call = lambda x: sj.segment.argmin(x, ids, 4, **keywords, **LOGS)  # noqa: B023, E731
            index = sj.segment.argmin(x, ids, 4, **keywords)
            floor = sj.segment.argmin(x, ids, 4, **keywords, **LOGS, log_prob_eps=0.01)
            out.append((index, call(x), floor, pull(call, x, 1.0)))
        return out

    for index, logs, floor, derivatives in run(x):
        assert_close(jnp.exp(logs), index)
        sums = jax.ops.segment_sum(jnp.exp(floor), ids, 4)
        np.testing.assert_allclose(sums, [1, 1, 1, 0], rtol=1e-5)
        assert all(np.all(np.isfinite(leaf)) for leaf in derivatives)
