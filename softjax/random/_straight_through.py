"""Straight-through draws: both of their parts have the same noise."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from typing import Any

import jax

from .._keywords import is_hard
from ..straight_through import straight_through_variants
from ._keys import parse_key


def variants(functions: Iterable[Callable]) -> dict[str, Callable]:
    """`NAME_st` for each draw `NAME`, which does not use its key twice."""
    return straight_through_variants(map(_on_a_clone, functions), "softjax.random")


def _on_a_clone(fn: Callable) -> Callable:
    """A draw that does not use up its key where it is hard: the soft part does."""

    @functools.wraps(fn)
    def draw(key: Any, *args: Any, **keywords: Any) -> Any:
        if is_hard(keywords.get("mode")):
            key = jax.random.clone(parse_key(key, fn.__name__))
        return fn(key, *args, **keywords)

    return draw
