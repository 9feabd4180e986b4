from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from ..._keywords import parse_integer
from .._semirings import ABSENT, Semiring
from ._plain import is_present


class KBest(Semiring):
    """Semiring of the k largest candidates, best first, along a last axis of states.

    The gradient of the i-th value of a recursion is the i-th best structure. Of equal
    candidates the first comes first, and they are different ones: so a recursion must
    derive each structure in one way only.

    **Arguments:**

    - `k`: at least 1.

    **Example:**

        >>> import softjax.structured as st
        >>> chain = st.Chain()
        >>> scores = jnp.array([[0.0, 1.0], [0.5, 0.2]]), jnp.zeros((1, 2, 2))
        >>> print(chain.recursion(scores, st.KBest(3)))
        [1.5 1.2 0.5]
    """

    k: int = eqx.field(static=True, converter=lambda k: parse_integer(k, "KBest: k", 1))

    def lift(self, scores: Float[Array, "*shape"]) -> Float[Array, "*shape ..."]:
        rest = jnp.full((*scores.shape, self.k - 1), ABSENT, scores.dtype)
        return jnp.concatenate([scores[..., None], rest], axis=-1)

    def times(
        self, state: Float[Array, "..."], score: Float[Array, "..."]
    ) -> Float[Array, "..."]:
        return state + score[..., None]

    def join(
        self, first: Float[Array, "..."], second: Float[Array, "..."]
    ) -> Float[Array, "..."]:
        pairs = first[..., :, None] + second[..., None, :]
        return self._largest(pairs.reshape(*pairs.shape[:-2], -1))

    def max(self, state: Float[Array, "..."], axis: int = 0) -> Float[Array, "..."]:
        x = jnp.moveaxis(state, axis, -2)
        return self._largest(x.reshape(*x.shape[:-2], -1))

    def where(
        self,
        condition: Bool[Array, "..."],
        state: Float[Array, "..."],
        other: Float[Array, "..."],
    ) -> Float[Array, "..."]:
        return jnp.where(condition[..., None], state, other)

    def _largest(self, x):
        best, _ = jax.lax.top_k(x, self.k)
        return jnp.where(is_present(best), best, ABSENT)
