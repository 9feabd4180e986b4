from __future__ import annotations

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from ..._keywords import parse_flag
from .._semirings import ABSENT, Semiring
from .._structure import DynamicProgram
from ._checks import check_shape


class ProjectiveTree(DynamicProgram):
    """Projective dependency trees over the n words of a sentence.

    Scores have shape `(n, n)`: `scores[h, m]` is that of the arc from head h to
    modifier m, and on the diagonal `scores[m, m]` that of m as the root. Each word has
    one head or is the root, and no two arcs cross, nor covers one the root.

    **Arguments:**

    - `multiple_roots`: whether more than one word may be a root, as modifiers of one
        node before the first word.

    **Example:**

        >>> tree = sj.structured.ProjectiveTree()
        >>> scores = jnp.array([[0.0, 0.1, 0.0], [0.9, 1.0, 0.7], [0.0, 0.2, 0.0]])
        >>> print(sj.structured.argmax(tree, scores, mode="hard"))
        [[0. 0. 0.]
         [1. 1. 1.]
         [0. 0. 0.]]

    ??? cite

        Eisner, "Three new probabilistic models for dependency parsing", COLING 1996.
    """

    multiple_roots: bool = eqx.field(default=False, static=True)

    def __check_init__(self) -> None:
        parse_flag(self.multiple_roots, "ProjectiveTree: multiple_roots")

    def check(self, scores: PyTree[Array]) -> None:
        check_shape("ProjectiveTree", "scores", scores, ("n", "n"))
        count = jnp.shape(scores)[0]
        check_shape("ProjectiveTree", "scores", scores, (count, count))

    def recursion(
        self, scores: PyTree[Array], semiring: Semiring
    ) -> Float[Array, "..."]:
        count = scores.shape[0]
        diagonal = jnp.diagonal(scores)
        if self.multiple_roots:
            arcs = jnp.zeros((count + 1, count + 1), scores.dtype)
            arcs = arcs.at[1:, 1:].set(scores).at[0, 1:].set(diagonal)
            heads_left, _ = _complete(arcs, semiring)
            return heads_left[0, count]
        heads_left, heads_right = _complete(scores, semiring)
        # The root has a complete span on each side.
        place = jnp.arange(count)
        before, after = heads_right[place, place], heads_left[place, count - 1 - place]
        trees = semiring.times(semiring.join(before, after), diagonal)
        return semiring.max(trees, 0)


class _Charts(NamedTuple):
    """States of spans by an end and by their width, the number of words less one.

    A span is *complete* if nothing more can be attached to its head, which is at an
    end, and *open* if an arc joins its ends.
    """

    complete_from_left: Array  # headed by the left end, and indexed by it
    complete_from_right: Array
    by_right: Array  # complete from left, indexed by the right end
    by_left: Array  # complete from right, indexed by the left end
    open_from_left: Array
    open_from_right: Array


def _complete(scores: Array, semiring: Semiring) -> tuple[Array, Array]:
    """Complete spans headed by their left end, and by their right end."""
    count = scores.shape[0]
    left, width = jnp.ogrid[:count, :count]
    right = jnp.minimum(left + width, count - 1)
    to_right, to_left = scores[left, right], scores[right, left]
    place = jnp.arange(count)

    def step(charts, width):
        inside = place[:, None] + width < count

        def best(first, last, total, parts):
            """Over pairs of a span from i of width u, and one of `total - u`.

            The former is indexed by its left end, the latter by its right end, which
            is `i + width` for all.
            """
            last = jnp.roll(last[:, ::-1], total - (count - 1), axis=1)
            pairs = semiring.join(first, jnp.roll(last, -width, axis=0))
            allowed = jnp.where(inside & parts, 0, ABSENT).astype(scores.dtype)
            return semiring.max(semiring.times(pairs, allowed), 1)

        def by_right_end(state):
            return jnp.roll(state, width, axis=0)

        a, b, a_right, b_left, p, q = charts
        gap = best(a, b, width - 1, place < width)
        p = p.at[:, width].set(semiring.times(gap, to_right[:, width]))
        from_right = semiring.times(gap, to_left[:, width])
        q = q.at[:, width].set(by_right_end(from_right))
        headed_left = best(p, a_right, width, (place >= 1) & (place <= width))
        headed_right = best(b_left, q, width, place < width)
        a = a.at[:, width].set(headed_left)
        a_right = a_right.at[:, width].set(by_right_end(headed_left))
        b = b.at[:, width].set(by_right_end(headed_right))
        b_left = b_left.at[:, width].set(headed_right)
        return _Charts(a, b, a_right, b_left, p, q), None

    none = semiring.absent((count, count), scores.dtype)
    words = jnp.full((count, count), ABSENT, scores.dtype).at[:, 0].set(0)
    words = semiring.lift(words)
    charts = _Charts(words, words, words, words, none, none)
    charts, _ = jax.lax.scan(step, charts, jnp.arange(1, count))
    return charts.complete_from_left, charts.complete_from_right
