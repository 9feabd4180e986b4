"""The run of a draw: what is checked, and how scores get their noise."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from softjax_solvers.internal import broadcasts, is_traced, safe_log

from .._dispatch import dispatch
from .._keywords import as_array, as_float, check_softness, with_defaults
from .._layout import Layout, layout_of, weights_shape
from ..axiswise._logarithms import check_logs
from ..axiswise._measure import check_measure
from ..axiswise._operation import Operation
from ._keys import check_key


def call(
    body: Callable[..., Any],
    operation: Operation,
    key: Any,
    *arrays: Any,
    rows: tuple[Any, Any],
    keywords: Mapping[str, Any],
    **options: Any,
) -> Any:
    """Check what depends on values, and call the program of a draw.

    **Arguments:**

    - `body`: what is compiled, called as `body(key, softness, *arrays, keywords=,
        **options)`.
    - `operation`: the operator that is handed the scores, for its keywords.
    - `rows`: the array that masks and weights broadcast to, and its axis.
    - `keywords`: the common ones that were given.
    """
    name = operation.name
    given = with_defaults(keywords, operation.keywords(), name)
    check_key(key, name)
    softness = given.pop("softness")
    check_softness(softness)
    check_logs(given, name)
    if given.get("where") is not None:
        given["where"] = as_array(given["where"])
    if given.get("weights") is not None:
        given["weights"] = as_array(given["weights"], "weights")
        check_measure(operation, *rows, given["weights"], given["where"])
    return dispatch(body, key, softness, *arrays, keywords=given, **options)


def parse_shape(name: str, shape: Any, *batch: tuple[int, ...]) -> tuple[int, ...]:
    """The shape of a draw: that of its parameters if it is None.

    **Raises:** `TypeError` if it is no sequence of integers; `ValueError` if parameters
    do not broadcast to it.
    """
    listed = " and ".join(map(str, batch))
    if shape is None:
        return jnp.broadcast_shapes(*batch)
    wanted = f"{name}: shape must be None or a tuple of nonnegative integers"
    if not isinstance(shape, tuple | list):
        raise TypeError(f"{wanted}, got {shape!r}.")
    for size in shape:
        if isinstance(size, bool) or not isinstance(size, int | np.integer):
            raise TypeError(f"{wanted}, got {shape!r}.")
        if size < 0:
            raise ValueError(f"{wanted}, got {shape!r}.")
    shape = tuple(map(int, shape))
    if not broadcasts(shape, *batch):
        raise ValueError(
            f"{name}: shape={shape} must be one that its parameters broadcast to; they "
            f"have the shapes {listed}."
        )
    return shape


def parse_dtype(name: str, dtype: Any) -> Any:
    """The type of soft values, None for that of the parameters.

    **Raises:** `ValueError` if it is no float type.
    """
    if dtype is None:
        return None
    dtype = jax.dtypes.canonicalize_dtype(dtype)
    if not jnp.issubdtype(dtype, jnp.floating):
        raise ValueError(
            f"{name}: dtype must be a float type, for draws are soft, got {dtype}."
        )
    return dtype


def check_probabilities(name: str, p: Any, *, total: bool = False) -> None:
    """Check probabilities, as far as they are known; NaN is let through.

    **Arguments:**

    - `total`: whether they are relative to their sum along the last axis, and may
        exceed 1.

    **Raises:** `ValueError` if one is not in [0, 1], or if all of a row are 0.
    """
    if is_traced(p) or p is None or isinstance(p, str):
        return
    try:
        known = np.asarray(p).astype(np.float64)
    except (TypeError, ValueError):
        return  # which is said where it becomes an array
    bad = (known < 0) | (known == np.inf if total else known > 1)
    if bad.any():
        allowed = "nonnegative and finite" if total else "in [0, 1]"
        raise ValueError(f"{name}: p must be {allowed}, got {known[bad][0]}.")
    if total and known.ndim and known.size and (known.sum(axis=-1) == 0).any():
        raise ValueError(f"{name}: p must not be all 0.")


def rows_along(name: str, x: Any, axis: Any) -> tuple[Any, Any]:
    """The `rows` of `call` where there is a single one, of the length of an axis."""
    return np.empty(layout_along(name, np.shape(x), axis).size), 0


def layout_along(name: str, shape: tuple[int, ...], axis: Any) -> Layout:
    """The layout of an array along a single axis, which may be empty.

    **Raises:** `TypeError` if the axis is no integer, `ValueError` if there is none.
    """
    layout = layout_of(shape, axis, name)
    if layout.flat:
        raise TypeError(f"{name}: axis must be an integer, got None.")
    return layout


class Scores(NamedTuple):
    """Perturbed scores, and how they are laid out.

    **Attributes:**

    - `values`: logits with noise, `*prefix *batch` with the axis where it was.
    - `axis`: counted from the end.
    - `shape`: of the draws.
    - `prefix`: the part of it in front of that of the logits.
    - `dtype`: of the result.
    """

    values: Float[Array, "..."]
    axis: int
    shape: tuple[int, ...]
    prefix: tuple[int, ...]
    dtype: Any


def perturbed_scores(
    name: str,
    key: Key[Array, ""],
    logits: Any,
    axis: Any,
    shape: Any,
    weights: Any,
    *,
    prefixed: bool = True,
) -> Scores:
    """Logits with independent Gumbel noise: the order of them is one of Plackett-Luce.

    The largest is distributed as their softmax, and so is each of those that follow
    among the rest.

    **Arguments:**

    - `shape`: of the draws, without the axis; None for one of each row.
    - `weights`: by which probabilities are multiplied, broadcasts to the logits; None
        for 1.
    - `prefixed`: whether all draws are independent; if not, there are scores for one
        draw of each row.
    """
    logits, dtype = as_float(logits, f"{name}: logits")
    layout = layout_along(name, logits.shape, axis)
    at = layout.axes[0]
    if weights is not None:
        weights = jnp.asarray(weights)
        weights = weights.reshape(weights_shape(weights, layout, name))
        try:
            weights = jnp.broadcast_to(weights.astype(logits.dtype), logits.shape)
        except ValueError:
            raise ValueError(
                f"{name}: weights of shape {weights.shape} must broadcast to the "
                f"logits, of shape {logits.shape}."
            ) from None
        absent = weights == 0
        logits = jnp.where(absent, -jnp.inf, logits + safe_log(weights))
        # Where weights were traced, they could not be checked.
        usable = (weights >= 0) & (weights < jnp.inf)
        logits = jnp.where(usable, logits, jnp.nan)
    batch = (*logits.shape[:at], *logits.shape[at + 1 :])
    full = parse_shape(name, shape, batch)
    prefix = full[: len(full) - len(batch)]
    row = list(full[len(full) - len(batch) :])
    row.insert(at, logits.shape[at])
    of_noise = (*prefix, *row) if prefixed else tuple(row)
    values = logits + jax.random.gumbel(key, of_noise, logits.dtype)
    return Scores(values, at - logits.ndim, full, prefix, dtype)
