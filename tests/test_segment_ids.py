"""What operators over segments are given: ids of any type, weights that are masked."""

import jax.numpy as jnp
import numpy as np
import pytest

from softjax import segment


def test_ids_of_any_type_and_sizes():
    """Of which narrow ones need not have room for the number of segments."""
    x = jnp.array([0.2, 1.0, 0.7])
    for dtype in (np.int8, np.uint8, np.uint32):
        ids = jnp.array([0, 1, 1], dtype)
        assert segment.pad(x, ids, 300)[0].shape == (300, 2)
        assert segment.max(x, ids, 300).shape == (300,)
        assert segment.sort(x[:0], ids[:0]).shape == (0,)
    negative = jnp.array([-3, -2, -2])
    assert segment.max(x, negative).shape == (0,)
    assert segment.pad(x, negative)[0].shape == (0, 0)
    with pytest.raises(ValueError, match=r"max_size must be .* at least 0, got -1"):
        segment.pad(x, negative, 2, -1)
    with pytest.raises(TypeError, match="segment_ids must be integers"):
        segment.pad(x, [0.0, np.nan, 1.0])


def test_ids_beyond_int32(x64):
    x, ids = jnp.array([0.2, 1.0, 0.7]), jnp.array([0, 2**32, -(2**32)])
    np.testing.assert_array_equal(segment.max(x, ids, 1, mode="hard"), [0.2])
    np.testing.assert_array_equal(segment.rank(x, ids, 1), [1, 0, 0])


def test_masked_weights_may_be_anything():
    """Where mask and weights have other shapes, too."""
    x, ids = jnp.zeros((3, 2)), jnp.zeros(3, int)
    one, bad = np.ones((3, 2)), np.array([1.0, -1.0, np.nan])
    rows, all_of_them = bad > 0, np.broadcast_to((bad > 0)[:, None], (3, 2))
    for where, weights in (
        (rows, one * bad[:, None]),
        (all_of_them, bad),
        (all_of_them, one * bad[:, None]),
    ):
        ranks = segment.rank(x, ids, 1, where=where, weights=weights)
        np.testing.assert_array_equal(ranks, [[1, 1], [2, 2], [2, 2]])
    where = np.ones((3, 2), bool)
    where[1, 1] = False
    with pytest.raises(ValueError, match=r"weights must be nonnegative.*-1"):
        segment.rank(x, ids, 1, where=where, weights=np.array([1.0, -1.0, 1.0]))
    # A segment with less than a unit of mass, and one whose others are masked.
    weights, where = np.array([0.5, 0.5, 2.0]), np.array([True, True, False])
    with pytest.raises(ValueError, match="median: weights count copies"):
        segment.median(x, ids, 1, where=where, weights=weights)
