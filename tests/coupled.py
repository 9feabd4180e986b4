"""The shared list of projections with regularizers that are not separable."""

from collections.abc import Callable
from typing import Any, NamedTuple

import inputs
import numpy as np
import oracles

from softjax import solvers

SIZE = 5
GROUPS = np.array([0, 1, 0, 1, 1])
POWER = {"c0": 2.0, "c1": 1.5}
_root = inputs.rng("metric").normal(size=(SIZE, 3))
METRIC = _root @ _root.T


class Coupled(NamedTuple):
    """A projection of rows of `SIZE`, and what it is.

    - `make`: from z, softness, strength and a mask.
    - `expected`: a reference in NumPy, of a mode, a row, softness, strength, and which
        entries of the row there are.
    - `modes`: what it is tested with.
    - `shared`: whether there is a strength.
    """

    name: str
    make: Callable[..., solvers.MaximizationProblem]
    expected: Callable[..., np.ndarray]
    modes: tuple[str, ...] = ("c0", "smooth", "c1")
    strength: float = 0.3


def _pieces(pieces: Callable[[np.ndarray], Any]):
    def expected(mode, z, softness, strength, here):
        args = softness, strength, pieces(here)
        return oracles.pieces_oracle(mode, z, *args)

    return expected


def _norm(mode, z, softness, strength, here):
    p = POWER[mode]

    def slope(y):
        return y ** (p - 1) * np.sum(y**p) ** (1 / p - 1)

    return oracles.smooth_oracle(
        None, z, softness, lambda y: np.sum(y**p) ** (1 / p), slope
    )


def _metric(mode, z, softness, strength, here):
    m = METRIC[np.ix_(here, here)]
    return oracles.smooth_oracle(
        mode, z, softness, lambda y: y @ m @ y / 2, lambda y: m @ y
    )


COUPLED = [
    Coupled(
        "fused",
        solvers.FusedSimplexProjection,
        _pieces(lambda here: oracles.steps(len(here))),
    ),
    Coupled(
        "clustered",
        solvers.ClusteredSimplexProjection,
        _pieces(lambda here: oracles.pairs(len(here))),
        strength=0.15,
    ),
    Coupled(
        "grouped",
        lambda z, s, a, where=None: solvers.GroupedSimplexProjection(
            z, s, a, GROUPS, where
        ),
        _pieces(lambda here: oracles.tops(GROUPS[here])),
    ),
    Coupled(
        "group_lasso",
        lambda z, s, a, where=None: solvers.GroupLassoProjection(
            z, s, a, GROUPS, where
        ),
        lambda mode, z, s, a, here: oracles.group_lasso_oracle(z, s, a, GROUPS[here]),
        ("c0",),
    ),
    Coupled(
        "sparse",
        lambda z, s, a, where=None: solvers.SparseSimplexProjection(z, 2, s, where),
        lambda mode, z, s, a, here: oracles.sparse_oracle(mode, z, min(2, len(z)), s),
    ),
    Coupled(
        "metric",
        lambda z, s, a, where=None: solvers.MetricSimplexProjection(
            z, s, METRIC, where
        ),
        _metric,
    ),
    Coupled(
        "norm",
        lambda z, s, a, where=None: solvers.NormSimplexProjection(z, s, where),
        _norm,
        tuple(POWER),
    ),
]

_rng = inputs.rng("coupled")
_Z = _rng.normal(size=(2, SIZE))
_ARRAYS = dict(
    z=_Z,
    softness=np.array([[0.9], [2.3]]),
    values=_rng.normal(size=(2, SIZE)),
)

_LINK_OF_POWER = "c0", "c1", "c2", "c4", "pnorm_p"

DERIVATIVES = [
    (
        case.name,
        lambda a, case=case: case.make(a["z"], a["softness"], a["strength"]),
        _ARRAYS | dict(strength=np.array(0.2 * case.strength)),
        dict(
            group_lasso=lambda name: name == "c0",
            norm=lambda name: name in _LINK_OF_POWER,
        ).get(case.name, lambda name: True),
    )
    for case in COUPLED
    if case.name != "metric"
] + [
    (
        "metric",
        lambda a: solvers.MetricSimplexProjection(
            a["z"], a["softness"], a["metric"] + a["metric"].T
        ),
        _ARRAYS | dict(metric=METRIC / 2),
        lambda name: True,
    )
]
"""Names, problems, arrays and regularizers, as `test_derivatives.py` has them."""

_FEW = GROUPS[:4], METRIC[:4, :4]

PUBLIC = {
    "FusedSimplexProjection": lambda x: solvers.FusedSimplexProjection(x, 0.3, 0.1),
    "ClusteredSimplexProjection": lambda x: solvers.ClusteredSimplexProjection(
        x, 0.3, 0.1
    ),
    "GroupedSimplexProjection": lambda x: solvers.GroupedSimplexProjection(
        x, 0.3, 0.1, _FEW[0]
    ),
    "GroupLassoProjection": lambda x: solvers.GroupLassoProjection(
        x, 0.3, 0.1, _FEW[0]
    ),
    "SparseSimplexProjection": lambda x: solvers.SparseSimplexProjection(x, 2, 0.3),
    "MetricSimplexProjection": lambda x: solvers.MetricSimplexProjection(
        x, 0.3, _FEW[1]
    ),
    "NormSimplexProjection": lambda x: solvers.NormSimplexProjection(x, 0.3),
}
"""Problems of four scores, by their names."""
