"""The shared lists: what joins one of them takes part in every test over it."""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax.numpy as jnp
import jaxopt
import numpy as np
import optimistix as optx
import oracles
import scipy.special
from jaxtyping import Array

import softjax as sj
from softjax.solvers import (
    BinaryEntropy,
    DualCoordinateAscent,
    Entropy,
    LogBarrier,
    PNorm,
    Regularizer,
    Scaled,
    SemiDual,
    Sum,
    Tsallis,
    TwoSided,
    get_regularizer,
    link_from_gradient,
)


class Shifted(Regularizer):
    """`r'(y) = log(1 + y)`, given by its link alone."""

    def link(self, t):
        return jnp.expm1(jnp.maximum(t, 0))


class Mixed(Regularizer):
    """`r'(y) = log y + weight y`, given by that alone."""

    weight: float | Array = 1.0

    def gradient(self, y):
        return jnp.log(y) + self.weight * y

    def link(self, t):
        return link_from_gradient(self.gradient, t)


class Case(NamedTuple):
    """A regularizer, and the facts about it that references are computed from.

    - `link`: in NumPy; `at_zero`, `at_one`: r'(0) and r'(1).
    - `smoothness`: how many times projections are continuously differentiable.
    - `closed_form`: whether there is one for the dual of a simplex projection.
    - `convex`: whether the link is, where it is above 0.
    - `bounded`: whether the link is, or the numbers that it can be applied to.
    - `integrable`: whether the integral of its sigmoid is finite.
    - `steep`: whether the slope of the link is infinite where it leaves 0.
    - `exponential`: whether the link is an exponential.
    - `transition`: r'(0) and r'(1) of what it is a multiple of, if it is.
    """

    name: str
    mode: str | Regularizer
    link: oracles.Link
    at_zero: float
    at_one: float
    smoothness: float
    closed_form: bool = False
    convex: bool = True
    bounded: bool = False
    integrable: bool = True
    steep: bool = False
    exponential: bool = False
    transition: tuple[float, float] | None = None

    @property
    def regularizer(self) -> Regularizer:
        return get_regularizer(self.mode)

    @property
    def ends(self) -> tuple[float, float]:
        """The values of r' at 0 and 1 that the width of a transition is found from."""
        return self.transition or (self.at_zero, self.at_one)


def _pnorm(k: int, closed_form: bool = False) -> Case:
    link = oracles.power_link((k + 2) / (k + 1))
    return Case(f"c{k}", f"c{k}", link, 0.0, 1.0, k, closed_form)


def _sigmoid(name: str, link: oracles.Link, reach: float, smoothness: float) -> Case:
    return Case(name, name, link, -reach, reach, smoothness, convex=False, bounded=True)


REGULARIZERS = [
    Case(
        "smooth",
        "smooth",
        oracles.exp_link,
        -math.inf,
        0.0,
        math.inf,
        closed_form=True,
        exponential=True,
    ),
    _pnorm(0, closed_form=True),
    _pnorm(1, closed_form=True),
    _pnorm(2),
    _pnorm(4),
    _sigmoid("cubic", oracles.cubic_link, 0.5, 1),
    _sigmoid("quintic", oracles.quintic_link, 0.5, 2),
    _sigmoid("pseudohuber", oracles.pseudohuber_link, math.inf, math.inf),
    Case("user_link", Shifted(), oracles.expm1_link, 0.0, math.log(2), 0),
    Case("user_gradient", Mixed(), oracles.mixed_link, -math.inf, 1.0, math.inf),
]


# What is made of others, or differs from them in one respect. Of operators, each takes
# part in one test.
FURTHER = [
    Case("tsallis", Tsallis(1.5), oracles.tsallis_link(1.5), -4 / 3, 2 / 3, 1, True),
    Case("tsallis_2", Tsallis(2), oracles.tsallis_link(2), -0.5, 0.5, 0, True),
    Case(
        "tsallis_1",
        Tsallis(1.0),
        oracles.tsallis_link(1.0),
        -math.inf,
        1.0,
        math.inf,
        closed_form=True,
        exponential=True,
    ),
    Case(
        "tsallis_half",
        Tsallis(0.5),
        oracles.tsallis_link(0.5),
        -math.inf,
        2.0,
        math.inf,
        bounded=True,
    ),
    Case(
        "tsallis_3",
        Tsallis(3.0),
        oracles.tsallis_link(3.0),
        -1 / 6,
        1 / 3,
        0,
        convex=False,
        steep=True,
    ),
    Case(
        "binary",
        BinaryEntropy(),
        scipy.special.expit,
        -math.inf,
        math.inf,
        math.inf,
        convex=False,
        bounded=True,
    ),
    Case(
        "scaled",
        Scaled(PNorm(1.5), 2.5),
        lambda t: np.maximum(np.asarray(t) / 2.5, 0.0) ** 2,
        0.0,
        2.5,
        1,
        True,
        transition=(0.0, 1.0),
    ),
    Case("sum", Sum(Entropy(), PNorm(2)), oracles.mixed_link, -math.inf, 1, math.inf),
    Case(
        "two_sided",
        TwoSided(PNorm(1.5)),
        lambda t: oracles.two_point_oracle(t, oracles.power_link(1.5)),
        -1.0,
        1.0,
        1,
        convex=False,
        bounded=True,
    ),
    Case(
        "barrier",
        LogBarrier(),
        oracles.barrier_link,
        -math.inf,
        -1.0,
        math.inf,
        bounded=True,
        integrable=False,
    ),
]
ALL_REGULARIZERS = REGULARIZERS + FURTHER


