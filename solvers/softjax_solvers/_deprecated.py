"""Names of the last release that are others today: they work, and warn."""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from ._core.readout import ColumnMeans, Means, Primal
from ._core.solve import evaluate


class Deprecated(NamedTuple):
    """Successor of a former name.

    - `instead`: what to write today, as the warning says it.
    - `path`: where that is, as `module:name`.
    """

    instead: str
    path: str


def primal(problem: Any, regularizer: Any, *solvers: Any, **keywords: Any) -> Any:
    return evaluate(problem, regularizer, Primal(), *solvers, **keywords)


def expectation(
    problem: Any, regularizer: Any, values: Any, *solvers: Any, **keywords: Any
) -> Any:
    return evaluate(problem, regularizer, Means(values), *solvers, **keywords)


def column_means(
    problem: Any, regularizer: Any, values: Any, *solvers: Any, **keywords: Any
) -> Any:
    return evaluate(problem, regularizer, ColumnMeans(values), *solvers, **keywords)


def rowwise(solver: Any) -> Any:
    return solver


def _renamed(**names: str) -> dict[str, Deprecated]:
    return {
        old: Deprecated(f"softjax.solvers.{new}", f"softjax_solvers:{new}")
        for old, new in names.items()
    }


def _replaced(**calls: str) -> dict[str, Deprecated]:
    return {
        name: Deprecated(call, f"{__name__}:{name.lower()}")
        for name, call in calls.items()
    }


def _moved(*names: str, **renamed: str) -> dict[str, Deprecated]:
    return {
        old: Deprecated(
            f"softjax_solvers.internal.{new}, which may change without notice",
            f"softjax_solvers.internal:{new}",
        )
        for old, new in ({name: name for name in names} | renamed).items()
    }


def _dropped(**places: str) -> dict[str, Deprecated]:
    return {
        old: Deprecated("a function of your own", f"softjax_solvers._kernels.{place}")
        for old, place in places.items()
    }


# Of 0.1.0, and until 0.3.0.
SOLVERS: Mapping[str, Deprecated] = {
    **_renamed(
        Alternating="DualCoordinateAscent",
        Merging="DivideAndConquerIsotonic",
        Sinkhorn="OTTSinkhorn",
        SortedDeviationProjection="NeuralSortRows",
        SortedDistanceProjection="SoftSortRows",
    ),
    **_replaced(
        Rowwise="the solver of the rows itself",
        primal="softjax.solvers.evaluate(problem, mode, Primal(), ...)",
        expectation="softjax.solvers.evaluate(problem, mode, Means(values), ...)",
        column_means="softjax.solvers.evaluate(problem, mode, ColumnMeans(values), "
        "...)",
    ),
    **_moved(
        *("anywhere", "derivative", "distance", "invert", "is_traced", "largest"),
        *("linear_recurrence", "log_subset_sums", "map_chunks", "pad_last"),
        *("permute", "safe_divide"),
        *("sort_with_permutation", "sum_chunks", "tangent_of", "tie_groups"),
        "varying_as",
        surplus_of_sizes="centered_inclusion_probabilities_of_sizes",
    ),
    **_dropped(
        kth_largest="sorting:kth_largest",
        linear_map="derivatives:linear_map",
        surplus="subsets:centered_inclusion_probabilities",
    ),
}


def former_names(
    module: str, names: Mapping[str, Deprecated] = SOLVERS
) -> Callable[[str], Any]:
    """The `__getattr__` of a module, which finds former names and warns of them."""

    def find(name: str) -> Any:
        former = names.get(name)
        if former is None:
            raise AttributeError(f"module {module!r} has no attribute {name!r}")
        warnings.warn(
            f"{module}.{name} is deprecated and goes in 0.3.0: use {former.instead}.",
            DeprecationWarning,
            stacklevel=2,
        )
        place, _, new = former.path.partition(":")
        return getattr(importlib.import_module(place), new)

    return find
