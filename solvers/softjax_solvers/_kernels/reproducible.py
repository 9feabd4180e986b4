"""Sums that do not depend on the order of their terms, nor on zeros among them."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from .arrays import exact_einsum

_TERMS = 2**14
"""Number of terms up to which the order is of no effect."""

_PIECES = 3
"""Number of pieces of a number, beyond which there is no more than rounding."""


def pieces(x: Float[Array, "*batch n"]) -> Float[Array, "k *batch n"]:
    """Numbers that add up to x, of so few digits that sums of them are not rounded.

    The largest of a row decides which digits belong to which piece. In float32, what is
    below 2^-27 of it is left out.

    Reference: Demmel and Nguyen, "Fast reproducible floating-point summation", IEEE
    Symposium on Computer Arithmetic 2013.
    """
    *found, rest, grid = _split(x, _TERMS, _PIECES - 1)
    return jnp.stack([*found, (rest + grid) - grid])


def leading_pieces(
    x: Float[Array, "*batch n"], terms: int, count: int
) -> Float[Array, "k *batch n"]:
    """Pieces as above, of which sums of `terms` are exact, and last what is left."""
    *found, rest, _ = _split(x, terms, count)
    return jnp.stack([*found, rest])


def _split(x: Float[Array, "*batch n"], terms: int, count: int) -> list[Array]:
    """Leading pieces, what is left, and the grid of the next piece."""
    size = jnp.max(jnp.abs(jax.lax.stop_gradient(x)), axis=-1, keepdims=True, initial=0)
    grid = 1.5 * terms * size
    digits = jnp.finfo(x.dtype).nmant - terms.bit_length() + 1
    found, rest = [], x
    for _ in range(count):
        piece = (rest + grid) - grid
        found.append(piece)
        rest = rest - piece
        grid = grid * 2.0**-digits
    return [*found, rest, grid]


def total(x: Float[Array, "*batch n"]) -> Float[Array, "*batch"]:
    """The sum along the last axis."""
    # On a CPU, XLA makes one kernel of a product and two of a sum.
    ones = jnp.ones(x.shape[-1], x.dtype)
    return _joined(exact_einsum("k...n,n->k...", pieces(x), ones))


def products(
    rows: Float[Array, "m n"], *xs: Float[Array, " n"]
) -> list[Float[Array, " m"]]:
    """`rows @ x` of each x, of rows of -1, 0 and 1; of others, as products are."""
    # Beside what is very large, such as scores of what is forbidden, others vanish.
    counts = jnp.any(rows != 0, axis=0)
    parts = jnp.concatenate(pieces(jnp.where(counts, jnp.stack(xs), 0)))
    # In this order of axes, a product of few columns takes half the time on a CPU.
    sums = exact_einsum("mn,kn->mk", rows, parts)
    return [_joined(sums[:, i :: len(xs)].T) for i in range(len(xs))]


def mean(weights: Float[Array, " m"], rows: Float[Array, "m n"]) -> Float[Array, " n"]:
    """`weights @ rows`, of rows as in `products`."""
    return _joined(exact_einsum("km,mn->kn", pieces(weights), rows))


def _joined(sums: Float[Array, "k ..."]) -> Float[Array, "..."]:
    first, second, third = sums
    return first + (second + third)
