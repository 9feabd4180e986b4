"""Entropies and divergences of soft indices, against SciPy, and beside zeros."""

import inputs
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special
from assertions import assert_close, finite_difference

from softjax import losses

RNG = inputs.rng("distributions")
P, Q = (scipy.special.softmax(RNG.normal(size=(3, 5)), axis=-1) for _ in range(2))
SPARSE = np.array([[0.5, 0.5, 0, 0, 0], [0, 0, 1.0, 0, 0], [0.2, 0, 0.3, 0.5, 0]])


def cross(p, q):
    return scipy.special.entr(p) + scipy.special.rel_entr(p, q)


REFERENCES = {
    "entropy": lambda p, q: scipy.special.entr(p),
    "kl_divergence": scipy.special.rel_entr,
    "soft_cross_entropy": cross,
}


def call(name, p, q, *args, **keywords):
    given = (p,) if name == "entropy" else (p, q)
    return getattr(losses, name)(*given, *args, **keywords)


@pytest.mark.parametrize("name", list(REFERENCES))
def test_values_and_derivatives(x64, name):
    """Inside, at zeros of p, along another axis, and behind a mask."""
    reference = REFERENCES[name]
    for p in (P, SPARSE):
        expected = reference(p, Q).sum(axis=-1)
        assert_close(call(name, p, Q), expected, atol=1e-12)
        assert_close(call(name, p.T, Q.T, 0), expected, atol=1e-12)
    where = np.array([True, True, False, True, False])
    hidden = [np.where(where, x, np.nan) for x in (SPARSE, Q)]
    hidden[0][1] = np.where(where, [0.4, 0, 0, 0.6, 0], np.nan)
    rest = [x[:, where] for x in hidden]
    found = call(name, *map(jnp.asarray, hidden), where=where)
    assert_close(found, reference(*rest).sum(axis=-1), atol=1e-12)

    def total(p, q):
        return jnp.sum(call(name, p, q) * jnp.arange(1.0, 4))

    slopes = jax.grad(total, (0, 1))(jnp.asarray(P), jnp.asarray(Q))
    for i, slope in enumerate(slopes):
        moves = [np.zeros_like(P), np.zeros_like(P)]
        moves[i] = RNG.normal(size=P.shape) * 0.1
        moved = finite_difference(total, (P, Q), tuple(moves), 1e-3)
        assert_close(jnp.sum(slope * moves[i]), moved, atol=1e-8)


@pytest.mark.parametrize("name", list(REFERENCES))
def test_zeros(name):
    """Finite derivatives of both orders; inf where a share is not expected."""
    p = jnp.asarray(SPARSE, jnp.float32)

    @jax.jit
    def derivatives(p, q):
        def total(p, q):
            return jnp.sum(call(name, p, q))

        slopes = jax.grad(total, (0, 1))(p, q)
        return slopes, jax.hessian(total, (0, 1))(p, q)

    for q in (p, jnp.asarray(Q, jnp.float32), p[::-1]):
        found = jax.tree.leaves(derivatives(p, q))
        assert all(np.all(np.isfinite(leaf)) for leaf in found)
    value = call(name, p, p)
    expected = REFERENCES[name](SPARSE, SPARSE).sum(axis=-1)
    assert_close(value, expected, atol=1e-6)
    unexpected = np.any((SPARSE > 0) & (SPARSE[::-1] == 0), axis=-1)
    if name != "entropy":
        np.testing.assert_array_equal(np.isinf(call(name, p, p[::-1])), unexpected)


def test_nan_and_errors():
    p = jnp.array([[0.5, jnp.nan], [0.5, 0.5]])
    for name in REFERENCES:
        found = call(name, p, jnp.full((2, 2), 0.5))
        np.testing.assert_array_equal(np.isnan(found), [True, False])
    found = losses.kl_divergence(jnp.full((2, 2), 0.5), p)
    np.testing.assert_array_equal(np.isnan(found), [True, False])
    with pytest.raises(ValueError, match="p and q have the shapes"):
        losses.kl_divergence(p, p[0])
    with pytest.raises(ValueError, match="axis=2 is out of bounds"):
        losses.entropy(p, 2)
