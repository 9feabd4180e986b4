"""Entropies and divergences of soft indices, with finite gradients at zeros."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Float

from ._rows import Rows, parse_rows


def _parse(name: str, axis: int, where: Any, **arrays: Any) -> Rows:
    keywords = {} if where is None else dict(where=where)
    return parse_rows(name, axis, keywords, **arrays)


def _total(rows: Rows, terms: Float[Array, "*batch n"]) -> Array:
    # Behind the mask, both are 0, and so are the terms.
    return rows.finish(jnp.sum(terms, axis=-1))


def _log(p: Float[Array, "..."]) -> Float[Array, "..."]:
    """The logarithm, and 0 in the place of -inf, without a derivative."""
    zero = p <= 0
    return jnp.where(zero, 0, jnp.log(jnp.where(zero, 1, p)))


def _cross(p: Float[Array, "..."], q: Float[Array, "..."]) -> Float[Array, "..."]:
    """`-p log q`, where 0 log 0 is 0."""
    return jnp.where((p > 0) & (q <= 0), jnp.inf, -p * _log(q))


def entropy(p: Any, axis: int = -1, *, where: Any = None) -> Array:
    """Shannon's entropy of soft indices.

    `-sum_i p_i log p_i`, where `0 log 0` is 0.

    **Arguments:**

    - `p`: probabilities along the axis, nonnegative.
    - `axis`: the axis of the positions; -1 for soft indices.
    - `where`: which positions there are, broadcasts to `p`; None for all.

    **Returns:** values in [0, log n], of the shape of `p` without the axis. Its
    derivative in entries of 0, which is infinite, is given as 0.

    **Example:**

        >>> p = sj.argmax(jnp.array([[0.2, 1.0, 0.7], [0.5, 0.5, 0.0]]), axis=1)
        >>> print(sj.losses.entropy(p))
        [0.194 0.713]
        >>> p = jnp.array([0.5, 0.5, 0.0])
        >>> print(jax.grad(sj.losses.entropy)(p))
        [-0.307 -0.307  0.   ]

    ??? cite

        Shannon, "A mathematical theory of communication", Bell System Technical Journal
        27 (1948).
    """
    rows = _parse("entropy", axis, where, p=p)
    (p,) = rows.arrays
    return _total(rows, _cross(p, p))


def kl_divergence(p: Any, q: Any, axis: int = -1, *, where: Any = None) -> Array:
    """The divergence of Kullback and Leibler of soft indices.

    `sum_i p_i log (p_i / q_i)`, where terms with `p_i = 0` are 0.

    **Arguments:**

    - `p`, `q`: probabilities along the axis, nonnegative, of equal shape.
    - `axis`: the axis of the positions; -1 for soft indices.
    - `where`: which positions there are, broadcasts to `p`; None for all.

    **Returns:** nonnegative values, of the shape of `p` without the axis: 0 where both
    are equal; inf, without a derivative, where `q` is 0 and `p` is not. So it trains
    only what has the support of its target: for sparse modes take
    [`softjax.losses.simplex_loss`][].

    **Example:**

        >>> p, q = jnp.array([0.5, 0.5, 0.0]), jnp.array([0.2, 0.6, 0.2])
        >>> print(f"{sj.losses.kl_divergence(p, q):.3f}")
        0.367
        >>> print(sj.losses.kl_divergence(q, p))
        inf
        >>> print(jax.grad(sj.losses.kl_divergence, 1)(p, q))
        [-2.5   -0.833 -0.   ]

    ??? cite

        Kullback and Leibler, "On information and sufficiency", Annals of Mathematical
        Statistics 22 (1951).
    """
    rows = _parse("kl_divergence", axis, where, p=p, q=q)
    p, q = rows.arrays
    q = q.astype(p.dtype)
    terms = p * (_log(p) - _log(q))
    return _total(rows, jnp.where((p > 0) & (q <= 0), jnp.inf, terms))


def soft_cross_entropy(p: Any, q: Any, axis: int = -1, *, where: Any = None) -> Array:
    """The cross-entropy of soft indices: of targets p, under predictions q.

    `-sum_i p_i log q_i`, where `0 log 0` is 0: the entropy of p and the divergence of
    it from q.

    **Arguments:**

    - `p`, `q`: probabilities along the axis, nonnegative, of equal shape.
    - `axis`: the axis of the positions; -1 for soft indices.
    - `where`: which positions there are, broadcasts to `p`; None for all.

    **Returns:** nonnegative values, of the shape of `p` without the axis; inf, without
    a derivative, where `q` is 0 and `p` is not.

    **Example:**

        >>> p, q = jnp.array([0.5, 0.5, 0.0]), jnp.array([0.2, 0.6, 0.2])
        >>> print(f"{sj.losses.soft_cross_entropy(p, q):.3f}")
        1.060
        >>> print(sj.losses.soft_cross_entropy(p, jnp.array([0.0, 1.0, 0.0])))
        inf

    ??? cite

        Cover and Thomas, "Elements of information theory", Wiley, 2006, chapter 5.
    """
    rows = _parse("soft_cross_entropy", axis, where, p=p, q=q)
    p, q = rows.arrays
    return _total(rows, _cross(p, q.astype(p.dtype)))
