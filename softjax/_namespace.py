"""Namespaces with every name of a module of JAX, soft where there is a surrogate."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from types import MappingProxyType, ModuleType
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from ._keywords import is_hard

_RENAMED = {
    **dict.fromkeys(("a", "x1", "a1", "arr", "operand"), "x"),
    **dict.fromkeys(("b", "x2", "a2"), "y"),
    **dict.fromkeys(("dimension", "reduction_dimension"), "axis"),
}
"""Parameters of JAX, and what these are called here where nothing else is said."""

_WITHOUT_EFFECT = {
    # How a result is computed
    *("kind", "stable", "is_stable", "overwrite_input", "method", "accuracy"),
    *("unique_indices", "indices_are_sorted", "recall_target", "aggregate_to_topk"),
    *("reduction_input_size_override", "out_sharding", "rounding_method"),
    # What becomes of integers, and of indices out of range, which are no soft ones
    *("dtype", "index_dtype", "mode", "fill_value", "wrap_negative_indices"),
    "allow_negative_indices",
}
"""Parameters of JAX that make no difference to soft results."""

_NOTHING: Mapping[str, Any] = MappingProxyType({})


class Surrogate(NamedTuple):
    """The surrogate of a function of JAX, and how a call of one is one of the other.

    - `ours`: a name of `softjax`, or a function.
    - `decides`: the parameters of JAX's, separated by spaces, that make a call soft:
        if one of them is of a floating type and none is complex.
    - `renamed`: parameters of JAX's, and what they are called by ours.
    - `like`: the name in `softjax` whose keywords ours takes too.
    - `hard_as_theirs`: whether `mode="hard"` calls JAX's function.
    - `preset`: keywords of ours that have another default there.
    - `reduce`, `accumulate`: names of `softjax` for these methods of a ufunc.
    """

    ours: str | Callable[..., Any]
    decides: str
    renamed: Mapping[str, str] = _NOTHING
    like: str | None = None
    hard_as_theirs: bool = False
    preset: Mapping[str, Any] = _NOTHING
    reduce: str | None = None
    accumulate: str | None = None


def namespace(
    name: str, theirs: ModuleType, table: Mapping[str, Surrogate]
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """`__getattr__` and `__dir__` of a module with all names of another."""

    def list_names() -> list[str]:
        return sorted(n for n in dir(theirs) if not n.startswith("_"))

    @functools.cache
    def get(attribute: str) -> Any:
        if attribute == "__all__":
            return list_names()
        if attribute.startswith("_"):
            raise AttributeError(f"module {name!r} has no attribute {attribute!r}")
        # What JAX has removed or deprecates, it says itself.
        value = getattr(theirs, attribute)
        if attribute not in table:
            return value
        return soften(f"{name}.{attribute}", value, table[attribute])

    return get, list_names


def soften(name: str, theirs: Callable[..., Any], surrogate: Surrogate) -> Any:
    """A function that is called as JAX's is, with our keywords besides."""
    call = _Call(name, theirs, surrogate)

    def soft(*args, **kwargs):
        return call(args, kwargs)

    module, _, last = name.rpartition(".")
    soft.__module__, soft.__name__, soft.__qualname__ = module, last, last
    soft.__doc__ = call.words()
    soft.__signature__ = call.shown()  # pyright: ignore
    if isinstance(theirs, jnp.ufunc):
        _add_methods(soft, name, theirs, surrogate)
    return soft


def _add_methods(soft: Any, name: str, theirs: Any, surrogate: Surrogate) -> None:
    """The methods of a ufunc: soft ones of those that have a surrogate."""
    for method in ("nin", "nout", "nargs", "identity", "at", "reduceat"):
        setattr(soft, method, getattr(theirs, method))
    for method in ("reduce", "accumulate"):
        own = getattr(theirs, method)
        ours = getattr(surrogate, method)
        setattr(
            soft,
            method,
            soften(f"{name}.{method}", own, Surrogate(ours, "a")) if ours else own,
        )

    def outer(A, B, /, **keywords):
        A, B = jnp.asarray(A), jnp.asarray(B)
        return soft(A.reshape(*A.shape, *(1,) * B.ndim), B, **keywords)

    soft.outer = outer


