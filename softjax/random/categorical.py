"""Draws of one of n categories, as soft indices."""

from __future__ import annotations

import math
from typing import Any, Unpack

import jax.numpy as jnp
from jaxtyping import Array, Float

from .. import axiswise
from .._keywords import as_array, parse_flag
from .._types import SoftIndex
from ..axiswise._keywords import IndexKeywords, along_axis
from ..axiswise._operation import INDEX, Operation, ask
from ._keys import parse_key
from ._run import call, perturbed_scores

_CATEGORICAL = Operation("categorical", ask("argmax"), (INDEX,))


def draw_indices(
    name: str,
    key: Any,
    softness: Any,
    logits: Any,
    axis: int,
    shape: tuple[int, ...] | None,
    replace: bool,
    keywords: dict[str, Any],
) -> Float[Array, "*shape n"]:
    """Soft indices of draws from the softmax of logits."""
    keywords = dict(keywords)
    weights = keywords.pop("weights")
    scores = perturbed_scores(
        name, parse_key(key, name), logits, axis, shape, weights, prefixed=replace
    )
    given = dict(softness=softness, **keywords)
    axis, n = scores.axis, scores.values.shape[scores.axis]
    count = math.prod(scores.prefix)
    if count > n and not replace:
        raise ValueError(
            f"{name}: {count} draws without replacement need as many categories, and "
            f"there are {n}."
        )
    if math.prod(scores.shape) == 0:
        return jnp.zeros((*scores.shape, n), scores.dtype)
    if n == 0:
        raise ValueError(f"{name}: a draw needs at least one category, and got none.")
    if replace:
        index = axiswise.argmax(scores.values, axis, **given)
        return index.astype(scores.dtype)
    _, index = axiswise.top_k(scores.values, count, axis, **given)
    if index is None:
        raise ValueError(
            f"{name}: method={keywords['method']!r} has no soft indices. Use one that "
            "has, such as 'softsort'."
        )
    index = jnp.moveaxis(index, axis - 1, 0)
    return index.reshape(*scores.prefix, *index.shape[1:]).astype(scores.dtype)


def _draw(key, softness, logits, *, axis, shape, replace, keywords):
    parts = logits, axis, shape, replace, keywords
    return draw_indices("categorical", key, softness, *parts)


@along_axis("max", _CATEGORICAL, "indices")
def categorical(
    key: Any,
    logits: Any,
    axis: int = -1,
    shape: tuple[int, ...] | None = None,
    replace: bool = True,
    **keywords: Unpack[IndexKeywords],
) -> SoftIndex:
    """Soft `jax.random.categorical`: draws from the softmax of logits, as soft indices.

    `argmax(logits + G)` by [`softjax.argmax`][], with independent Gumbel noise G: with
    the entropy, the Gumbel-softmax or concrete distribution, whose temperature is the
    softness. The hard one is one-hot, with the distribution of that of `jax.random`.

    **Arguments:**

    - `key`: a key of `jax.random`, old or new style.
    - `logits`: log-probabilities along the axis, up to a constant; -inf for none.
    - `shape`: of the draws: what the shape of logits without the axis broadcasts to.
        None for one draw of each row.
    - `replace`: if False, draws in front of the shape of the rows are without
        replacement: the [`softjax.top_k`][] of `logits + G`, in the order in which they
        are drawn.
    - The others are those of `softjax.IndexKeywords`; `where` and `weights` broadcast
        to the logits, and probabilities are multiplied by `weights`.

    **Returns:** soft indices of shape `shape` and a last axis of size n.

    **Example:**

        >>> key, logits = jax.random.key(1), jnp.array([0.2, 1.0, 0.7])
        >>> print(sj.random.categorical(key, logits, softness=0.5))
        [0.081 0.69  0.229]
        >>> print(sj.random.categorical(key, logits, mode="hard"))
        [0. 1. 0.]
        >>> print(sj.random.categorical(key, logits, shape=(3,), replace=False))
        [[0.    0.996 0.004]
         [0.005 0.004 0.991]
         [0.995 0.    0.005]]

    ??? cite

        Jang, Gu and Poole, "Categorical reparameterization with Gumbel-softmax", ICLR
        2017; Maddison, Mnih and Teh, "The concrete distribution", ICLR 2017; Kool, van
        Hoof and Welling, "Stochastic beams and where to find them", ICML 2019.
    """
    logits = as_array(logits, "categorical: logits")
    return call(
        _draw,
        _CATEGORICAL,
        key,
        logits,
        rows=(logits, axis),
        axis=axis,
        shape=shape,
        replace=parse_flag(replace, "categorical: replace"),
        keywords=keywords,
    )
