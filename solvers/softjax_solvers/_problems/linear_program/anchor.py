"""Scores of a linear program less what its constraints take of them.

Of scores that are large beside the softness, constraints take nearly all where y is
positive: in a single number, that difference is rounding. Here it has all digits.
"""

from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from ..._kernels.double_word import DoubleWord, add, as_stored, total
from .matrix import Matrix


class Anchor(eqx.Module):
    """Multipliers of constraints, and the scores that are left, in the unit of scores.

    - `multipliers`: of all rows.
    - `left`: `z - K^T multipliers`, with the digits of its own size.
    - `dual`: the multipliers in units of softness, a single number each.
    """

    multipliers: DoubleWord
    left: Float[Array, "*batch n"]
    dual: Float[Array, "*batch m"]

    def moved(
        self,
        move: Float[Array, "*batch m"],
        ends: Bool[Array, "*batch m"],
        z: Float[Array, "*batch n"],
        softness: Float[Array, "*#batch 1"],
        matrix: Matrix,
    ) -> Anchor:
        """The one at multipliers that are larger by `move`, or 0 where that `ends`."""
        multipliers = DoubleWord(
            *(jnp.where(ends, 0, x) for x in add(self.multipliers, as_stored(move)))
        )
        taken = matrix.transpose_terms(multipliers)
        high, low = total(jnp.concatenate([z[None], -taken]))
        return Anchor(multipliers, high + low, multipliers.high / softness)


def at_zero(z: Float[Array, "*batch n"], rows: int) -> Anchor:
    """The anchor of multipliers 0."""
    zero = jnp.zeros((*z.shape[:-1], rows), z.dtype)
    z = jax.lax.stop_gradient(z)
    return Anchor(DoubleWord(zero, zero), z, zero)
