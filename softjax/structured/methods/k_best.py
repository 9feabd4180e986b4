from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Key, PyTree

from softjax_solvers import Primal, Regularizer, SimplexProjection, Value, evaluate

from ..._keywords import parse_integer
from .._ranked import exists, is_complete, mix
from .._structure import Structure
from ._method import StructuredMethod


class KBestDistribution(StructuredMethod):
    """Regularization of the distribution over structures, cut off behind the best.

    `max_p <p, s> - softness (R(p) - R(e_1))` over the simplex of distributions of the
    best structures v_1, v_2, ..., of scores s; marginals are `sum_i p_i v_i`. Where p
    is sparse, as with `"c0"`, and gives the last of the list weight 0, it is that over
    *all* structures, since whatever scores less has weight 0 too: see `certificate`.
    With the entropy, what is left out always counts.

    **Arguments:**

    - `candidates`: length of the list, at least 1.

    **Example:**

        >>> st = sj.structured
        >>> scores = jnp.array([0.2, 1.0, 0.7, 0.1])
        >>> few = st.KBestDistribution(candidates=4)
        >>> print(st.argmax(st.KSubset(2), scores, softness=1.0, method=few))
        [0.2 1.  0.7 0.1]

    ??? cite

        Martins and Astudillo, "From softmax to sparsemax", ICML 2016; Correia,
        Niculae, Aziz and Martins, "Efficient marginalization of discrete and structured
        latent variables via sparsity", NeurIPS 2020.
    """

    candidates: int = eqx.field(static=True)

    def __init__(self, candidates: int = 32):
        self.candidates = parse_integer(candidates, "KBestDistribution: candidates", 1)

    def check(
        self, structure: Structure, regularizer: Regularizer, solver: Any
    ) -> None:
        if solver is not None:
            raise TypeError(
                f"solver={solver!r}: method='k_best' has a solver of its own. Only "
                "method='marginals' takes others."
            )

    def value(
        self,
        structure: Structure,
        scores: PyTree[Array],
        softness: Float[Array, ""],
        regularizer: Regularizer,
        solver: Any,
    ) -> Float[Array, ""]:
        problem, ranked = self._problem(structure, scores, softness)
        best = jax.lax.stop_gradient(ranked.values[0])  # from where objectives count
        alone = regularizer.value(jnp.ones((), softness.dtype))
        return best + evaluate(problem, regularizer, Value()) + softness * alone

    def argmax(
        self,
        structure: Structure,
        scores: PyTree[Array],
        softness: Float[Array, ""],
        regularizer: Regularizer,
        solver: Any,
    ) -> PyTree[Array]:
        problem, ranked = self._problem(structure, scores, softness)
        p = evaluate(problem, regularizer, Primal())
        return mix(p, ranked.structures)

    def entropy(
        self,
        structure: Structure,
        scores: PyTree[Array],
        softness: Float[Array, ""],
        regularizer: Regularizer,
        solver: Any,
    ) -> Float[Array, ""]:
        # Of the weights alone: in the difference of values large scores would cancel.
        problem, _ = self._problem(structure, scores, softness)
        p = evaluate(problem, regularizer, Primal())
        # Weights of 0 and 1 don't move, where r' may be infinite.
        inside = (p > 0) & (p < 1)
        fixed = regularizer.value(jax.lax.stop_gradient(p))
        terms = jnp.where(inside, regularizer.value(jnp.where(inside, p, 0.5)), fixed)
        return regularizer.value(jnp.ones((), p.dtype)) - jnp.sum(terms)

    def sample(
        self,
        key: Key[Array, ""],
        structure: Structure,
        scores: PyTree[Array],
        softness: Float[Array, ""],
        regularizer: Regularizer,
        solver: Any,
    ) -> PyTree[Array]:
        problem, ranked = self._problem(structure, scores, softness)
        p = evaluate(problem, regularizer, Primal())
        drawn = jax.random.categorical(key, jnp.log(p))
        return jax.tree.map(lambda v: v[drawn], ranked.structures)

    def certificate(
        self,
        structure: Structure,
        scores: PyTree[Array],
        softness: Float[Array, ""] | float,
        regularizer: Regularizer,
    ) -> Bool[Array, ""]:
        """Whether the distribution is that over all structures, none left out."""
        problem, ranked = self._problem(structure, scores, jnp.asarray(softness))
        p = evaluate(problem, regularizer, Primal())
        return is_complete(ranked) | (regularizer.structure().sparse & (p[-1] == 0))

    def _problem(self, structure, scores, softness):
        ranked = structure.k_best(scores, self.candidates)
        there = exists(ranked)
        values = jnp.where(there, ranked.values, 0)
        return SimplexProjection(values, softness, there), ranked
