from __future__ import annotations

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PyTree

from softjax_solvers import HypersimplexProjection, MaximizationProblem, Regularizer
from softjax_solvers.internal import log_subset_sums

from ..._keywords import parse_integer
from .._semirings import Semiring
from .._structure import DynamicProgram
from ._checks import check_shape, less_mean, unless_nan
from ._items import best_of_items


class KSubset(DynamicProgram):
    """Subsets of k of n items, with scores of shape `n`.

    Marginals are those of a top-k mask: [`softjax.solvers.HypersimplexProjection`][] is
    the problem. The distribution over subsets is conditional Bernoulli sampling.

    **Arguments:**

    - `k`: from 0 to n.

    **Example:**

        >>> st = sj.structured
        >>> scores = jnp.array([0.2, 1.0, 0.7, 0.1])
        >>> print(st.argmax(st.KSubset(2), scores, softness=1.0))
        [0.2 1.  0.7 0.1]
        >>> gibbs = dict(mode="smooth", method="distribution")
        >>> print(st.argmax(st.KSubset(2), scores, softness=0.5, **gibbs))
        [0.301 0.796 0.652 0.251]

    ??? cite

        Chen, Dempster and Liu, "Weighted finite population sampling to maximize
        entropy", Biometrika 81 (1994); Martins and Kreutzer, "Learning what's easy:
        fully differentiable neural easy-first taggers", EMNLP 2017.
    """

    k: int = eqx.field(static=True)

    def __init__(self, k: int):
        self.k = parse_integer(k, "KSubset: k", 0)

    def check(self, scores: PyTree[Array]) -> None:
        check_shape("KSubset", "scores", scores, ("n",))
        if self.k > len(scores):
            raise ValueError(
                f"KSubset: k={self.k} must be at most the number of items, "
                f"{len(scores)}."
            )

    def default_mode(self) -> str:
        return "c0"

    def default_method(self, regularizer: Regularizer) -> str:
        return "marginals"

    def oracle(self, scores: Float[Array, "n"]) -> Float[Array, "n"]:
        # Of equal scores the first, as which 0 and -0 count.
        _, best = jax.lax.top_k(jnp.where(scores == 0, 0, scores), self.k)
        return unless_nan(jnp.zeros_like(scores).at[best].set(1), scores)

    def recursion(
        self, scores: Float[Array, "n"], semiring: Semiring
    ) -> Float[Array, "..."]:
        return best_of_items(scores, np.ones(len(scores), int), self.k, semiring)[
            self.k
        ]

    def projection(self, scores: PyTree[Array], softness: Array) -> MaximizationProblem:
        return HypersimplexProjection(scores, self.k, softness)

    def centered(self, scores: PyTree[Array]) -> PyTree[Array]:
        return less_mean(scores)

    def log_partition(self) -> Callable[[PyTree[Array]], Float[Array, ""]] | None:
        def of(scores):
            best = -jnp.sort(-scores)
            if self.k == 0:
                return jnp.zeros((), scores.dtype)
            return jnp.sum(best[: self.k]) + log_subset_sums(best)[self.k - 1]

        return of
