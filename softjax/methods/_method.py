"""The interface of a formulation: which linear program stands for an operator."""

from __future__ import annotations

import abc
import dataclasses
from typing import Any, ClassVar

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from softjax_solvers import (
    Means,
    Problem,
    Readout,
    Regularizer,
    Solution,
    evaluate,
    solve,
)
from softjax_solvers.internal import evaluate_all, exact_einsum

from ._intervals import Intervals
from ._sample import Sample
from ._shares import Logarithms, Plain, Shares


class Relaxation(eqx.Module):
    """The regularizer, softness and solver that soften an operator in any formulation.

    **Attributes:**

    - `regularizer`, `solver`: as `softjax.solvers.solve` takes them.
    - `softness`: `*#batch 1`.
    - `shares`: what soft indices are made of, and `primal` returns.

    **Example:**

        >>> relaxation = sj.methods.Relaxation(sj.solvers.Entropy(), jnp.array([0.1]))
        >>> problem = sj.solvers.SimplexProjection(jnp.array([0.2, 1.0, 0.7]), 0.1)
        >>> print(relaxation.solve(problem).value)
        [0.    0.952 0.047]
    """

    regularizer: Regularizer
    softness: Float[Array, "*#batch 1"]
    solver: Any = None
    shares: Shares = Plain()

    def in_logs(self) -> Relaxation:
        """This relaxation, with logarithms of soft indices."""
        return dataclasses.replace(self, shares=Logarithms())

    def solve(self, problem: Problem, linear_solver: Any = None) -> Solution:
        return solve(problem, self.regularizer, self.solver, linear_solver)

    def evaluate(
        self, problem: Problem, readout: Readout, linear_solver: Any = None
    ) -> Array:
        """`solve(problem).read(readout)`, in one step."""
        solver = self.solver
        return evaluate(problem, self.regularizer, readout, solver, linear_solver)

    def evaluate_all(self, problem: Problem, *readouts: Readout) -> tuple[Array, ...]:
        """Several readouts of one solution."""
        return evaluate_all(problem, self.regularizer, self.solver, *readouts)

    def primal(self, problem: Problem, linear_solver: Any = None) -> Array:
        """The solution of a problem, or its logarithm: see `shares`."""
        return self.evaluate(problem, self.shares.readout, linear_solver)

    def expectation(self, problem: Problem, values: Float[Array, "..."]) -> Array:
        """Means of values under the solution of a problem."""
        return self.evaluate(problem, Means(values))