class _Call:
    """Facts about a function that are known before any call of it."""

    def __init__(self, name: str, theirs: Callable[..., Any], surrogate: Surrogate):
        from . import _api

        ours = surrogate.ours
        ours = getattr(_api, ours) if isinstance(ours, str) else ours
        self.name, self.theirs, self.ours, self.surrogate = (
            name,
            theirs,
            ours,
            surrogate,
        )
        self.signature = _signature(theirs, surrogate)
        self.like = ours if surrogate.like is None else getattr(_api, surrogate.like)
        own = inspect.signature(ours).parameters
        kinds = {p.kind for p in self.signature.parameters.values()}
        self.variadic = inspect.Parameter.VAR_POSITIONAL in kinds
        self.names = [
            p.name
            for p in self.signature.parameters.values()
            if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)
        ]
        # Their parameter -> ours; None where it makes no difference.
        self.mapped: dict[str, str | None] = {}
        self.refused: dict[str, Any] = {}
        self.defaults: dict[str, Any] = {}
        for p in self.signature.parameters.values():
            target = surrogate.renamed.get(p.name, p.name)
            target = target if target in own else _RENAMED.get(p.name, p.name)
            if target in own:
                self.mapped[p.name] = target
                if p.default is not p.empty and p.default != own[target].default:
                    self.defaults[target] = p.default
            elif p.name in _WITHOUT_EFFECT:
                self.mapped[p.name] = None
            elif p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD):
                self.refused[p.name] = p.default
        # A keyword of ours -> its parameter, by the long name where theirs has it.
        taken = self.signature.parameters
        self.keywords: dict[str, inspect.Parameter] = {}
        for p in inspect.signature(self.like).parameters.values():
            if p.kind is p.KEYWORD_ONLY and p.name not in self.mapped.values():
                p = p.replace(default=surrogate.preset.get(p.name, p.default))
                long = f"soft_{p.name}"
                if p.name not in taken:
                    self.keywords[p.name] = p
                if p.name in taken or p.name in ("mode", "method"):
                    self.keywords[long] = p
        self.decides = surrogate.decides.split()

    def shown(self) -> inspect.Signature:
        """Their signature, and after it our keywords, by one name each."""
        ours = [
            p.replace(name=name)
            for name, p in self.keywords.items()
            if name == p.name or p.name not in self.keywords
        ]
        theirs = list(self.signature.parameters.values())
        rest = [p for p in theirs if p.kind is p.VAR_KEYWORD]
        theirs = [p for p in theirs if p.kind is not p.VAR_KEYWORD]
        return inspect.Signature([*theirs, *ours, *rest])

    def words(self) -> str:
        module, _, last = self.name.partition(".")[2].partition(".")
        surrogate = self.surrogate
        of = surrogate.ours if isinstance(surrogate.ours, str) else surrogate.like
        by = f" by [`softjax.{of}`][]" if of else ""
        keywords = ", ".join(f"`{p.name}`" for p in self.shown().parameters.values())
        return (
            f"`jax.{module}.{last}`, soft{by} for floats.\n\nParameters: {keywords}.\n"
        )

    def __call__(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        own: dict[str, Any] = {}
        theirs = kwargs
        if not self.keywords.keys().isdisjoint(kwargs):
            theirs = {k: v for k, v in kwargs.items() if k not in self.keywords}
            for name, p in self.keywords.items():
                if name in kwargs:
                    if p.name in own:
                        raise TypeError(
                            f"{self.name}: {p.name} and {name} are the same keyword; "
                            "give one of them."
                        )
                    own[p.name] = kwargs[name]
        if self.variadic:
            return self._variadic(args, theirs, own)
        if len(args) > len(self.names) or not theirs.keys() <= self.mapped.keys():
            self._explain(args, theirs)
        given = dict(zip(self.names, args, strict=False))
        if not given.keys().isdisjoint(theirs):
            self.signature.bind(*args, **theirs)  # which says what is given twice
        given |= theirs
        hard = self.surrogate.hard_as_theirs and self._is_hard(own)
        if hard or not _is_soft(given.get(name) for name in self.decides):
            return self.theirs(*args, **theirs)
        passed = dict(self.defaults)
        for name, value in given.items():
            if name in self.refused:
                self._refuse(name, value)
            elif (target := self.mapped[name]) is not None:
                passed[target] = value
        return self.ours(**passed, **{**self.surrogate.preset, **own})

    def _is_hard(self, own: dict[str, Any]) -> bool:
        from ._defaults import is_hard_by_default

        if "mode" not in own:
            return is_hard_by_default(self.like)
        return is_hard(own["mode"])

    def _variadic(
        self, args: tuple[Any, ...], theirs: dict[str, Any], own: dict[str, Any]
    ) -> Any:
        bound = self.signature.bind(*args, **theirs).arguments
        if not _is_soft(bound.get(name) for name in self.decides):
            return self.theirs(*args, **theirs)
        return self.ours(*args, **theirs, **own)

    def _explain(self, args: tuple[Any, ...], theirs: dict[str, Any]) -> None:
        try:
            self.signature.bind(*args, **theirs)
        except TypeError as error:
            allowed = ", ".join(self.shown().parameters)
            raise TypeError(f"{self.name}: {error}. Allowed: {allowed}.") from None
        for name in theirs:
            if name in self.refused:
                self._refuse(name, theirs[name])

    def _refuse(self, name: str, value: Any) -> None:
        if value is not self.refused[name]:
            raise NotImplementedError(
                f"{self.name}: {name} must be {self.refused[name]!r}, got {value!r}."
            )


def _signature(theirs: Any, surrogate: Surrogate) -> inspect.Signature:
    if not isinstance(theirs, jnp.ufunc):
        return inspect.signature(theirs)
    # Those of JAX show `*args`.
    names = surrogate.decides.split()
    kind = inspect.Parameter.POSITIONAL_ONLY
    rest = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None)
        for name in ("out", "where")
    ]
    return inspect.Signature([inspect.Parameter(n, kind) for n in names] + rest)


def _is_soft(values: Any) -> bool:
    """Whether one of some arguments is of a floating type, and none complex."""
    found = False
    for value in values:
        leaves = jax.tree.leaves(value) if isinstance(value, list | tuple) else (value,)
        for leaf in leaves:
            dtype = getattr(leaf, "dtype", type(leaf))
            if dtype is complex or jnp.issubdtype(dtype, jnp.complexfloating):
                return False
            found = found or dtype is float or jnp.issubdtype(dtype, jnp.floating)
    return found
