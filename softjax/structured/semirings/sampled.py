from __future__ import annotations

import itertools
from collections.abc import Iterator

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.extend.random import threefry_2x32
from jaxtyping import Array, Bool, Float, Key, UInt

from softjax_solvers import Regularizer, get_regularizer

from .._danskin import attach, no_term
from .._semirings import ABSENT, Semiring
from ._policies import policy

_BITS = 20  # of each half of a node's name, which is stored as a whole float
_SALTS = 2**_BITS
_SPREAD = 2654435761  # odd, so that different places stay different


class Sampled(Semiring):
    """Semiring whose gradient is a random structure of the regularized distribution.

    Values are those of [`softjax.structured.Regularized`][]; the derivative of a
    maximum is 1 for one candidate, drawn with the probabilities y of its maximizer. So
    the gradient of a recursion is a structure, drawn from its end to its start (forward
    filtering, backward sampling): with the entropy, exactly from the Gibbs distribution
    `p(v) ~ exp(<scores, v> / softness)`; its expectation is the marginals with any
    regularizer.

    Choices must be independent. A state has a name beside its value, two numbers along
    a last axis; that of a maximum is made of those of its candidates, its place in the
    array and the line of the recursion. It says which random number decides. So within
    a loop, candidates should come of the state that is carried, and one `max` should
    serve what might be that of a `vmap`.

    **Arguments:**

    - `regularizer`: a [`softjax.solvers.Regularizer`][], or the name of a mode.
    - `softness`: positive, a scalar.
    - `key`: a key of `jax.random`.

    **Example:**

        >>> import softjax.structured as st
        >>> chain = st.Chain()
        >>> scores = jnp.array([[0.0, 1.0], [0.5, 0.2]]), jnp.zeros((1, 2, 2))
        >>> semiring = st.Sampled("smooth", 0.5, jax.random.key(0))
        >>> value = lambda scores: chain.recursion(scores, semiring)[..., 0]
        >>> print(jax.grad(value)(scores)[0])
        [[0. 1.]
         [1. 0.]]
    """

    regularizer: Regularizer
    softness: Float[Array, ""]
    words: UInt[Array, "2"]
    lines: Iterator[int] = eqx.field(static=True)

    def __init__(
        self,
        regularizer: str | Regularizer,
        softness: float | Array,
        key: Key[Array, ""],
    ):
        self.regularizer = get_regularizer(regularizer)
        self.softness = jnp.asarray(softness)
        self.words = jax.random.bits(key, (2,), jnp.uint32)
        self.lines = itertools.count(1)

    def lift(self, scores: Float[Array, "*shape"]) -> Float[Array, "*shape ..."]:
        names, _ = self._draw(jnp.zeros((*scores.shape, 2), scores.dtype))
        return _pack(scores, names)

    def times(
        self, state: Float[Array, "..."], score: Float[Array, "..."]
    ) -> Float[Array, "..."]:
        value, names = _unpack(state)
        return _pack(value + score, names)

    def join(
        self, first: Float[Array, "..."], second: Float[Array, "..."]
    ) -> Float[Array, "..."]:
        (one, left), (other, right) = _unpack(first), _unpack(second)
        # Not a sum alone, as the parts of a pair may be each other's.
        names, _ = self._draw((left + 3 * right) % _SALTS)
        return _pack(one + other, names)

    def where(
        self,
        condition: Bool[Array, "..."],
        state: Float[Array, "..."],
        other: Float[Array, "..."],
    ) -> Float[Array, "..."]:
        return jnp.where(condition[..., None], state, other)

    def max(self, state: Float[Array, "..."], axis: int = 0) -> Float[Array, "..."]:
        x, names = _unpack(jnp.moveaxis(state, axis, 0))
        value, y = policy(self.regularizer, self.softness.astype(x.dtype)).maximum(x)
        names, uniform = self._draw(jnp.sum(names, axis=0) % _SALTS)
        y = jax.lax.stop_gradient(y)
        below = jnp.cumsum(y, axis=0)
        # Candidates without a share are never drawn, whatever rounding does.
        level = uniform * below[-1]
        chosen = jnp.sum((below <= level) & (below < below[-1]), axis=0)
        place = jax.lax.broadcasted_iota(chosen.dtype, y.shape, 0)
        drawn = (place == chosen).astype(y.dtype)
        drawn = jnp.where(jnp.isnan(below[-1]), jnp.nan, drawn)
        some = jnp.any(y > 0, axis=0) | jnp.isnan(below[-1])
        value = jax.lax.stop_gradient(jnp.where(some, value, ABSENT))
        return _pack(attach(value, drawn, x, (), term=no_term), names)

    def _draw(self, names: Float[Array, "*shape 2"]) -> tuple[Array, Array]:
        """New names for entries of an array, and numbers in [0, 1) to go with them."""
        shape = names.shape[:-1]
        words = jax.lax.stop_gradient(names).astype(jnp.uint32).reshape(-1, 2)
        place = jax.lax.iota(jnp.uint32, words.shape[0])
        line = jnp.uint32(next(self.lines) % 2 ** (32 - _BITS))
        counters = jnp.concatenate(
            [words[:, 0] + (line << _BITS), words[:, 1] + place * jnp.uint32(_SPREAD)]
        )
        key = jnp.asarray(self.words)
        bits = threefry_2x32((key[0], key[1]), counters).reshape(2, -1)
        low = bits & (_SALTS - 1)
        high = ((bits[0] >> _BITS) << (32 - _BITS)) + (bits[1] >> _BITS)
        dtype = names.dtype
        fresh = jnp.moveaxis(low, 0, -1).reshape(*shape, 2).astype(dtype)
        uniform = high.reshape(shape).astype(dtype) / 2.0**24
        return fresh, uniform


def _unpack(state: Array) -> tuple[Array, Array]:
    return state[..., 0], state[..., 1:]


def _pack(value: Array, names: Array) -> Array:
    value = value[..., None]
    names = jax.lax.stop_gradient(names)
    return jnp.concatenate([value, jnp.broadcast_to(names, (*value.shape[:-1], 2))], -1)