class Method(eqx.Module):
    """A formulation. One method an operator; positions count from the largest key.

    Each takes a [`softjax.methods.Sample`][] and a [`softjax.methods.Relaxation`][].
    Soft indices have the candidates on their last axis, in the sample's order. Elements
    behind the mask of a sample have no part in the results: rows and values of the
    first units of mass, as many as the row has, are those of the elements that take
    part, and entries beyond them have no meaning, nor have ranks behind the mask.

    **Attributes:**

    - `takes_weights`: names of the operators that take a sample with `mass`; others
        raise `ValueError`.
    - `in_logs`: whether soft indices are made of `Relaxation.primal` and
        `Relaxation.shares` alone, so that they are logarithms where these are. If not,
        their logarithms are taken.
    - `reads_points`: whether an interval without length may be asked for, which is the
        element that holds it.
    - `shares_equally`: whether `argmax` of equal elements has equal shares of them.

    **Example:**

        >>> sample = sj.methods.Sample(jnp.array([0.2, 1.0, 0.7]))
        >>> relaxation = sj.methods.Relaxation(sj.solvers.Entropy(), jnp.array([0.1]))
        >>> print(sj.methods.SoftSort().sort(sample, relaxation))
        [0.986 0.711 0.204]
    """

    takes_weights: ClassVar[frozenset[str]] = frozenset()
    in_logs: ClassVar[bool] = False
    reads_points: ClassVar[bool] = True
    shares_equally: ClassVar[bool] = False

    def check_weights(self, sample: Sample, operator: str) -> None:
        """Raise `ValueError` if a sample has mass that an operator can't be given."""
        asked = named(operator)
        if sample.mass is None or asked in self.takes_weights:
            return
        names = ", ".join(map(repr, able(asked)))
        raise ValueError(
            f"{operator}: method={type(self).__name__}() takes no weights. Use method="
            f"{names} or mode='hard', or leave elements out by where=."
        )

    def check_total(self, total: np.ndarray, size: int, operator: str) -> None:
        """Raise `ValueError` if rows have more mass than an operator can be given.

        Default: nothing is refused.

        **Arguments:**

        - `total`: the mass of each row, of any shape.
        - `size`: the number of elements of a row.
        """

    @abc.abstractmethod
    def argsort(self, sample: Sample, relaxation: Relaxation) -> Float[Array, "..."]:
        """Soft indices `*batch n n`, from the largest to the smallest."""

    @abc.abstractmethod
    def sort(self, sample: Sample, relaxation: Relaxation) -> Float[Array, "..."]:
        """Values `*batch n`, from the largest to the smallest."""

    @abc.abstractmethod
    def rank(self, sample: Sample, relaxation: Relaxation) -> Float[Array, "..."]:
        """Positions `*batch n` from 1 (the largest) to n, in the sample's order."""

    @abc.abstractmethod
    def argmax(self, sample: Sample, relaxation: Relaxation) -> Float[Array, "..."]:
        """A soft index `*batch n`."""

    @abc.abstractmethod
    def max(self, sample: Sample, relaxation: Relaxation) -> Float[Array, "..."]:
        """A value `*batch`."""

    @abc.abstractmethod
    def top_k(
        self, sample: Sample, relaxation: Relaxation, k: int
    ) -> tuple[Float[Array, "..."], Float[Array, "..."] | None]:
        """The k largest values `*batch k`, and their soft indices `*batch k n`."""

    @abc.abstractmethod
    def argquantile(
        self, sample: Sample, relaxation: Relaxation, intervals: Intervals
    ) -> Float[Array, "..."]:
        """Soft indices `*batch m n`."""

    @abc.abstractmethod
    def quantile(
        self, sample: Sample, relaxation: Relaxation, intervals: Intervals
    ) -> Float[Array, "..."]:
        """Values `*batch m`."""

    @abc.abstractmethod
    def argmedian(self, sample: Sample, relaxation: Relaxation) -> Float[Array, "..."]:
        """A soft index `*batch n`."""

    @abc.abstractmethod
    def median(self, sample: Sample, relaxation: Relaxation) -> Float[Array, "..."]:
        """A value `*batch`."""


ALL_OPERATORS = frozenset(
    {
        *("argsort", "sort", "rank", "argmax", "max", "top_k"),
        *("argquantile", "quantile", "argmedian", "median"),
    }
)
"""Names of the operators that a method may be asked for."""

_ALIASES = dict(
    min="max",
    argmin="argmax",
    ranking="rank",
    percentile="quantile",
    argpercentile="argquantile",
    cummax="max",
    cummin="max",
    partition="sort",
    argpartition="argsort",
)
"""Operator -> that of a method which it asks for."""


def named(operator: str) -> str:
    """The name of what an operator asks a method for."""
    asked = operator.removeprefix("nan")
    return _ALIASES.get(asked, asked)


def able(asked: str) -> list[str]:
    """Names of the methods that take weights where they are asked for that."""
    from . import METHODS  # which are made here

    made = {name: make() for name, make in METHODS.items()}
    return [name for name, method in made.items() if asked in method.takes_weights]


