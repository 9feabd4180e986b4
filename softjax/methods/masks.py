"""Formulations of a mask of the k largest: how an entry between 0 and 1 is softened."""

from __future__ import annotations

import abc
from collections.abc import Callable

import equinox as eqx

from softjax_solvers import Regularizer, TwoSided

from .._keywords import parse_choice


class MaskMethod(eqx.Module):
    """A formulation of [`softjax.top_k_mask`][], over `0 <= y <= 1` with `sum y = k`.

    All have the same vertices. They differ in what they make of a mode.

    **Example:**

        >>> class Half(sj.methods.MaskMethod):
        ...     def regularizer(self, mode):
        ...         return sj.solvers.TwoSided(sj.solvers.Scaled(mode, 0.5))
        ...
        >>> print(sj.top_k_mask(jnp.array([0.2, 1.0, 0.9]), 2, method=Half()))
        [0.001 1.    0.999]
    """

    @abc.abstractmethod
    def regularizer(self, mode: Regularizer) -> Regularizer:
        """The regularizer of the mask, from that which stands for the mode."""


class TransportMask(MaskMethod):
    """Optimal transport of the elements to two anchors, for k of them and for the rest.

    `y_i = sigma(x_i / softness - theta)`, with the sigmoid of the mode,
    [`softjax.solvers.Regularizer`][]`.sigmoid`: each entry is a choice between in and
    out, as smooth at 1 as it is at 0. So the mask of the n - k smallest is 1 less that
    of the k largest. [`softjax.solvers.TwoSided`][] is its regularizer.

    **Example:**

        >>> x = jnp.array([0.2, 1.0, 0.3, 0.7])
        >>> print(sj.top_k_mask(x, 2, mode="c0", softness=0.5, method="ot"))
        [0.15 0.95 0.25 0.65]

    ??? cite

        Xie et al., "Differentiable top-k with optimal transport", NeurIPS 2020.
    """

    def regularizer(self, mode: Regularizer) -> Regularizer:
        return TwoSided(mode)


class HypersimplexMask(MaskMethod):
    """The projection onto the hypersimplex, by the regularizer of the mode itself.

    `y_i = min(phi(x_i / softness - theta), 1)`, with the link of the mode: the soft
    argmax for k = 1, and the Euclidean projection for `"c0"`. It changes from 0 to 1
    over half the distance that [`softjax.methods.TransportMask`][] takes. Where an
    entry reaches 1 it has a kink, in every mode whose link does not level off there.

    **Example:**

        >>> x = jnp.array([0.2, 1.0, 0.3, 0.7])
        >>> print(sj.top_k_mask(x, 2, mode="c0", softness=0.5, method="hypersimplex"))
        [0.  1.  0.1 0.9]

    ??? cite

        Sander, Puigcerver, Djolonga, Peyré and Blondel, "Fast, differentiable and
        sparse top-k: a convex analysis perspective", ICML 2023.
    """

    def regularizer(self, mode: Regularizer) -> Regularizer:
        return mode


MASK_METHODS: dict[str, Callable[[], MaskMethod]] = {
    "ot": TransportMask,
    "hypersimplex": HypersimplexMask,
}
"""Name of a method of masks -> what makes it.

**Example:**

    >>> print(", ".join(sj.methods.MASK_METHODS))
    ot, hypersimplex
"""


def get_mask_method(method: str | MaskMethod) -> MaskMethod:
    """The method that `method` names, or `method` itself.

    **Raises:** `ValueError` for an unknown name, `TypeError` for anything else.

    **Example:**

        >>> print(sj.methods.get_mask_method("ot"))
        TransportMask()
    """
    return parse_choice(method, MaskMethod, MASK_METHODS, "does not make masks")
