"""Piecewise polynomials on boxes of a sorted row: sums over points, interpolation."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from .arrays import exact_einsum
from .chunks import map_chunks, sum_chunks

_SPREAD = 16
"""Arrays of an entry for each point and box that are formed in a sum of them."""

FEW = 64
"""Up to so many boxes, products with all of them take less time than scattering."""


@functools.lru_cache
def nodes(p: int) -> np.ndarray:
    """The p Chebyshev nodes in (-1, 1), ascending."""
    return -np.cos(np.pi * (np.arange(p) + 0.5) / p)


@functools.lru_cache
def _coefficients(p: int) -> np.ndarray:
    """Values at the nodes to coefficients of Chebyshev polynomials, `(j, c)`."""
    values = np.cos(np.arange(p)[:, None] * np.arccos(nodes(p)))
    return values * np.where(np.arange(p) == 0, 1, 2)[:, None] / p


@functools.lru_cache
def _differentiation(p: int) -> np.ndarray:
    """Derivatives at nodes `c` of the Lagrange polynomials `c'`, `(c, c')`."""
    polynomials = np.polynomial.chebyshev
    slopes = polynomials.chebvander(nodes(p), p - 1) @ np.pad(
        polynomials.chebder(np.eye(p)), [(0, 1), (0, 0)]
    )
    return slopes @ _coefficients(p)


def last_coefficients(
    values: Float[Array, "*batch p m"], count: int = 2
) -> Float[Array, "*batch c m"]:
    """The last coefficients of what has some values at the nodes.

    They say how well polynomials of that degree follow it.
    """
    last = _coefficients(values.shape[-2])[-count:].astype(values.dtype)
    return exact_einsum("jc,...cm->...jm", last, values)


def _polynomials(s: Float[Array, " n"], p: int) -> Float[Array, "p n"]:
    """Chebyshev polynomials, of twice as many degrees in each of few operations."""
    terms = jnp.stack([jnp.ones_like(s), s])
    while (top := len(terms) - 1) < p - 1:
        more = 2 * terms[-1] * terms[1:] - terms[top - 1 :: -1]
        terms = jnp.concatenate([terms, more])
    return terms[:p]


@functools.partial(jax.custom_jvp, nondiff_argnums=(3, 4))
def moments(
    s: Float[Array, " n"],
    y: Float[Array, " n"],
    box: Int[Array, " n"],
    boxes: int,
    p: int,
) -> Float[Array, "boxes p"]:
    """Sums of `y_i L_c(s_i)` over the points of each box.

    L are the Lagrange polynomials of the nodes.

    **Arguments:**

    - `s`: places in a box, from -1 to 1.
    - `box`: that of each point; those beyond the last one do not count.
    """

    # Of some points after the other, as all of them in all boxes are many numbers.
    def add(rows):
        (s, y, box), included = rows
        if boxes > FEW:
            terms = (included * y * _polynomials(s, p)).T
            return jax.ops.segment_sum(terms, box, boxes, indices_are_sorted=True)
        inside = jnp.where(_in_boxes(box, boxes), y * included, 0)
        return exact_einsum("ki,ji->kj", inside, _polynomials(s, p))

    sums = sum_chunks(add, (s, y, box), row_size=_row_size(boxes, p))
    return exact_einsum("kj,jc->kc", sums, _coefficients(p).astype(s.dtype))


@moments.defjvp
def _moments_jvp(boxes, p, primals, tangents):
    s, y, box = primals
    s_dot, y_dot, _ = tangents
    slopes = _differentiation(p).astype(s.dtype)
    # Derivatives of polynomials are polynomials, which have values at the nodes.
    moved = moments(s, y * s_dot, box, boxes, p)
    move = exact_einsum("kd,dc->kc", moved, slopes)
    return moments(s, y, box, boxes, p), move + moments(s, y_dot, box, boxes, p)


@jax.custom_jvp
def interpolate(
    s: Float[Array, " n"], values: Float[Array, "boxes p"], box: Int[Array, " n"]
) -> Float[Array, " n"]:
    """The polynomials with some `values` at the nodes of a box, at the points s.

    Those beyond the last box have that of it.
    """
    boxes, p = values.shape
    table = exact_einsum("kc,jc->kj", values, _coefficients(p).astype(s.dtype))

    # Products with all boxes, of which a selection is transposed by another one: a
    # gather's transpose, in which many points add to few numbers, is a serial loop.
    def some(rows):
        s, box = rows
        if boxes > FEW:
            return jnp.sum(table[box] * _polynomials(s, p).T, axis=-1)
        y = exact_einsum("kj,ji->ki", table, _polynomials(s, p))
        return jnp.sum(jnp.where(_in_boxes(box, boxes), y, 0), axis=0)

    rows = s, jnp.minimum(box, boxes - 1)
    return map_chunks(some, rows, row_size=_row_size(boxes, p))


@interpolate.defjvp
def _interpolate_jvp(primals, tangents):
    s, values, box = primals
    s_dot, values_dot, _ = tangents
    slopes = _differentiation(values.shape[-1]).astype(s.dtype)
    steep = interpolate(s, exact_einsum("kc,dc->kd", values, slopes), box)
    move = steep * s_dot + interpolate(s, values_dot, box)
    return interpolate(s, values, box), move


def _row_size(boxes: int, p: int) -> int:
    return _SPREAD * (boxes if boxes <= FEW else p)


def _in_boxes(box: Int[Array, " n"], boxes: int) -> Bool[Array, "boxes n"]:
    return box == np.arange(boxes)[:, None]


@functools.lru_cache
def _gram_table(p: int, degree: int = 24) -> tuple[np.ndarray, np.ndarray]:
    """Gauss rules of N points at equal distances, as polynomials in `(p / N)^2`.

    **Returns:** coefficients of Chebyshev polynomials on [0, 1] of the nodes and
    weights, `(degree + 1, p)`.
    """
    knots = (nodes(degree + 1) + 1) / 2
    k = np.arange(1, p)
    rules = []
    for share in knots / p**2:  # 1 / N^2
        beta = k**2 * (1 - k**2 * share) / (4 * k**2 - 1)
        jacobi = np.diag(np.sqrt(beta), 1)
        places, vectors = np.linalg.eigh(jacobi + jacobi.T)
        rules.append((places, vectors[0] ** 2))
    fit = np.polynomial.chebyshev.chebfit(
        nodes(degree + 1), np.reshape(rules, (degree + 1, -1)), degree
    )
    places, weights = fit.reshape(degree + 1, 2, p).swapaxes(0, 1)
    return places, weights


def gauss_of_equal_distances(
    count: Array, p: int
) -> tuple[Float[Array, "*batch p"], Float[Array, "*batch p"]]:
    """The Gauss rule of p nodes for the mean over N points at equal distances.

    Exact for polynomials up to the degree 2 p - 1, with positive weights. Points are
    `(2 i + 1) / N - 1`; with p of them, the nodes are the points.

    **Arguments:**

    - `count`: N, at least p.
    """
    # Jacobi matrices of Gram's polynomials are analytic in 1 / N^2.
    tables = np.stack(_gram_table(p), axis=1)
    degree, _, _ = tables.shape
    # Coefficients fall fast, so that these need not be as accurate as by recurrence.
    angle = jnp.arccos(jnp.clip(2 * (p / count) ** 2 - 1, -1, 1))
    terms = jnp.cos(np.arange(degree, dtype=angle.dtype) * angle[..., None])
    tables = tables.reshape(degree, 2 * p).astype(terms.dtype)
    out = exact_einsum("...j,jp->...p", terms, tables)
    return out[..., :p], out[..., p:]
