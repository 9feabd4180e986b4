"""The median as the root of a sum of soft steps."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Float

from softjax_solvers import (
    Regularizer,
    find_root,
)
from softjax_solvers.internal import (
    derivative,
)

from ._axis import VALUE, Operation, at_centre, call, run
from .methods import Method, Relaxation, Sample
from .methods.hard import Hard


def _residual(m: Array, args: Any) -> Array:
    x, scale, regularizer = args
    return jnp.mean(regularizer.sigmoid((x - m[..., None]) / scale), axis=-1) - 1 / 2


def _root(method: Method, sample: Sample, relaxation: Relaxation, _: Any):
    x = sample.keys
    middle = Hard().median(Sample(x), relaxation)
    if isinstance(method, Hard):
        return (middle,)
    regularizer = relaxation.regularizer
    scale = relaxation.softness * regularizer.transition_scale().astype(x.dtype)
    args = (x, scale, regularizer)
    root = find_root(_residual, args, jnp.min(x, axis=-1), jnp.max(x, axis=-1), middle)
    # Steps of bounded width may leave an interval of roots, all with slope 0. Its
    # midpoint is the hard median.
    _, slope = derivative(lambda m: _residual(m, args), root)
    return (jnp.where(slope < 0, root, middle),)


_MEDIAN_NEWTON = Operation("median_newton", _root, (VALUE,), at_centre)


def _median(x, softness, *, operation, axis, keywords, keepdims):
    (out,), layout = run(operation, x, softness, axis, keywords, several=True)
    assert out is not None
    return layout.keep(out) if keepdims else out


def median_newton(
    x: Any,
    axis: int | tuple[int, ...] | None = None,
    *,
    keepdims: bool = False,
    softness: Any = 0.1,
    mode: str | Regularizer = "smooth",
) -> Float[Array, "..."]:
    """The soft median m at which soft steps balance: `sum_i H((x_i - m)) = n / 2`.

    H is [`softjax.heaviside`][]. Takes O(n) time a step of Newton's method, and no soft
    index. Where bounded steps leave an interval of roots, its midpoint is returned.

    **Returns:** an array of the shape of `jnp.median`.

    **Example:**

        >>> x = jnp.array([[0.0, 1.0, 0.6], [0.1, 0.2, 9.0]])
        >>> print(sj.median_newton(x, axis=1))
        [0.594 0.266]
    """
    return call(
        _median,
        _MEDIAN_NEWTON,
        x,
        axis,
        dict(softness=softness, mode=mode),
        keepdims=bool(keepdims),
    )
