"""Interfaces of a structure: which is the best, or how the best is found."""

from __future__ import annotations

import abc
from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Key, PyTree

from softjax_solvers import Entropy, MaximizationProblem, OracleProjection, Regularizer

from ._partition import best_by_partition
from ._ranked import Ranked as Ranked
from ._semirings import ABSENT, Semiring
from .semirings import Hard, KBest, Regularized, Sampled


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

    def largest(self, scores: PyTree[Array]) -> Float[Array, ""]:
        """The score of the best structure. Default: of what the oracle returns."""
        return inner(scores, jax.lax.stop_gradient(self.oracle(scores)))

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
        """The k best structures, of zeros and ones.

        Default: by partition of what is left (Lawler 1972), with d k calls of the
        oracle for d parts. It is given scores of parts that have to be in a structure,
        or must not be, by which more than all scores of structures differ.
        """
        return best_by_partition(self.oracle, scores, k)

    def log_partition(self) -> Callable[[PyTree[Array]], Float[Array, ""]] | None:
        """`log sum_v exp(<scores, v>)` over all structures, as a function of scores.

        Default: None, it has no closed form.
        """
        return None

    def centered(self, scores: PyTree[Array]) -> PyTree[Array]:
        """Smaller scores of the same distribution, which add as much to all structures.

        For differences of values, in which large scores cancel. Default: the same.
        """
        return scores

    def sample(self, key: Key[Array, ""], scores: PyTree[Array]) -> PyTree[Array]:
        """A random structure v, of probability in proportion to `exp(<scores, v>)`.

        **Raises:** `TypeError` where none can be drawn, which is the default.
        """
        raise TypeError(
            f"sample: no way is known to draw a {type(self).__name__} from the "
            "distribution over all. method='k_best' has one over the best, and "
            "Perturbed(...) that of perturbed scores."
        )


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

    def largest(self, scores: PyTree[Array]) -> Float[Array, ""]:
        return self.recursion(scores, Hard())

    def oracle(self, scores: PyTree[Array]) -> PyTree[Array]:
        scores = jax.lax.stop_gradient(scores)
        value, best = jax.value_and_grad(self.largest)(scores)
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
        present = ~(best <= ABSENT / 2)  # with NaN

        def of_present(v):
            here = present.reshape(k, *[1] * (v.ndim - 1))
            return jax.lax.stop_gradient(jnp.where(here, v, 0))

        return Ranked(best, jax.tree.map(of_present, structures))

    def log_partition(self) -> Callable[[PyTree[Array]], Float[Array, ""]]:
        def log_sum(scores):
            one = jnp.ones((), jax.tree.leaves(scores)[0].dtype)
            return self.recursion(scores, Regularized(Entropy(), one))

        return log_sum

    def sample(self, key: Key[Array, ""], scores: PyTree[Array]) -> PyTree[Array]:
        one = jnp.ones((), jax.tree.leaves(scores)[0].dtype)
        return self.drawn(scores, Sampled(Entropy(), one, key))

    def drawn(self, scores: PyTree[Array], semiring: Sampled) -> PyTree[Array]:
        """The structure that a semiring draws, from the end of the recursion."""

        def value(scores):
            return self.recursion(scores, semiring)[..., 0]

        largest, structure = jax.value_and_grad(value)(scores)

        def finish(v):
            v = jnp.where(largest > ABSENT / 2, v, 0)
            return jax.lax.stop_gradient(jnp.where(jnp.isnan(largest), jnp.nan, v))

        return jax.tree.map(finish, structure)


def inner(scores: PyTree[Array], structure: PyTree[Array]) -> Float[Array, ""]:
    """`<scores, structure>`; what is not in the structure does not count."""

    def product(z, v):
        return jnp.sum(jnp.where(v != 0, z, 0) * v)

    return sum(jax.tree.leaves(jax.tree.map(product, scores, structure)))  # pyright: ignore


def any_nan(scores: PyTree[Array]) -> Bool[Array, ""]:
    """Whether any score is NaN."""
    leaves = jax.tree.leaves(scores)
    return jnp.any(jnp.stack([jnp.any(jnp.isnan(z)) for z in leaves]))
