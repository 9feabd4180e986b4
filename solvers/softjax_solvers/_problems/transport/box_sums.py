"""The mass that columns of a plan between boxes lack, with its derivative."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from ..._kernels.bands import LOW, Entry
from ..._kernels.box_bands import BoxLine
from ..._kernels.derivatives import linear_map, replace_value, stop_gradient
from ..._regularizers.entropy import Entropy
from .band import Band, Kind, Term


class Sides(NamedTuple):
    """All that a plan depends on beside the potentials g.

    **Attributes:**

    - `pull`, `cooling`: as of a `Band`.
    - `w`, `v`: masses of nodes among the points, and among the anchors.
    - `inside`: which of them take part.
    """

    pull: Float[Array, " m"]
    cooling: Float[Array, " m"]
    w: Float[Array, " m"]
    v: Float[Array, " m"]
    inside: Bool[Array, " m"]
    line: BoxLine

    def band(self, f: Float[Array, " m"], g: Float[Array, " m"]) -> Band:
        known = self.pull, self.line, self.inside, Entropy()
        return Band(f, g, *known, self.cooling)

    def fit(self, g: Float[Array, " m"]) -> Float[Array, " m"]:
        """The f by which rows have sums of 1."""
        known = self.fit_once(g)
        (total,) = self.band(known, g).sums(self.v)
        # What is known already has the derivative of another step.
        return replace_value(known - jnp.log(jnp.where(self.inside, total, 1)), known)

    def scaled(self, g: Float[Array, " m"]) -> tuple[Band, Float[Array, " m"]]:
        """The plan times the second, its rows' sums, which are 1 up to rounding.

        That depends on the size of potentials. Of what is far from all others, columns
        have their sums only if rows have theirs.
        """
        band = self.band(self.fit_once(g), g)
        (total,) = band.sums(self.v)
        return band, jnp.where(self.inside, total, 1)

    def fit_once(self, g: Float[Array, " m"]) -> Float[Array, " m"]:
        """The f after one step, without derivatives."""
        g = jax.lax.stop_gradient(jnp.where(self.inside, g, LOW))
        return jnp.where(self.inside, -self.line.log_sums(g, self.v), 0)


@jax.custom_jvp
def lack(g: Float[Array, " m"], sides: Sides) -> Float[Array, " m"]:
    """Mass that columns lack, if rows have theirs.

    Its transposed derivative does not change by what is added to a tangent near a row:
    sums are of differences, since parts that little connects may be far from each
    other.
    """
    return _lack(g, sides)


def _lack(g: Array, sides: Sides) -> Array:
    band, total = sides.scaled(g)
    (columns,) = band.sums(sides.w / total, by_rows=False)
    return sides.v * (1 - columns)


def _lack_jvp(primals, tangents):
    g, sides = primals
    g_dot, (pull_dot, cooling_dot, w_dot, *_) = tangents
    zero = jax.custom_derivatives.SymbolicZero
    gap = lack(g, sides)
    move = jnp.zeros_like(gap)
    if type(g_dot) is not zero:
        move = move + jax.jvp(lambda g: _lack(g, sides), (g,), (g_dot,))[1]
    band, total = sides.scaled(g)
    scaled = sides.v, sides.w / total, 1 / total
    f_, g_, v_, w_, scale_ = stop_gradient((*band.potentials, *scaled))
    line = sides.line

    def of_rows(term: Term, of_entry: Callable[[Entry], Array], move: Array) -> Array:
        """The tangent by a move of each row, times the factors of a term."""
        kind = Kind((term,), by_rows=True, gather=True)
        mean = band.fold(kind, sides.v[None, None])[0] / total
        mean_ = stop_gradient(mean)

        def of(move):
            # Of both terms at once.
            kind = Kind((term, Term()), by_rows=False, gather=True)
            move = sides.w / total * move
            x = jnp.stack([move, -mean * move])[:, None]
            return -sides.v * band.of_tangents(kind, x)[0]

        def to(x):
            def terms(entry: Entry) -> tuple[Array, ...]:
                _, mean, here = entry.own
                _, there, v = entry.other
                weight = jnp.exp(entry.t) * v
                return (weight * (of_entry(entry) - mean) * (there - here),)

            (out,) = line.fold_sums(terms, (f_, mean_, x), (g_, x, v_), True)
            return -w_ * out

        return linear_map(of, to, move)

    def of_w(w):
        kind = Kind((Term(),), by_rows=False, gather=True)
        return -sides.v * band.of_tangents(kind, (w / total)[None, None])[0]

    def to_w(x):
        def terms(entry: Entry) -> tuple[Array, ...]:
            return (
                jnp.exp(entry.t) * entry.other[2] * (entry.other[1] - entry.own[1]),
            )

        # Sums of w over a box are constant, so that any number may be subtracted there.
        boxes = x.reshape(line.shape)
        middle = boxes[:, boxes.shape[1] // 2, None] + jnp.zeros_like(boxes)
        other = g_, x, v_
        (out,) = line.fold_sums(terms, (f_, middle.ravel()), other, True)
        return -scale_ * out

    if type(pull_dot) is not zero:
        move = move + of_rows(Term(power=1), lambda entry: entry.beside, pull_dot)
    if type(cooling_dot) is not zero:
        grown = jnp.exp(sides.cooling) * cooling_dot
        move = move + of_rows(Term(score=1), lambda entry: entry.score, grown)
    if type(w_dot) is not zero:
        move = move + linear_map(of_w, to_w, w_dot)
    return gap, move


lack.defjvp(_lack_jvp, symbolic_zeros=True)
