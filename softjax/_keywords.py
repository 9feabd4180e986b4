"""The keywords that all operators share: checked here, once, before any computation."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from softjax_solvers import Regularizer, get_regularizer
from softjax_solvers.internal import did_you_mean, is_traced

ARGUMENTS = (jax.Array, np.ndarray, np.generic, int, float, complex)
"""Types of what a compiled program takes as it is."""

_GATED = "gated_"
_PLAIN = int, float  # what is checked without NumPy, and is no subclass like a bool
_COUNTS = "a number or an array of them"
_SOFTNESS = "a positive number or array"


_Choice = TypeVar("_Choice")


class Mode(NamedTuple):
    """The meaning of the keyword `mode`."""

    regularizer: Regularizer | None  # None: the hard operator
    gated: bool


def is_hard(mode: Any) -> bool:
    """Whether a mode, such as a regularizer that `==` knows nothing of, is `"hard"`."""
    return isinstance(mode, str) and mode == "hard"


def parse_mode(mode: str | Regularizer, *, gated: bool = False) -> Mode:
    """The regularizer, if any, and whether it gates.

    **Arguments:**

    - `mode`: `"hard"`, the name of a regularizer or a regularizer.
    - `gated`: whether the operator is built on a relu, and so takes the prefix
        `"gated_"`.

    **Raises:** `ValueError` for an unknown name, `TypeError` for anything else.
    """
    if isinstance(mode, str):
        if is_hard(mode):
            return Mode(None, False)
        if mode.startswith(_GATED):
            name = mode.removeprefix(_GATED)
            if not gated:
                raise ValueError(
                    f"mode={mode!r}: gating is for operators built on the relu, such "
                    f"as relu, clip and maximum. Use mode={name!r} here."
                )
            return Mode(get_regularizer(name), True)
        try:
            return Mode(get_regularizer(mode), False)
        except ValueError as error:
            raise ValueError(f"{error} 'hard' is allowed too.") from None
    if not isinstance(mode, Regularizer):
        _refuse_methods(mode)
    return Mode(get_regularizer(mode), False)


def _refuse_methods(mode: Any) -> None:
    from .methods import Method  # some of which are made of operators

    if isinstance(mode, Method):
        raise TypeError(
            f"mode={mode!r} is a method and no regularizer: pass it as method=. Those "
            "with regularizers that are not separable serve argmax, argmin, max and "
            "min, with a separable one as mode= beside them."
        )


def parse_parameter(value: Any, name: str, allowed: str) -> Array:
    """A number, or an array of them, as an array of its own type.

    **Raises:** `TypeError` if it is not of real numbers.
    """
    wanted = f"{name} must be {allowed}"
    if value is None or isinstance(value, str):
        raise TypeError(f"{wanted}, got {value!r}.")
    value = jnp.asarray(value)
    if not _is_real(value.dtype):
        raise TypeError(f"{wanted}, got type {value.dtype}.")
    return value


def _known(value: Any, name: str, allowed: str) -> np.ndarray | None:
    """The value of a parameter as far as it is known: None where it is traced.

    In the precision that it will have, and without any operation of JAX.

    **Raises:** `TypeError` if it is not of real numbers.
    """
    if is_traced(value):
        return None
    wanted = f"{name} must be {allowed}"
    if value is None or isinstance(value, str):
        raise TypeError(f"{wanted}, got {value!r}.")
    value = np.asarray(value)
    if not _is_real(value.dtype):
        raise TypeError(f"{wanted}, got type {value.dtype}.")
    if value.dtype == np.float64:
        with np.errstate(over="ignore"):
            value = value.astype(jax.dtypes.canonicalize_dtype(np.float64))
    return value


def _is_real(dtype: Any) -> bool:
    return jnp.issubdtype(dtype, jnp.floating) or jnp.issubdtype(dtype, jnp.integer)


def got(value: Any) -> str:
    """End of a message on a value that is not allowed. Traced ones have none."""
    if is_traced(value):
        return "got a traced array: pass a constant, under jax.jit by static_argnames."
    return f"got {value!r}."


def parse_flag(value: Any, name: str) -> bool:
    """True or False, from whatever is one of them.

    **Raises:** `TypeError` if it is traced, an array of several, or no number.
    """
    if type(value) is bool:
        return value
    known = np.asarray(None if is_traced(value) else value)
    if known.size != 1 or known.dtype.kind not in "biu":
        raise TypeError(f"{name} must be True or False, {got(value)}")
    return bool(value)


_FLAGS = frozenset({"descending", "gated_grad", "keepdims", "reverse", "standardize"})
"""Keywords that choose the program, and so can't be traced."""


