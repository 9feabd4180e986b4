"""Operators over segments where there are none, or no elements."""

import jax.numpy as jnp
import numpy as np
import pytest
from parametrize import each
from test_segments import OF_ELEMENTS, OF_SEGMENTS, SORTED

from softjax import segment

MASK = dict(top_k_mask=lambda x, ids, m, **kw: segment.top_k_mask(x, ids, 1, m, **kw))
X = jnp.array([0.3, -0.2, 0.1])


@pytest.mark.parametrize("mode", ["smooth", "hard"])
@each("count", [None, 0], fast=("None",))
@pytest.mark.parametrize("name", [*OF_ELEMENTS, *SORTED, *MASK])
def test_results_of_elements(name, count, mode):
    """Elements of no segment are left out: zeros, as beside other segments."""
    fn = (OF_ELEMENTS | SORTED | MASK)[name]
    found = fn(X, jnp.full(3, -1), count, mode=mode)
    np.testing.assert_array_equal(found, np.zeros(3))
    assert fn(X[:0], jnp.zeros(0, int), count, mode=mode).shape == (0,)


@pytest.mark.parametrize("name", OF_SEGMENTS)
def test_results_of_segments(name):
    assert len(OF_SEGMENTS[name](X, jnp.full(3, -1), 0)) == 0
    assert OF_SEGMENTS[name](X[:0], jnp.zeros(0, int), 0).size == 0
