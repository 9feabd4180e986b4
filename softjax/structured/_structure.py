"""What a structure has to tell: which is the best, or how the best is found."""

from __future__ import annotations

import abc
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from softjax_solvers import MaximizationProblem, OracleProjection, Regularizer

from ._semirings import ABSENT, Semiring
from .semirings import Hard, KBest


class Ranked(NamedTuple):
    """The best structures of a list, best first.

    - `values`: `k`, their scores; `ABSENT` where there are no more structures.
    - `structures`: a pytree of the shape of scores with a leading axis of k, of
        indicators.

    **Example:**

        >>> grid = sj.structured.GridPath()
        >>> ranked = grid.k_best(jnp.array([[0.0, 0.2], [0.1, 0.0]]), 3)
        >>> print(ranked.values > sj.structured.ABSENT / 2)
        [ True  True False]
    """

    values: Float[Array, "k"]
    structures: PyTree[Array]


class Structure(eqx.Module):
    """A set of structures, each the vertex of a polytope in the space of scores.

    A structure is a pytree of arrays of the shapes of the scores, usually of zeros and
    ones, which says how often it contains each part. Its score is the inner product.

    **Example:**

        >>> class Corners(sj.structured.Structure):  # of the cube
        ...     def oracle(self, scores):
        ...         return jnp.where(scores > 0, 1.0, 0.0)
        ...
        >>> z = jnp.array([-0.2, 0.1, 2.0])
        >>> print(sj.structured.argmax(Corners(), z, mode="c0", softness=1.0))
        [0.  0.1 1. ]
    """

    @abc.abstractmethod
    def oracle(self, scores: PyTree[Array]) -> PyTree[Array]:
        """The best structure, `argmax_v <scores, v>`; the first of equal ones."""

    # What follows are defaults, meant to be overridden by what is known better.

    def check(self, scores: PyTree[Array]) -> None:
        """**Raises:** `ValueError` if scores have shapes that do not fit."""

    def default_mode(self) -> str:
        """The mode where none is given."""
        return "c0"

    def default_method(self, regularizer: Regularizer) -> str:
        """The name of the method where none is given."""
        return "marginals"

    def kept(self, scores: PyTree[Array]) -> PyTree[Array]:
        """Scores of parts that structures may have; 0 of others, such as padding."""
        return scores

    def projection(self, scores: PyTree[Array], softness: Array) -> MaximizationProblem:
        """The problem whose solution are the marginals, of the method `"marginals"`."""
        return OracleProjection(self.kept(scores), softness, self.oracle)

    def k_best(self, scores: PyTree[Array], k: int) -> Ranked:
        """The k best structures, by partition of what is left (Lawler 1972)."""
        raise NotImplementedError


class DynamicProgram(Structure):
    """A set of structures whose best is found by a recursion, of sums and maxima.

    Written once, in the operations of a [`softjax.structured.Semiring`][], it has the
    best structure, the k best ones, marginals and samples.

    **Example:**

        >>> class Chain(sj.structured.DynamicProgram):  # of transitions alone
        ...     def recursion(self, scores, semiring):
        ...         def step(state, move):
        ...             return semiring.max(semiring.times(state[:, None], move)), None
        ...         start = semiring.lift(jnp.zeros(scores.shape[-1]))
        ...         state, _ = jax.lax.scan(step, start, scores)
        ...         return semiring.max(state)
        ...
        >>> scores = jnp.array([[[0.1, 0.0], [0.0, 0.3]]])
        >>> print(sj.structured.argmax(Chain(), scores))
        [[[0.11 0.04]
          [0.04 0.81]]]

    ??? cite

        Mensch and Blondel, "Differentiable dynamic programming for structured
        prediction and attention", ICML 2018.
    """

    @abc.abstractmethod
    def recursion(
        self, scores: PyTree[Array], semiring: Semiring
    ) -> Float[Array, "..."]:
        """The state of the best of all structures, of shape `()`.

        Each structure must be derived in one way only.
        """

    def oracle(self, scores: PyTree[Array]) -> PyTree[Array]:
        def largest(scores):
            return self.recursion(scores, Hard())

        scores = jax.lax.stop_gradient(scores)
        value, best = jax.value_and_grad(largest)(scores)
        # A path may lead past a score that is not a number.
        return jax.tree.map(lambda v: jnp.where(jnp.isnan(value), jnp.nan, v), best)

    def default_mode(self) -> str:
        return "smooth"

    def default_method(self, regularizer: Regularizer) -> str:
        exponential = regularizer.structure().rate is not None
        return "recursion" if exponential else "marginals"

    def k_best(self, scores: PyTree[Array], k: int) -> Ranked:
        def values(scores):
            return self.recursion(scores, KBest(k))

        best, pullback = jax.vjp(values, scores)
        (structures,) = jax.vmap(pullback)(jnp.eye(k, dtype=best.dtype))
        present = best > ABSENT / 2

        def of_present(v):
            here = present.reshape(k, *[1] * (v.ndim - 1))
            return jax.lax.stop_gradient(jnp.where(here, v, 0))

        return Ranked(best, jax.tree.map(of_present, structures))