def parse_flags(keywords: dict[str, Any], name: str) -> None:
    """`parse_flag` of the keywords that are flags, in place."""
    if keywords.get("keepdims", False) is None:  # as in `jax.numpy.argmax`
        keywords["keepdims"] = False
    for flag in _FLAGS & keywords.keys():
        if type(keywords[flag]) is not bool:
            keywords[flag] = parse_flag(keywords[flag], f"{name}: {flag}")


def parse_integer(value: Any, name: str, least: int | None = None) -> int:
    """A whole number of Python's, from one of NumPy's too.

    **Raises:** `TypeError` if it is anything else, such as a flag; `ValueError` if it
    is less than `least`.
    """
    wanted = "an integer" if least is None else f"an integer of at least {least}"
    if isinstance(value, bool) or not isinstance(value, int | np.integer):
        raise TypeError(f"{name} must be {wanted}, {got(value)}")
    if least is not None and value < least:
        raise ValueError(f"{name} must be {wanted}, got {value}.")
    return int(value)


def parse_index(value: Any, name: str) -> int:
    """A whole number of Python's, from whatever may be an index of its lists.

    **Raises:** `TypeError` if it may not.
    """
    try:
        return operator.index(value)
    except TypeError:
        raise TypeError(f"{name} must be an integer, {got(value)}") from None


def parse_first(k: Any, size: int, name: str) -> int:
    """How many of the first of `size` elements to take, at least one.

    **Raises:** `ValueError` if it is not from 1 to `size`; `TypeError` if it is not a
    whole number that is known.
    """
    count = parse_integer(k, f"{name}: k")
    if not 1 <= count <= size:
        raise ValueError(
            f"{name}: k={k} must be from 1 to the size of the axis, {size}."
        )
    return count


def _strays(
    value: Any, name: str, allowed: str, inside: Callable[[np.ndarray], Any]
) -> bool:
    """Whether a number, or one of an array of them, is known not to be `inside`.

    **Raises:** `TypeError` if it is not of real numbers.
    """
    known = _known(value, name, allowed)
    return known is not None and not np.all(inside(known))


def check_count(k: Any, size: float, name: str) -> None:
    """Check how many of `size` candidates to choose: a number, or an array of them.

    **Raises:** `ValueError` if it is not from 0 to `size`, as far as its value is
    known; `TypeError` if it is not a real number or an array of them.
    """
    if type(k) in _PLAIN and 0 <= k <= size:
        return
    if _strays(k, f"{name}: k", _COUNTS, lambda k: (k >= 0) & (k <= size)):
        raise ValueError(
            f"{name}: k={k} must be from 0 to the size of the axis, {size}."
        )


def parse_count(k: Any, name: str) -> Array:
    """`k` as an array of its own type.

    **Raises:** `TypeError` if it is not a real number or an array of them.
    """
    return parse_parameter(k, f"{name}: k", _COUNTS)


def check_levels(q: Any, full: int, name: str) -> None:
    """Check levels of quantiles: a number, or an array of them.

    **Raises:** `ValueError` if they are not in [0, full], as far as they are known;
    `TypeError` if they are not real numbers.
    """
    if type(q) in _PLAIN and 0 <= q <= full:
        return
    if _strays(q, f"{name}: q", _COUNTS, lambda q: (q >= 0) & (q <= full)):
        raise ValueError(f"{name}: q must lie in [0, {full}], got {q}.")


def _is_positive(value: np.ndarray) -> Any:
    return (value > 0) & (value < np.inf)


