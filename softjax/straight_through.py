"""Straight-through estimators: the value of one function, the derivative of another."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, PyTree

from softjax_solvers.internal import is_traced

from ._keywords import is_hard

_Function = TypeVar("_Function", bound=Callable[..., Any])


@jax.custom_jvp
def _swap(value: Array, surrogate: Array) -> Array:
    return value


@_swap.defjvp
def _swap_jvp(primals, tangents):
    # The usual `stop_gradient(value - surrogate) + surrogate` would round the value,
    # and give NaN where both are infinite.
    _, surrogate_tangent = tangents
    return _swap(*primals), surrogate_tangent


def _swap_leaf(value: Any, surrogate: Any) -> Any:
    if not eqx.is_array_like(value) or not eqx.is_array_like(surrogate):
        return value
    if not jnp.issubdtype(jnp.result_type(surrogate), jnp.inexact):
        return value
    value, surrogate = jnp.asarray(value), jnp.asarray(surrogate)
    if value.shape != surrogate.shape:
        raise ValueError(
            "Straight-through estimation needs outputs of the same shape, got "
            f"{value.shape} for the value and {surrogate.shape} for the derivative."
        )
    # A value without derivatives (a Boolean, an index) takes the float type.
    if jnp.issubdtype(value.dtype, jnp.inexact):
        surrogate = surrogate.astype(value.dtype)
    else:
        value = value.astype(surrogate.dtype)
    # Outside of transformations nothing is differentiated.
    return _swap(value, surrogate) if is_traced((value, surrogate)) else value


def _combine(value: PyTree, surrogate: PyTree) -> PyTree:
    """The value of one pytree with the derivative of the other."""
    # A method without soft indices yields None where the hard operator has some.
    return jax.tree.map(_swap_leaf, value, surrogate, is_leaf=lambda leaf: leaf is None)


def _frozen(tree: PyTree) -> PyTree:
    """Arguments for the value, whose own derivative is not wanted or may not exist."""
    if not is_traced(tree):
        return tree
    dynamic, static = eqx.partition(tree, eqx.is_inexact_array)
    return eqx.combine(jax.lax.stop_gradient(dynamic), static)


_VARIADIC = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


def _signature_with(
    fn: Callable[..., Any], name: str, decorator: str
) -> tuple[inspect.Signature, bool]:
    """The signature, and whether it names the parameter or takes any as `**kwargs`."""
    label = getattr(fn, "__name__", repr(fn))
    try:
        signature = inspect.signature(fn)
    except (TypeError, ValueError):
        raise TypeError(
            f"{decorator}: fn must be a function with a signature, got {label}."
        ) from None
    parameter = signature.parameters.get(name)
    if parameter is not None and parameter.kind not in _VARIADIC:
        return signature, True
    kinds = {parameter.kind for parameter in signature.parameters.values()}
    if inspect.Parameter.VAR_KEYWORD not in kinds:
        raise TypeError(
            f"{decorator}: {label}{signature} must have a parameter {name!r}, or take "
            "any keyword, as with **kwargs, and pass it on."
        )
    return signature, False


def st(fn: _Function) -> _Function:
    """Make a function straight-through: hard in value, soft in derivative.

    **Arguments:**

    - `fn`: any function with a parameter `mode`, or with `**kwargs`, which calls
        softened operators with it. It may return a pytree.

    **Returns:** a function with the same signature. Its value is exactly that of
    `mode="hard"`, its derivative that of the `mode` passed (or of the default; by
    `**kwargs`, none is passed on then); with `mode="hard"` it is `fn` itself.

    Apply it to the whole of a computation rather than to each of its parts: in a
    product of straight-through factors, each derivative is multiplied by the hard
    value of the other factor, which may be 0.

    **Raises:** `TypeError` if `fn` has neither a parameter `mode` nor `**kwargs`.

    **Example:**

        >>> @sj.st
        ... def product(x, mode="smooth"):
        ...     return sj.relu(x[0], mode=mode) * sj.relu(x[1], mode=mode)
        ...
        >>> x = jnp.array([-0.05, 0.05])
        >>> print(product(x), jax.grad(product)(x))
        0.0 [0.037 0.03 ]

    ??? cite

        Bengio, Léonard and Courville, "Estimating or propagating gradients through
        stochastic neurons for conditional computation", arXiv:1308.3432 (2013).
    """
    signature, named = _signature_with(fn, "mode", "st")
    parameter = signature.parameters["mode"] if named else None
    default = None if parameter is None else parameter.default
    by_keyword = parameter is None or parameter.kind is parameter.KEYWORD_ONLY

    def hardened(args: tuple, kwargs: dict) -> tuple[Any, tuple, dict]:
        """The mode that is passed, if any, and the arguments with a hard one."""
        if by_keyword:
            return kwargs.get("mode", default), args, kwargs | dict(mode="hard")
        bound = signature.bind(*args, **kwargs)
        bound.apply_defaults()
        mode = bound.arguments["mode"]
        bound.arguments["mode"] = "hard"
        return mode, bound.args, bound.kwargs

    @functools.wraps(fn)
    def wrapped(*args, **kwargs):
        mode, hard_args, hard_kwargs = hardened(args, kwargs)
        if is_hard(mode):
            return fn(*args, **kwargs)
        value = fn(*_frozen(hard_args), **_frozen(hard_kwargs))
        return _combine(value, fn(*args, **kwargs))

    return wrapped  # pyright: ignore[reportReturnType]


def grad_replace(fn: _Function) -> _Function:
    """Give a function another derivative, both written in its own body.

    **Arguments:**

    - `fn`: a function with a parameter `forward`, or with `**kwargs`. It is called
        with `forward=True` for the value and with `forward=False` for the derivative.

    **Returns:** a function of the same arguments, without `forward`.

    **Raises:** `TypeError` if `fn` has neither a parameter `forward` nor `**kwargs`.

    **Example:**

        >>> @sj.grad_replace
        ... def quantize(x, forward):
        ...     return jnp.round(x) if forward else x
        ...
        >>> x = jnp.array([0.2, 0.7])
        >>> print(quantize(x), jax.grad(lambda x: quantize(x).sum())(x))
        [0. 1.] [1. 1.]
    """
    signature, _ = _signature_with(fn, "forward", "grad_replace")

    @functools.wraps(fn)
    def wrapped(*args, **kwargs):
        value = fn(*_frozen(args), **_frozen(kwargs), forward=True)
        return _combine(value, fn(*args, **kwargs, forward=False))

    shown = [
        p
        for p in signature.parameters.values()
        if p.name != "forward" or p.kind in _VARIADIC
    ]
    wrapped.__signature__ = signature.replace(parameters=shown)  # pyright: ignore
    return wrapped  # pyright: ignore[reportReturnType]


def straight_through_variants(
    functions: Iterable[Callable[..., Any]], module: str = "softjax"
) -> dict[str, Callable[..., Any]]:
    """`NAME_st` for each function `NAME`: [`softjax.st`][] of it, with a docstring.

    **Arguments:**

    - `module`: the one that has the functions.

    **Example:**

        >>> from softjax import straight_through_variants
        >>> straight_through_variants([sj.relu])["relu_st"](-0.1).item()
        0.0
    """
    variants = {}
    for fn in functions:
        name = f"{fn.__name__}_st"
        variant = st(fn)
        variant.__module__ = module
        variant.__name__ = variant.__qualname__ = name
        variant.__doc__ = (
            f"[`{module}.{fn.__name__}`][], hard in value and soft in derivative: "
            "[`softjax.st`][] of it."
        )
        variants[name] = variant
    return variants
