"""Optimal transport of all elements of a row on a line, by few nodes."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from softjax_solvers import Solution
from softjax_solvers.internal import CompressedTransport, anywhere

from ._method import Relaxation
from ._sample import Ordered, Sample

_LEAST = 512
"""Up to this length, dense plans are as fast."""

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
    """Numbers of boxes to try, one after the other.

    With the last one of a row that is not long, nodes are the points themselves, and
    the plan is the dense one.
    """
    all_points = math.ceil(n / _NODES)
    if n <= 1024:
        return 5, all_points
    if n <= 4096:
        return 5, 64, all_points
    return 8, 64


def read_line(
    read: Callable[[Solution, Array], Array],
    sample: Sample,
    ordered: Ordered,
    relaxation: Relaxation,
) -> Float[Array, "*batch n"]:
    """`read(solution, values)` of the plan from the ordered sample to its places.

    By more nodes where fewer do not resolve the plan: for a whole batch, if for any row
    of it.
    """

    def attempt(boxes: tuple[int, ...], support, values, softness):
        problem = CompressedTransport.on_line(
            support,
            softness[..., 0],
            relaxation.regularizer,
            boxes[0],
            start=jnp.asarray(sample.above)[..., 0],
            count=jnp.asarray(sample.finite)[..., 0],
            p=_NODES,
        )
        found = relaxation.solve(problem)
        out = read(found, values)
        if not boxes[1:]:
            return out

        # What is rarely needed is computed again for a gradient: it keeps nothing.
        @jax.checkpoint
        def more(*args):
            return attempt(boxes[1:], *args)

        args = support, values, softness
        enough = ~anywhere(~found.converged)
        return jax.lax.cond(enough, lambda *_: out, more, *args)

    softness = relaxation.softness
    args = ordered.support, ordered.values, softness
    return attempt(_boxes(sample.size), *args)
