"""Segments as padded rows, and back."""

import inputs
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from assertions import assert_close

import softjax as sj
from softjax import segment

# Odd, empty, alone and even; and elements of none.
IDS = np.array([0, 4, 3, 0, -1, 2, 3, 0, 0, 4, 3, 0, 3])
COUNT = 4
OUTSIDE = (IDS < 0) | (IDS >= COUNT)
X = inputs.rng("padding").normal(size=len(IDS))


def test_pad_and_back():
    tree = {"x": jnp.asarray(X, jnp.float32), "id": jnp.asarray(IDS)[:, None]}
    padded, where, unpad = segment.pad(tree, IDS, COUNT)
    assert padded["x"].shape == where.shape == (COUNT, 5)
    assert padded["id"].shape == (COUNT, 5, 1)
    np.testing.assert_array_equal(np.sum(where, axis=1), [5, 0, 1, 4])
    for s in range(COUNT):
        np.testing.assert_array_equal(padded["x"][s][where[s]], tree["x"][s == IDS])
    back = unpad(padded)
    inside = ~OUTSIDE
    np.testing.assert_array_equal(back["x"][inside], tree["x"][inside])
    assert np.all(back["x"][~inside] == 0)
    ranks = unpad(sj.rank(padded["x"], axis=1, where=where))
    assert_close(ranks, segment.rank(tree["x"], IDS, COUNT), atol=1e-5)
    # What is beyond is dropped where that can't be known.
    cut = jax.jit(lambda ids: segment.pad(tree["x"], ids, COUNT, 3)[0])(IDS)
    np.testing.assert_array_equal(cut, padded["x"][:, :3])
    with pytest.raises(ValueError, match="5 elements, more than max_size=3"):
        segment.pad(tree["x"], IDS, COUNT, 3)
    with pytest.raises(ValueError, match="max_size must be given"):
        jax.jit(lambda ids: segment.pad(tree["x"], ids, COUNT))(IDS)


def test_sorted_ids_are_not_sorted_again():
    """Elements before and behind all segments are left out, as where they are."""
    order = np.argsort(IDS, kind="stable")
    x, ids = jnp.asarray(X, jnp.float32)[order], IDS[order]
    expected = segment.pad(x, ids, COUNT)

    @jax.jit
    def pad(x, ids):
        padded, where, unpad = segment.pad(x, ids, COUNT, 5, indices_are_sorted=True)
        return padded, where, unpad(padded)

    padded, where, back = pad(x, ids)
    np.testing.assert_array_equal(padded, expected[0])
    np.testing.assert_array_equal(where, expected[1])
    np.testing.assert_array_equal(back, np.where(OUTSIDE[order], 0, x))
    assert "sort" not in str(jax.make_jaxpr(pad)(x, ids)).replace("sorted", "")
