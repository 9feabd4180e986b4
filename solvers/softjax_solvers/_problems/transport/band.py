"""Sums of a link, and of its derivatives, over the entries of a plan on a line."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from ..._core.regularizer import Regularizer
from ..._kernels.arrays import eps, safe_divide
from ..._kernels.bands import LOW, Diagonals, Entry
from ..._kernels.box_bands import BoxLine
from ..._kernels.cumulative import prefix_sums
from ..._kernels.derivatives import derivative, opaque_linear_map
from ..._kernels.normal_equations import solve_along_path


class Band(eqx.Module):
    """The entries `phi(f_i + g_j + B_ij)` of a plan with a band of a known width.

    Of points and anchors, or of nodes.

    **Attributes:**

    - `f`, `g`: `*batch n`.
    - `pull`: the derivative of B_ij in the place of j, up to potentials; that in it is
        how far j is from i.
    - `line`: what B is made from.
    - `inside`: which rows and columns take part.
    - `cooling`: for all rows, how much lower the softness is than that of the other
        arrays, as a logarithm. It is 0, and has the derivative in the softness where
        `pull` has none. Potentials are in units of the softness, so that t itself is
        what grows: it is of order 1 where there is mass, and B need not be.
    """

    f: Float[Array, "*batch n"]
    g: Float[Array, "*batch n"]
    pull: Float[Array, "*batch n"]
    line: Diagonals | BoxLine
    inside: Bool[Array, "*#batch n"]
    regularizer: Regularizer
    cooling: Float[Array, "*batch n"] | None = None

    @property
    def potentials(self) -> tuple[Array, Array]:
        """f and g, so low that nothing is left where nothing takes part."""
        inside = self.inside
        return jnp.where(inside, self.f, LOW), jnp.where(inside, self.g, LOW)

    def sums(
        self,
        *x: Float[Array, "*batch n"],
        by_rows: bool = True,
        order: int = 0,
        power: int = 0,
    ) -> tuple[Float[Array, "*batch n"], ...]:
        """`sum_j phi'(t_ij) (j - i)^power x_j`, and over i of `x_i` if not `by_rows`.

        That is of the link's derivative of this `order`, and of each x.
        """
        kind = Kind((Term(order, power),), by_rows, gather=True)
        return tuple(self.fold(kind, jnp.stack(x)[None]))

    def fold(self, kind: Kind, x: Array) -> Array:
        """Sums of a kind over the entries of the plan."""
        known = self.pull, self.cooling, self.line
        return _fold(self.regularizer, kind, x, *self.potentials, *known)

    def of_tangents(self, kind: Kind, x: Array) -> Array:
        """`fold` of an x that reverse mode goes back to."""
        like = x[0] if kind.gather else jnp.stack([x] * len(kind.terms))
        return opaque_linear_map(
            functools.partial(self.fold, kind),
            functools.partial(self.fold, kind.transpose()),
            x,
            like,
        )


class Term(NamedTuple):
    """Entries `phi'(t_ij) (j - i)^power t_ij^score level_ij^level`.

    **Attributes:**

    - `order`: of the link's derivative.
    - `score`, `level`: powers of a t that is known, and of the difference of levels of
        a `BoxLine`; both without derivatives.
    """

    order: int = 0
    power: int = 0
    score: int = 0
    level: int = 0


class Kind(NamedTuple):
    """Linear functions with the entries of some terms.

    **Attributes:**

    - `terms`: these.
    - `by_rows`: whether sums are over j, or over i.
    - `gather`: whether an array `m q *batch n` goes to the sum over its m terms, or
        one of `q *batch n` to all m of them.
    """

    terms: tuple[Term, ...]
    by_rows: bool
    gather: bool

    def transpose(self) -> Kind:
        return Kind(self.terms, not self.by_rows, not self.gather)

    def steeper(self, power: int = 0, score: int = 0) -> Kind:
        """The kind with one derivative more, and so much more `power` and `score`."""
        terms = tuple(
            Term(term.order + 1, term.power + power, term.score + score, term.level)
            for term in self.terms
        )
        return self._replace(terms=terms)


@functools.partial(jax.custom_jvp, nondiff_argnums=(0, 1))
def _fold(regularizer, kind, x, f, g, pull, cooling, line):
    sign = 1 if kind.by_rows else -1
    shape = x.shape[1:] if kind.gather else (len(kind.terms), *x.shape)
    out_shape = shape if kind.gather else (shape[0] * shape[1], *shape[2:])
    flat = x.reshape(-1, *f.shape)

    def terms(entry: Entry) -> tuple[Array, ...]:
        orders = {term.order for term in kind.terms}
        weights = {order: weigh(regularizer, order, entry) for order in orders}
        parts = [
            weights[term.order]
            * (sign * entry.beside) ** term.power
            * entry.score**term.score
            * entry.level**term.level
            for term in kind.terms
        ]
        others = entry.other[1:]
        q = len(others) // (len(parts) if kind.gather else 1)
        if not kind.gather:
            return tuple(part * x for part in parts for x in others)
        sums = [parts[0] * x for x in others[:q]]
        for i, part in enumerate(parts[1:], start=1):
            for k in range(q):
                sums[k] = sums[k] + part * others[i * q + k]
        return tuple(sums)

    own, other = (f, g) if kind.by_rows else (g, f)
    out = line.fold_sums(terms, (own,), (other, *flat), kind.by_rows, out_shape[0])
    return jnp.stack(out).reshape(shape)


def _fold_jvp(regularizer, kind, primals, tangents):
    x, f, g, pull, cooling, line = primals
    out = _fold(regularizer, kind, *primals)
    band = Band(f, g, pull, line, f > LOW / 2, regularizer, cooling)
    zero = jax.custom_derivatives.SymbolicZero
    moves = (None if type(t) is zero else t for t in tangents[:5])
    dx, df, dg, dpull, dcooling = moves
    if dcooling is not None:
        # Of a t that grows as the exponential function does.
        dcooling = jnp.exp(cooling) * dcooling
    own, other = (df, dg) if kind.by_rows else (dg, df)
    of_rows = (kind.steeper(power=1), dpull), (kind.steeper(score=1), dcooling)
    near, far = [(kind.steeper(), own)], [(kind.steeper(), other)]
    (near if kind.by_rows else far).extend(of_rows)
    # What is linear in a tangent on the other axis, in one pass if it is summed.
    parts = [(kind, dx)]
    parts += [(part, None if move is None else x * move) for part, move in far]
    parts = [(part, y) for part, y in parts if y is not None]
    move = jnp.zeros_like(out)
    if kind.gather and parts:
        together = sum((part.terms for part, _ in parts), ())
        y = jnp.concatenate([y for _, y in parts])
        move = move + band.of_tangents(kind._replace(terms=together), y)
    elif parts:
        move = move + sum(band.of_tangents(part, y) for part, y in parts)
    near = [(part, factor) for part, factor in near if factor is not None]
    if len(kind.terms) == 1 and len(near) > 1:
        both = sum((part.terms for part, _ in near), ())
        first = x[0] if kind.gather else x
        sums = band.fold(Kind(both, kind.by_rows, gather=False), first)
        factors = [factor for _, factor in near]
        # The factors are of rows, and sums have an axis of the arrays x before theirs.
        moved = sum(map(jnp.multiply, factors, sums), jnp.zeros_like(sums[0]))
        return out, move + (moved if kind.gather else moved[None])
    for part, factor in near:
        move = move + factor * band.fold(part, x)
    return out, move


_fold.defjvp(_fold_jvp, symbolic_zeros=True)


def weigh(
    regularizer: Regularizer, order: int, entry: Entry
) -> Float[Array, "2 *batch n"]:
    """A derivative of the link at some entries.

    Beyond the value, of those that are above 0 by more than rounding, as in
    `Transport.moving`.
    """
    t = entry.t
    if order == 0:
        return regularizer.link(t)
    edge = regularizer.gradient(jnp.zeros((), t.dtype))
    fn: Any = regularizer.slope
    for _ in range(order - 1):
        fn = functools.partial(_slope, fn)
    moving = t - edge > 16 * eps(t) * entry.size
    return jnp.where(moving, fn(t), 0)


def _slope(fn: Callable[[Array], Array], t: Array) -> Array:
    return derivative(fn, t)[1]


class BandLaplacian(eqx.Module):
    """Graph of the anchors that is left where the potentials of rows are eliminated.

    Its edges are `sum_i W_ij W_ik / R_i`, of derivatives W of the link and their sums R
    of rows. Products are sums of differences, which are accurate for smooth functions.

    **Attributes:**

    - `rows`, `columns`: sums of W.
    - `tilt`: the product with the places 0 to n - 1.
    """

    band: Band
    rows: Float[Array, "*batch n"]
    columns: Float[Array, "*batch n"]
    tilt: Float[Array, "*batch n"]

    def means(self, x: Float[Array, "*batch n"]) -> Float[Array, "*batch n"]:
        """Means of the rows by W, less x itself."""

        def terms(entry: Entry) -> tuple[Array, ...]:
            weight = weigh(self.band.regularizer, 1, entry)
            return (weight * (entry.other[1] - entry.own[1]),)

        band = self.band
        f, g = band.potentials
        (out,) = band.line.fold_sums(terms, (f, x), (g, x), True)
        return safe_divide(out, self.rows)

    def apply(self, x: Float[Array, "*batch n"]) -> Float[Array, "*batch n"]:
        def terms(entry: Entry) -> tuple[Array, ...]:
            weight = weigh(self.band.regularizer, 1, entry)
            return (weight * ((entry.own[1] - entry.other[1]) - entry.other[2]),)

        band = self.band
        f, g = band.potentials
        other = f, x, self.means(x)
        (out,) = band.line.fold_sums(terms, (g, x), other, False)
        return out

    def solve(
        self,
        rhs: Float[Array, "*batch n"],
        ground: Float[Array, "*batch n"],
        tolerance: float,
        max_steps: int,
    ) -> Float[Array, "*batch n"]:
        """x in `apply(x) + ground x = rhs`, by conjugate gradients."""
        flow = -prefix_sums(self.tilt)[..., :-1]
        both = self.band.inside[..., 1:] & self.band.inside[..., :-1]
        flow = jnp.where(both, jnp.maximum(flow, 0), 0)
        given = self.columns, ground, rhs, tolerance, max_steps
        return solve_along_path(self.apply, flow, *given)


def graph_and_gap(
    band: Band, target: Float[Array, "*batch 1"]
) -> tuple[BandLaplacian, Float[Array, "*batch n"]]:
    """The graph of a band, and what columns lack of their sums if rows have theirs."""
    r, inside = band.regularizer, band.inside
    f, g = band.potentials

    # The diagonal is in the sums of a row and of a column, and so in no difference.
    def of_rows(entry: Entry) -> tuple[Array, ...]:
        y, weight = r.link(entry.t), weigh(r, 1, entry)
        return y, jnp.where(entry.beside == 0, 0, y), weight, weight * entry.beside

    def of_columns(entry: Entry) -> tuple[Array, ...]:
        _, scale, mean = entry.other
        y, weight = r.link(entry.t) * scale, weigh(r, 1, entry)
        tilt = -weight * (entry.beside + mean)
        return jnp.where(entry.beside == 0, 0, y), weight, tilt

    total, aside, rows, moment = band.line.fold_sums(of_rows, (f,), (g,), True, 4)
    scale = jnp.where(inside, safe_divide(target, total), 0)
    other = f, scale, safe_divide(moment, rows)
    comes, columns, tilt = band.line.fold_sums(of_columns, (g,), other, False, 3)
    gap = jnp.where(inside, scale * aside - comes, 0)
    return BandLaplacian(band, rows, columns, tilt), gap
