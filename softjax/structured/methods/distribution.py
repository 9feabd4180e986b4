from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key, PyTree

from softjax_solvers import Regularizer

from .._semirings import ABSENT
from .._structure import DynamicProgram, Structure, inner
from ._method import StructuredMethod
from .recursion import Recursion


class Distribution(StructuredMethod):
    """Entropy of the distribution over all structures, where its maximum is known.

    `max_p sum_v p_v <scores, v> - softness sum_v p_v log p_v`, which is
    `softness log sum_v exp(<scores, v> / softness)`; its gradient is the marginals of
    the Gibbs distribution. The sum over all structures has a closed form for a
    [`softjax.structured.DynamicProgram`][] (its recursion), for
    [`softjax.structured.SpanningTree`][] (the matrix-tree theorem) and for
    [`softjax.structured.KSubset`][] (elementary symmetric polynomials). Of exponential
    modes, as `"smooth"`.

    **Example:**

        >>> st = sj.structured
        >>> scores = jnp.array([1.0, 0.2, 0.1])
        >>> triangle = st.SpanningTree(3)
        >>> print(st.argmax(triangle, scores, method="distribution", softness=0.5))
        [0.917 0.587 0.496]
    """

    def check(
        self, structure: Structure, regularizer: Regularizer, solver: Any
    ) -> None:
        if solver is not None:
            raise TypeError(
                f"solver={solver!r}: method='distribution' is a closed form. Only "
                "method='marginals' takes solvers."
            )
        if structure.log_partition() is None:
            raise TypeError(
                f"method='distribution': there is no closed form for a "
                f"{type(structure).__name__}. method='k_best' has the best structures "
                "alone, 'marginals' regularizes their mean."
            )
        if regularizer.structure().rate is None:
            raise TypeError(
                "method='distribution' is for exponential modes, such as 'smooth', got "
                f"{regularizer!r}. method='k_best' is exact for sparse ones."
            )

    def value(
        self,
        structure: Structure,
        scores: PyTree[Array],
        softness: Float[Array, ""],
        regularizer: Regularizer,
        solver: Any,
    ) -> Float[Array, ""]:
        log_sum: Any = structure.log_partition()
        rate: Any = regularizer.structure().rate
        softness = softness / rate
        return softness * log_sum(_over(scores, softness))

    def argmax(
        self,
        structure: Structure,
        scores: PyTree[Array],
        softness: Float[Array, ""],
        regularizer: Regularizer,
        solver: Any,
    ) -> PyTree[Array]:
        def value(scores):
            return self.value(structure, scores, softness, regularizer, solver)

        return jax.grad(value)(scores)

    def entropy(
        self,
        structure: Structure,
        scores: PyTree[Array],
        softness: Float[Array, ""],
        regularizer: Regularizer,
        solver: Any,
    ) -> Float[Array, ""]:
        scores = structure.centered(scores)
        given = structure, scores, softness, regularizer, solver
        if isinstance(structure, DynamicProgram):  # of the same distribution
            return Recursion().entropy(*given)
        return (self.value(*given) - inner(scores, self.argmax(*given))) / softness

    def sample(
        self,
        key: Key[Array, ""],
        structure: Structure,
        scores: PyTree[Array],
        softness: Float[Array, ""],
        regularizer: Regularizer,
        solver: Any,
    ) -> PyTree[Array]:
        rate: Any = regularizer.structure().rate
        softness = softness / rate
        return structure.sample(key, _over(scores, softness))


def _over(scores: PyTree[Array], softness: Float[Array, ""]) -> PyTree[Array]:
    """Scores over the softness, and `ABSENT` for -inf, which has no derivatives."""

    def over(x: Array) -> Array:
        here = ~(x < ABSENT)  # NaN too
        return jnp.where(here, jnp.where(here, x, 0) / softness, ABSENT)

    return jax.tree.map(over, scores)
