"""Check of a structure: its oracle, recursion, list, partition and marginals."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, PyTree

from softjax_solvers.internal import differ, distance_to_hull, report

from ._functions import argmax, value
from ._semirings import ABSENT
from ._structure import DynamicProgram, Structure
from .semirings import Hard

_DRAWS = 24
"""Number of random scores that the oracle is asked at."""

_STEP = 1e-5
"""Step of differences."""


class StructureReport(NamedTuple):
    """Findings of [`softjax.structured.check_structure`][].

    **Attributes:**

    - `problems`: what is wrong, one sentence each; empty if nothing is.
    - `structures`: how many different ones were seen.
    - `complete`: whether these are known to be all.
    - `binary`: whether all are of zeros and ones.

    **Example:**

        >>> report = sj.structured.StructureReport((), 6, complete=True, binary=True)
        >>> print(report.consistent)
        True
        >>> print(report)
        consistent
        structures: all 6
        of zeros and ones: yes
    """

    problems: tuple[str, ...]
    structures: int
    complete: bool
    binary: bool

    @property
    def consistent(self) -> bool:
        return not self.problems

    def __str__(self) -> str:
        count = f"all {self.structures}" if self.complete else f"{self.structures} seen"
        binary = "yes" if self.binary else "no"
        return report(
            self.problems, [f"structures: {count}", f"of zeros and ones: {binary}"]
        )


def check_structure(
    structure: Structure,
    scores: PyTree[Array],
    *,
    most: int = 200,
    tolerance: float = 1e-4,
) -> StructureReport:
    """Check that the parts of a structure agree with each other.

    The oracle returns what is best of all that is seen; a recursion has its score as a
    maximum; the list of `k_best` is in order, starts with it and repeats nothing. If
    there are fewer than `most` structures, which that list shows, the sum of
    `log_partition` is that over all of them, which it is not if a recursion derives one
    in two ways; marginals and samples are among them. Marginals are the gradient of
    the value, with derivatives that agree with finite differences, and, in the mode
    `"c0"`, the nearest point by the oracle. All is computed in 64 bits. Takes some
    seconds, as everything is compiled: best at a small size.

    **Arguments:**

    - `structure`: the one to check; its arrays must not be traced.
    - `scores`: scores of a small size, to which random ones are added.
    - `most`: the length of the list.
    - `tolerance`: by how much, relative to values above 1, numbers may disagree.

    **Returns:** a [`softjax.structured.StructureReport`][], to print or to look into.

    **Raises:** `TypeError` if it is no [`softjax.structured.Structure`][].

    **Example:**

        >>> grid = sj.structured.GridPath()
        >>> print(sj.structured.check_structure(grid, jnp.zeros((3, 3))))
        consistent
        structures: all 6
        of zeros and ones: yes
    """
    if not isinstance(structure, Structure):
        raise TypeError(
            f"check_structure takes an instance of Structure, got {structure!r}."
        )
    with jax.enable_x64(True):
        try:
            structure.check(scores)
            return _Check(structure, scores, most, tolerance).report()
        except Exception as error:
            # Whatever a user's methods raise is the finding.
            words = f"It raises {type(error).__name__}: {error}"
            return StructureReport((words,), 0, False, False)


class _Check:
    """A structure with random scores, and the best at each; all as flat vectors."""

    def __init__(
        self, structure: Structure, scores: PyTree[Array], most: int, tolerance: float
    ):
        self.structure, self.most, self.tolerance = structure, most, tolerance
        scores = jax.tree.map(lambda z: jnp.asarray(z, jnp.float64), scores)
        flat, self.unravel = ravel_pytree(scores)
        self.rng = np.random.default_rng(0)
        noise = self.rng.normal(size=(_DRAWS, flat.size))
        self.present = np.asarray(flat) > ABSENT / 2
        self.scores = np.asarray(flat) + noise
        self.known = np.where(self.present, self.scores, 0)
        self.best = self.of_flat(structure.oracle)

    def of_flat(self, fn: Callable[[Any], PyTree]) -> Callable[[Any], np.ndarray]:
        """A function of scores as one of vectors."""
        program = jax.jit(lambda z: ravel_pytree(fn(self.unravel(z)))[0])
        return lambda z: np.asarray(program(jnp.asarray(z)))

    def report(self) -> StructureReport:
        scores = self.unravel(self.scores[0])
        best = jax.eval_shape(self.structure.oracle, scores)
        given, got = (jax.tree.map(jnp.shape, tree) for tree in (scores, best))
        if given != got:
            words = f"oracle returns the shapes {got}, for scores of {given}."
            return StructureReport((words,), 0, False, False)
        seen = np.stack([self.best(z) for z in self.scores])
        problems = [*self.check_oracle(seen)]
        binary = bool(np.all((seen == 0) | (seen == 1)))
        if not np.all(np.isfinite(seen)):
            return StructureReport(tuple(problems), 0, False, False)
        every, complete = np.unique(seen, axis=0), False
        if isinstance(self.structure, DynamicProgram):
            problems += self.check_recursion(seen)
        if binary:
            listed, complete, found = self.check_list(seen)
            problems += found
            every = np.unique(np.concatenate([seen, listed]), axis=0)
        if complete:
            problems += self.check_partition(every)
            problems += self.check_samples(every)
        problems += self.check_marginals(every if complete else None)
        return StructureReport(tuple(problems), len(every), complete, binary)

    def check_oracle(self, seen: np.ndarray) -> Iterator[str]:
        """Findings about what is best, by all structures that were."""
        if not np.all(np.isfinite(seen)):
            yield "oracle returns a structure that is not finite."
            return
        if np.any(seen < 0):
            yield f"oracle returns an entry of {seen.min():.3g}; none may be negative."
        if np.any(seen[:, ~self.present]):
            yield "oracle returns a part of the score ABSENT."
        values = self.known @ seen.T
        own = np.diag(values)
        i = int(np.argmax(values.max(axis=1) - own))
        if values[i].max() > own[i] + self.tolerance:
            yield (
                f"oracle returns a structure of the score {own[i]:.6g}, where another "
                f"one, which it returns for other scores, has {values[i].max():.6g}."
            )

    def check_recursion(self, seen: np.ndarray) -> Iterator[str]:
        structure: Any = self.structure
        largest = self.of_flat(lambda z: structure.recursion(z, Hard()))
        got = np.array([largest(z) for z in self.scores]).ravel()
        expected = np.sum(self.known * seen, axis=1)
        words = "The maximum by recursion, which should be the score of oracle,"
        yield from differ(words, got, expected, self.tolerance)

    def check_list(self, seen: np.ndarray) -> tuple[np.ndarray, bool, list[str]]:
        """The list of the best, whether it is of all, and findings about it."""
        ranked = jax.jit(lambda z: self.structure.k_best(self.unravel(z), self.most))
        values, structures = ranked(self.scores[0])
        listed = np.asarray(jax.vmap(lambda v: ravel_pytree(v)[0])(structures))
        values = np.asarray(values)
        there = values > ABSENT / 2
        values, listed = values[there], listed[there]
        complete, problems = not np.all(there), []
        if not len(values):
            return listed, False, ["k_best finds no structure."]
        problems += differ(
            "Scores of k_best, by its structures,",
            values,
            listed @ self.known[0],
            self.tolerance,
        )
        problems += differ(
            "The best of k_best, which should be that of oracle,",
            values[0],
            seen[0] @ self.known[0],
            self.tolerance,
        )
        if np.any(np.diff(values) > self.tolerance):
            problems.append("k_best is not in the order of scores.")
        different = len(np.unique(listed, axis=0))
        if different < len(listed):
            problems.append(
                f"k_best lists {len(listed)} structures, of which {different} are "
                "different: a recursion must derive each in one way only."
            )
        if complete:
            missing = _missing(seen, listed)
            if missing:
                problems.append(
                    f"k_best lists {different} structures as all, but oracle returns "
                    f"{missing} others."
                )
        return listed, complete, problems

    def check_partition(self, every: np.ndarray) -> Iterator[str]:
        log_partition = self.structure.log_partition()
        if log_partition is None:
            return
        total = self.of_flat(log_partition)
        got = np.array([total(z) for z in self.scores[:3]]).ravel()
        expected = np.logaddexp.reduce(self.known[:3] @ every.T, axis=1)
        words = f"log_partition, of all {len(every)} structures,"
        yield from differ(words, got, expected, self.tolerance)

    def check_samples(self, every: np.ndarray) -> Iterator[str]:
        def flat_draw(key, z):
            return ravel_pytree(self.structure.sample(key, self.unravel(z)))[0]

        keys = jax.random.split(jax.random.key(0), 8)
        try:
            drawn = jax.jit(jax.vmap(flat_draw, (0, None)))(keys, self.scores[0])
        except TypeError:
            return  # None can be drawn, which is allowed.
        if _missing(np.asarray(drawn), every):
            yield "sample returns what is no structure."

    def check_marginals(self, every: np.ndarray | None) -> Iterator[str]:
        z, d = self.scores[0], self.present * self.rng.normal(size=self.scores[0].size)
        structure = self.structure
        soft = self.of_flat(lambda z: value(structure, z, softness=1.0))
        marginals = self.of_flat(lambda z: argmax(structure, z, softness=1.0))
        mu = marginals(z)
        yield from self.check_hull("Marginals", mu, every)
        slope = (soft(z + _STEP * d) - soft(z - _STEP * d)) / (2 * _STEP)
        words = "The derivative of value along a direction, by marginals,"
        yield from differ(words, np.reshape(mu @ d, (1,)), slope, self.tolerance)

        def flat(z):
            return ravel_pytree(argmax(structure, self.unravel(z), softness=1.0))[0]

        got = jax.jit(lambda z, d: jax.jvp(flat, (z,), (d,))[1])(z, d)
        expected = (marginals(z + _STEP * d) - marginals(z - _STEP * d)) / (2 * _STEP)
        words = "The derivative of marginals along a direction"
        yield from differ(words, got, expected, self.tolerance)
        options: Any = dict(mode="c0", method="marginals", softness=1.0)
        nearest = self.of_flat(lambda z: argmax(structure, z, **options))(z)
        yield from self.check_hull("Marginals in the mode 'c0'", nearest, every)
        steep = np.where(self.present, z - nearest, ABSENT)
        gap = (self.best(steep) - nearest) @ np.where(self.present, steep, 0)
        if not gap <= self.tolerance * (1 + np.abs(self.known[0]) @ nearest):
            yield (
                "Marginals in the mode 'c0' are not the nearest point by oracle, which "
                f"finds a structure that is better by {gap:.2g} to first order: see "
                "projection."
            )

    def check_hull(
        self, name: str, mu: np.ndarray, every: np.ndarray | None
    ) -> Iterator[str]:
        """A finding if marginals are outside of the polytope."""
        if every is not None:
            apart = distance_to_hull(mu, every)
        else:
            pairs = zip(self.scores, self.known, strict=True)
            tops = [self.best(z) @ known for z, known in pairs]
            apart = float(np.max(self.known @ mu - tops))
        if not apart <= self.tolerance:
            yield f"{name} are {apart:.2g} outside of the hull of structures."


def _missing(some: np.ndarray, every: np.ndarray) -> int:
    """How many rows are not among others."""
    return sum(not np.any(np.all(row == every, axis=1)) for row in some)
