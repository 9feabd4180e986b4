from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PyTree

from .._semirings import ABSENT, Semiring
from .._structure import DynamicProgram
from ._checks import check_length, check_shape, keep


class Segments(DynamicProgram):
    """Segmentations of a sequence of T: a semi-Markov model, or the best of them.

    Scores have shape `(T, L)` or `(T, L, S)`: of the segment that starts at t, has the
    length l + 1 and, if there are labels, the label s. Segments follow each other
    without gaps, from 0 to T. Those that would end after T are never used.

    **Arguments:**

    - `lengths`: the length of the sequence, from 1 to T, a scalar; None for T. What
        comes after may hold anything, and changes nothing to the last bit.

    **Example:**

        >>> scores = jnp.array([[0.0, 0.3], [0.0, 0.1], [0.1, 0.0]])
        >>> print(sj.structured.argmax(sj.structured.Segments(), scores))
        [[0.091 0.909]
         [0.045 0.045]
         [0.955 0.   ]]

    ??? cite

        Sarawagi and Cohen, "Semi-Markov conditional random fields for information
        extraction", NeurIPS 2004.
    """

    lengths: Any = None

    def check(self, scores: PyTree[Array]) -> None:
        check_shape("Segments", "scores", scores, ("T", "L"), ("T", "L", "S"))
        if self.lengths is not None:
            check_length("Segments", "lengths", self.lengths, jnp.shape(scores)[0])

    def kept(self, scores: PyTree[Array]) -> PyTree[Array]:
        times, longest = scores.shape[:2]
        end = times if self.lengths is None else self.lengths
        starts, lengths = jnp.ogrid[:times, :longest]
        inside = starts + lengths < end
        return keep(inside.reshape(times, longest, *[1] * (scores.ndim - 2)), scores)

    def recursion(
        self, scores: PyTree[Array], semiring: Semiring
    ) -> Float[Array, "..."]:
        scores = self.kept(scores)
        times, longest = scores.shape[:2]
        labelled = scores.reshape(times, longest, -1)
        ends = np.arange(times)  # the last places of segments
        starts = ends[:, None] - np.arange(longest)
        exists = starts >= 0
        arriving = labelled[np.maximum(starts, 0), np.arange(longest)]
        arriving = jnp.where(exists[..., None], arriving, ABSENT)

        # The states of the last places, the latest first.
        def step(window, parts):
            candidates = semiring.times(window[:, None], parts)
            shape = parts.size, *candidates.shape[2:]
            best = semiring.max(candidates.reshape(shape), 0)
            return jnp.concatenate([best[None], window[:-1]]), None

        def step_inside(window, parts_inside):
            parts, inside = parts_inside
            return semiring.where(inside, step(window, parts)[0], window), None

        nothing = jnp.zeros(longest, scores.dtype).at[1:].set(ABSENT)
        window = semiring.lift(nothing)
        if self.lengths is None:
            window, _ = jax.lax.scan(step, window, arriving)
        else:
            inside = jnp.arange(times) < self.lengths
            window, _ = jax.lax.scan(step_inside, window, (arriving, inside))
        return window[0]
