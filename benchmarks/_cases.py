"""Cases to measure: operators x methods x modes, and which of them exist.

Knows nothing of JAX, so that the process which only hands out work need not import it.
"""

from typing import NamedTuple

INDEX_METHODS = ("softsort", "neuralsort", "ot", "sorting_network")
VALUE_METHODS = ("fast_soft_sort", "smooth_sort")
METHODS = (*INDEX_METHODS, *VALUE_METHODS)
MODES = ("smooth", "c0", "c1", "c2")
MASK = "-"
"""Method of an operator that has none to choose."""

FLOORS = {
    "sort": "jnp.sort",
    "rank": "jnp.argsort",
    "argsort": "jnp.argsort",
    "max": "jnp.max",
    "argmax": "jnp.argmax",
    "top_k": "jax.lax.top_k",
    "top_k_mask": "jax.lax.top_k",
    "quantile": "jnp.quantile",
    "argquantile": "jnp.argsort",
    "median": "jnp.median",
    "argmedian": "jnp.argsort",
}
"""Hard function that each operator is compared with."""

OPS = tuple(FLOORS)
SIZES = (64, 1024, 16384, 65536, 1048576)
K = 8
"""Number of elements that `top_k` and its mask take."""
QUANTILE = 0.3

QUICK = dict(
    ops=("sort",),
    methods=("softsort", "fast_soft_sort"),
    modes=("smooth", "c0"),
    sizes=(32, 256),
    repeats=5,
    patience=30.0,
)

KINDS = ("value", "gradient")
HERE, REFERENCE, FLOOR = "here", "softjax 0.1.1", "jax.numpy"
PEERS = (REFERENCE, "ott", "jaxopt", "scipy")


class Case(NamedTuple):
    op: str
    method: str
    mode: str


def cases(
    ops: tuple[str, ...] = OPS,
    methods: tuple[str, ...] = METHODS,
    modes: tuple[str, ...] = MODES,
) -> list[Case]:
    """Cases that exist, an operator at a time."""
    return [
        case
        for op in ops
        for method in ((MASK,) if op == "top_k_mask" else methods)
        for mode in modes
        if exists(case := Case(op, method, mode))
    ]


def place(case: Case) -> tuple[int, ...]:
    """Sort key of a case, by which modes that are not listed come last."""
    lists = OPS, (MASK, *METHODS), MODES
    return tuple(
        listed.index(word) if word in listed else len(listed)
        for listed, word in zip(lists, case, strict=True)
    )


def exists(case: Case) -> bool:
    """Whether this library has the case."""
    if case.method in VALUE_METHODS and case.op.startswith("arg"):
        return False
    return case.method != "smooth_sort" or case.mode == "smooth"


# Declared here, so that peers are not asked for what they lack. A case that a peer has
# and cannot do raises in the worker, and is reported.
_ON_PLANS = {"argsort", "sort", "rank"}
"""Operators by transport plans of JAXopt."""


def has(library: str, case: Case) -> bool:
    """Whether a library claims to have a case."""
    op, method, mode = case
    if library == HERE:
        return exists(case)
    if library == REFERENCE:
        return op != "top_k_mask"
    if library == "ott":
        if op == "top_k_mask":
            return mode == "smooth"
        listed = op in ("sort", "rank", "top_k", "quantile")
        return listed and method == "ot" and mode == "smooth"
    if library == "jaxopt":
        if method == "ot":
            return op in _ON_PLANS and mode in ("smooth", "c0")
        if method == "softsort":
            return op in ("argmax", "max") and mode == "c0"
        return method == "fast_soft_sort" and op in ("sort", "rank") and mode == "c0"
    if library == "scipy":
        return method == "fast_soft_sort" and op in ("sort", "rank") and mode == "c0"
    return False
