"""Draws of elements of an array, and shuffled arrays."""

from __future__ import annotations

import math
from typing import Any, Unpack

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from softjax_solvers.internal import is_traced, safe_log

from .. import axiswise, selection
from .._keywords import as_array, as_float, parse_flag
from ..axiswise._keywords import AxisKeywords, along_axis
from ..axiswise._operation import Operation, ask
from ._keys import parse_key
from ._run import (
    call,
    check_probabilities,
    layout_along,
    parse_shape,
    perturbed_scores,
    rows_along,
)
from .categorical import draw_indices

# What is made of an index has no logarithm of it.
_CHOICE = Operation("choice", ask("argmax"), ())
_PERMUTATION = Operation("permutation", ask("argsort"), ())


def _parse_range(name: str, x: Any) -> Any:
    """An array, or the numbers below an integer, which is a constant."""
    x = as_array(x, f"{name}: the array")
    if np.ndim(x):
        return x
    if is_traced(x) or not jnp.issubdtype(jnp.result_type(x), jnp.integer):
        raise TypeError(
            f"{name}: what is drawn from must be an array with an axis, or an integer "
            f"that is known, got {x!r}."
        )
    if int(x) < 0:
        raise ValueError(
            f"{name}: the number of elements must be nonnegative, got {x}."
        )
    return np.arange(int(x))


def _choice(key, softness, a, *, p, shape, replace, axis, keywords):
    a, dtype = as_float(a, "choice: a")
    axis = layout_along("choice", a.shape, axis).axes[0]
    n = a.shape[axis]
    shape = parse_shape("choice", shape, ())
    logits = jnp.zeros(n, a.dtype)
    if p is not None:
        p, _ = as_float(p, "choice: p")
        if p.shape != (n,):
            raise ValueError(
                f"choice: p must have the shape {(n,)} of one axis of the array, got "
                f"{p.shape}."
            )
        logits = safe_log(p)
    parts = logits, -1, shape, replace, keywords
    index = draw_indices("choice", key, softness, *parts)
    if math.prod(shape) == 0:
        return jnp.zeros((*a.shape[:axis], *shape, *a.shape[axis + 1 :]), dtype)
    return selection.take(a, index, axis).astype(dtype)


@along_axis("max", _CHOICE, "indices")
def choice(
    key: Any,
    a: Any,
    shape: tuple[int, ...] = (),
    replace: bool = True,
    p: Any = None,
    axis: int = 0,
    **keywords: Unpack[AxisKeywords],
) -> Float[Array, "..."]:
    """Soft `jax.random.choice`: draws of elements of an array.

    The means of elements under soft indices by [`softjax.random.categorical`][]. Hard
    ones are elements, with the distribution of those of `jax.random`.

    **Arguments:**

    - `key`: a key of `jax.random`, old or new style.
    - `a`: an array, or an integer n for the numbers below n.
    - `shape`: of the draws.
    - `replace`: whether to draw with replacement. If not, elements come in the order in
        which they are drawn.
    - `p`: how likely elements are, relative to their sum: `n`, nonnegative; None for
        equally. It may be differentiated, as `a` may; where it is 0, its derivative is
        0.
    - `axis`: the axis of `a` along which elements stand.
    - The others are those of `softjax.AxisKeywords`; `where` and `weights` are of shape
        `n`, and probabilities are multiplied by `weights`.

    **Returns:** an array of the shape of `a`, with `shape` in the place of the axis.

    **Example:**

        >>> key, a = jax.random.key(0), jnp.array([10.0, 20.0, 30.0])
        >>> p = jnp.array([0.2, 0.3, 0.5])
        >>> print(sj.random.choice(key, a, (2,), p=p))
        [20.    20.006]
        >>> print(sj.random.choice(key, a, (2,), replace=False, p=p, mode="hard"))
        [20. 10.]
        >>> print(jax.grad(lambda p: sj.random.choice(key, a, p=p, softness=1.0))(p))
        [-8.449  4.641  0.595]
    """
    a = _parse_range("choice", a)
    if p is not None:
        p = as_array(p, "choice: p")
        check_probabilities("choice", p, total=True)
    replace = parse_flag(replace, "choice: replace")
    options: dict[str, Any] = dict(p=p, shape=shape, replace=replace, axis=axis)
    rows = rows_along("choice", a, axis)
    return call(_choice, _CHOICE, key, a, rows=rows, keywords=keywords, **options)


def _permutation(key, softness, x, *, axis, independent, keywords):
    name = "permutation"
    x, dtype = as_float(x, f"{name}: x")
    axis = layout_along(name, x.shape, axis).axes[0]
    if x.shape[axis] == 0:
        return x.astype(dtype)
    each = independent or x.ndim == 1
    logits = jnp.zeros(x.shape if each else x.shape[axis], x.dtype)
    own = axis if each else 0
    weights = keywords["weights"]
    scores = perturbed_scores(
        name, parse_key(key, name), logits, own, None, weights
    ).values
    rest = {word: value for word, value in keywords.items() if word != "weights"}
    index = axiswise.argsort(scores, own, descending=True, softness=softness, **rest)
    if each:
        return selection.take_along_axis(x, index, axis).astype(dtype)
    return selection.take(x, index, axis).astype(dtype)


@along_axis("sort", _PERMUTATION, "indices")
def permutation(
    key: Any,
    x: Any,
    axis: int = 0,
    independent: bool = False,
    **keywords: Unpack[AxisKeywords],
) -> Float[Array, "..."]:
    """Soft `jax.random.permutation`: a shuffled array.

    The means of elements under a soft order by [`softjax.random.orderings`][] of equal
    logits. The hard one is a permutation, and all are equally likely.

    **Arguments:**

    - `key`: a key of `jax.random`, old or new style.
    - `x`: an array, or an integer n for the numbers below n.
    - `axis`: the axis along which to shuffle.
    - `independent`: whether each row along the axis has an order of its own.
    - The others are those of `softjax.AxisKeywords`; `where` and `weights` are of the
        shape of x if `independent`, and else of that of its axis. With `weights`, those
        that are likely come first; with `where`, what is behind the last is 0.

    **Returns:** an array of the shape of x.

    **Example:**

        >>> key, x = jax.random.key(0), jnp.array([10.0, 20.0, 30.0])
        >>> print(sj.random.permutation(key, x))
        [19.999 10.001 30.   ]
        >>> print(sj.random.permutation(key, x, mode="hard"))
        [20. 10. 30.]
    """
    x = _parse_range("permutation", x)
    independent = parse_flag(independent, "permutation: independent")
    rows = (x, axis) if independent else rows_along("permutation", x, axis)
    options: dict[str, Any] = dict(axis=axis, independent=independent, rows=rows)
    return call(_permutation, _PERMUTATION, key, x, keywords=keywords, **options)
