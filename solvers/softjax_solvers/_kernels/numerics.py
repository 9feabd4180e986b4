"""Small numerical helpers that the whole layer shares."""

from __future__ import annotations

import functools
from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, PyTree

from .._platform.batches import any_true
from .._platform.varying import varying_as

# Some devices multiply matrices with less precision by default.
exact_einsum = functools.partial(jnp.einsum, precision=jax.lax.Precision.HIGHEST)


def inexact(x: Array | float) -> Array:
    """`x` as a floating-point array; integers take the default float type."""
    x = jnp.asarray(x)
    if jnp.issubdtype(x.dtype, jnp.inexact):
        return x
    return x.astype(jnp.result_type(float))


def eps(x: Array) -> float:
    """Machine epsilon: the distance from 1 to the next number in the type of `x`."""
    return float(jnp.finfo(x.dtype).eps)


def pad_last(x: Array, before: int, after: int, fill: float = 0) -> Array:
    """`x`, padded with `fill` at the ends of its last axis; negative widths crop it."""
    # `jnp.pad` takes over twice as long to trace.
    widths = [(0, 0, 0)] * (x.ndim - 1) + [(before, after, 0)]
    return jax.lax.pad(x, jnp.asarray(fill, x.dtype), widths)


def slice_last(x: Array, start: Array, size: int) -> Array:
    """Slice of `size` entries of the last axis, from a traced `start` of at least 0."""
    return jax.lax.dynamic_slice_in_dim(
        x, start, size, axis=-1, allow_negative_indices=False
    )


def iterate(
    advance: Callable[[PyTree], PyTree], state: PyTree, max_steps: int, like: Array
) -> PyTree:
    """Advance a state until all its elements are `done` or have made `max_steps`.

    `like` is an array that varies over devices as a state that was advanced does.
    """
    return jax.lax.while_loop(
        lambda s: any_true(~s.done & (s.steps < max_steps)),
        advance,
        varying_as(state, like),
    )


def choose_tolerance(tolerance: float | None, units: float, like: Array) -> float:
    """`tolerance`, or its default of so many `units` of rounding where it is None."""
    return units * eps(like) if tolerance is None else tolerance


def is_traced(tree: PyTree) -> bool:
    """Whether any array of `tree` has no value yet, as within `jax.jit`."""
    return any(isinstance(leaf, Tracer) for leaf in jax.tree.leaves(tree))


def stop_gradient(tree: PyTree) -> PyTree:
    """`jax.lax.stop_gradient` of every inexact array of a tree, others unchanged."""
    return jax.tree.map(
        lambda leaf: (
            jax.lax.stop_gradient(leaf) if eqx.is_inexact_array(leaf) else leaf
        ),
        tree,
    )


def derivative(fn: Callable[[Array], Array], x: Array) -> tuple[Array, Array]:
    """Value and derivative of an elementwise function, by forward mode."""
    return jax.jvp(fn, (x,), (jnp.ones_like(x),))


def linear_map(
    fn: Callable[[Array], Array], transpose: Callable[[Array], Array], x: Array
) -> Array:
    """`fn(x)` of a linear function with a given transpose, which reverse mode applies.

    `fn` returns an array of the shape of x. Derivatives in other arrays that it holds
    are those of `fn` itself.
    """

    # As the solution y of (x, y - fn(x)) = (x, 0). A linear solve is the one linear
    # function whose transpose can be given.
    def equation(pair: Array) -> Array:
        return jnp.stack([pair[0], pair[1] - fn(pair[0])])

    def solve(_, rhs: Array) -> Array:
        return jnp.stack([rhs[0], rhs[1] + fn(rhs[0])])

    def transpose_solve(_, rhs: Array) -> Array:
        return jnp.stack([rhs[0] + transpose(rhs[1]), rhs[1]])

    rhs = jnp.stack([x, jnp.zeros_like(x)])
    return jax.lax.custom_linear_solve(equation, rhs, solve, transpose_solve)[1]


def tangent_of(fn: Callable, args: tuple, moves: tuple) -> PyTree[Array]:
    """Tangent of `fn(*args)`, for tangents `moves` of `args`, where None is zero."""
    out, tangent = eqx.filter_jvp(fn, args, moves)
    leaves, structure = jax.tree.flatten(out)
    # Equinox has None for the tangents of outputs that do not depend on the moves.
    tangents = structure.flatten_up_to(tangent)
    return structure.unflatten(
        jnp.zeros_like(x) if dx is None else dx
        for x, dx in zip(leaves, tangents, strict=True)
    )


@jax.custom_jvp
def replace_value(x: Array, value: Array) -> Array:
    """`value`, with the derivative of `x`."""
    return jnp.broadcast_to(value, x.shape)


@replace_value.defjvp
def _replace_value_jvp(primals, tangents):
    x_dot, _ = tangents
    return replace_value(*primals), x_dot


def distance(a: Array, b: Array) -> Array:
    """Absolute difference `|a - b|`, with derivative 0 where they are equal.

    The derivative of `jnp.abs` at 0 is 1, which would make derivatives depend on which
    of two equal numbers comes first.
    """
    difference = a - b
    return jnp.sign(jax.lax.stop_gradient(difference)) * difference


def safe_divide(numerator: Array | float, denominator: Array | np.ndarray) -> Array:
    """Quotient, and 0 (with zero derivatives) where the denominator is 0."""
    zero = denominator == 0
    return jnp.where(zero, 0, numerator / jnp.where(zero, 1, denominator))
