"""Soft draws at the edges: of nothing, behind masks, and of what is certain."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from assertions import assert_close

import softjax as sj

R = sj.random
KEY = jax.random.key(3)
X = jnp.array([0.3, -0.4, 0.7, 0.1])


def test_nothing_to_draw():
    """No draws of nothing, and an order of nothing, as in `jax.random`."""
    for a in (0, jnp.zeros(0), jnp.zeros((0, 3))):
        for replace in (True, False):
            found = R.choice(KEY, a, (2, 0), replace)
            assert found.shape == (2, 0, *np.shape(a)[1:])
            np.testing.assert_array_equal(
                R.permutation(KEY, a), jax.random.permutation(KEY, a)
            )
    assert R.permutation(KEY, jnp.zeros((2, 0), jnp.float16), 1).dtype == jnp.float16
    assert R.categorical(KEY, jnp.zeros((0, 3)), -1, (2, 0), False).shape == (2, 0, 3)


def test_masked_elements():
    """Logits and weights may be anything there, known or not."""
    where = np.array([True, False, True, True])
    weights = np.array([1.0, -1.0, 3.0, 2.0])
    x = np.where(where, X, np.nan)
    calls = {
        "categorical": lambda x, **k: R.categorical(KEY, x[:, None], 0, **k),
        "choice": lambda x, **k: R.choice(KEY, jnp.stack([x, x]), axis=1, **k),
        "permutation": lambda x, **k: R.permutation(KEY, x, **k),
        "multinomial": lambda x, **k: R.multinomial(KEY, 2, jnp.exp(x), **k),
        "top_k": lambda x, **k: R.top_k(KEY, x, 2, **k),
        "orderings": lambda x, **k: R.orderings(KEY, x, **k),
    }
    as_rows = lambda name, a: a[:, None] if name == "categorical" else a  # noqa: E731
    for name, call in calls.items():
        mask = as_rows(name, where)
        found, expected = (
            call(x, where=mask, weights=as_rows(name, w), mode="hard")
            for w in (weights, np.abs(weights))
        )
        np.testing.assert_array_equal(found, expected)
        assert np.all(np.isfinite(found)), name
        with pytest.raises(ValueError, match=f"{name}: weights must be nonnegative"):
            call(x, where=mask, weights=as_rows(name, -weights))
    run = jax.jit(lambda w: R.categorical(KEY, x, where=where, weights=w, mode="hard"))
    np.testing.assert_array_equal(run(weights), run(np.abs(weights)))
    assert np.all(np.isnan(run(np.where(where, np.inf, 1))))


def test_lists_of_traced_numbers():
    calls = {
        "top_k": lambda a: R.top_k(KEY, a, 1)[0],
        "categorical": lambda a: R.categorical(KEY, a)[0],
    }
    for name, call in calls.items():
        found, expected = (
            jax.jit(lambda a, of=of: call(of([a, 2 * a, 0.3])))(0.5)  # noqa: B023
            for of in (list, jnp.stack)
        )
        assert found == expected, name


def test_ends_of_probabilities():
    """Certain outcomes, and finite derivatives beside them."""
    p = jnp.array([0.0, 0.5, 1.0, 2.0, -1.0, jnp.nan])

    @jax.jit
    def run(p):
        draws = {
            "bernoulli": lambda p: R.bernoulli(KEY, p),
            "binomial": lambda p: R.binomial(KEY, 2, p),
            "geometric": lambda p: R.geometric(KEY, p),
            "choice": lambda p: R.choice(KEY, 3, (2,), p=p[:3]),
            "multinomial": lambda p: R.multinomial(KEY, 2, p[:3]),
        }
        slopes = {
            n: jax.grad(lambda p, f=f: f(p)[:2].sum())(p) for n, f in draws.items()
        }
        return {n: f(p) for n, f in draws.items()}, slopes

    out, slopes = run(p)
    np.testing.assert_array_equal(
        out["bernoulli"][jnp.array([0, 2, 3, 4])], [0, 1, 1, 0]
    )
    np.testing.assert_array_equal(
        out["binomial"][jnp.array([0, 2, 3, 4])], [0, 2, 2, 0]
    )
    assert out["geometric"][0] == np.inf
    assert_close(out["geometric"][2], 1, atol=1e-3)
    assert all(np.isnan(out[n][-1]) for n in ("bernoulli", "binomial", "geometric"))
    assert out["multinomial"][0] == 0
    for name, slope in slopes.items():
        assert np.all(np.isfinite(slope[:3])), name
        assert slope[0] == 0, name
