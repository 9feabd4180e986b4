"""Functions of a structure and its scores: values, marginals, losses, samples."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key, PyTree

from softjax_solvers import Regularizer

from .._defaults import reads_defaults
from .._dispatch import dispatch
from .._keywords import as_float
from ._given import Given, parse
from ._structure import Structure, any_nan, inner
from .methods import StructuredMethod, has_method
from .structures._checks import unless_nan


@reads_defaults("structured", methods=has_method, variant=False)
def value(
    structure: Structure,
    scores: PyTree[Array],
    *,
    softness: Any = 0.1,
    mode: str | Regularizer | None = None,
    method: str | StructuredMethod | None = None,
    solver: Any = None,
) -> Float[Array, ""]:
    """The soft maximum of the scores of all structures, `max_v <scores, v>`.

    `max_mu <scores, mu> - softness Omega(mu)`, where `method` says what Omega is. Its
    gradient is the marginals, [`softjax.structured.argmax`][]. By `"recursion"` in a
    smooth mode, `softness log sum_v exp(<scores, v> / softness)`. By `"marginals"`,
    Omega is not 0 for a single structure.

    **Arguments:**

    - `structure`: a [`softjax.structured.Structure`][].
    - `scores`: a pytree of arrays, of the shapes that the structure asks for. Batches
        are `jax.vmap` over them.
    - `softness`: positive, a scalar, in the unit of scores.
    - `mode`: `"hard"`, the name of a regularizer or a regularizer. None for the
        structure's own, `Structure.default_mode`.
    - `method`: a name in `softjax.structured.METHODS`, or a
        [`softjax.structured.StructuredMethod`][]. None for the structure's own,
        `Structure.default_method` of the regularizer.
    - `solver`: for `"marginals"`, as in [`softjax.solvers.solve`][].

    **Returns:** a scalar.

    **Raises:** `ValueError` for scores of shapes that do not fit; `TypeError` for a
    method that the structure does not have.

    **Example:**

        >>> chain = sj.structured.Chain()
        >>> scores = jnp.array([[0.2, 0.0], [0.0, 0.1]]), jnp.zeros((1, 2, 2))
        >>> print(f"{sj.structured.value(chain, scores):.3f}")
        0.344
        >>> print(f"{sj.structured.value(chain, scores, mode='hard'):.3f}")
        0.300
    """
    return _run(_value, structure, scores, softness, mode, method, solver)


@reads_defaults("structured", methods=has_method)
def argmax(
    structure: Structure,
    scores: PyTree[Array],
    *,
    softness: Any = 0.1,
    mode: str | Regularizer | None = None,
    method: str | StructuredMethod | None = None,
    solver: Any = None,
) -> PyTree[Array]:
    """The soft structure of the largest score: the marginals.

    `argmax_mu <scores, mu> - softness Omega(mu)` over the convex hull of structures.

    **Arguments, raises:** those of [`softjax.structured.value`][].

    **Returns:** a pytree of the shapes of `scores`. With `mode="hard"` the best
    structure, the first of equal ones.

    **Example:**

        >>> grid = sj.structured.GridPath()
        >>> costs = jnp.array([[0.0, 0.2], [0.1, 0.0]])
        >>> print(sj.structured.argmax(grid, -costs))
        [[1.    0.269]
         [0.731 1.   ]]
    """
    return _run(_argmax, structure, scores, softness, mode, method, solver)


@reads_defaults("structured", methods=has_method, variant=False)
def entropy(
    structure: Structure,
    scores: PyTree[Array],
    *,
    softness: Any = 0.1,
    mode: str | Regularizer | None = None,
    method: str | StructuredMethod | None = None,
    solver: Any = None,
) -> Float[Array, ""]:
    """The entropy of the soft structure, `(value - <scores, mu>) / softness`.

    By `"recursion"` in the mode `"smooth"`, Shannon's of the distribution over
    structures, in nats; in others the expectation of `r(1) - R(y)` over the choices on
    the way. By `"marginals"`, minus the regularizer, `-R(mu)`.

    **Arguments, raises:** those of [`softjax.structured.value`][].

    **Returns:** a scalar; 0 with `mode="hard"`.

    **Example:**

        >>> grid = sj.structured.GridPath()
        >>> print(f"{sj.structured.entropy(grid, jnp.zeros((4, 4))):.4f}")  # log(20)
        2.9957
    """
    return _run(_entropy, structure, scores, softness, mode, method, solver)


@reads_defaults("structured", methods=has_method, variant=False)
def fenchel_young_loss(
    structure: Structure,
    scores: PyTree[Array],
    target: PyTree[Array],
    *,
    softness: Any = 0.1,
    mode: str | Regularizer | None = None,
    method: str | StructuredMethod | None = None,
    solver: Any = None,
) -> Float[Array, ""]:
    """The Fenchel-Young loss of soft structures, whose gradient is `argmax - target`.

    `value(scores) - <scores, target> + softness Omega(target)`. By `"marginals"` that
    is the whole of it: nonnegative, and 0 where the marginals are the target. By other
    methods `Omega(target)`, which is 0 if the target is a single structure, is left
    out, so that soft targets shift the loss by a constant. In a smooth mode by
    `"recursion"` it is softness times the negative log-likelihood of the target: that
    of a conditional random field.

    **Arguments:**

    - `structure`, `scores`, and keywords: those of [`softjax.structured.value`][].
    - `target`: a structure, or marginals; a pytree of the shapes of `scores`.

    **Returns:** a scalar. With `mode="hard"` it is the loss of the perceptron.

    **Raises:** what [`softjax.structured.value`][] does.

    **Example:**

        >>> grid = sj.structured.GridPath()
        >>> costs = jnp.array([[0.0, 0.2], [0.1, 0.0]])
        >>> target = jnp.array([[1.0, 1.0], [0.0, 1.0]])
        >>> loss = sj.structured.fenchel_young_loss
        >>> print(f"{loss(grid, -costs, target):.3f}")
        0.131
        >>> print(jax.grad(loss, argnums=1)(grid, -costs, target))
        [[ 0.    -0.731]
         [ 0.731  0.   ]]

    ??? cite

        Blondel, Martins and Niculae, "Learning with Fenchel-Young losses", JMLR 21
        (2020).
    """
    return _run(_loss, structure, scores, softness, mode, method, solver, target=target)


@reads_defaults("structured", methods=has_method, variant=False)
def sample(
    key: Key[Array, ""],
    structure: Structure,
    scores: PyTree[Array],
    *,
    softness: Any = 0.1,
    mode: str | Regularizer | None = None,
    method: str | StructuredMethod | None = None,
    solver: Any = None,
) -> PyTree[Array]:
    """A random structure, whose expectation is the marginals.

    By `"recursion"` in a smooth mode, exactly from the Gibbs distribution
    `p(v) ~ exp(<scores, v> / softness)`. It has no derivative in the scores; that of
    its expectation is that of [`softjax.structured.argmax`][].

    **Arguments:**

    - `key`: a key of `jax.random`. Several samples are `jax.vmap` over keys.
    - The others are those of [`softjax.structured.value`][].

    **Returns:** a pytree of the shapes of `scores`. With `mode="hard"` the best.

    **Raises:** `TypeError` if the method has no distribution over structures.

    **Example:**

        >>> grid = sj.structured.GridPath()
        >>> costs = jnp.array([[0.0, 0.2], [0.1, 0.0]])
        >>> print(sj.structured.sample(jax.random.key(0), grid, -costs))
        [[1. 0.]
         [1. 1.]]
    """
    return _run(_sample, structure, scores, softness, mode, method, solver, key=key)


def _run(fn, structure, scores, softness, mode, method, solver, **more):
    given = parse(structure, scores, softness, mode, method, solver)
    return dispatch(fn, softness, given=given, **more)


def _value(softness: Array, *, given: Given) -> Array:
    given, out = given.computed(softness)
    if given.regularizer is None:
        largest = given.structure.largest(given.scores)
    else:
        largest = given.method.value(*given.arguments)
    return (largest * _one(given)).astype(out)


def _argmax(softness: Array, *, given: Given) -> PyTree[Array]:
    like = given.scores
    given, _ = given.computed(softness)
    if given.regularizer is None:
        best = jax.lax.stop_gradient(given.structure.oracle(given.scores))
    else:
        best = given.method.argmax(*given.arguments)
    best = unless_nan(best, given.structure.kept(given.scores))
    return _as_scores(best, like)


def _entropy(softness: Array, *, given: Given) -> Array:
    given, out = given.computed(softness)
    entropy = jnp.zeros(())
    if given.regularizer is not None:
        entropy = given.method.entropy(*given.arguments)
    return (entropy * _one(given)).astype(out)


def _loss(softness: Array, *, given: Given, target: PyTree[Array]) -> Array:
    given, out = given.computed(softness)
    target = given.like_scores(target)
    structure, scores, softness, regularizer, _ = given.arguments
    if regularizer is None:
        loss = structure.largest(scores) - inner(scores, target)
    else:
        largest = given.method.value(*given.arguments)
        omega = given.method.regularization(structure, target, regularizer)
        loss = largest - inner(scores, target) + softness * omega
    return (loss * _one(given)).astype(out)


def _sample(softness: Array, *, given: Given, key: Array) -> PyTree[Array]:
    like = given.scores
    given, _ = given.computed(softness)
    if given.regularizer is None:
        drawn = given.structure.oracle(given.scores)
    else:
        drawn = given.method.sample(key, *given.arguments)
    drawn = unless_nan(drawn, given.structure.kept(given.scores))
    return _as_scores(jax.lax.stop_gradient(drawn), like)


def _one(given: Given) -> Array:
    """A factor of values, with their derivatives: 1, and NaN if a score is NaN."""
    return jnp.where(any_nan(given.structure.kept(given.scores)), jnp.nan, 1)


def _as_scores(tree: PyTree[Array], like: PyTree[Array]) -> PyTree[Array]:
    """A tree of the shapes of scores, in the types that belong to them."""
    return jax.tree.map(lambda v, z: jnp.asarray(v, as_float(z)[1]), tree, like)
