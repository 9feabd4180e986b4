"""Formulations of the largest element by regularizers that are not separable."""

from __future__ import annotations

import abc
from typing import Any, NoReturn

import equinox as eqx
from jaxtyping import Array, Bool, Float, Int

from softjax_solvers import (
    ClusteredSimplexProjection,
    FusedSimplexProjection,
    GroupedSimplexProjection,
    GroupLassoProjection,
    MetricSimplexProjection,
    NormSimplexProjection,
    Problem,
    SparseSimplexProjection,
)

from ._intervals import Intervals
from ._method import Method, Relaxation
from ._sample import Sample

Keys = Float[Array, "*batch n"]
Softness = Float[Array, "*#batch 1"]
Mask = Bool[Array, "*batch n"] | None


class LargestMethod(Method):
    """A formulation of where the largest element is, and of no other operator.

    It serves `argmax`, `argmin`, `max` and `min`, with their variants; others raise
    `TypeError`. Soft indices are solutions of a problem of one's own, which `problem`
    makes of the keys, and values are means under them. The softness goes with all of
    the problem's regularizer, so that its limit is the hard one.

    **Example:**

        >>> class Plain(sj.methods.LargestMethod):
        ...     def problem(self, keys, softness, where):
        ...         return sj.solvers.SimplexProjection(keys, softness, where)
        ...
        >>> x = jnp.array([0.2, 1.0, 0.7])
        >>> print(sj.argmax(x, mode="c0", softness=0.5, method=Plain()))
        [0.  0.8 0.2]
    """

    @abc.abstractmethod
    def problem(self, keys: Keys, softness: Softness, where: Mask) -> Problem:
        """The problem of which a soft index is the solution, `*batch n`."""

    def argmax(self, sample: Sample, relaxation: Relaxation) -> Float[Array, "..."]:
        return relaxation.primal(self._problem(sample, relaxation))

    def max(self, sample: Sample, relaxation: Relaxation) -> Float[Array, "..."]:
        return relaxation.expectation(self._problem(sample, relaxation), sample.values)

    def _problem(self, sample: Sample, relaxation: Relaxation) -> Problem:
        return self.problem(sample.keys, relaxation.softness, sample.where)

    def _refuse(self, name: str) -> NoReturn:
        raise TypeError(
            f"method={type(self).__name__}(...) says where the largest element is, and "
            f"cannot serve {name}. It serves argmax, argmin, max and min; for {name}, "
            "use method='softsort' or another name in softjax.methods.METHODS."
        )

    def argsort(self, sample: Sample, relaxation: Relaxation) -> Float[Array, "..."]:
        self._refuse("argsort")

    def sort(self, sample: Sample, relaxation: Relaxation) -> Float[Array, "..."]:
        self._refuse("sort")

    def rank(self, sample: Sample, relaxation: Relaxation) -> Float[Array, "..."]:
        self._refuse("rank")

    def top_k(
        self, sample: Sample, relaxation: Relaxation, k: int
    ) -> tuple[Float[Array, "..."], Float[Array, "..."] | None]:
        self._refuse("top_k")

    def argquantile(
        self, sample: Sample, relaxation: Relaxation, intervals: Intervals
    ) -> Float[Array, "..."]:
        self._refuse("argquantile")

    def quantile(
        self, sample: Sample, relaxation: Relaxation, intervals: Intervals
    ) -> Float[Array, "..."]:
        self._refuse("quantile")

    def argmedian(self, sample: Sample, relaxation: Relaxation) -> Float[Array, "..."]:
        self._refuse("argmedian")

    def median(self, sample: Sample, relaxation: Relaxation) -> Float[Array, "..."]:
        self._refuse("median")


class Fused(LargestMethod):
    """Soft indices that are alike at neighbours (fusedmax).

    [`softjax.solvers.FusedSimplexProjection`][] in any mode.

    **Arguments:**

    - `strength`: nonnegative, how much of total variation there is beside R.

    **Example:**

        >>> x = jnp.array([0.2, 1.0, 0.9, 0.1])
        >>> fused = sj.methods.Fused(strength=0.1)
        >>> print(sj.argmax(x, mode="c0", softness=1.0, method=fused))
        [0.  0.5 0.5 0. ]

    ??? cite

        Niculae and Blondel, "A regularized framework for sparse and structured neural
        attention", NeurIPS 2017.
    """

    strength: float | Array

    def problem(self, keys: Keys, softness: Softness, where: Mask) -> Problem:
        return FusedSimplexProjection(keys, softness, self.strength, where)


class Clustered(LargestMethod):
    """Soft indices that are equal where elements are close (oscarmax).

    [`softjax.solvers.ClusteredSimplexProjection`][] in any mode.

    **Arguments:**

    - `strength`: nonnegative, how much of the sum of the larger one of all pairs there
        is beside R.

    **Example:**

        >>> x = jnp.array([0.9, 0.1, 0.8, 0.2])
        >>> clustered = sj.methods.Clustered(strength=0.1)
        >>> print(sj.argmax(x, mode="c0", softness=1.0, method=clustered))
        [0.5 0.  0.5 0. ]

    ??? cite

        Niculae and Blondel, "A regularized framework for sparse and structured neural
        attention", NeurIPS 2017.
    """

    strength: float | Array

    def problem(self, keys: Keys, softness: Softness, where: Mask) -> Problem:
        return ClusteredSimplexProjection(keys, softness, self.strength, where)


