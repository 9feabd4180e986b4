"""Sums and maxima of all entries up to each one, along rows."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Shaped

from .._platform.varying import is_manual
from .arrays import exact_einsum, pad_last, slice_last

_BLOCK = 64
"""Number of entries whose sums are products with one triangular matrix."""


def prefix_sums(x: Float[Array, "*batch n"]) -> Float[Array, "*batch n"]:
    """`jnp.cumsum` of finite numbers along the last axis.

    By products with triangular matrices: within blocks, and of the sums of blocks. XLA
    makes windows in several levels of a cumulative sum, which take twice as long to
    compile, and longer to run on a CPU (JAX 0.10).
    """
    *batch, n = x.shape
    if n <= _BLOCK:
        # Constants cost nothing; JAX 0.10 mistakes their types in a linear solve.
        tri = jnp.tri if is_manual() else np.tri
        return exact_einsum("...j,ij->...i", x, tri(n, dtype=x.dtype))
    blocks = -(-n // _BLOCK)
    x = pad_last(x, 0, blocks * _BLOCK - n).reshape(*batch, blocks, _BLOCK)
    inside = prefix_sums(x)
    before = pad_last(prefix_sums(inside[..., -1]), 1, -1)
    sums = (inside + before[..., None]).reshape(*batch, blocks * _BLOCK)
    return sums[..., :n]


def prefix_counts(x: Bool[Array, "*batch n"]) -> Int[Array, "*batch n"]:
    """Numbers of true entries up to each one, along the last axis."""
    if x.shape[-1] > 2**24:  # what float32 counts to
        return jnp.cumsum(x, axis=-1, dtype=jnp.int32)
    return prefix_sums(x.astype(jnp.float32)).astype(jnp.int32)


def prefix_maxima(x: Shaped[Array, "*batch n"]) -> Shaped[Array, "*batch n"]:
    """`jax.lax.cummax` along the last axis, without derivatives.

    By maxima over twice as many entries in each round: a loop over whole rows, which
    XLA compiles in half the time of a cumulative maximum, and which is faster on a CPU.
    """
    n = x.shape[-1]
    integral = jnp.issubdtype(x.dtype, jnp.integer)
    least = jnp.iinfo(x.dtype).min if integral else -jnp.inf

    def double(state: tuple[Array, Array]) -> tuple[Array, Array]:
        reach, x = state
        before = slice_last(pad_last(x, n, 0, least), n - reach, n)
        return 2 * reach, jnp.maximum(x, before)

    start = jnp.ones((), jnp.int32), jax.lax.stop_gradient(x)
    return jax.lax.while_loop(lambda state: state[0] < n, double, start)[1]
