"""Optimal transport of all elements of a row on a line, by few nodes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from softjax_solvers import Readout
from softjax_solvers.internal import (
    CompressedTransport,
    anywhere,
    evaluate_and_judge,
)

from ._method import Relaxation
from ._sample import Ordered, Sample

_LEAST = 512
"""Up to this length, dense plans are as fast."""

_DENSE = 4096
"""Up to this length, there are dense plans where nodes do not do."""

_NODES = 16
"""Nodes of a box."""


def compresses(sample: Sample, relaxation: Relaxation, linear_solver: Any) -> bool:
    """Whether functions of the square plan of a sample are read off by few nodes.

    Of the entropy, unless the caller says how plans are found or differentiated.
    """
    return (
        sample.size >= _LEAST
        and sample.mass is None
        and relaxation.solver is None
        and linear_solver is None
        and relaxation.regularizer.structure().rate is not None
    )


def _boxes(n: int) -> tuple[int, ...]:
    """Numbers of boxes to try, one after the other, before a dense plan."""
    return (5,) if n <= _DENSE else (8, 64)


def read_line(
    readout: Readout,
    sample: Sample,
    ordered: Ordered,
    relaxation: Relaxation,
    dense: Callable[[Array, Array], Array],
) -> Float[Array, "*batch n"]:
    """A readout of the `CompressedTransport` of a sample.

    By more nodes where fewer do not resolve the plan: for a whole batch, if for any row
    of it.

    **Arguments:**

    - `dense`: the same of the dense plan, from the ordered keys and the softness.
    """
    regularizer = relaxation.regularizer
    start = jnp.asarray(sample.above)[..., 0]
    count = jnp.asarray(sample.finite)[..., 0]

    def attempt(boxes: tuple[int, ...], readout, support, softness):
        problem = CompressedTransport.on_line(
            support, softness[..., 0], regularizer, boxes[0], start, count, _NODES
        )
        out, converged = evaluate_and_judge(problem, regularizer, readout)
        if not boxes[1:] and sample.size > _DENSE:
            return out

        # What is rarely needed is computed again for a gradient: it keeps nothing.
        @jax.checkpoint
        def more(readout, *args):
            if boxes[1:]:
                return attempt(boxes[1:], readout, *args)
            return dense(*args)

        enough = ~anywhere(~converged)
        args = readout, support, softness
        return jax.lax.cond(enough, lambda *_: out, more, *args)

    args = readout, ordered.support, relaxation.softness
    return attempt(_boxes(sample.size), *args)
