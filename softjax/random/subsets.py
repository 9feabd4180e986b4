"""Draws without replacement: subsets, and orders, of Plackett and Luce."""

from __future__ import annotations

from typing import Any, Unpack

import numpy as np

from .. import axiswise
from .._keywords import as_array, check_count
from .._layout import layout_of
from .._types import SoftBool, SoftIndex
from ..axiswise._keywords import AxisKeywords, IndexKeywords, along_axis
from ..axiswise._operation import INDEX, MASK, Operation, ask
from ._keys import parse_key
from ._run import call, perturbed_scores

_TOP_K = Operation("top_k", ask("top_k"), (MASK,), method="ot")
_ORDERINGS = Operation("orderings", ask("argsort"), (INDEX,))


def _scores(name, key, logits, axis, shape, keywords):
    weights = keywords["weights"]
    scores = perturbed_scores(name, parse_key(key, name), logits, axis, shape, weights)
    rest = {word: value for word, value in keywords.items() if word != "weights"}
    return scores, rest


def _mask(key, softness, logits, k, *, axis, shape, keywords):
    scores, rest = _scores("top_k", key, logits, axis, shape, keywords)
    mask = axiswise.top_k_mask(scores.values, k, scores.axis, softness=softness, **rest)
    return mask.astype(scores.dtype)


def _order(key, softness, logits, *, axis, shape, keywords):
    scores, rest = _scores("orderings", key, logits, axis, shape, keywords)
    index = axiswise.argsort(
        scores.values, scores.axis, descending=True, softness=softness, **rest
    )
    return index.astype(scores.dtype)


@along_axis("top_k", _TOP_K, "masks")
def top_k(
    key: Any,
    logits: Any,
    k: Any,
    axis: int = -1,
    shape: tuple[int, ...] | None = None,
    **keywords: Unpack[AxisKeywords],
) -> SoftBool:
    """Draws of k of n without replacement, as soft masks with sum k.

    `top_k_mask(logits + G, k)` by [`softjax.top_k_mask`][], with independent Gumbel
    noise G. The hard mask has the distribution of the set of k draws one after the
    other, each from the softmax of the logits of those that are left.

    **Arguments:**

    - `key`, `logits`, `shape`: as for [`softjax.random.categorical`][].
    - `k`: as for [`softjax.top_k_mask`][].
    - The others are those of `softjax.AxisKeywords`, with the methods of masks; `where`
        and `weights` broadcast to the logits, and probabilities are multiplied by
        `weights`.

    **Returns:** masks of the shape of the logits, or `shape` with the axis where the
    logits have it.

    **Example:**

        >>> key, logits = jax.random.key(0), jnp.array([0.2, 1.0, 0.7, 0.1])
        >>> print(sj.random.top_k(key, logits, 2, softness=0.5))
        [0.906 0.997 0.059 0.038]
        >>> print(sj.random.top_k(key, logits, 2, mode="hard"))
        [1. 1. 0. 0.]

    ??? cite

        Vieira, "Gumbel-max trick and weighted reservoir sampling", 2014; Xie and Ermon,
        "Reparameterizable subset sampling via continuous relaxations", IJCAI 2019;
        Kool, van Hoof and Welling, "Stochastic beams and where to find them", ICML
        2019.
    """
    logits = as_array(logits, "top_k: logits")
    check_count(k, layout_of(np.shape(logits), axis, "top_k").size, "top_k")
    options: dict[str, Any] = dict(axis=axis, shape=shape, keywords=keywords)
    return call(_mask, _TOP_K, key, logits, k, rows=(logits, axis), **options)


@along_axis("sort", _ORDERINGS, "indices")
def orderings(
    key: Any,
    logits: Any,
    axis: int = -1,
    shape: tuple[int, ...] | None = None,
    **keywords: Unpack[IndexKeywords],
) -> SoftIndex:
    """Draws of orders of n, as soft permutation matrices.

    `argsort(logits + G)` by [`softjax.argsort`][], descending, with independent Gumbel
    noise G. The hard order is that of Plackett and Luce: of n draws without
    replacement, each from the softmax of the logits of those that are left.

    **Arguments:**

    - `key`, `logits`, `shape`: as for [`softjax.random.categorical`][].
    - The others are those of `softjax.IndexKeywords`; `where` and `weights` broadcast
        to the logits, and probabilities are multiplied by `weights`.

    **Returns:** soft indices of the shape of the logits, or `shape` with the axis where
    the logits have it, and a last axis of size n: row i is where the i-th stands.

    **Example:**

        >>> key, logits = jax.random.key(0), jnp.array([0.2, 1.0, 0.7])
        >>> print(sj.random.orderings(key, logits, softness=0.5))
        [[0.032 0.968 0.   ]
         [0.962 0.032 0.006]
         [0.006 0.    0.993]]

    ??? cite

        Plackett, "The analysis of permutations", Applied Statistics 24 (1975); Luce,
        "Individual choice behavior", 1959; Grover, Wang, Zweig and Ermon, "Stochastic
        optimization of sorting networks via continuous relaxations", ICLR 2019.
    """
    logits = as_array(logits, "orderings: logits")
    options: dict[str, Any] = dict(axis=axis, shape=shape, keywords=keywords)
    return call(_order, _ORDERINGS, key, logits, rows=(logits, axis), **options)
