"""Rows of scores and of what they are compared with: shapes, masks, weights, types."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Shaped

from softjax_solvers.internal import is_traced, safe_divide

from .._keywords import as_array, as_float, check_softness, got, parse_softness
from .._layout import Layout, parse_axis, split_mask, split_parameter, split_weights
from ..axiswise._measure import check_weights
from ..axiswise._operation import Operation

_LOGARITHMS = (
    " What is made of soft indices has no logarithms of them, which softjax.top_k and "
    "softjax.argsort return."
)
_INSTEAD = dict(
    return_log_probs=_LOGARITHMS,
    log_prob_eps=_LOGARITHMS,
    descending=" For the other order pass minus the first array.",
)


class Present(NamedTuple):
    """The elements that there are, of rows with a mask.

    Rows without any are whole in what is computed, and their result is overwritten, so
    that neither it nor a derivative is one of a quotient by 0.

    **Attributes:**

    - `given`: the mask.
    - `where`: the same, but for rows without any element, which are whole.
    - `some`: which rows have elements.
    """

    given: Bool[Array, "*batch n"]
    where: Bool[Array, "*batch n"]
    some: Bool[Array, "*batch"]

    @classmethod
    def of(cls, given: Bool[Array, "*batch n"]) -> "Present":
        some = jnp.any(given, axis=-1)
        return cls(given, given | ~some[..., None], some)


class Rows(NamedTuple):
    """Arrays of one shape with the axis at the end, and what goes with them.

    **Attributes:**

    - `arrays`: `*batch n`, 0 behind the mask.
    - `keywords`: of operators along the last axis; with the mask, if there is one.
    - `weights`: `*batch n`, 0 behind the mask; None if none were given.
    - `present`: the mask; None if there is none.
    - `dtype`: of the result, that of the first array.
    - `layout`: of the arrays, before they were laid out.
    """

    arrays: tuple[Float[Array, "*batch n"], ...]
    keywords: dict[str, Any]
    weights: Float[Array, "*batch n"] | None
    present: Present | None
    dtype: Any
    layout: Layout

    @property
    def where(self) -> Bool[Array, "*batch n"] | None:
        return None if self.present is None else self.present.where

    @property
    def mass(self) -> Float[Array, "*batch n"] | None:
        """Weights times mask; None where all is 1."""
        if self.weights is not None or self.present is None:
            return self.weights
        return self.present.given.astype(self.arrays[0].dtype)

    @property
    def count(self) -> Shaped[Array | np.ndarray, "*#batch 1"]:
        """The number of elements of a row, of NumPy where that is known."""
        if self.present is None:
            return np.full(1, self.arrays[0].shape[-1])
        return jnp.sum(self.present.where, axis=-1, keepdims=True)

    def finish(self, out: Float[Array, "*batch"], of_nothing: float = 0.0) -> Array:
        """The result, in its type, and `of_nothing` for rows without an element."""
        if self.present is not None:
            out = jnp.where(self.present.some, out, of_nothing)
        return out.astype(self.dtype)


def check_shapes(name: str, **arrays: Any) -> None:
    """Compare shapes with that of the first.

    **Raises:** `ValueError`, naming both.
    """
    (first, x), *others = arrays.items()
    for other, y in others:
        if y.shape != x.shape:
            raise ValueError(
                f"{name}: {first} and {other} have the shapes {x.shape} and {y.shape}; "
                "they must be equal."
            )


def check_keywords(name: str, keywords: dict[str, Any], operation: Operation) -> None:
    """Check keywords that are passed on to an operator that is read, not returned.

    **Raises:** `TypeError` for those that the operator has not, and for those that say
    what it returns.
    """
    allowed = [word for word in operation.keywords() if word not in _INSTEAD]
    for word, value in keywords.items():
        if word not in allowed:
            listed = ", ".join(word for word in allowed if word != "weights")
            raise TypeError(
                f"{name}() got an unexpected keyword argument {word}={value!r}. "
                f"Besides its own arguments it takes {listed}.{_INSTEAD.get(word, '')}"
            )


def parse_rows(
    name: str,
    axis: int,
    keywords: dict[str, Any],
    *,
    operation: Operation | None = None,
    weights: Any = None,
    **arrays: Any,
) -> Rows:
    """Lay out arrays of one shape, with the keywords of operators on them.

    **Arguments:**

    - `keywords`: of which `softness` and `where` are laid out too.
    - `operation`: the operator that the keywords are of; None where they are known.
    - `weights`: nonnegative, broadcasts to the arrays.

    **Raises:** `TypeError` if there are weights among the keywords, or what the
    operator does not take.
    """
    if operation is not None:
        check_keywords(name, keywords, operation)
    if keywords.get("weights") is not None:
        raise TypeError(f"{name}: takes no weights.")
    parsed = {key: as_float(x, f"{name}: {key}") for key, x in arrays.items()}
    check_shapes(name, **{key: x for key, (x, _) in parsed.items()})
    x, dtype = next(iter(parsed.values()))
    layout = parse_axis(x.shape, axis, name)
    if "softness" in keywords:
        check_softness(keywords["softness"])
        softness = parse_softness(keywords["softness"], x.dtype)
        softness = split_parameter(softness, layout, name, "softness")
        keywords = keywords | dict(softness=softness)
    split = tuple(layout.split(x) for x, _ in parsed.values())
    where, present = keywords.get("where"), None
    if weights is not None:
        weights, _ = as_float(weights, f"{name}: weights")
        weights = split_weights(weights, layout, name).astype(x.dtype)
    if where is not None:
        present = Present.of(split_mask(as_array(where), layout, name))
        keywords = keywords | dict(where=present.where)
        split = tuple(jnp.where(present.given, x, 0) for x in split)
        if weights is not None:
            weights = jnp.where(present.given, weights, 0)
    if weights is not None:
        check_if_known(weights, name)
    return Rows(split, keywords, weights, present, dtype, layout)


def check_if_known(weights: Array, name: str) -> None:
    """**Raises:** `ValueError` if a weight is known to be negative or not finite."""
    if not is_traced(weights):
        check_weights(np.asarray(weights), name)


def relative(
    weights: Float[Array, "*batch n"],
) -> tuple[Float[Array, "*batch n"], Float[Array, "*batch 1"]]:
    """Weights over the largest of a row, and that: products of them stay in range."""
    largest = jax.lax.stop_gradient(jnp.max(weights, axis=-1, keepdims=True))
    # The reciprocal of the largest numbers underflows.
    unit = jnp.where(largest > 1, 2.0**-8, 1).astype(weights.dtype)
    return safe_divide(unit * weights, unit * largest), largest


def known_numbers(value: Any, wanted: str) -> np.ndarray:
    """A number, or an array of them, whose value is known.

    **Raises:** `TypeError`, with what is `wanted`, if it is traced or anything else.
    """
    if is_traced(value):
        raise TypeError(f"{wanted}, {got(value)}")
    try:
        known = np.asarray(value)
    except ValueError:  # rows of different lengths
        known = np.asarray(None)
    if known.dtype.kind not in "biuf":
        raise TypeError(f"{wanted}, {got(value)}")
    return known


def chance(relevance: Float[Array, "*batch n"], name: str) -> Float[Array, "*batch n"]:
    """The probability of being relevant: grades above 1 are so for sure.

    **Raises:** `ValueError` if a grade is known to be negative.
    """
    if not is_traced(relevance):
        least = np.min(np.asarray(relevance), initial=0)
        if least < 0:
            raise ValueError(
                f"{name} must be nonnegative, got {least:g}. Of labels -1 and 1, pass "
                "labels > 0."
            )
    return jnp.where(relevance > 1, 1, relevance)
