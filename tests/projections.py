"""The shared list of projections of five scores onto vectors of a fixed sum."""

from collections.abc import Callable
from typing import NamedTuple

import coupled
import inputs
import jax.numpy as jnp
import numpy as np

from softjax import solvers

SIZE = coupled.SIZE
IDS = np.array([0, 1, 0, 1, 1])
WEIGHTS = np.array([0.5, 2.0, 1.0, 0.0, 1.5])
_COST = inputs.rng("projections").normal(size=(SIZE, 4))
_SHARES = np.full(SIZE, 1 / SIZE), np.full(4, 1 / 4)


class Projection(NamedTuple):
    """A projection, and how it is tested.

    - `make`: from scores `*batch SIZE` and a softness.
    - `modes`: what it is tested with.
    """

    name: str
    make: Callable[..., solvers.Problem]
    modes: tuple[str, ...] = ("c0", "smooth", "c1")


def _permutahedron(w):
    return lambda z, s: solvers.PermutahedronProjection(z, jnp.asarray(w), s)


PROJECTIONS = [
    Projection("simplex", solvers.SimplexProjection),
    Projection(
        "weighted_simplex",
        lambda z, s: solvers.SimplexProjection(z, s, weights=WEIGHTS),
    ),
    Projection(
        "segments", lambda z, s: solvers.SegmentedSimplexProjection(z, s, IDS, 2)
    ),
    Projection("hypersimplex", lambda z, s: solvers.HypersimplexProjection(z, 2, s)),
    Projection(
        "weighted_hypersimplex",
        lambda z, s: solvers.HypersimplexProjection(z, 2, s, weights=WEIGHTS),
    ),
    Projection(
        "segments_of_masks",
        lambda z, s: solvers.SegmentedHypersimplexProjection(z, 1.5, s, IDS, 2),
    ),
    Projection("permutahedron", _permutahedron([2.0, 0.3, 1.0, 0.9, 0.1])),
    Projection("signed_permutahedron", _permutahedron([2.0, 0.3, -1.0, 0.9, 0.0])),
    Projection(
        "transport",
        lambda z, s: solvers.TransportProjection(z[..., None] * _COST, *_SHARES, s),
    ),
    Projection("softsort", lambda z, s: solvers.SoftSortRows(None, z, s)),
    Projection("neuralsort", lambda z, s: solvers.NeuralSortRows(None, z, s)),
    Projection(
        "linear_program",
        lambda z, s: solvers.LinearProgram(z, jnp.ones((1, SIZE)), 1.0, softness=s),
    ),
] + [
    Projection(
        case.name, lambda z, s, case=case: case.make(z, s, case.strength), case.modes
    )
    for case in coupled.COUPLED
    if case.name != "norm"  # takes p-norms alone
]
