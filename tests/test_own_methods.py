"""Methods of the user's own."""

import cases
import inputs
import jax.numpy as jnp
import numpy as np
import pytest
from assertions import assert_close

import softjax as sj

X = inputs.rng("axiswise").normal(size=(2, 3, 4)).astype(np.float32)


class Halfway(sj.methods.ValueMethod):
    """A formulation with values only: half way to the mean."""

    def sort(self, sample, relaxation):
        ordered = -sample.ordered().support
        return (ordered + jnp.mean(ordered, axis=-1, keepdims=True)) / 2

    def rank(self, sample, relaxation):
        return jnp.full_like(sample.keys, (sample.size + 1) / 2)


class Plain(sj.methods.IndexMethod):
    """A formulation with nothing but argsort, which is SoftSort's."""

    def argsort(self, sample, relaxation):
        return sj.methods.SoftSort().argsort(sample, relaxation)


def test_a_value_method_of_the_users_own():
    x = X[0]
    expected = (np.sort(x) + x.mean(-1, keepdims=True)) / 2
    keywords = dict(method=Halfway())
    assert_close(sj.sort(x, **keywords), expected)
    assert_close(sj.max(x, axis=-1, **keywords), expected[:, -1])
    assert_close(sj.min(x, axis=-1, **keywords), expected[:, 0])
    assert_close(sj.median(x, axis=-1, **keywords), expected[:, 1:3].mean(-1))
    assert_close(
        sj.quantile(x, 0.25, axis=-1, **keywords), np.quantile(expected, 0.25, axis=-1)
    )
    values, index = sj.top_k(x, 2, **keywords)
    assert_close(values, expected[:, :1:-1])
    assert index is None
    for name in ("argmax", "argsort", "argmedian"):
        with pytest.raises(ValueError, match=r"Halfway.*softsort"):
            getattr(sj, name)(x, **keywords)
    with pytest.raises(ValueError, match="gated_grad"):
        sj.sort(x, gated_grad=False, **keywords)


def test_an_index_method_of_the_users_own():
    """All defaults, against SoftSort's own operators (but for the rank and median)."""
    x = X[0]
    for operator in cases.OPERATORS:
        if operator.name in ("rank", "ranking", "median", "argmedian"):
            continue
        expected = operator.call(x, method="softsort")
        assert_close(operator.call(x, method=Plain()), expected, atol=1e-5)
    index = np.asarray(sj.argsort(x))
    ranks = (index * np.arange(1, 5)[:, None]).sum(-2) / index.sum(-2)
    assert_close(sj.rank(x, method=Plain()), 5 - ranks, atol=1e-5)
    middle = index[:, 1:3].mean(1)
    assert_close(sj.argmedian(x, axis=-1, method=Plain()), middle, atol=1e-5)
