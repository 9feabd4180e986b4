"""Optimal transport of all elements of a row on a line: by few nodes, or in a band."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from softjax_solvers import Readout, Regularizer
from softjax_solvers.internal import (
    KEPT,
    BandedTransport,
    CompressedTransport,
    anywhere,
    evaluate_and_judge,
)

from ._method import Relaxation
from ._sample import Ordered, Sample

_LEAST = 512
"""Up to this length, dense plans are as fast."""

_SHORT = 1024
"""Up to this length, nodes may be as many as elements."""

_NODES = 16
"""Nodes of a box."""


def reads_line(sample: Sample, relaxation: Relaxation, linear_solver: Any) -> bool:
    """Whether functions of the square plan of a sample are read off without it.

    Unless the caller says how plans are found or differentiated.
    """
    shape = relaxation.regularizer.structure()
    return (
        sample.size >= _LEAST
        and sample.mass is None
        and relaxation.solver is None
        and linear_solver is None
        and (shape.rate is not None or shape.sparse)
        and (shape.rate is not None or _has_band(relaxation.regularizer))
    )


def _has_band(regularizer: Regularizer) -> bool:
    """Whether sums over a band have derivatives: those in parameters are not known."""
    parameters = any(map(eqx.is_inexact_array, jax.tree.leaves(regularizer)))
    return not (parameters or regularizer.structure().steep)


def _boxes(n: int) -> tuple[int, ...]:
    """Numbers of boxes to try, one after the other.

    First as many as take no longer than sorting does; then more, which take as long as
    systems of so many nodes do. Boxes of `_NODES` elements each resolve any plan.
    """
    few = 5 if n <= 4 * _SHORT else 12
    return few, -(-n // _NODES) if n <= _SHORT else 40


def read_line(
    readout: Readout, sample: Sample, ordered: Ordered, relaxation: Relaxation
) -> Float[Array, "..."]:
    """A readout of transport on a line, of the elements of a sample.

    With the entropy, that of a `CompressedTransport`. Where its nodes do not resolve
    the plan, for any row of a batch, and with sparse regularizers, it is that of a
    `BandedTransport`.
    """
    regularizer = relaxation.regularizer
    start = jnp.asarray(sample.above)[..., 0]
    count = jnp.asarray(sample.finite)[..., 0]

    def band(readout, support, softness):
        problem = BandedTransport.on_line(support, softness[..., 0], start, count)
        return evaluate_and_judge(problem, regularizer, readout)

    def compressed(boxes, readout, support, softness):
        problem = CompressedTransport.on_line(
            support, softness[..., 0], regularizer, boxes, start, count, _NODES
        )
        return evaluate_and_judge(problem, regularizer, readout)

    args = readout, ordered.support, relaxation.softness
    if regularizer.structure().rate is None:
        return band(*args)[0]
    few, *more = _boxes(sample.size)
    found = compressed(few, *args)
    others = [functools.partial(compressed, boxes) for boxes in more]
    if sample.size > _SHORT:
        others.append(band)
    # What is rarely needed, and large, is computed again for a gradient, and keeps
    # nothing but potentials: they are not searched for twice.
    keep: Any = jax.checkpoint_policies.save_only_these_names(KEPT)
    for other in others:
        other = jax.checkpoint(other, policy=keep)
        enough = ~anywhere(~found[1])
        found = jax.lax.cond(
            enough, lambda found, *_: found, _second(other), found, *args
        )
    return found[0]


def _second(fn: Callable) -> Callable:
    return lambda _, *args: fn(*args)
