"""Facts about operator x regularizer x method: which exist, and what holds of them.

Tests over the lists of `cases.py` ask here; they do not name methods.
"""

from cases import INDEX_METHODS, METHODS, VALUE_METHODS, Case, Operator


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