def check_softness(softness: Any) -> None:
    """Check a parameter of all operators, as far as its value is known.

    **Raises:** `ValueError` if it is not positive and finite; `TypeError` if it is not
    a real number or an array of them.
    """
    # Neither 0 nor infinite in float32.
    if type(softness) in _PLAIN and 1e-30 < softness < 1e30:
        return
    if _strays(softness, "softness", _SOFTNESS, _is_positive):
        raise ValueError(
            f"softness must be positive and finite, got {softness}. For the hard "
            "operator pass mode='hard'."
        )


def check_positive(value: Any, name: str) -> None:
    """Check another such parameter, as far as its value is known.

    **Raises:** `ValueError` if it is not positive and finite; `TypeError` if it is not
    a real number or an array of them.
    """
    if _strays(value, name, _SOFTNESS, _is_positive):
        raise ValueError(f"{name} must be positive and finite, got {value}.")


def check_nonnegative(value: Any, name: str) -> None:
    """Check a number, or an array of them, as far as its value is known.

    **Raises:** `ValueError` if it is negative or infinite; `TypeError` if it is not a
    real number or an array of them.
    """
    if _strays(value, name, "a nonnegative number", lambda x: (x >= 0) & (x < np.inf)):
        raise ValueError(f"{name} must be nonnegative and finite, got {value}.")


def parse_softness(softness: Any, dtype: Any) -> Float[Array, "..."]:
    """`softness` as an array of type `dtype`.

    **Raises:** `TypeError` if it is not a real number or an array of them.
    """
    return parse_parameter(softness, "softness", _SOFTNESS).astype(dtype)


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


def as_array(x: Any, name: str = "x") -> Any:
    """`x` where it is an array or a number, and else what `jnp.asarray` makes of it.

    **Raises:** `TypeError` for None and strings.
    """
    if isinstance(x, str) or x is None:
        raise TypeError(f"{name} must be an array of real numbers, got {x!r}.")
    return x if isinstance(x, ARGUMENTS) else jnp.asarray(x)


def as_float(x: Any, name: str = "x") -> tuple[Float[Array, "..."], Any]:
    """`x` in the type that the operator computes in, and the type that it returns.

    Integers and booleans become a float type as in `jnp.mean`; 16-bit
    floats are computed in float32.

    **Raises:** `TypeError` for complex numbers and for what is no array of numbers.
    """
    x = jnp.asarray(as_array(x, name))
    if jnp.issubdtype(x.dtype, jnp.complexfloating) or not (
        jnp.issubdtype(x.dtype, jnp.number) or x.dtype == bool
    ):
        raise TypeError(f"{name} must be an array of real numbers, got type {x.dtype}.")
    x = x.astype(float_type(x.dtype))
    out_dtype = x.dtype
    if x.dtype.itemsize < 4:
        x = x.astype(jnp.float32)
    return x, out_dtype


def with_defaults(
    keywords: Mapping[str, Any], defaults: Mapping[str, Any], name: str
) -> dict[str, Any]:
    """The common keywords of a call, with defaults for those that are not given.

    **Raises:** `TypeError` for one that there is not.
    """
    for keyword in keywords:
        if keyword not in defaults:
            raise TypeError(
                f"{name}() got an unexpected keyword argument {keyword!r}. Besides its "
                f"own arguments it takes {', '.join(defaults)}."
            )
    return {**defaults, **keywords}


def parse_choice(
    method: Any,
    kind: type[_Choice],
    named: Mapping[str, Callable[[], _Choice]],
    unknown: str = "is not known",
) -> _Choice:
    """The method that a name stands for, or the method itself.

    **Raises:** `ValueError` for an `unknown` name, `TypeError` for anything else.
    """
    if isinstance(method, kind):
        return method
    names, instance = ", ".join(map(repr, named)), f"a {kind.__name__} instance"
    if not isinstance(method, str):
        hint = did_you_mean(method, kind)
        raise TypeError(
            f"method must be one of {names} or {instance}, got {method!r}.{hint}"
        )
    if method not in named:
        raise ValueError(
            f"method={method!r} {unknown}. Allowed: {names}, or {instance}."
        )
    return named[method]()
