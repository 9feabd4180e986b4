"""Sums of a link, and of its derivatives, over the entries of a plan on a line."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from ..._core.regularizer import Regularizer
from ..._kernels.arrays import eps
from ..._kernels.bands import LOW, Entry, fold_sums
from ..._kernels.derivatives import derivative, opaque_linear_map


class Band(eqx.Module):
    """The entries `phi(f_i + g_j + B_ij)` of a plan with a band of a known width.

    **Attributes:**

    - `f`, `g`: `*batch n`.
    - `pull`: the derivative of B_ij in j, up to potentials; that in it is `j - i`.
    - `spacing`: differences of `pull`, which B is made from.
    - `inside`: which rows and columns take part.
    - `blocks`: the width, as of `fold`.
    """

    f: Float[Array, "*batch n"]
    g: Float[Array, "*batch n"]
    pull: Float[Array, "*batch n"]
    spacing: Float[Array, "*batch n-1"]
    inside: Bool[Array, "*#batch n"]
    blocks: Int[Array, ""]
    regularizer: Regularizer

    def sums(
        self,
        x: Float[Array, "*batch n"] | None = None,
        *,
        by_rows: bool = True,
        order: int = 0,
        power: int = 0,
    ) -> Float[Array, "*batch n"]:
        """`sum_j phi'(t_ij) (j - i)^power x_j`, and over i of `x_i` if not `by_rows`.

        That is of the link's derivative of this `order`.
        """
        return _sums(
            self.regularizer,
            order,
            power,
            by_rows,
            jnp.ones_like(self.f) if x is None else x,
            jnp.where(self.inside, self.f, LOW),
            jnp.where(self.inside, self.g, LOW),
            self.pull,
            self.spacing,
            self.blocks,
        )

    def tangent_sums(
        self, x: Float[Array, "*batch n"], *, by_rows: bool, order: int, power: int
    ) -> Float[Array, "*batch n"]:
        """`sums` of an x that reverse mode goes back to."""

        def of(by_rows: bool) -> Callable[[Array], Array]:
            return lambda x: self.sums(x, by_rows=by_rows, order=order, power=power)

        return opaque_linear_map(of(by_rows), of(not by_rows), x)


@functools.partial(jax.custom_jvp, nondiff_argnums=(0, 1, 2, 3))
def _sums(regularizer, order, power, by_rows, x, f, g, pull, spacing, blocks):
    sign = 1 if by_rows else -1

    def terms(entry: Entry) -> tuple[Array, ...]:
        weight = weigh(regularizer, order, entry) * entry.other[1]
        for _ in range(power):
            weight = weight * (sign * entry.beside)
        return (weight,)

    own, other = (f, g) if by_rows else (g, f)
    (out,) = fold_sums(terms, (own,), (other, x), spacing, by_rows, blocks)
    return out


def _sums_jvp(regularizer, order, power, by_rows, primals, tangents):
    x, f, g, pull, spacing, blocks = primals
    out = _sums(regularizer, order, power, by_rows, *primals)
    band = Band(f, g, pull, spacing, f > LOW / 2, blocks, regularizer)
    steep = functools.partial(band.sums, by_rows=by_rows, order=order + 1)
    zero = jax.custom_derivatives.SymbolicZero
    dx, df, dg, dpull, *_ = (None if type(t) is zero else t for t in tangents)
    own, other = (df, dg) if by_rows else (dg, df)
    move = jnp.zeros_like(out)
    for y, order_, power_ in (
        (dx, order, power),
        (None if other is None else x * other, order + 1, power),
        (None if dpull is None or by_rows else x * dpull, order + 1, power + 1),
    ):
        if y is not None:
            move = move + band.tangent_sums(
                y, by_rows=by_rows, order=order_, power=power_
            )
    if own is not None:
        move = move + own * steep(x, power=power)
    if dpull is not None and by_rows:
        move = move + dpull * steep(x, power=power + 1)
    return out, move


_sums.defjvp(_sums_jvp, symbolic_zeros=True)


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
    """

    band: Band
    rows: Float[Array, "*batch n"]
    columns: Float[Array, "*batch n"]

    def means(self, x: Float[Array, "*batch n"]) -> Float[Array, "*batch n"]:
        """Means of the rows by W, less x itself."""

        def terms(entry: Entry) -> tuple[Array, ...]:
            weight = weigh(self.band.regularizer, 1, entry)
            return (weight * (entry.other[1] - entry.own[1]),)

        band = self.band
        f, g = (jnp.where(band.inside, y, LOW) for y in (band.f, band.g))
        (out,) = fold_sums(terms, (f, x), (g, x), band.spacing, True, band.blocks)
        return jnp.where(self.rows > 0, out / jnp.where(self.rows > 0, self.rows, 1), 0)

    def apply(self, x: Float[Array, "*batch n"]) -> Float[Array, "*batch n"]:
        def terms(entry: Entry) -> tuple[Array, ...]:
            weight = weigh(self.band.regularizer, 1, entry)
            return (weight * ((entry.own[1] - entry.other[1]) - entry.other[2]),)

        band = self.band
        f, g = (jnp.where(band.inside, y, LOW) for y in (band.f, band.g))
        other = f, x, self.means(x)
        (out,) = fold_sums(terms, (g, x), other, band.spacing, False, band.blocks)
        return out

    def preconditioner(
        self, ground: Float[Array, "*batch n"]
    ) -> Callable[[Float[Array, "*batch n"]], Float[Array, "*batch n"]]:
        """Nearly the inverse of this and a diagonal, for all wavelengths.

        On what changes slowly, the graph is a path of the conductances by which a
        linear function flows; what changes fast meets the diagonal.
        """
        n = ground.shape[-1]
        places = jnp.broadcast_to(jnp.arange(n, dtype=ground.dtype), ground.shape)
        flow = -jnp.cumsum(self.apply(places), axis=-1)[..., :-1]
        both = self.band.inside[..., 1:] & self.band.inside[..., :-1]
        flow = jnp.where(both, jnp.maximum(flow, 0), 0)
        none = jnp.zeros_like(ground[..., :1])
        before = jnp.concatenate([none, flow], axis=-1)
        after = jnp.concatenate([flow, none], axis=-1)
        floor = jnp.where(ground > 0, ground, 1)
        diagonal = before + after + floor
        degree = self.columns + floor

        def solve(rhs):
            path = jax.lax.linalg.tridiagonal_solve(
                -before, diagonal, -after, rhs[..., None]
            )[..., 0]
            return path + rhs / degree

        return solve


def rows_and_gap(
    band: Band, target: Float[Array, "*batch 1"]
) -> tuple[Array, Array, Array]:
    """Sums of W over rows and columns, and what columns lack, where rows are scaled.

    The diagonal is in both sums, and so in no difference.
    """
    r, inside = band.regularizer, band.inside
    f, g = (jnp.where(inside, y, LOW) for y in (band.f, band.g))

    def own_terms(entry: Entry) -> tuple[Array, ...]:
        y = r.link(entry.t)
        return y, jnp.where(entry.beside == 0, 0, y), weigh(r, 1, entry)

    def other_terms(entry: Entry) -> tuple[Array, ...]:
        y = r.link(entry.t) * entry.other[1]
        return jnp.where(entry.beside == 0, 0, y), weigh(r, 1, entry)

    total, aside, rows = fold_sums(
        own_terms, (f,), (g,), band.spacing, True, band.blocks, 3
    )
    scale = jnp.where(inside, target / jnp.where(total > 0, total, 1), 0)
    comes, columns = fold_sums(
        other_terms, (g,), (f, scale), band.spacing, False, band.blocks, 2
    )
    return rows, columns, jnp.where(inside, scale * aside - comes, 0)