class SolverCase(NamedTuple):
    """A solver as the keyword `solver` takes it, and its name in the tests."""

    name: str
    solver: Any
    closed_form: bool = False

    def solves(self, case: Case) -> bool:
        """Whether it can project onto the simplex with that regularizer."""
        return case.closed_form or not self.closed_form


_ACCURACY = dict(rtol=1e-6, atol=1e-6)

SOLVERS = [
    SolverCase("default", None),
    SolverCase("closed_form", "closed_form", closed_form=True),
    SolverCase("newton", "newton"),
    SolverCase("optx.Newton", optx.Newton(**_ACCURACY)),
    SolverCase("optx.Bisection", optx.Bisection(**_ACCURACY)),
    SolverCase("optx.Dogleg", optx.Dogleg(**_ACCURACY)),
    SolverCase("optx.LevenbergMarquardt", optx.LevenbergMarquardt(**_ACCURACY)),
]


class TransportSolver(NamedTuple):
    """A solver of transport problems, and the error that its plans may have."""

    name: str
    solver: Any
    atol: float = 1e-5
    entropy_only: bool = False

    def solves(self, case: Case) -> bool:
        return case.exponential or not self.entropy_only


_CLOSE = dict(rtol=1e-7, atol=1e-7)

TRANSPORT_SOLVERS = [
    TransportSolver("default", None),
    TransportSolver("semi_dual", "semi_dual"),
    TransportSolver("alternating", DualCoordinateAscent()),
    TransportSolver("sinkhorn", "sinkhorn", entropy_only=True),
    TransportSolver("started", SemiDual(alternations=2)),
    TransportSolver("optx.LBFGS", optx.LBFGS(**_CLOSE), 2e-4),
    TransportSolver("optx.BFGS", optx.BFGS(**_CLOSE), 2e-4),
    TransportSolver("jaxopt.LBFGS", jaxopt.LBFGS, 2e-4),
    TransportSolver(
        "jaxopt.BFGS", jaxopt.BFGS(fun=jnp.sum, maxiter=200, tol=1e-5), 2e-4
    ),
]

INDEX_METHODS = ["softsort", "neuralsort", "ot", "sorting_network"]
VALUE_METHODS = ["fast_soft_sort", "smooth_sort"]
METHODS = INDEX_METHODS + VALUE_METHODS

# By default a method is tested with one regularizer, with all others in slow tests.
REPRESENTATIVES: dict[str, str | None] = {
    "softsort": "smooth",
    "neuralsort": "c0",
    "ot": "c1",
    "fast_soft_sort": "c0",
    "smooth_sort": "smooth",
    "sorting_network": "quintic",
}


class Operator(NamedTuple):
    """An operator along the last axis, with one result.

    `call(x, **keywords)` takes the common keywords of axiswise operators, also one that
    makes no difference to it. The result is of the kind

    - `"index"`: distributions over the candidates, which are its last axis;
    - `"value"`: in the unit of x, and moving with it;
    - `"rank"`: positions, of the shape of x;
    - `"mask"`: soft booleans, of the shape of x, two of them true.
    """

    name: str
    call: Callable[..., Array]
    kind: str


_Q = (0.2, 0.75)

OPERATORS = [
    Operator("argmax", lambda x, **kw: sj.argmax(x, axis=-1, **kw), "index"),
    Operator("max", lambda x, **kw: sj.max(x, axis=-1, **kw), "value"),
    Operator("argmin", lambda x, **kw: sj.argmin(x, axis=-1, **kw), "index"),
    Operator("min", lambda x, **kw: sj.min(x, axis=-1, **kw), "value"),
    Operator("argsort", lambda x, **kw: sj.argsort(x, **kw), "index"),
    Operator("sort", lambda x, **kw: sj.sort(x, **kw), "value"),
    Operator(
        "argquantile",
        lambda x, **kw: sj.argquantile(x, jnp.asarray(_Q), axis=-1, **kw),
        "index",
    ),
    Operator(
        "quantile",
        lambda x, **kw: sj.quantile(x, jnp.asarray(_Q), axis=-1, **kw),
        "value",
    ),
    Operator("argmedian", lambda x, **kw: sj.argmedian(x, axis=-1, **kw), "index"),
    Operator("median", lambda x, **kw: sj.median(x, axis=-1, **kw), "value"),
    Operator(
        "argpercentile",
        lambda x, **kw: sj.argpercentile(x, 30.0, axis=-1, **kw),
        "index",
    ),
    Operator(
        "percentile", lambda x, **kw: sj.percentile(x, 30.0, axis=-1, **kw), "value"
    ),
    Operator("top_k_values", lambda x, **kw: sj.top_k(x, 2, **kw)[0], "value"),
    Operator("top_k_index", lambda x, **kw: sj.top_k(x, 2, **kw)[1], "index"),
    Operator("rank", lambda x, **kw: sj.rank(x, **kw), "rank"),
    Operator("ranking", lambda x, **kw: sj.ranking(x, **kw), "rank"),
    Operator(
        "top_k_mask", lambda x, method=None, **kw: sj.top_k_mask(x, 2, **kw), "mask"
    ),
    Operator(
        "hypersimplex_mask",
        lambda x, method=None, **kw: sj.top_k_mask(x, 2, method="hypersimplex", **kw),
        "mask",
    ),
]
