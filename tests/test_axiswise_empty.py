"""Operators along an axis without elements."""

import jax
import jax.numpy as jnp
import pytest
from parametrize import each

import softjax as sj

EMPTY = jnp.zeros((2, 0, 3))
OF_ELEMENTS = ("sort", "argsort", "rank", "ranking", "cummax", "cummin")


@each("mode", ["smooth", "hard"])
def test_results_have_as_many_places(mode):
    for name in OF_ELEMENTS:
        for axis in (1, -2, None):
            out = getattr(sj, name)(EMPTY, axis=axis, mode=mode)
            expected = jnp.sort(EMPTY, axis=axis).shape
            if name == "argsort":
                expected = (*expected, 0)
            assert out.shape == expected, name
    assert sj.top_k_mask(EMPTY, 0, axis=1, mode=mode).shape == EMPTY.shape
    assert sj.sort(jnp.zeros(0, int), mode=mode).dtype == jnp.float32
    where = jnp.zeros(EMPTY.shape, bool)
    for method in sj.methods.METHODS:
        keywords = dict(axis=1, mode=mode, method=method, where=where)
        assert sj.sort(EMPTY, **keywords).shape == EMPTY.shape
    logs = sj.argsort(EMPTY, axis=1, mode=mode, return_log_probs=True)
    assert logs.shape == (2, 0, 3, 0)
    assert jax.grad(lambda x: jnp.sum(sj.rank(x, axis=1)))(EMPTY).shape == EMPTY.shape


def test_what_has_to_be_chosen_is_not_there():
    for name in ("max", "argmax", "median", "argmedian", "median_newton"):
        with pytest.raises(ValueError, match=f"{name}: the axis must have at least"):
            getattr(sj, name)(EMPTY, axis=1)
    with pytest.raises(ValueError, match="top_k: the axis must have at least"):
        sj.top_k(EMPTY, 1, axis=1)
    with pytest.raises(ValueError, match="k=1 must be from 0"):
        sj.top_k_mask(EMPTY, 1, axis=1)
    with pytest.raises(ValueError, match="'bubble'"):
        sj.sort(EMPTY, axis=1, method="bubble")
