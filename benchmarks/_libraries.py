"""Operators by every library, as functions of x with the shape `(batch, n)`.

Each function imports its library when it is called, in a process of its own. Peers are
given the problem that this library solves: the same softness, and no standardization.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from _cases import FLOOR, HERE, MASK, QUANTILE, REFERENCE, Case, K


def build(library: str, case: Case, softness: float) -> Callable[[Any], Any]:
    """Operator of a case, not compiled."""
    return _BUILDERS[library](case, softness)


def differentiable(library: str) -> bool:
    """Whether JAX compiles and differentiates the functions of a library."""
    return library != "scipy"


def _softjax(case: Case, softness: float) -> Callable[[Any], Any]:
    import jax.numpy as jnp

    import softjax as sj

    operator = getattr(sj, case.op)
    keywords: dict[str, Any] = dict(axis=-1, softness=softness, mode=case.mode)
    keywords["standardize"] = False
    if case.method != MASK:
        keywords["method"] = case.method
    if case.op == "top_k":
        return lambda x: operator(x, K, **keywords)[0]
    if case.op == "top_k_mask":
        return lambda x: operator(x, K, **keywords)
    if case.op.endswith("quantile"):
        return lambda x: operator(x, jnp.float32(QUANTILE), **keywords)
    return lambda x: operator(x, **keywords)


def _floor(case: Case, softness: float) -> Callable[[Any], Any]:
    import jax
    import jax.numpy as jnp

    if case.op.startswith("top_k"):
        return lambda x: jax.lax.top_k(x, K)[0]
    if case.op == "quantile":
        return lambda x: jnp.quantile(x, QUANTILE, axis=-1)
    if case.op in ("rank", "argquantile", "argmedian"):
        return lambda x: jnp.argsort(x, axis=-1)
    return lambda x: getattr(jnp, case.op)(x, axis=-1)


def _ott(case: Case, softness: float) -> Callable[[Any], Any]:
    from ott.tools import soft_sort

    keywords: dict[str, Any] = dict(epsilon=softness, squashing_fun=lambda x: x)
    if case.op == "rank":
        # OTT-JAX ranks from 0 for the smallest, this library from 1 for the largest.
        return lambda x: x.shape[-1] - soft_sort.ranks(x, axis=-1, **keywords)
    if case.op == "top_k":
        return lambda x: soft_sort.sort(x, axis=-1, topk=K, **keywords)[..., ::-1]
    if case.op == "top_k_mask":
        return lambda x: soft_sort.topk_mask(x, axis=-1, k=K, **keywords)
    if case.op == "quantile":
        return lambda x: soft_sort.quantile(x, q=QUANTILE, axis=-1, **keywords)[..., 0]
    return lambda x: soft_sort.sort(x, axis=-1, **keywords)


def _jaxopt(case: Case, softness: float) -> Callable[[Any], Any]:
    import jax
    import jax.numpy as jnp
    from jaxopt import isotonic, projection

    def on_simplex(x):
        index = projection.projection_simplex(x / softness)
        return index if case.op == "argmax" else index @ x

    def transport(x):
        n = x.shape[-1]
        project = projection.kl_projection_transport
        if case.mode == "c0":
            project = projection.projection_transport
        cost = (jnp.linspace(0, 1, n)[:, None] - x) ** 2
        marginals = jnp.full(n, 1 / n), jnp.full(n, 1 / n)
        index = n * project(-cost / softness, marginals)
        if case.op == "argsort":
            return index
        if case.op == "sort":
            return index @ x
        return (n - jnp.arange(n)) @ index

    def permutahedron(x):
        n = x.shape[-1]
        if case.op == "sort":
            z, w = jnp.linspace(1, 0, n) / softness, -jnp.sort(-x)
            return (z - isotonic.isotonic_l2_pav(z - w, increasing=False))[::-1]
        order = jnp.argsort(x)
        z, w = -x[order] / softness, jnp.arange(n, 0, -1) / (n - 1)
        dual = isotonic.isotonic_l2_pav(z - w, increasing=False)
        return (n - 1) * jnp.zeros(n, x.dtype).at[order].set(z - dual)

    if case.method == "softsort":
        return jax.vmap(on_simplex)
    return jax.vmap(transport if case.method == "ot" else permutahedron)


def _scipy(case: Case, softness: float) -> Callable[[Any], Any]:
    from scipy.optimize import isotonic_regression

    def row(x):
        n = len(x)
        if case.op == "sort":
            z, w = np.linspace(1, 0, n, dtype=x.dtype) / softness, -np.sort(-x)
            return (z - isotonic_regression(z - w, increasing=False).x)[::-1]
        order = np.argsort(x)
        z, w = -x[order] / softness, np.arange(n, 0, -1, dtype=x.dtype) / (n - 1)
        rank = np.empty_like(x)
        dual = isotonic_regression(z - w, increasing=False).x
        rank[order] = (n - 1) * (z - dual)
        return rank

    return lambda x: np.stack([row(each) for each in x])


_BUILDERS: dict[str, Callable[[Case, float], Callable[[Any], Any]]] = {
    HERE: _softjax,
    REFERENCE: _softjax,
    FLOOR: _floor,
    "ott": _ott,
    "jaxopt": _jaxopt,
    "scipy": _scipy,
}
