"""The keywords that axiswise operators share, and their defaults."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypedDict, TypeVar

from softjax_solvers import Regularizer

from .._defaults import reads_defaults
from ..methods import Method
from ._operation import INDEX, Operation

_Function = TypeVar("_Function", bound=Callable)


class AxisKeywords(TypedDict, total=False):
    """The keywords that all axiswise operators share.

    - `softness`: how far from hard, in the unit of the input: `op(c x, softness=c tau)`
        is `c op(x, softness=tau)` for values, and the same index, rank or mask. A
        positive number, or an array that broadcasts against the input with size 1 along
        the axis. Default 0.1.
    - `mode`: the regularizer, a name or an instance; `"hard"` for the hard operator.
        See `softjax.solvers.get_regularizer`. Default `"smooth"`.
    - `method`: the formulation, a name or an instance; see `softjax.methods`.
    - `solver`: the algorithm; None for the best known. See `softjax.solvers.solve`.
    - `standardize`: whether to compare z-scores, squashed by a sigmoid, in place of
        the input itself, so that softness does not depend on its scale. Default False.
    - `where`: which elements there are: a Boolean array that broadcasts to the input;
        None for all. `op(x, where=m)` is `op(x[m])` row by row, and masked elements may
        be anything. Soft indices and masks are 0 at masked elements, and ranks are just
        behind the last; sorted values are at the front, and infinite behind them.
    - `weights`: how often elements count: nonnegative numbers that broadcast to the
        input, or a single axis of them along the operated one; None for once.
        `op(x, weights=k)` is `op(jnp.repeat(x, k))` for whole numbers, and continuous
        and differentiable in between. Soft indices are shares of all copies; sorted
        values are those of the first units of mass, as many as the axis is long; masks
        and ranks are those of one copy. Methods that can't take them raise
        `ValueError`. Weights that are shares and sum to 1 are a single copy: for
        quantiles and sorted values, pass `w * sum(w) / sum(w**2)` in their place.

    **Example:**

        >>> keywords: sj.AxisKeywords = dict(mode="c0", softness=0.5)
        >>> print(sj.argmax(jnp.array([0.2, 1.0, 0.7]), **keywords))
        [0.  0.8 0.2]
    """

    softness: Any
    mode: str | Regularizer
    method: str | Method
    solver: Any
    standardize: bool
    where: Any
    weights: Any


class ValueKeywords(AxisKeywords, total=False):
    """The keywords of axiswise operators that return values.

    - `gated_grad`: if False, no gradient of a value flows through the soft index, only
        through the values that it averages; a returned index keeps its own. Default
        True.

    **Example:**

        >>> x = jnp.array([0.2, 1.0, 0.7])
        >>> for gated_grad in (True, False):
        ...     print(jax.grad(lambda x: sj.max(x, gated_grad=gated_grad))(x))
        ...
        [-0.002  1.09  -0.088]
        [0.    0.952 0.047]
    """

    gated_grad: bool


class IndexKeywords(AxisKeywords, total=False):
    """The keywords of axiswise operators that return soft indices.

    - `return_log_probs`: whether to return the logarithm of a soft index p in its
        place. It is computed as a logarithm: exact where p is too small for its type,
        and -inf where p is 0, as in modes that are sparse. There its gradient is 0,
        and elsewhere that of log p. Default False.
    - `log_prob_eps`: a floor: with it, what is returned is the logarithm of
        `(p + eps) / (1 + n eps)`, of n elements that there are; of elements with
        weights w, of `(p + eps w) / (1 + eps sum w)`. Default 0.

    **Example:**

        >>> x = jnp.array([0.2, 1.0, 0.7])
        >>> print(sj.argmax(x, softness=0.001, return_log_probs=True))
        [-800.    0. -300.]
        >>> print(sj.argmax(x, mode="c0", return_log_probs=True))
        [-inf   0. -inf]
        >>> print(sj.argmax(x, mode="c0", return_log_probs=True, log_prob_eps=1e-3))
        [-6.911 -0.002 -6.911]
    """

    return_log_probs: bool
    log_prob_eps: Any


class ValueIndexKeywords(ValueKeywords, IndexKeywords, total=False):
    """The keywords of axiswise operators that return values and soft indices.

    Those of [`softjax.ValueKeywords`][] and of [`softjax.IndexKeywords`][].

    **Example:**

        >>> x = jnp.array([0.2, 1.0, 0.7])
        >>> values, logs = sj.top_k(x, 1, softness=0.5, return_log_probs=True)
        >>> print(values, logs)
        [0.814] [[-2.16 -0.56 -1.16]]
    """


def along_axis(
    kind: str, operation: Operation, methods: str | None = None
) -> Callable[[_Function], _Function]:
    """An operator along an axis: the keywords that all share, and their defaults.

    **Arguments:**

    - `kind`, `methods`: those of `reads_defaults`. None for those with soft indices
        where nothing else is returned.
    """
    index = operation.outputs == (INDEX,)
    methods = methods or ("indices" if index else "values")
    return reads_defaults(kind, methods=methods, keywords=operation.keywords())
