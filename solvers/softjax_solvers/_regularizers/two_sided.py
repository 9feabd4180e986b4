from __future__ import annotations

from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Float

from .._core.regularizer import Regularizer
from .._core.structure import General, Structure
from .combined import check_term


class TwoSided(Regularizer):
    """Regularizer `r(y) + r(1 - y) - r(1)`, of what is in a set and of what is out.

    It is one on [0, 1]. The link is the sigmoid of r, so that each entry of a mask is a
    two-point projection, with the smoothness of r at 0 and at 1 alike. With the entropy
    it is [`softjax.solvers.BinaryEntropy`][]. Since it fits each entry into [0, 1] by
    itself, it suits problems over the hypersimplex, where it is optimal transport to
    two anchors: for any r, it is the regularizer of [`softjax.top_k_mask`][] by
    default.

    **Arguments:**

    - `regularizer`: the other one, r.

    **Raises:** `TypeError` if it is none.

    **Example:**

        >>> scores = jnp.array([0.2, 1.0, 0.3, 0.7])
        >>> problem = sj.solvers.HypersimplexProjection(scores, 2, 0.5)
        >>> for regularizer in (sj.solvers.PNorm(2), sj.solvers.Entropy()):
        ...     mode = sj.solvers.TwoSided(regularizer)
        ...     print(sj.solvers.solve(problem, mode).value)
        ...
        [0.15 0.95 0.25 0.65]
        [0.333 0.712 0.379 0.576]

    ??? cite

        Xie et al., "Differentiable top-k with optimal transport", NeurIPS 2020.
    """

    regularizer: Regularizer

    def __init__(self, regularizer: Any):
        self.regularizer = check_term("TwoSided", regularizer)

    def link(self, t: Float[Array, "..."]) -> Float[Array, "..."]:
        return self.regularizer.sigmoid(t)

    def log_link(self, t: Float[Array, "..."]) -> Float[Array, "..."]:
        return self.regularizer.log_sigmoid(t)

    def gradient(self, y: Float[Array, "..."]) -> Float[Array, "..."]:
        return self.regularizer.gradient(y) - self.regularizer.gradient(1 - y)

    def structure(self) -> Structure:
        return General(sparse=self.regularizer.structure().sparse, unbounded=False)

    def conjugate(self, t: Float[Array, "..."]) -> Float[Array, "..."]:
        # `softplus` is this up to a constant, which the value at -inf fixes.
        return self.regularizer.softplus(t)

    def value(self, y: Float[Array, "..."]) -> Float[Array, "..."]:
        r = self.regularizer.value
        return r(y) + r(1 - y) - r(jnp.ones_like(y))
