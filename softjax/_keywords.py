"""The keywords that all operators share: checked here, once, before any computation."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from softjax_solvers import (
    Regularizer,
    get_regularizer,
)
from softjax_solvers.internal import (
    is_traced,
)

_GATED = "gated_"


class Mode(NamedTuple):
    """What the keyword `mode` means."""

    regularizer: Regularizer | None  # None: the hard operator
    gated: bool


def parse_mode(mode: str | Regularizer, *, gated: bool = False) -> Mode:
    """The regularizer, if any, and whether it gates.

    **Arguments:**

    - `mode`: `"hard"`, the name of a regularizer or a regularizer.
    - `gated`: whether the operator is built on a relu, and so takes the prefix
        `"gated_"`.

    **Raises:** `ValueError` for an unknown name, `TypeError` for anything else.
    """
    if isinstance(mode, str):
        if mode == "hard":
            return Mode(None, False)
        if mode.startswith(_GATED):
            name = mode.removeprefix(_GATED)
            if not gated:
                raise ValueError(
                    f"mode={mode!r}: gating is for operators built on the relu (relu, "
                    f"clip, softrelu). Use mode={name!r} here."
                )
            return Mode(get_regularizer(name), True)
        try:
            return Mode(get_regularizer(mode), False)
        except ValueError as error:
            raise ValueError(f"{error} 'hard' is allowed too.") from None
    return Mode(get_regularizer(mode), False)


def parse_parameter(value: Any, name: str, allowed: str) -> Array:
    """A number, or an array of them, as an array of its own type.

    **Raises:** `TypeError` if it is not of real numbers.
    """
    wanted = f"{name} must be {allowed}"
    if value is None or isinstance(value, str):
        raise TypeError(f"{wanted}, got {value!r}.")
    value = jnp.asarray(value)
    if not (
        jnp.issubdtype(value.dtype, jnp.floating)
        or jnp.issubdtype(value.dtype, jnp.integer)
    ):
        raise TypeError(f"{wanted}, got type {value.dtype}.")
    return value


def parse_count(k: Any, size: int, name: str) -> Array:
    """How many of `size` candidates to choose: a number, or an array of them.

    **Raises:** `ValueError` if it is not from 0 to `size`, as far as its value is
    known; `TypeError` if it is not a real number or an array of them.
    """
    value = parse_parameter(k, f"{name}: k", "a number or an array of them")
    if not is_traced(value):
        known = np.asarray(value, np.float64)
        if not np.all((known >= 0) & (known <= size)):
            raise ValueError(
                f"{name}: k={k} must be from 0 to the size of the axis, {size}."
            )
    return value


def parse_softness(softness: Any, dtype: Any) -> Float[Array, "..."]:
    """`softness` as an array of type `dtype`.

    **Raises:** `ValueError` if it is not positive and finite, as far as its value is
    known; `TypeError` if it is not a real number or an array of them.
    """
    softness = parse_parameter(softness, "softness", "a positive number or array")
    if not is_traced(softness):
        known = np.asarray(softness, np.float64)
        if not np.all((known > 0) & np.isfinite(known)):
            raise ValueError(
                f"softness must be positive and finite, got {softness}. For the hard "
                "operator pass mode='hard'."
            )
    return softness.astype(dtype)


def broadcast_shape(**shapes: tuple[int, ...]) -> tuple[int, ...]:
    """The shape that the named ones broadcast to.

    **Raises:** `ValueError`, listing them, if they do not.
    """
    try:
        return jnp.broadcast_shapes(*shapes.values())
    except ValueError:
        listed = ", ".join(f"{name} {shape}" for name, shape in shapes.items())
        raise ValueError(f"These shapes must broadcast together: {listed}.") from None


def float_type(dtype: Any) -> Any:
    """The type itself if it is a float, or what `jnp.mean` makes of an integer."""
    if jnp.issubdtype(dtype, jnp.floating):
        return dtype
    return jax.eval_shape(jnp.mean, jax.ShapeDtypeStruct((1,), dtype)).dtype


def as_float(x: Any, name: str = "x") -> tuple[Float[Array, "..."], Any]:
    """`x` in the type that the operator computes in, and the type that it returns.

    Integers and booleans become a float type as in `jnp.mean`; 16-bit
    floats are computed in float32.

    **Raises:** `TypeError` for complex numbers and for what is no array of numbers.
    """
    if isinstance(x, str) or x is None:
        raise TypeError(f"{name} must be an array of real numbers, got {x!r}.")
    x = jnp.asarray(x)
    if jnp.issubdtype(x.dtype, jnp.complexfloating) or not (
        jnp.issubdtype(x.dtype, jnp.number) or x.dtype == bool
    ):
        raise TypeError(f"{name} must be an array of real numbers, got type {x.dtype}.")
    x = x.astype(float_type(x.dtype))
    out_dtype = x.dtype
    if x.dtype.itemsize < 4:
        x = x.astype(jnp.float32)
    return x, out_dtype
