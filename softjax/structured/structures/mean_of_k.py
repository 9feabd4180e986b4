from __future__ import annotations

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, PyTree

from ..._keywords import parse_integer
from .._ranked import Ranked, exists, mix
from .._structure import Structure


class MeanOfK(Structure):
    """Means of k different structures, as sets of them.

    The polytope is `P_k = conv {(v_1 + ... + v_k) / k}` of different vertices v_i of
    another; the best is the mean of the k best. A soft one is a set without ranks.
    Where there are fewer than k structures, it is the mean of all.

    **Arguments:**

    - `structure`: a [`softjax.structured.Structure`][].
    - `k`: at least 1.

    **Example:**

        >>> st = sj.structured
        >>> two = st.MeanOfK(st.KSubset(1), 2)
        >>> scores = jnp.array([0.2, 1.0, 0.7, 0.1])
        >>> print(st.argmax(two, scores, mode="hard"))
        [0.  0.5 0.5 0. ]
        >>> target = jnp.array([0.5, 0.5, 0.0, 0.0])
        >>> print(f"{st.fenchel_young_loss(two, scores, target):.3f}")
        0.250
    """

    structure: Structure
    k: int = eqx.field(static=True)

    def __init__(self, structure: Structure, k: int):
        if not isinstance(structure, Structure):
            raise TypeError(
                f"MeanOfK: structure must be a softjax.structured.Structure, got "
                f"{structure!r}."
            )
        self.structure = structure
        self.k = parse_integer(k, "MeanOfK: k", 1)

    def check(self, scores: PyTree[Array]) -> None:
        self.structure.check(scores)

    def kept(self, scores: PyTree[Array]) -> PyTree[Array]:
        return self.structure.kept(scores)

    def oracle(self, scores: PyTree[Array]) -> PyTree[Array]:
        ranked = self.structure.k_best(scores, self.k)
        there = exists(ranked)
        share = there / jnp.maximum(jnp.sum(there), 1)
        return mix(share.astype(ranked.values.dtype), ranked.structures)

    def k_best(self, scores: PyTree[Array], k: int) -> Ranked:
        raise TypeError(
            "MeanOfK: lists of means of structures are not found, only the best. Ask "
            "for those of the structure itself."
        )
