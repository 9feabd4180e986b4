"""The best k structures, softly: a list of candidates, and operators on its scores."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, PyTree

from softjax_solvers import Regularizer

from .._defaults import reads_defaults
from .._dispatch import dispatch
from .._keywords import parse_integer
from ..axiswise import top_k as top_k_of_values
from ..methods import IndexMethod, SortingNetwork, get_method
from ._functions import argmax
from ._given import Given, parse
from ._ranked import exists, is_complete, mix
from ._structure import Structure, any_nan
from .methods import has_method
from .structures.mean_of_k import MeanOfK


class TopK(NamedTuple):
    """The best k structures, from the best.

    - `values`: `k`, their scores; -inf where there are no more structures.
    - `structures`: a pytree of the shapes of scores, with a leading axis of k.
    - `exact`: whether all structures count, not only those of the list.

    **Example:**

        >>> st = sj.structured
        >>> best = st.top_k(st.KSubset(2), jnp.array([0.2, 1.0, 0.7]), 2, mode="hard")
        >>> print(best.values, bool(best.exact))
        [1.7 1.2] True
    """

    values: Float[Array, "k"]
    structures: PyTree[Float[Array, "k ..."]]
    exact: Bool[Array, ""]


@reads_defaults("structured", methods=has_method)
def top_k(
    structure: Structure,
    scores: PyTree[Array],
    k: int,
    *,
    candidates: int | None = None,
    index_method: str | IndexMethod = "softsort",
    softness: Any = 0.1,
    mode: str | Regularizer | None = None,
) -> TopK:
    """Soft list of the best k structures, from the best.

    The structures v_1, ..., v_M of the largest scores s are found, and count as
    constant; values and soft indices are those of `softjax.top_k(s, k)`, and the i-th
    soft structure is the mean of all v under the i-th soft index.

    In a sparse mode, such as `"c0"`, by `"softsort"` or `"neuralsort"`, the list is
    long enough if its last structure has weight 0: then whatever scores less has too,
    and the answer is that for all structures. Otherwise `exact` is False, and more
    `candidates` help; with `mode="smooth"`, there may never be enough of them. Optimal
    transport regularizes relative to the number of elements, and is exact only if the
    list has all structures.

    **Arguments:**

    - `structure`: a [`softjax.structured.Structure`][] of zeros and ones.
    - `scores`: a pytree of arrays, as the structure takes it.
    - `k`: at least 1. Behind the last structure there is, values are -inf and
        structures are 0.
    - `candidates`: length M of the list, at least k; None for `max(4 k, 16)`.
    - `index_method`: the formulation of soft indices: `"softsort"`, `"neuralsort"`,
        `"ot"` or a [`softjax.methods.IndexMethod`][]. A sorting network would compare
        all structures with all others, and never be exact.
    - `softness`: positive, a scalar, in the unit of scores of structures.
    - `mode`: `"hard"`, a regularizer or its name; None for that of the structure.

    **Returns:** a [`softjax.structured.TopK`][]; with `mode="hard"` the best k.

    **Example:**

        >>> st = sj.structured
        >>> tree, scores = st.SpanningTree(3), jnp.array([1.0, 0.8, 0.1])
        >>> best = st.top_k(tree, scores, 2, mode="c0", softness=1.0)
        >>> print(best.values, bool(best.exact))
        [1.695 1.02 ] True
        >>> print(best.structures)
        [[1.   0.85 0.15]
         [0.6  0.4  1.  ]]

    ??? cite

        Lawler, "A procedure for computing the K best solutions to discrete optimization
        problems", Management Science 18 (1972); Prillo and Eisenschlos, "SoftSort: a
        continuous relaxation for the argsort operator", ICML 2020.
    """
    k = parse_integer(k, "top_k: k", 1)
    if candidates is None:
        candidates = max(4 * k, 16)
    candidates = parse_integer(candidates, "top_k: candidates", k)
    return dispatch(
        _top_k,
        softness,
        given=parse(structure, scores, softness, mode, None, None),
        k=k,
        candidates=candidates,
        index_method=_index_method(index_method),
    )


@reads_defaults("structured", methods=has_method)
def mean_of_k(
    structure: Structure,
    scores: PyTree[Array],
    k: int,
    *,
    softness: Any = 0.1,
    mode: str | Regularizer | None = None,
    method: Any = None,
    solver: Any = None,
) -> PyTree[Array]:
    """Soft mean of the best k structures: a set of them without ranks.

    `argmax_{y in P_k} <scores, y> - softness R(y)` over
    `P_k = conv {(v_1 + ... + v_k) / k}`, of different structures v_i: see
    [`softjax.structured.MeanOfK`][], of which value, loss and samples are the other
    functions'. For k = 1 it is [`softjax.structured.argmax`][] by
    `method="marginals"`.

    **Arguments:**

    - `structure`, `scores`: as for [`softjax.structured.top_k`][].
    - `k`: at least 1.
    - `softness`, `mode`, `method`, `solver`: as for [`softjax.structured.argmax`][];
        the defaults are `"c0"` and `"marginals"`.

    **Returns:** of the shapes of scores; with `mode="hard"` the mean of the best k.

    **Example:**

        >>> st = sj.structured
        >>> tree, scores = st.SpanningTree(3), jnp.array([1.0, 0.8, 0.1])
        >>> print(st.mean_of_k(tree, scores, 2, mode="hard"))
        [1.  0.5 0.5]
        >>> print(st.mean_of_k(tree, scores, 2, softness=2.0))
        [0.8 0.7 0.5]
    """
    of = MeanOfK(structure, parse_integer(k, "mean_of_k: k", 1))
    return argmax(
        of, scores, softness=softness, mode=mode, method=method, solver=solver
    )


def _index_method(method: str | IndexMethod) -> IndexMethod:
    found = get_method(method)
    if isinstance(found, SortingNetwork):
        raise ValueError(
            "top_k: index_method='sorting_network' compares all structures with all "
            "others, so that no list of candidates is long enough. Allowed: "
            "'softsort', 'neuralsort', 'ot'."
        )
    if not isinstance(found, IndexMethod):
        raise ValueError(
            f"top_k: index_method={method!r} has no soft indices. Allowed: 'softsort', "
            "'neuralsort', 'ot', or a softjax.methods.IndexMethod."
        )
    return found


def _top_k(
    softness: Array,
    *,
    given: Given,
    k: int,
    candidates: int,
    index_method: IndexMethod,
) -> TopK:
    given, dtype = given.computed(softness)
    structure, scores, softness, regularizer, _ = given.arguments
    ranked = structure.k_best(scores, k if regularizer is None else candidates)
    there, exact = exists(ranked), jnp.asarray(True)
    if regularizer is None:
        values, structures = (
            jnp.where(there, ranked.values, -jnp.inf),
            ranked.structures,
        )
    else:
        values, index = top_k_of_values(
            jnp.where(there, ranked.values, 0),
            k,
            softness=softness,
            mode=regularizer,
            method=index_method,
            where=there,
        )
        assert index is not None
        structures = mix(index, ranked.structures)
        exact = is_complete(ranked)
        if index_method.cuts_off and regularizer.structure().sparse:
            exact = exact | jnp.all(index[:, -1] == 0)
    bad = any_nan(structure.kept(scores))

    def finish(x: Array) -> Array:
        return jnp.where(bad, jnp.nan, x).astype(dtype)

    return TopK(finish(values), jax.tree.map(finish, structures), exact)
