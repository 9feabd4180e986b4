"""Linear systems that may be singular, many of them in one matrix."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from .._kernels.arrays import exact_einsum
from .._platform.batches import any_true
from .._platform.varying import varying_as


def pseudo_solve(matrix: Float[Array, "n n"], rhs: Float[Array, " n"]) -> Array:
    """The x of minimum norm that comes nearest to `matrix @ x = rhs`.

    Of each block for itself, where blocks are what nonzero entries connect: which
    singular values are zero is judged by the largest entry of the block, and NaN in it
    makes its own x NaN. Not by Lineax: its transposed solves and those in derivatives
    raise an error where they meet NaN, even if told not to.
    """
    known, size = _blocks(jax.lax.stop_gradient(matrix))
    # A factor of a block cancels, so that its derivative need not be known.
    scale = jnp.where(known & (size > 0), size, 1)
    matrix = jnp.where(known[:, None], matrix, 0) / scale[:, None]
    inverse = jnp.linalg.pinv(matrix)
    out = exact_einsum("ij,j->i", inverse, jnp.where(known, rhs, 0) / scale)
    # Linear, and its transpose multiplies no 0 by NaN.
    return jnp.where(known, out, jnp.where(known, 1, jnp.nan) * rhs)


def _blocks(
    matrix: Float[Array, "n n"],
) -> tuple[Bool[Array, " n"], Float[Array, " n"]]:
    """Whether the block of each row is free of NaN, and its largest |entry|."""
    # The derivative of NaN is so in everything, also in what it does not depend on.
    finite = jnp.isfinite(matrix)
    entries = jnp.where(finite, jnp.abs(matrix), 0)
    entries = jnp.maximum(entries, entries.T)
    joined = (entries > 0) | jnp.eye(len(matrix), dtype=bool)
    largest = jnp.max(entries, axis=1, initial=0)
    largest = jnp.where(jnp.all(finite, axis=1), largest, jnp.inf)

    def spread(state):
        largest, _ = state
        new = jnp.max(jnp.where(joined, largest, 0), axis=1, initial=0)
        return new, any_true(new > largest)

    state = varying_as((largest, jnp.asarray(True)), matrix)
    largest, _ = jax.lax.while_loop(lambda state: state[1], spread, state)
    return jnp.isfinite(largest), largest
