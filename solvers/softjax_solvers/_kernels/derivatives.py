"""Derivatives of functions, and functions with derivatives of their own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, PyTree


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


def opaque_linear_map(
    fn: Callable[[Array], Array],
    transpose: Callable[[Array], Array],
    x: Array,
    like: Array,
) -> Array:
    """`fn(x)` of a linear function that JAX can't transpose, such as a `while_loop`.

    Both are computed, of which one is of zeros.

    **Arguments:**

    - `like`: an array of the shape of `fn(x)`, linear in x.
    """

    # The solution of q = a, p + C q = 0, which is symmetric, as C, `fn` and its
    # transpose beside the diagonal, is. Of a symmetric system nothing is transposed.
    def both(x: tuple[Array, Array]) -> tuple[Array, Array]:
        return transpose(x[1]), fn(x[0])

    def equation(pair: Any) -> Any:
        p, q = pair
        image = both(q)
        # A tangent of C has to be in all of the right hand side of a tangent, too.
        first = jax.tree.map(lambda q, y: q + 0 * y, q, image)
        return first, jax.tree.map(jnp.add, p, image)

    def solve(_, rhs: Any) -> Any:
        a, b = rhs
        return jax.tree.map(jnp.subtract, b, both(a)), a

    # All of the right hand side has to be a linear function of x.
    a, b = (x, 0 * like), (0 * x, 0 * like)
    (_, out), _ = jax.lax.custom_linear_solve(equation, (a, b), solve, symmetric=True)
    return -out


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


def stop_gradient(tree: PyTree) -> PyTree:
    """`jax.lax.stop_gradient` of every inexact array of a tree, others unchanged."""
    return jax.tree.map(
        lambda leaf: (
            jax.lax.stop_gradient(leaf) if eqx.is_inexact_array(leaf) else leaf
        ),
        tree,
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
    signed = jnp.sign(jax.lax.stop_gradient(difference)) * difference
    return replace_value(signed, jnp.abs(difference))
