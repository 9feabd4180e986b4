"""Work within the places that are taken, of an array with room for more."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from softjax_solvers._kernels.places import over_taken


def _sum(weights):
    """The sum of those of taken places, of which no others are looked at."""
    return over_taken(weights > 0, lambda size: jnp.sum(weights[:size]))


@pytest.mark.parametrize("last", [0, 31, 32, 127, 128, 199])
def test_all_taken_places_count(last):
    weights = np.zeros(200, np.float32)
    weights[[0, last]] = 1, 2
    np.testing.assert_allclose(jax.jit(_sum)(weights), weights.sum())


def test_a_batch_works_within_the_places_of_any():
    weights = np.zeros((2, 200), np.float32)
    weights[0, 3], weights[1, 150] = 1, 2
    np.testing.assert_allclose(jax.vmap(_sum)(weights), [1, 2])


def test_free_places_are_not_looked_at():
    sizes = [
        over_taken(np.arange(200) < count, lambda size: jnp.asarray(size))
        for count in (1, 33, 150)
    ]
    assert sizes == [32, 128, 200]
