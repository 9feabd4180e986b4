"""Public names, as a user writes them, such as `softjax.solvers.PNorm`."""

import inspect
from collections.abc import Iterator

import softjax
from softjax import _api

NAMESPACES = {
    "softjax": softjax,
    "softjax.losses": softjax.losses,
    "softjax.methods": softjax.methods,
    "softjax.random": softjax.random,
    "softjax.segment": softjax.segment,
    "softjax.solvers": softjax.solvers,
    "softjax.structured": softjax.structured,
}

VARIANTS = [
    f"{namespace}.{function.__name__}_st"
    for namespace, module in {
        "softjax": _api,
        "softjax.random": softjax.random,
        "softjax.structured": softjax.structured,
    }.items()
    for function in module._WITH_MODE
]
"""Straight-through variants, which are generated."""


def names() -> Iterator[str]:
    for namespace, module in NAMESPACES.items():
        own = getattr(module, "__all__", None) or vars(module)
        for name in own:
            value = getattr(module, name)
            private = name.startswith("_") or inspect.ismodule(value)
            foreign = getattr(value, "__module__", "softjax").partition(".")[0]
            if not private and foreign in ("softjax", "softjax_solvers", "jaxtyping"):
                yield f"{namespace}.{name}"


def resolve(name: str) -> object:
    namespace, _, last = name.rpartition(".")
    return getattr(NAMESPACES[namespace], last)
