"""Optimal transport of all elements of a row on a line: by nodes, or in a band."""

from __future__ import annotations

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
    BoxedTransport,
    CompressedTransport,
    anywhere,
    evaluate_and_judge,
)

from ._method import Relaxation
from ._sample import Ordered, Sample

_LEAST = 512
"""Up to this length, dense plans are as fast."""

_DENSE = 4096
"""Up to this length, there are dense plans where few nodes do not do."""

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


def _boxes(n: int) -> int:
    """The number of boxes: more where sorting takes as long as more nodes do."""
    return 5 if n <= _DENSE else 12


def read_line(
    readout: Readout,
    sample: Sample,
    ordered: Ordered,
    relaxation: Relaxation,
    dense: Callable[[Array, Array], Array] | None = None,
) -> Float[Array, "..."]:
    """A readout of transport on a line, of the elements of a sample.

    With the entropy, that of a `CompressedTransport`. Where its nodes do not resolve
    the plan, for any row of a batch, it is that of a `BoxedTransport`, and with sparse
    regularizers, that of a `BandedTransport`.

    **Arguments:**

    - `dense`: the same of the dense plan, from the ordered keys and the softness, for
        short rows with the entropy.
    """
    regularizer = relaxation.regularizer
    start = jnp.asarray(sample.above)[..., 0]
    count = jnp.asarray(sample.finite)[..., 0]
    softness = relaxation.softness[..., 0]
    if regularizer.structure().rate is None:
        band = BandedTransport.on_line(ordered.support, softness, start, count)
        return evaluate_and_judge(band, regularizer, readout)[0]

    def nodes(support: Array, softness: Array, boxes: int) -> CompressedTransport:
        return CompressedTransport.on_line(
            support, softness, regularizer, boxes, start, count, _NODES
        )

    few = nodes(ordered.support, softness, _boxes(sample.size))
    out, converged = evaluate_and_judge(few, regularizer, readout)

    def by_more(readout, support, softness):
        more = BoxedTransport(nodes(support, softness, -(-sample.size // _NODES)))
        return evaluate_and_judge(more, regularizer, readout)[0]

    def by_plan(readout, support, softness):
        assert dense is not None
        return dense(support, softness[..., None])

    # What is rarely needed is computed again for a gradient, and keeps nothing but
    # potentials: they are not searched for twice.
    keep: Any = jax.checkpoint_policies.save_only_these_names(KEPT)
    short = dense is not None and sample.size <= _DENSE
    other = jax.checkpoint(by_plan if short else by_more, policy=keep)
    args = readout, ordered.support, softness
    return jax.lax.cond(~anywhere(~converged), lambda *_: out, other, *args)