class IndexMethod(Method):
    """A formulation that yields soft indices.

    `argsort` has to be defined; everything else has a default derived from it, to be
    overridden by what the formulation can do faster.

    **Attributes:**

    - `cuts_off`: whether, in a sparse mode, the first soft indices are those of the
        first elements alone, however many are smaller: neither a plan of optimal
        transport, whose costs depend on their number, nor a sorting network, in which
        all meet.

    **Example:**

        >>> class Uniform(sj.methods.IndexMethod):
        ...     def argsort(self, sample, relaxation):
        ...         return jnp.full((sample.size, sample.size), 1 / sample.size)
        ...
        >>> print(sj.median(jnp.array([0.0, 1.0, 5.0]), method=Uniform()))
        2.0
    """

    cuts_off: ClassVar[bool] = False

    def sort(self, sample: Sample, relaxation: Relaxation) -> Float[Array, "..."]:
        return expect(self.argsort(sample, relaxation), sample)

    def rank(self, sample: Sample, relaxation: Relaxation) -> Float[Array, "..."]:
        cells = sample.cells(sample.size)
        mass = jnp.asarray(cells.stop - cells.start)[..., None]
        index = self.argsort(sample, relaxation) * mass
        positions = jnp.arange(1, sample.size + 1, dtype=index.dtype)
        # The columns of a soft permutation matrix need not add up to 1.
        return jnp.einsum("...ij,i->...j", index, positions) / jnp.sum(index, axis=-2)

    def argmax(self, sample: Sample, relaxation: Relaxation) -> Float[Array, "..."]:
        return self.argsort(sample, relaxation)[..., 0, :]

    def max(self, sample: Sample, relaxation: Relaxation) -> Float[Array, "..."]:
        return expect(self.argmax(sample, relaxation)[..., None, :], sample)[..., 0]

    def top_k(
        self, sample: Sample, relaxation: Relaxation, k: int
    ) -> tuple[Float[Array, "..."], Float[Array, "..."] | None]:
        index = self.argsort(sample, relaxation)[..., :k, :]
        return expect(index, sample), index

    def argquantile(
        self, sample: Sample, relaxation: Relaxation, intervals: Intervals
    ) -> Float[Array, "..."]:
        return relaxation.shares.read(intervals, self.argsort(sample, relaxation))

    def quantile(
        self, sample: Sample, relaxation: Relaxation, intervals: Intervals
    ) -> Float[Array, "..."]:
        return expect(self.argquantile(sample, relaxation, intervals), sample)

    def argmedian(self, sample: Sample, relaxation: Relaxation) -> Float[Array, "..."]:
        index = self.argsort(sample, relaxation)
        return relaxation.shares.read(sample.median_cells(), index)[..., 0, :]

    def median(self, sample: Sample, relaxation: Relaxation) -> Float[Array, "..."]:
        return expect(self.argmedian(sample, relaxation)[..., None, :], sample)[..., 0]


def expect(
    index: Float[Array, "*batch m n"], sample: Sample
) -> Float[Array, "*batch m"]:
    """The means of a sample's values under soft indices."""
    values = sample.values
    if sample.where is not None:
        values = jnp.where(sample.where, values, 0)
    return exact_einsum("...mn,...n->...m", index, values)


class ValueMethod(Method):
    """A formulation that yields values only.

    `sort` and `rank` have to be defined; other values are read off the sorted ones,
    `top_k` has no soft indices, and index operators are refused.

    **Example:**

        >>> class Network(sj.methods.ValueMethod):
        ...     def sort(self, sample, relaxation):
        ...         return sj.methods.SortingNetwork().sort(sample, relaxation)
        ...     def rank(self, sample, relaxation):
        ...         return sj.methods.SortingNetwork().rank(sample, relaxation)
        ...
        >>> print(sj.sort(jnp.array([0.2, 1.0, 0.7]), method=Network()))
        [0.204 0.711 0.986]
    """

    def argsort(self, sample: Sample, relaxation: Relaxation) -> Float[Array, "..."]:
        raise self._no_index("argsort")

    def argmax(self, sample: Sample, relaxation: Relaxation) -> Float[Array, "..."]:
        raise self._no_index("argmax and argmin")

    def argquantile(
        self, sample: Sample, relaxation: Relaxation, intervals: Intervals
    ) -> Float[Array, "..."]:
        raise self._no_index("argquantile and argpercentile")

    def argmedian(self, sample: Sample, relaxation: Relaxation) -> Float[Array, "..."]:
        raise self._no_index("argmedian")

    def max(self, sample: Sample, relaxation: Relaxation) -> Float[Array, "..."]:
        return self.sort(sample, relaxation)[..., 0]

    def top_k(
        self, sample: Sample, relaxation: Relaxation, k: int
    ) -> tuple[Float[Array, "..."], Float[Array, "..."] | None]:
        return self.sort(sample, relaxation)[..., :k], None

    def quantile(
        self, sample: Sample, relaxation: Relaxation, intervals: Intervals
    ) -> Float[Array, "..."]:
        return intervals.read(self.sort(sample, relaxation))

    def median(self, sample: Sample, relaxation: Relaxation) -> Float[Array, "..."]:
        return sample.median_cells().read(self.sort(sample, relaxation))[..., 0]

    def _no_index(self, name: str) -> ValueError:
        return ValueError(
            f"method={type(self).__name__}() yields values and no soft indices, so it "
            f"cannot serve {name}. Use method='softsort' or method='neuralsort'."
        )
