"""Regularizers that are multiples or sums of others."""

from __future__ import annotations

import math
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from .._core.regularizer import Regularizer, link_from_gradient
from .._core.structure import Structure, Unknown
from .pnorm import parse_number
from .transformed import Number, Transformed, unwrapped


def check_term(name: str, regularizer: Any) -> Regularizer:
    """Return an argument of `name`, or raise `TypeError` if it is no regularizer."""
    if not isinstance(regularizer, Regularizer):
        raise TypeError(
            f"{name} takes instances of Regularizer, got {regularizer!r}. A mode's "
            "name stands for softjax.solvers.get_regularizer(name)."
        )
    return regularizer


class Scaled(Transformed):
    """Multiple `factor * r(y)` of a regularizer r: that is r at `factor` the softness.

    The link is `phi(t / factor)`. Closed forms and algorithms are those of r. In a
    [`softjax.solvers.Sum`][] it is a weight.

    **Arguments:**

    - `regularizer`: the other one.
    - `factor`: a positive scalar. A JAX array is a parameter that can be traced and
        differentiated.

    **Raises:** `ValueError` if `factor` is known and not positive and finite, or is no
    scalar; `TypeError` if it is no real number.

    **Example:**

        >>> x = jnp.array([0.2, 1.0, 0.7])
        >>> print(sj.argmax(x, mode=sj.solvers.Scaled(sj.solvers.PNorm(2), 5.0)))
        [0.  0.8 0.2]
        >>> print(sj.argmax(x, mode="c0", softness=0.5))
        [0.  0.8 0.2]
    """

    regularizer: Regularizer
    factor: float | Float[Array, ""]

    def __init__(self, regularizer: Regularizer, factor: float | Array):
        self.regularizer = check_term("Scaled", regularizer)
        self.factor = parse_number(
            factor, "Scaled: factor", lambda c: 0 < c < math.inf, "positive"
        )

    def parts(self) -> tuple[Regularizer, Number, Number]:
        return self.regularizer, self.factor, 0.0


class Sum(Transformed):
    """The sum of regularizers, `r(y) = r_1(y) + r_2(y) + ...`.

    `r'` is the sum of theirs, and the link is found from it, so their `gradient` has to
    be right for all y that the problem allows. `Sum(Entropy(), Scaled(PNorm(2), 3))`,
    for one, is smooth as an entropy is, and nearly sparse. A sum of multiples of one
    regularizer is a multiple of it.

    **Arguments:** one or more regularizers.

    **Example:**

        >>> mixed = sj.solvers.Sum(sj.solvers.Entropy(), sj.solvers.PNorm(2))
        >>> print(sj.argmax(jnp.array([0.2, 1.0, 0.7]), mode=mixed))
        [0.001 0.9   0.1  ]
    """

    terms: tuple[Regularizer, ...]

    def __init__(self, *terms: Regularizer):
        if not terms:
            raise TypeError("Sum takes one or more regularizers, got none.")
        self.terms = tuple(check_term("Sum", term) for term in terms)

    def parts(self) -> tuple[Regularizer, Number, Number]:
        bases, factors, lines = zip(*map(unwrapped, self.terms), strict=True)
        if all(_are_same(bases[0], other) for other in bases[1:]):
            return bases[0], sum(factors), sum(lines)
        return _Terms(self.terms), 1.0, 0.0


def _are_same(one: Regularizer, other: Regularizer) -> bool:
    """Whether two regularizers are known to be equal, without looking at arrays.

    A transformation of JAX makes two arrays of one that stands in two places.
    """
    leaves = jax.tree.leaves((one, other))
    has_arrays = any(isinstance(x, jax.Array | np.ndarray) for x in leaves)
    return not has_arrays and eqx.tree_equal(one, other) is True


class _Terms(Regularizer):
    """Sum of two or more regularizers, with a link that is found from `gradient`."""

    terms: tuple[Regularizer, ...]

    def link(self, t: Float[Array, "..."]) -> Float[Array, "..."]:
        return link_from_gradient(self.gradient, t)

    def structure(self) -> Structure:
        steep = all(term.structure().steep for term in self.terms)
        return Unknown(self, steep=steep)

    def gradient(self, y: Float[Array, "..."]) -> Float[Array, "..."]:
        return sum((term.gradient(y) for term in self.terms), jnp.zeros_like(y))

    def conjugate(self, t: Float[Array, "..."]) -> Float[Array, "..."]:
        y = self.link(t)
        return t * y - self.value(y)

    def value(self, y: Float[Array, "..."]) -> Float[Array, "..."]:
        return sum((term.value(y) for term in self.terms), jnp.zeros_like(y))