class Grouped(LargestMethod):
    """Soft indices in few groups, by the largest entry of each.

    [`softjax.solvers.GroupedSimplexProjection`][] in any mode.

    **Arguments:**

    - `groups`: the group of each element along the axis, integers from 0 to n - 1;
        elements with others have no penalty.
    - `strength`: nonnegative, how much of the sum of the largest entries there is
        beside R.

    **Example:**

        >>> x = jnp.array([0.9, 0.8, 0.7, 0.2])
        >>> grouped = sj.methods.Grouped(jnp.array([0, 0, 1, 1]), strength=0.5)
        >>> print(sj.argmax(x, mode="c0", softness=1.0, method=grouped))
        [0.45 0.45 0.05 0.05]

    ??? cite

        Zhao, Rocha and Yu, "The composite absolute penalties family for grouped and
        hierarchical variable selection", Annals of Statistics 37 (2009).
    """

    groups: Int[Array, " n"]
    strength: float | Array

    def problem(self, keys: Keys, softness: Softness, where: Mask) -> Problem:
        parts = keys, softness, self.strength, self.groups, where
        return GroupedSimplexProjection(*parts)


class GroupLasso(LargestMethod):
    """Soft indices in few groups, by the Euclidean length of each.

    [`softjax.solvers.GroupLassoProjection`][], in the mode `"c0"`.

    **Arguments:** those of [`softjax.methods.Grouped`][].

    **Example:**

        >>> x = jnp.array([0.9, 0.8, 0.7, 0.2])
        >>> grouped = sj.methods.GroupLasso(jnp.array([0, 0, 1, 1]), strength=0.5)
        >>> print(sj.argmax(x, mode="c0", softness=1.0, method=grouped))
        [0.448 0.393 0.133 0.026]

    ??? cite

        Yuan and Lin, "Model selection and estimation in regression with grouped
        variables", Journal of the Royal Statistical Society B 68 (2006).
    """

    groups: Int[Array, " n"]
    strength: float | Array

    def problem(self, keys: Keys, softness: Softness, where: Mask) -> Problem:
        return GroupLassoProjection(keys, softness, self.strength, self.groups, where)


class Metric(LargestMethod):
    """Soft indices in a metric, in which elements know each other.

    [`softjax.solvers.MetricSimplexProjection`][] in any mode.

    **Arguments:**

    - `metric`: a positive semidefinite matrix `n n` along the axis, or an operator of
        Lineax, of which half the quadratic form is beside R.

    **Example:**

        >>> x = jnp.array([1.0, 0.9, 0.7])
        >>> alike = jnp.array([[1.0, 1.0, 0.0], [1.0, 1.0, 0.0], [0.0, 0.0, 1.0]])
        >>> metric = sj.methods.Metric(alike)
        >>> print(sj.argmax(x, mode="c0", softness=0.5, method=metric))
        [0.457 0.257 0.286]
    """

    metric: Any

    def problem(self, keys: Keys, softness: Softness, where: Mask) -> Problem:
        return MetricSimplexProjection(keys, softness, self.metric, where)


class Normmax(LargestMethod):
    """Soft indices by a norm in the place of its power (normmax).

    [`softjax.solvers.NormSimplexProjection`][], in the mode of a p-norm, `"c0"` for p =
    2. Elements further behind the largest than the softness have an entry of 0.

    **Example:**

        >>> x = jnp.array([0.2, 1.0, 0.7])
        >>> normmax = sj.methods.Normmax()
        >>> print(sj.argmax(x, mode="c0", softness=1.0, method=normmax))
        [0.028 0.591 0.38 ]

    ??? cite

        Blondel, Martins and Niculae, "Learning with Fenchel-Young losses", JMLR 21
        (2020).
    """

    def problem(self, keys: Keys, softness: Softness, where: Mask) -> Problem:
        return NormSimplexProjection(keys, softness, where)


class Sparse(LargestMethod):
    """Soft indices of the k largest elements, 0 at all others.

    [`softjax.solvers.SparseSimplexProjection`][] in any mode. Where another element
    enters, the index may jump.

    **Arguments:**

    - `k`: an integer from 1 to the length of the axis.

    **Example:**

        >>> x = jnp.array([0.2, 1.0, 0.7, 0.9])
        >>> print(sj.argmax(x, softness=0.5, method=sj.methods.Sparse(2)))
        [0.   0.55 0.   0.45]

    ??? cite

        Kyrillidis, Becker, Cevher and Koch, "Sparse projections onto the simplex", ICML
        2013.
    """

    k: int = eqx.field(static=True)

    def problem(self, keys: Keys, softness: Softness, where: Mask) -> Problem:
        return SparseSimplexProjection(keys, self.k, softness, where)
