from __future__ import annotations

import abc

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, PyTree

from ..._core.problem import MaximizationProblem, Problem
from ..._core.readout import Primal
from ..._core.regularizer import Regularizer
from ..._core.rows import as_mask, check_candidates, per_row, softness_per_row
from ..._kernels.arrays import inexact, is_traced, safe_multiply
from ..shapes import check_fits
from ..simplex import Simplex, SimplexProjection


class ReducedProjection(MaximizationProblem):
    """`argmax_{y in simplex} <z, y> - softness (R(y) + S(y))` of a penalty S.

    One by which the problem is a projection of other scores, by the same regularizer R,
    whichever that is. It is so for the Lovasz extension of a submodular function, such
    as total variation, sums of maxima and norms of sorted entries: `argmin_w |w - z|^2
    / 2 + softness S(w)` are these scores. `reduced` and `penalty` have to be defined.

    **Attributes:**

    - `z`: `*batch n`; `softness`: `*#batch 1`; `where`: a mask, or None.

    **Example:**

        >>> class Shrunk(sj.solvers.ReducedProjection):  # S(y) = |y|^2 / 2
        ...     def reduced(self):
        ...         return sj.solvers.SimplexProjection(self.z, 2 * self.softness)
        ...     def penalty(self, y):
        ...         return jnp.sum(y**2, axis=-1) / 2
        ...
        >>> problem = Shrunk(jnp.array([0.2, 1.0, 0.7]), jnp.array([0.25]), None)
        >>> print(sj.solvers.solve(problem, "c0").value)
        [0.  0.8 0.2]

    ??? cite

        Bach, "Learning with submodular functions: a convex optimization perspective",
        Foundations and Trends in Machine Learning 6 (2013).
    """

    z: Float[Array, "*batch n"]
    softness: Float[Array, "*#batch 1"]
    where: Bool[Array, "*#batch #n"] | None

    @abc.abstractmethod
    def reduced(self) -> SimplexProjection:
        """The projection of other scores, with the same solution."""

    @abc.abstractmethod
    def penalty(self, y: Float[Array, "*batch n"]) -> Float[Array, "*batch"]:
        """`S(y)` of a y that is 0 where masked."""

    @property
    def dtype(self) -> jnp.dtype:
        return self.z.dtype

    @property
    def mask(self) -> Bool[Array, "*batch n"]:
        return jnp.broadcast_to(as_mask(self.where, self.z), self.z.shape)

    @property
    def known(self) -> Float[Array, "*batch n"]:
        """z, 0 where masked."""
        return jnp.where(self.mask, self.z, 0)

    def specialize(self, regularizer: Regularizer) -> Simplex:
        return self.reduced().specialize(regularizer)

    def optimality(self, dual: PyTree[Array], regularizer: Regularizer) -> PyTree:
        return self.reduced().optimality(dual, regularizer)

    def primal(self, dual: PyTree[Array], regularizer: Regularizer) -> Array:
        return self.specialize(regularizer).primal(dual, regularizer)

    def residual(
        self, dual: PyTree[Array], regularizer: Regularizer
    ) -> Float[Array, "..."]:
        return self.specialize(regularizer).residual(dual, regularizer)

    def objective(
        self, y: Float[Array, "*batch n"], regularizer: Regularizer
    ) -> Float[Array, "*batch"]:
        # From the shift that the objective of the reduced form has, a constant.
        reduced = self.reduced()
        largest = jax.lax.stop_gradient(reduced.largest_of(reduced.z))
        softness = self.softness
        y = jnp.where(self.mask, y, 0)
        terms = safe_multiply(self.known - largest, y) - softness * regularizer.value(y)
        total = jnp.sum(terms, axis=-1, where=self.mask)
        return total - softness[..., 0] * self.penalty(y)


def parse_scores(
    z: Array, softness: Array | float, where: Array | None, name: str
) -> tuple[Float[Array, "*batch n"], Float[Array, "*#batch 1"], Array | None]:
    """Scores, softness and mask of a problem, as arrays that fit.

    **Raises:** `ValueError` if they do not.
    """
    z = inexact(z)
    check_candidates(z, name)
    if where is not None:
        where = jnp.asarray(where)
        check_fits(name, "where", where, "z", z)
    return z, softness_per_row(softness, z), where


def parse_strength(
    strength: Array | float, z: Float[Array, "*batch n"], name: str
) -> Float[Array, "*#batch 1"]:
    """The factor of a penalty.

    **Raises:** `ValueError` if it is known to be negative, or does not fit.
    """
    fitting = per_row(strength, z, "strength")
    if not is_traced(strength) and not (np.asarray(strength) >= 0).all():
        raise ValueError(f"{name}: strength must be nonnegative, got {strength}.")
    return fitting


def lowered(
    z: Float[Array, "*batch n"], distance: Float[Array, "*#batch 1"]
) -> tuple[Float[Array, "*batch n"], Bool[Array, "*batch n"]]:
    """Scores with minus infinity so far below all others, and where that was.

    From a distance on that no penalty makes up for, its y is 0 whatever it is.
    """
    none = jnp.isneginf(z)
    least = jnp.min(jnp.where(none, jnp.inf, z), axis=-1, keepdims=True)
    return jnp.where(none, jax.lax.stop_gradient(least - distance), z), none


def nearest(problem: Problem) -> Array:
    """The Euclidean projection that a problem is, with its derivative."""
    from ..._core.solve import evaluate  # which knows solvers, and these the problems

    return evaluate(problem, "c0", Primal())
