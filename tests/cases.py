"""The shared lists: what joins one of them takes part in every test over it."""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import helpers
import jax.numpy as jnp
import jaxopt
import numpy as np
import optimistix as optx
import pytest
import scipy.special
from jaxtyping import Array

import softjax as sj
from softjax.solvers import (
    Alternating,
    BinaryEntropy,
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
    link: helpers.Link
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
        """What the width of a transition is found from."""
        return self.transition or (self.at_zero, self.at_one)


def _pnorm(k: int, closed_form: bool = False) -> Case:
    link = helpers.power_link((k + 2) / (k + 1))
    return Case(f"c{k}", f"c{k}", link, 0.0, 1.0, k, closed_form)


def _sigmoid(name: str, link: helpers.Link, reach: float, smoothness: float) -> Case:
    return Case(name, name, link, -reach, reach, smoothness, convex=False, bounded=True)


REGULARIZERS = [
    Case(
        "smooth",
        "smooth",
        helpers.exp_link,
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
    _sigmoid("cubic", helpers.cubic_link, 0.5, 1),
    _sigmoid("quintic", helpers.quintic_link, 0.5, 2),
    _sigmoid("pseudohuber", helpers.pseudohuber_link, math.inf, math.inf),
    Case("user_link", Shifted(), helpers.expm1_link, 0.0, math.log(2), 0),
    Case("user_gradient", Mixed(), helpers.mixed_link, -math.inf, 1.0, math.inf),
]


# What is made of others, or differs from them in one respect. Of operators, each takes
# part in one test.
FURTHER = [
    Case("tsallis", Tsallis(1.5), helpers.tsallis_link(1.5), -4 / 3, 2 / 3, 1, True),
    Case("tsallis_2", Tsallis(2), helpers.tsallis_link(2), -0.5, 0.5, 0, True),
    Case(
        "tsallis_1",
        Tsallis(1.0),
        helpers.tsallis_link(1.0),
        -math.inf,
        1.0,
        math.inf,
        closed_form=True,
        exponential=True,
    ),
    Case(
        "tsallis_half",
        Tsallis(0.5),
        helpers.tsallis_link(0.5),
        -math.inf,
        2.0,
        math.inf,
        bounded=True,
    ),
    Case(
        "tsallis_3",
        Tsallis(3.0),
        helpers.tsallis_link(3.0),
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
    Case("sum", Sum(Entropy(), PNorm(2)), helpers.mixed_link, -math.inf, 1, math.inf),
    Case(
        "two_sided",
        TwoSided(PNorm(1.5)),
        lambda t: helpers.two_point_oracle(t, helpers.power_link(1.5)),
        -1.0,
        1.0,
        1,
        convex=False,
        bounded=True,
    ),
    Case(
        "barrier",
        LogBarrier(),
        helpers.barrier_link,
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
    TransportSolver("alternating", Alternating()),
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


# What exists, and what holds, of an operator x regularizer x method. Tests over the
# lists above ask here; they do not name methods.


def takes(method: str, case: Case) -> bool:
    """Whether a method works with a regularizer."""
    if method == "smooth_sort":
        return case.exponential
    return method != "fast_soft_sort" or not case.bounded


def has(method: str, operator: Operator) -> bool:
    """Whether a method has an operator. A mask has no method, and goes with one."""
    if operator.kind == "mask":
        return method == METHODS[0]
    return method in INDEX_METHODS or operator.kind != "index"


def moves_with_input(operator: Operator, case: Case, method: str) -> bool:
    """Whether a shift of the input shifts values and leaves all else as it is.

    Projections onto the permutations of x do with the Euclidean distance and in the
    logarithmic domain, where a shift is a factor.
    """
    if method != "fast_soft_sort" or operator.kind != "value":
        return True
    return case.name in ("c0", "smooth")


_CUTS = ("top_k_values", "top_k_index", "quantile", "argquantile", "median")
_CUTS += ("argmedian",)


def picks_among_equals(operator: Operator, method: str) -> bool:
    """Whether gradients depend on which of some equal elements comes first.

    Which of them an order statistic stands for is a convention. Sorted values that are
    not means under a soft index stand for single elements, all of them.
    """
    if method == "smooth_sort":
        return False
    single = method in VALUE_METHODS and operator.kind == "value"
    return single or operator.name in _CUTS


def ignores_places(method: str) -> bool:
    """Whether only the values of a row count, and not which place each of them has.

    The rounds of a sorting network compare places, and the more of them there are, the
    softer the result.
    """
    return method != "sorting_network"


def keeps_order(method: str) -> bool:
    """Whether sorted values are in order at every softness.

    A round of soft exchanges need not leave in order what a hard one does.
    """
    return method != "sorting_network"


def stays_in_range(method: str) -> bool:
    """Whether values are between the smallest and the largest of the input.

    Bounds that are smooth where elements are equal are above the largest sums.
    """
    return method != "smooth_sort"


def is_read_off(operator: Operator, method: str) -> bool:
    """Whether an operator mixes entries of what another one returns for x or minus x.

    That is argsort, sort or rank.
    """
    whole = method in VALUE_METHODS or method == "sorting_network"
    return whole and operator.name not in ("argsort", "sort", "rank")


def each(
    name: str, entries: list, *, fast: tuple[str, ...] | None = None
) -> pytest.MarkDecorator:
    """Parametrize a test over entries of this file, strings, numbers or functions.

    Where `fast` names some of the entries, the test is slow for the others.
    """

    def parameter(entry):
        label = getattr(entry, "name", getattr(entry, "__name__", str(entry)))
        slow = fast is not None and label not in fast
        return pytest.param(entry, id=label, marks=[pytest.mark.slow] if slow else [])

    return pytest.mark.parametrize(name, [parameter(entry) for entry in entries])


def each_pair(
    regularizers: list[Case],
    fast: dict[str, str | None] = REPRESENTATIVES,
    holds: Callable[[str], bool] = lambda method: True,
) -> pytest.MarkDecorator:
    """Parametrize a test over `case` and `method`, slow except for the pairs `fast`.

    Leaves out the methods for which it does not hold.
    """
    return pytest.mark.parametrize(
        ("case", "method"),
        [
            pytest.param(
                case,
                method,
                id=f"{case.name}-{method}",
                marks=[pytest.mark.slow] if fast[method] != case.name else [],
            )
            for case in regularizers
            for method in METHODS
            if takes(method, case) and holds(method)
        ],
    )


def pick(entries: list, *names: str) -> list:
    """Some entries of a list, by name."""
    return [{e.name: e for e in entries}[name] for name in names]
