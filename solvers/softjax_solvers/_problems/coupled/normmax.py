from __future__ import annotations

from collections.abc import Callable

import jax.numpy as jnp
from jaxtyping import Array, Float

from ..._core.groups import Rows
from ..._core.regularizer import Regularizer
from ..._kernels.arrays import safe_multiply
from ..._regularizers import PNorm
from ..simplex import Simplex
from .reduced import parse_scores


class NormSimplexProjection(Simplex):
    """`argmax_{y in simplex} <z, y> - softness |y|_p`, along the last axis (normmax).

    The norm itself, where the p-norm regularizer has its p-th power. With q = p / (p -
    1), the solution is in proportion to `max(s - theta, 0)^(q - 1)`, where s is z over
    the softness, and the dual theta such that `sum max(s - theta, 0)^q = 1`. So theta
    is above `max s - 1`, and what is so far behind the best entry is 0, however many
    entries there are: with many alike, it is a sparser and more uniform distribution
    than that of the power.

    **Arguments:**

    - `z`: `*batch n`.
    - `softness`: positive, a scalar or an array that broadcasts against `*batch 1`.
    - `where`: optional mask `*batch n`; y is 0 outside of it.

    It takes the regularizers [`softjax.solvers.PNorm`][], `"c0"` for p = 2 and `"c1"`
    for p = 3/2, and raises `ValueError` for others.

    **Example:**

        >>> z = jnp.array([0.2, 1.0, 0.7])
        >>> problem = sj.solvers.NormSimplexProjection(z, 1.0)
        >>> print(sj.solvers.solve(problem, "c0").value)
        [0.028 0.591 0.38 ]

    ??? cite

        Blondel, Martins and Niculae, "Learning with Fenchel-Young losses", JMLR 21
        (2020), section 4.4.
    """

    def __init__(self, z: Array, softness: Array | float, where: Array | None = None):
        parts = parse_scores(z, softness, where, type(self).__name__)
        self.z, self.softness, self.where = parts
        self.largest, self.weights, self.groups = None, None, Rows()

    def specialize(self, regularizer: Regularizer) -> NormSimplexProjection:
        if not isinstance(regularizer, PNorm):
            raise ValueError(
                "A NormSimplexProjection has the norm of a softjax.solvers.PNorm, got "
                f"the regularizer {regularizer!r}. Use one, or 'c0', 'c1', 'c2', "
                "or a SimplexProjection."
            )
        return self

    def closed_form(self, regularizer: Regularizer) -> Callable[[], Array] | None:
        return None

    def optimality(
        self, dual: Float[Array, "*batch"], regularizer: Regularizer
    ) -> Float[Array, "*batch"]:
        terms = regularizer.conjugate(self.scores - dual[..., None])
        unit = regularizer.conjugate(jnp.ones((), terms.dtype))
        return jnp.sum(terms / unit, axis=-1, where=self.where) - 1

    def bracket(
        self, regularizer: Regularizer
    ) -> tuple[Float[Array, "*batch"], Float[Array, "*batch"]]:
        # One entry of 1, or all of them equal.
        count = jnp.sum(self.mask, axis=-1).astype(self.z.dtype)
        unit = regularizer.conjugate(jnp.ones((), self.z.dtype))
        power = regularizer.link(jnp.ones((), self.z.dtype)) / unit
        return -jnp.ones_like(count), -(jnp.maximum(count, 1) ** (-1 / power))

    def objective(
        self, y: Float[Array, "*batch n"], regularizer: Regularizer
    ) -> Float[Array, "*batch"]:
        one = jnp.ones((), self.z.dtype)
        unit = regularizer.value(one)
        y = self.masked(y)
        power = jnp.sum(regularizer.value(y) / unit, axis=-1)
        norm = power ** (unit / regularizer.gradient(one))
        total = jnp.sum(safe_multiply(self.scores, y), axis=-1)
        return self.softness[..., 0] * (total - norm)
